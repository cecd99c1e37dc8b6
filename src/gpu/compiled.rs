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

    /// Drops a pipeline that the device has rejected.
    pub(super) fn forget(&self, pipeline: &Arc<Pipeline>) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, cell| cell.get().is_none_or(|own| !Arc::ptr_eq(own, pipeline)));
    }
}

/// A compiled program and the layouts of its groups.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    /// One per group; `None` where the kernel leaves a group out.
    pub(super) layouts: Vec<Option<wgpu::BindGroupLayout>>,
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
    let module = module(device, program, text);
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(program.kernel.name),
        layout: Some(&layout),
        module: &module,
        entry_point: Some(program.kernel.name),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &program.constants,
            zero_initialize_workgroup_memory: false,
        },
        cache: None,
    });
    Pipeline { pipeline, layouts }
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
