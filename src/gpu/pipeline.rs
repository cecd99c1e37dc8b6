//! Compiles programs into pipelines, each of them once for a device.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::{Error, Result};

use super::device::Gpu;
use super::recording::{Binding, Dispatch};
use super::shader::{Kernel, Part, Program, Target, link};

/// The pipelines of one device, by all that makes them: constants, access, and WGSL. A driver may take
/// a tenth of a second for one, so that engines on one device share them.
#[derive(Debug, Default)]
pub(super) struct Compiled(Mutex<HashMap<String, Arc<OnceLock<Arc<Pipeline>>>>>);

impl Compiled {
    /// The pipeline of a key. Others are compiled meanwhile; whoever asks for the same one waits.
    fn get(&self, key: String, compile: impl FnOnce() -> Pipeline) -> Arc<Pipeline> {
        // The map is whole even where a thread panicked, since entries are only ever added.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = Arc::clone(made.entry(key).or_default());
        drop(made);
        Arc::clone(cell.get_or_init(|| Arc::new(compile())))
    }

    /// Drops a pipeline that the device has rejected.
    fn forget(&self, pipeline: &Arc<Pipeline>) {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, cell| cell.get().is_none_or(|own| !Arc::ptr_eq(own, pipeline)));
    }
}

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

/// A compiled program and the layouts of its groups.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    /// One per group; `None` where the kernel leaves a group out.
    pub(super) layouts: Vec<Option<wgpu::BindGroupLayout>>,
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

    /// The pipeline of a dispatch, made on first use. A stranger's kernel that the device rejects is
    /// the caller's fault, and later work does not suffer from it.
    pub(super) fn of(&mut self, gpu: &Gpu, dispatch: &Dispatch) -> Result<Arc<Pipeline>> {
        let Dispatch { program, groups, .. } = dispatch;
        if !program.foreign {
            return Ok(self.get(gpu, program, groups));
        }
        gpu.check()?;
        let pipeline = self.get(gpu, program, groups);
        match gpu.check() {
            Err(Error::Device(reason)) => {
                self.made.remove(&key(program, groups));
                gpu.compiled.forget(&pipeline);
                gpu.forget_fault();
                let name = program.kernel.name;
                Err(Error::Input(format!("the kernel {name} is not accepted: {reason}")))
            }
            checked => checked.map(|()| pipeline),
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

/// Compiles a program's WGSL, with a layout for each of its groups.
fn compile(
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

/// What tells a pipeline from all others. Two strangers' kernels may share a name.
fn key(program: &Program, groups: &[Vec<Binding>]) -> String {
    let source = if program.foreign { program.kernel.source } else { "" };
    format!("{} {} {source}", program.label(), access(groups))
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

/// Which buffers a kernel writes: two pipelines that differ only in this need different layouts.
fn access(groups: &[Vec<Binding>]) -> String {
    let letter = |binding: &Binding| if matches!(binding, Binding::Read(_)) { 'r' } else { 'w' };
    groups
        .iter()
        .map(|group| group.iter().map(letter).collect::<String>())
        .collect::<Vec<_>>()
        .join("|")
}
