//! What a model runs most, and so what is worth measuring.

use crate::format::Format;

use super::shape::Shape;

/// What to tune: the shapes of linear layers, and the width of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Linear layers, by rows of x and weights: format, outputs, inputs.
    pub shapes: Vec<Shape>,
    /// Values in a row that is normalized; 0 for none.
    pub width: usize,
    /// Query heads, key heads and their width; no heads for none.
    pub heads: [usize; 3],
    /// Rows of a prompt that attend at once.
    pub rows: usize,
}

impl Workload {
    /// If no model is given: the linear layers of a small and of a medium model, in common formats.
    pub fn common() -> Self {
        let maps = [(960, 576), (576, 1536), (3072, 1024), (1024, 3072)];
        let formats = [Format::F16, Format::Q8_0, Format::Q4_0];
        let shape = |rows, format, (outputs, inputs)| Shape { format, rows, outputs, inputs };
        let of_rows =
            |rows| formats.into_iter().flat_map(move |f| maps.map(move |map| shape(rows, f, map)));
        let shapes = of_rows(1).chain(of_rows(128)).collect();
        Self { shapes, width: 1024, heads: [16, 8, 64], rows: 128 }
    }
}
