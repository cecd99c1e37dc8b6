//! Shaders as text: kernels, the parts they call, and the one function that joins them.
//!
//! WGSL's module scope has no order, so joining files is a true link step. Only `enable` lines must
//! come first, and compilers differ in which they need: [`link`] writes them.

use std::fmt;

/// A kernel: one file under `shaders/`, whose entry point has the file's name.
pub struct Kernel {
    /// The name of file and entry point.
    pub name: &'static str,
    /// The op that records it; none for a kernel that only measures the device.
    pub op: Option<&'static str>,
    /// The WGSL text.
    pub source: &'static str,
    /// What the device must offer, besides what its parts need.
    pub needs: &'static [Need],
}

/// A file under `shaders/parts/` with functions that kernels call.
pub struct Part {
    /// The file's name.
    pub name: &'static str,
    /// The WGSL text.
    pub source: &'static str,
    /// What the device must offer.
    pub needs: &'static [Need],
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// A capability that some devices lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Operations across the lanes that run in lockstep.
    Subgroups,
    /// Arithmetic in f16.
    F16,
}

/// The compiler of the linked text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// naga, which supports subgroups without the `enable` line and rejects it.
    Naga,
    /// A browser, which requires the line.
    Browser,
}

impl Target {
    /// The compiler on the platform that this program runs on.
    pub(super) const HERE: Self =
        if cfg!(target_arch = "wasm32") { Self::Browser } else { Self::Naga };
}

/// A kernel with all its slots filled and all its numbers chosen: it becomes one pipeline.
#[derive(Clone, Debug)]
pub struct Program {
    /// The kernel.
    pub kernel: &'static Kernel,
    /// A part for each of its slots.
    pub parts: Vec<&'static Part>,
    /// Values of `override` constants.
    pub constants: Vec<(&'static str, f64)>,
    /// Whether the kernel is a stranger's, which runs with all checks: a name tells it from no other.
    pub foreign: bool,
}

impl Program {
    /// A kernel that has no slots and keeps its default numbers.
    pub fn new(kernel: &'static Kernel) -> Self {
        Self { kernel, parts: Vec::new(), constants: Vec::new(), foreign: false }
    }

    /// A kernel of a caller's own: its accesses are checked in every build, and one that does not
    /// compile leaves the device usable.
    pub fn foreign(kernel: &'static Kernel) -> Self {
        Self { foreign: true, ..Self::new(kernel) }
    }

    /// Fills a slot.
    #[must_use]
    pub fn part(mut self, part: &'static Part) -> Self {
        self.parts.push(part);
        self
    }

    /// Chooses a number.
    #[must_use]
    pub fn constant(mut self, name: &'static str, value: impl Into<f64>) -> Self {
        self.constants.push((name, value.into()));
        self
    }

    /// What the device must offer.
    pub fn needs(&self) -> impl Iterator<Item = Need> {
        let parts = self.parts.iter().flat_map(|part| part.needs);
        self.kernel.needs.iter().chain(parts).copied()
    }

    /// One word for kernel, parts and numbers: what distinguishes two pipelines.
    pub fn label(&self) -> String {
        let mut label = self.kernel.name.to_owned();
        for part in &self.parts {
            label.push('+');
            label.push_str(part.name);
        }
        for (name, value) in &self.constants {
            label.push_str(&format!(" {name}={value}"));
        }
        label
    }
}

/// Joins a kernel and its parts into one module for `target`.
pub fn link(program: &Program, target: Target) -> String {
    let needs = |need| program.needs().any(|needed| needed == need);
    let mut text = String::new();
    if needs(Need::F16) {
        text.push_str("enable f16;\n");
    }
    if needs(Need::Subgroups) && target == Target::Browser {
        text.push_str("enable subgroups;\n");
    }
    text.push_str(program.kernel.source);
    for part in &program.parts {
        text.push('\n');
        text.push_str(part.source);
    }
    text
}
