//! Runs recordings: buffers, pipelines, bind groups, and one submit for many steps.

use std::collections::HashMap;
use std::num::NonZeroU64;

use crate::error::{Error, Result};

use super::counters::Counters;
use super::device::Gpu;
use super::pipeline::{Pipelines, Sabotage};
use super::plan::{Plan, Step, begin};
use super::readback::Readback;
use super::recording::{Recording, assign_slots};
use super::shader::Part;
use super::tensor::{BufferId, Tensor};

/// Executes recordings on one device. It owns every persistent buffer.
#[derive(Debug)]
pub struct Engine {
    gpu: Gpu,
    buffers: HashMap<BufferId, wgpu::Buffer>,
    /// Transient buffers, shared by all plans, since plans run one after another.
    transient: Vec<wgpu::Buffer>,
    pipelines: Pipelines,
    staging: Vec<wgpu::Buffer>,
    counters: Counters,
}

/// Uniforms of one plan share a buffer; each starts at a multiple of this.
const UNIFORM_ALIGNMENT: usize = 256;

impl Engine {
    /// An engine without buffers or pipelines.
    pub fn new(gpu: Gpu) -> Self {
        Self {
            gpu,
            buffers: HashMap::new(),
            transient: Vec::new(),
            pipelines: Pipelines::default(),
            staging: Vec::new(),
            counters: Counters::default(),
        }
    }

    /// An engine in which these parts replace those of the same name. For tests of what happens
    /// when a driver miscompiles a part.
    #[doc(hidden)]
    pub fn with_parts(gpu: Gpu, parts: &'static [Part]) -> Self {
        Self::sabotaged(gpu, Sabotage { parts, ..Sabotage::default() })
    }

    /// An engine that runs something other than what it is given. For tests that such a fault is
    /// found.
    #[doc(hidden)]
    pub fn sabotaged(gpu: Gpu, sabotage: Sabotage) -> Self {
        Self { pipelines: Pipelines::sabotaged(sabotage), ..Self::new(gpu) }
    }

