//! How much of a device's memory a training run takes.

use serde::Serialize;

use crate::error::{Error, Remedy, Result};
use crate::gpu::Gpu;
use crate::model::free_memory;

use super::options::{Optimizer, TrainOptions};

/// The bytes that a training run takes on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainMemory {
    /// Parameters with their gradients and moments, and their f16 copies if there are any.
    pub parameters: u64,
    /// Keys and values.
    pub cache: u64,
    /// Buffers that live within one step.
    pub activations: u64,
    /// The largest buffer among these.
    pub largest_buffer: u64,
}

impl TrainMemory {
    /// The sum.
    pub fn total(&self) -> u64 {
        self.parameters + self.cache + self.activations
    }

    /// Fails if the run exceeds the device's limits, or the free memory if that is known.
    pub(super) fn check(&self, gpu: &Gpu, options: &TrainOptions) -> Result<()> {
        let (limit, adapter) = (gpu.caps().max_buffer_bytes(), &gpu.adapter().name);
        if self.largest_buffer > limit {
            let reason = format!(
                "a step needs a buffer of {} bytes, and {adapter} binds {limit}",
                self.largest_buffer
            );
            return Err(Error::memory(reason, [Remedy::SmallerBatch]));
        }
        // A software adapter uses the machine's own memory; other adapters do not report what is free.
        match free_memory().filter(|free| gpu.caps().software && self.total() > *free) {
            None => Ok(()),
            Some(free) => Err(self.too_large(free, adapter, options)),
        }
    }

    /// The error for a run that exceeds the free memory.
    fn too_large(&self, free: u64, adapter: &str, options: &TrainOptions) -> Error {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let mut remedies = Vec::new();
        if self.parameters < free {
            if options.batch > 1 {
                remedies.push(Remedy::SmallerBatch);
            }
            remedies.push(Remedy::ShorterContext { fits: None });
        }
        if options.optimizer.copies() > Optimizer::Sgd.copies()
            && self.total() - self.parameters / 2 < free
        {
            remedies.push(Remedy::PlainDescent);
        }
        if remedies.is_empty() {
            remedies.push(Remedy::SmallerModel);
        }
        let reason = format!(
            "a step needs {} MiB for parameters with gradients and moments, {} for keys and values and {} \
             for activations, but {adapter} has {} MiB of memory free",
            mib(self.parameters),
            mib(self.cache),
            mib(self.activations),
            free >> 20
        );
        Error::memory(reason, remedies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_names_what_helps() {
        let (options, mb) = (TrainOptions::default(), 1 << 20);
        let fit = TrainMemory {
            parameters: 400 * mb,
            cache: 50 * mb,
            activations: 300 * mb,
            largest_buffer: 0,
        };
        let error = fit.too_large(600 * mb, "llvmpipe", &options);
        assert_eq!(
            error.fault(),
            "a step needs 400 MiB for parameters with gradients and moments, 50 for keys and values and \
             300 for activations, but llvmpipe has 600 MiB of memory free"
        );
        let shorter = Remedy::ShorterContext { fits: None };
        assert_eq!(error.remedies(), [Remedy::SmallerBatch, shorter, Remedy::PlainDescent]);
        let error = fit.too_large(100 * mb, "llvmpipe", &options);
        assert_eq!(error.remedies(), [Remedy::SmallerModel]);
    }
}
