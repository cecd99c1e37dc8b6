//! Compiles programs into pipelines, each of them once for a device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::recording::Binding;
use super::shader::Program;

/// The pipelines of one device, by all that makes them: constants, access, and WGSL. A driver may take
/// a tenth of a second for one, so that engines on one device share them.
#[derive(Debug, Default)]
pub(super) struct Compiled(Mutex<HashMap<String, Arc<OnceLock<Arc<Pipeline>>>>>);

impl Compiled {
    /// The pipeline of a key. Others are compiled meanwhile; whoever asks for the same one waits.
    pub(super) fn get(&self, key: String, compile: impl FnOnce() -> Pipeline) -> Arc<Pipeline> {
        // The map is whole even where a thread panicked, since entries are only ever added.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Arc::clone(made.entry(key).or_default());
        drop(made);
        Arc::clone(cell.get_or_init(|| Arc::new(compile())))
    }
}

/// A compiled program and the layouts of its groups.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    /// One per group; `None` where the kernel leaves a group out.
    pub(super) layouts: Vec<Option<wgpu::BindGroupLayout>>,
    /// Why the device does not accept it. A browser tells that later, as a fault of the device.
    pub(super) rejected: Option<String>,
}

/// Compiles a program's WGSL, with a layout for each of its groups.
pub(super) fn compile(
    device: &wgpu::Device,
    program: &Program,
    text: String,
    groups: &[Vec<Binding>],
) -> Pipeline {
    let layouts: Vec<Option<wgpu::BindGroupLayout>> = groups
        .iter()
        .enumerate()
        .map(|(number, bindings)| {
            if number > 0 && bindings.is_empty() {
                return None;
            }
            let storage = bindings.iter().map(|binding| wgpu::BufferBindingType::Storage {
                read_only: matches!(binding, Binding::Read(_)),
            });
            let uniform = (number == 0).then_some(wgpu::BufferBindingType::Uniform);
            let entries: Vec<wgpu::BindGroupLayoutEntry> = uniform
                .into_iter()
                .chain(storage)
                .zip(0..)
                .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
                    binding,
                    visibility: wgpu::ShaderStages::COMPUTE,
                    ty: wgpu::BindingType::Buffer {
                        ty,
                        has_dynamic_offset: false,
                        min_binding_size: None,
                    },
                    count: None,
                })
                .collect();
            Some(device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(program.kernel.name),
                entries: &entries,
            }))
        })
        .collect();
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: Some(program.kernel.name),
        bind_group_layouts: &layouts.iter().map(Option::as_ref).collect::<Vec<_>>(),
        immediate_size: 0,
    });
    let build = || {
        let module = module(device, program, text);
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(program.kernel.name),
            layout: Some(&layout),
            module: &module,
            entry_point: Some(program.kernel.name),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &program.constants,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        })
    };
    let (pipeline, rejected) = watched(device, build);
    Pipeline { pipeline, layouts, rejected }
}

/// Does something, and catches what the device says of it: no fault of the device, which others use too.
#[cfg(not(target_arch = "wasm32"))]
fn watched<T>(device: &wgpu::Device, act: impl FnOnce() -> T) -> (T, Option<String>) {
    let scopes = [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::Validation];
    let [outer, inner] = scopes.map(|filter| device.push_error_scope(filter));
    let done = act();
    // Natively the errors of this thread are known by now.
    let [first, second] = [inner.pop(), outer.pop()].map(pollster::block_on);
    (done, first.or(second).map(|error| error.to_string()))
}

#[cfg(target_arch = "wasm32")]
fn watched<T>(_: &wgpu::Device, act: impl FnOnce() -> T) -> (T, Option<String>) {
    (act(), None)
}

#[allow(unsafe_code, reason = "the kernels are our own; the shader tests check them")]
fn module(device: &wgpu::Device, program: &Program, text: String) -> wgpu::ShaderModule {
    let mut checks = wgpu::ShaderRuntimeChecks::unchecked();
    checks.bounds_checks = cfg!(debug_assertions);
    let descriptor = wgpu::ShaderModuleDescriptor {
        label: Some(program.kernel.name),
        source: wgpu::ShaderSource::Wgsl(text.into()),
    };
    if program.foreign {
        return device.create_shader_module(descriptor);
    }
    // SAFETY: every loop of our kernels ends by a bound that the op's shape check has verified,
    // and every index is within the buffers whose sizes that check compared; debug builds and
    // tests keep the bounds checks and so prove it. Loop bounding alone costs a fifth of the
    // speed and keeps drivers from unrolling.
    unsafe { device.create_shader_module_trusted(descriptor, checks) }
}