    /// The device.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        Counters { allocations: self.counters.allocations + self.pipelines.made(), ..self.counters }
    }

    /// Bytes that the transient buffers of all plans take.
    pub fn transient_bytes(&self) -> u64 {
        self.transient.iter().map(wgpu::Buffer::size).sum()
    }

    /// Drops all transient buffers; plans that use them keep them alive.
    pub fn free_transient(&mut self) {
        self.transient.clear();
    }

    /// Allocates a persistent buffer, filled with zeros.
    ///
    /// # Errors
    /// [`Error::Memory`] if the adapter's limits forbid it.
    pub fn create(&mut self, id: BufferId, bytes: u64) -> Result<()> {
        let buffer = self.storage(bytes)?;
        self.buffers.insert(id, buffer);
        Ok(())
    }

    /// Allocates a persistent tensor, filled with zeros.
    ///
    /// # Errors
    /// [`Error::Memory`] if the adapter's limits forbid it.
    pub fn create_tensor(&mut self, tensor: &Tensor) -> Result<()> {
        self.create(tensor.buffer, tensor.bytes())
    }

    /// Fills all transient buffers with a value, as earlier passes might have left it there. For tests
    /// that no result depends on that.
    #[doc(hidden)]
    pub fn fill_transient(&self, value: f32) {
        for buffer in &self.transient {
            let values = vec![value; buffer.size() as usize / 4];
            self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(&values));
        }
    }

    /// Frees a persistent buffer; plans that use it keep it alive.
    pub fn free(&mut self, id: BufferId) {
        self.buffers.remove(&id);
    }

    fn storage(&mut self, bytes: u64) -> Result<wgpu::Buffer> {
        let limit = self.gpu.caps().max_buffer_bytes();
        let size = bytes.max(16).next_multiple_of(16);
        if size > limit {
            let adapter = &self.gpu.adapter().name;
            let reason =
                format!("a buffer of {size} bytes is over the limit of {limit} bytes of {adapter}");
            return Err(Error::memory(reason, []));
        }
        self.counters.allocations += 1;
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::COPY_DST
            | wgpu::BufferUsages::COPY_SRC;
        let buffer = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: None,
            size,
            usage,
            mapped_at_creation: false,
        });
        self.gpu.check()?;
        Ok(buffer)
    }

    /// The wgpu buffer of a persistent buffer, for an app's own passes: it can be bound as storage
    /// and copied from and to. Passes submitted later to the same queue see what was written
    /// before.
    ///
    /// # Errors
    /// [`Error::Device`] if the buffer was never created, or has been freed.
    pub fn buffer(&self, id: BufferId) -> Result<&wgpu::Buffer> {
        self.buffers
            .get(&id)
            .ok_or_else(|| Error::Device(format!("buffer {id:?} was never created")))
    }

    /// Writes bytes into a persistent buffer, before whatever is submitted next.
    ///
    /// # Errors
    /// [`Error::Device`] if the buffer was never created.
    pub fn write(&self, id: BufferId, offset: u64, bytes: &[u8]) -> Result<()> {
        self.gpu.queue.write_buffer(self.buffer(id)?, offset, bytes);
        Ok(())
    }

    /// Hands pending writes to the device, so that their staging memory can be freed.
    ///
    /// # Errors
    /// [`Error::Device`] if the device has failed.
    pub fn flush(&self) -> Result<()> {
        self.gpu.queue.submit([]);
        #[cfg(not(target_arch = "wasm32"))]
        self.gpu
            .device
            .poll(wgpu::PollType::wait_indefinitely())
            .map_err(|error| Error::Device(error.to_string()))?;
        self.gpu.check()
    }

    /// Resolves every pipeline and bind group of a recording.
    ///
    /// # Errors
    /// [`Error::Memory`] if a transient buffer is too large, [`Error::Device`] if a kernel does not compile.
    pub fn prepare(&mut self, recording: &Recording) -> Result<Plan> {
        let sabotaged;
        let recording = match self.pipelines.sabotage.dispatch {
            None => recording,
            Some(change) => {
                let mut other = recording.clone();
                other.dispatches.iter_mut().for_each(change);
                sabotaged = other;
                &sabotaged
            }
        };
        let (slot_of, slots) = recording.slots();
        let chosen = self.choose_slots(&slots)?;
        let uniforms = self.uniforms(recording);
        let mut steps = Vec::with_capacity(recording.dispatches.len());
        for (index, dispatch) in recording.dispatches.iter().enumerate() {
            let pipeline = self.pipelines.of(&self.gpu, dispatch)?;
            let mut groups = Vec::with_capacity(dispatch.groups.len());
            for (number, bindings) in dispatch.groups.iter().enumerate() {
                let mut entries = Vec::with_capacity(bindings.len() + 1);
                if number == 0 {
                    // Backends differ in whether a struct's size is rounded up to 16 bytes.
                    let bytes = dispatch.params.len().max(1).next_multiple_of(16);
                    entries.push(wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &uniforms,
                        offset: (index * UNIFORM_ALIGNMENT) as u64,
                        size: NonZeroU64::new(bytes as u64),
                    }));
                }
                for binding in bindings {
                    let id = binding.buffer();
                    let buffer = match id.transient_index() {
                        Some(transient) => &self.transient[chosen[slot_of[transient]]],
                        None => self.buffer(id)?,
                    };
                    entries.push(buffer.as_entire_binding());
                }
                let entries: Vec<wgpu::BindGroupEntry<'_>> = entries
                    .into_iter()
                    .zip(0..)
                    .map(|(resource, binding)| wgpu::BindGroupEntry { binding, resource })
                    .collect();
                let Some(layout) = &pipeline.layouts[number] else { continue };
                let group = self.gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
                    label: Some(dispatch.program.kernel.name),
                    layout,
                    entries: &entries,
                });
                groups.push((number as u32, group));
            }
            self.counters.allocations += groups.len() as u64;
            let (grid, weight_bytes) = (dispatch.grid, dispatch.weight_bytes);
            steps.push(Step { pipeline, groups, grid, weight_bytes });
        }
        self.gpu.check()?;
        Ok(Plan { steps })
    }

    /// For each slot of a recording, a shared buffer that is large enough.
    fn choose_slots(&mut self, slots: &[u64]) -> Result<Vec<usize>> {
        let mut sizes: Vec<u64> = self.transient.iter().map(wgpu::Buffer::size).collect();
        let chosen = assign_slots(&mut sizes, slots);
        for &bytes in &sizes[self.transient.len()..] {
            let buffer = self.storage(bytes)?;
            self.transient.push(buffer);
        }
        Ok(chosen)
    }

    fn uniforms(&mut self, recording: &Recording) -> wgpu::Buffer {
        let mut bytes = vec![0; (recording.dispatches.len() * UNIFORM_ALIGNMENT).max(16)];
        for (index, dispatch) in recording.dispatches.iter().enumerate() {
            let start = index * UNIFORM_ALIGNMENT;
            bytes[start..start + dispatch.params.len()].copy_from_slice(&dispatch.params);
        }
        let buffer = self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("uniforms"),
            size: bytes.len() as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.counters.allocations += 1;
        self.gpu.queue.write_buffer(&buffer, 0, &bytes);
        buffer
    }

    /// Runs plans one after another, in one pass and one submit; the extent of each is given only
    /// now. Then copies the named ranges, in order, into one staging buffer for the host.
    ///
    /// # Errors
    /// [`Error::Device`] if the device has failed or a buffer was never created.
    pub fn submit(
        &mut self,
        steps: &[(&Plan, u32)],
        reads: &[(BufferId, u64, u64)],
    ) -> Result<Option<Readback>> {
        let mut encoder =
            self.gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        if !steps.is_empty() {
            let mut pass = begin(&mut encoder, &mut self.counters);
            for (plan, extent) in steps {
                self.counters.dispatches += plan.steps.len() as u64;
                for step in &plan.steps {
                    self.counters.weight_bytes += step.weight_bytes;
                    step.encode(&mut pass, *extent);
                }
            }
        }
        let bytes: u64 = reads.iter().map(|(_, _, bytes)| bytes).sum();
        let staging = if bytes > 0 { Some(self.staging(bytes)) } else { None };
        if let Some(staging) = &staging {
            let mut at = 0;
            for &(id, offset, bytes) in reads {
                encoder.copy_buffer_to_buffer(self.buffer(id)?, offset, staging, at, bytes);
                at += bytes;
            }
        }
        let submission = self.gpu.queue.submit([encoder.finish()]);
        self.counters.submits += 1;
        self.counters.readback_bytes += bytes;
        let readback = staging.map(|staging| Readback::new(staging, bytes));
        self.gpu.poller.submitted(submission);
        self.gpu.check()?;
        Ok(readback)
    }

    /// Runs the pieces of a plan, each in its own submit; then copies as [`Engine::submit`] does.
    ///
    /// # Errors
    /// As [`Engine::submit`].
    pub fn submit_pieces(
        &mut self,
        pieces: &[Plan],
        extent: u32,
        reads: &[(BufferId, u64, u64)],
    ) -> Result<Option<Readback>> {
        let Some((last, before)) = pieces.split_last() else { return self.submit(&[], reads) };
        for piece in before {
            self.submit(&[(piece, extent)], &[])?;
        }
        self.submit(&[(last, extent)], reads)
    }

    /// Ensures that `count` reads of `bytes` can be in flight without an allocation.
    pub fn reserve_staging(&mut self, bytes: u64, count: usize) {
        let fits = |buffer: &&wgpu::Buffer| buffer.size() >= bytes;
        for _ in self.staging.iter().filter(fits).count()..count {
            let buffer = self.new_staging(bytes);
            self.staging.push(buffer);
        }
    }

    fn staging(&mut self, bytes: u64) -> wgpu::Buffer {
        match self.staging.iter().position(|buffer| buffer.size() >= bytes) {
            Some(found) => self.staging.swap_remove(found),
            None => self.new_staging(bytes),
        }
    }

    fn new_staging(&mut self, bytes: u64) -> wgpu::Buffer {
        self.counters.allocations += 1;
        self.gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("staging"),
            size: bytes.next_multiple_of(256),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Waits for a read and keeps its staging memory for the next one.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails meanwhile.
    pub async fn finish(&mut self, mut readback: Readback) -> Result<Vec<u8>> {
        let bytes = (&mut readback).await;
        self.gpu.check()?;
        if self.staging.len() < 16 {
            self.staging.push(readback.into_staging());
        }
        bytes
    }

    /// Reads a tensor, without the padding of its rows: `rows · columns` values.
    ///
    /// # Errors
    /// [`Error::Device`] if the device fails or the tensor was never created.
    pub async fn read(&mut self, tensor: &Tensor) -> Result<Vec<f32>> {
        let Some(readback) = self.submit(&[], &[tensor.range()])? else {
            return Ok(Vec::new());
        };
        Ok(tensor.values(&self.finish(readback).await?))
    }

    /// Writes `rows · columns` values into a persistent tensor.
    ///
    /// # Errors
    /// [`Error::Shape`] if the count differs, [`Error::Device`] if the tensor was never created.
    pub fn write_tensor<T: bytemuck::Pod + Default>(
        &self,
        tensor: &Tensor,
        values: &[T],
    ) -> Result<()> {
        if values.len() != tensor.rows * tensor.columns || size_of::<T>() != 4 {
            return Err(Error::Shape {
                op: "write",
                reason: format!(
                    "{} values for a tensor of {} x {}",
                    values.len(),
                    tensor.rows,
                    tensor.columns
                ),
            });
        }
        let mut padded = vec![T::default(); tensor.rows * tensor.stride()];
        for (row, from) in
            padded.chunks_exact_mut(tensor.stride()).zip(values.chunks(tensor.columns.max(1)))
        {
            row[..from.len()].copy_from_slice(from);
        }
        self.write(tensor.buffer, 0, bytemuck::cast_slice(&padded))
    }
}
