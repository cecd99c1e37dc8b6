//! The shape of a product, the key under which measurements are kept.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::format::Format;
use crate::gpu::padded;

/// The shape of y = x Wᵀ: what a variant is chosen and measured for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Shape {
    /// How the weights are stored.
    pub format: Format,
    /// Rows of x, rounded up to a power of two.
    pub rows: usize,
    /// Outputs: rows of W.
    pub outputs: usize,
    /// Inputs: columns of W.
    pub inputs: usize,
}

impl Shape {
    /// The shape of a product of `rows` rows with a matrix (outputs, inputs).
    pub fn new(format: Format, rows: usize, [outputs, inputs]: [usize; 2]) -> Self {
        Self { format, rows: rows.next_power_of_two(), outputs, inputs }
    }

    /// The 16-byte words in which a kernel reads a row of W.
    pub(super) fn words(&self) -> usize {
        padded(self.inputs) / self.format.info().word
    }
}

/// The format and the sizes, such as `q4_0 1x576x1536`.
impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, rows, outputs, inputs } = self;
        write!(f, "{format} {rows}x{outputs}x{inputs}")
    }
}

impl FromStr for Shape {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::Input(format!("`{text}` is not the shape of a product"));
        let (name, sizes) = text.split_once(' ').ok_or_else(bad)?;
        let format = Format::ALL.into_iter().find(|format| format.to_string() == name);
        let sizes: Vec<usize> = sizes.split('x').map_while(|size| size.parse().ok()).collect();
        let (Some(format), &[rows, outputs, inputs]) = (format, sizes.as_slice()) else {
            return Err(bad());
        };
        Ok(Self { format, rows, outputs, inputs })
    }
}

impl From<Shape> for String {
    fn from(shape: Shape) -> Self {
        shape.to_string()
    }
}

impl TryFrom<String> for Shape {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}
