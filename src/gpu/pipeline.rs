//! The pipelines that an engine uses.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};

use super::compiled::{Pipeline, compile};
use super::device::Gpu;
use super::recording::{Binding, Dispatch};
use super::shader::{Kernel, Part, Program, Target, link};

/// The pipelines that an engine has used so far.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    made: HashMap<String, Arc<Pipeline>>,
    /// Replacements of kernels and parts.
    pub(super) sabotage: Sabotage,
}

/// Replacements of what an engine would run, for tests that a fault is found.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Sabotage {
    /// Kernels that replace those of the same name.
    pub kernels: &'static [Kernel],
    /// Parts that replace those of the same name.
    pub parts: &'static [Part],
    /// Changes each dispatch before it is prepared.
    pub dispatch: Option<fn(&mut Dispatch)>,
}

impl Pipelines {
    /// No pipelines yet.
    pub(super) fn sabotaged(sabotage: Sabotage) -> Self {
        Self { made: HashMap::new(), sabotage }
    }

    /// How many there are.
    pub(super) fn made(&self) -> u64 {
        self.made.len() as u64
    }

    /// The pipeline of a dispatch, made on first use. A kernel that the device rejects is an error of
    /// who asked for it, and other work does not suffer from it; a stranger's is the caller's fault.
    pub(super) fn of(&mut self, gpu: &Gpu, dispatch: &Dispatch) -> Result<Arc<Pipeline>> {
        let Dispatch { program, groups, .. } = dispatch;
        let pipeline = self.get(gpu, program, groups);
        match &pipeline.rejected {
            None => Ok(pipeline),
            Some(reason) => {
                // A lost device rejects everything.
                gpu.check()?;
                let text = format!("the kernel {} is not accepted: {reason}", program.kernel.name);
                if program.foreign {
                    return Err(Error::Input(text));
                }
                Err(Error::Device(format!("{}: {text}", gpu.adapter().name)))
            }
        }
    }

    /// The pipeline of a program over these groups.
    fn get(&mut self, gpu: &Gpu, program: &Program, groups: &[Vec<Binding>]) -> Arc<Pipeline> {
        let key = key(program, groups);
        if let Some(pipeline) = self.made.get(&key) {
            return Arc::clone(pipeline);
        }
        let text = link(&self.replace(program), Target::HERE);
        let shared = format!("{key}\n{text}");
        let pipeline =
            gpu.compiled.get(shared, || compile(&gpu.device, program, text.clone(), groups));
        self.made.insert(key, Arc::clone(&pipeline));
        pipeline
    }

    fn replace(&self, program: &Program) -> Program {
        let Sabotage { kernels, parts, .. } = self.sabotage;
        let mut program = program.clone();
        if let Some(other) = kernels.iter().find(|other| other.name == program.kernel.name) {
            program.kernel = other;
        }
        for part in &mut program.parts {
            if let Some(other) = parts.iter().find(|other| other.name == part.name) {
                *part = other;
            }
        }
        program
    }
}

/// What tells a pipeline from all others. Two strangers' kernels may share a name.
fn key(program: &Program, groups: &[Vec<Binding>]) -> String {
    let source = if program.foreign { program.kernel.source } else { "" };
    format!("{} {} {source}", program.label(), access(groups))
}

/// Which buffers a kernel writes: two pipelines that differ only in this need different layouts.
fn access(groups: &[Vec<Binding>]) -> String {
    let letter = |binding: &Binding| if matches!(binding, Binding::Read(_)) { 'r' } else { 'w' };
    groups
        .iter()
        .map(|group| group.iter().map(letter).collect::<String>())
        .collect::<Vec<_>>()
        .join("|")
}
