//! The device opened on an adapter, by this library or by an app, and the faults it reports.

use std::sync::{Arc, Mutex};

use crate::error::{Error, Remedy, Result};

use super::adapter::{Adapter, AdapterChoice, STORAGE_BUFFERS, describe, enumerate, rank};
use super::compiled::Compiled;
use super::readback::Poller;

/// What the opened device can do; read once, and passed to the code that chooses kernels and grids.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// The largest binding, in bytes.
    pub max_binding: u64,
    /// The largest buffer, in bytes.
    pub max_buffer: u64,
    /// Workgroups along one axis.
    pub max_groups: u32,
    /// Invocations in a workgroup.
    pub max_invocations: u32,
    /// Bytes of workgroup memory.
    pub max_workgroup_bytes: u32,
    /// Lanes of a subgroup, least and most, where kernels may use them.
    pub subgroups: Option<(u32, u32)>,
    /// Whether kernels may calculate in f16.
    pub f16: bool,
    /// Whether the adapter runs on the CPU's vector units, where a barrier costs more than a load.
    pub software: bool,
}

impl Default for Caps {
    /// What every WebGPU device grants.
    fn default() -> Self {
        Self {
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_groups: 65_535,
            max_invocations: 256,
            max_workgroup_bytes: 16 << 10,
            subgroups: None,
            f16: false,
            software: false,
        }
    }
}

impl Caps {
    /// The most bytes of a buffer that kernels bind whole.
    pub fn max_buffer_bytes(&self) -> u64 {
        self.max_binding.min(self.max_buffer)
    }
}

/// What a device has reported.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// It has no memory left.
    Memory,
    /// It is lost for good.
    Lost(String),
    /// Anything else.
    Other(String),
}

/// The features that are used where an adapter offers them.
const USEFUL: wgpu::Features = wgpu::Features::SUBGROUP.union(wgpu::Features::SHADER_F16);

/// The limits of a device that are too small for the kernels, in words.
fn lacking(limits: &wgpu::Limits) -> Vec<String> {
    let usual = wgpu::Limits::default();
    // The names are wgpu's. How large bindings and buffers may be only decides how tensors are split.
    let needs = [
        (
            "max_storage_buffers_per_shader_stage",
            limits.max_storage_buffers_per_shader_stage,
            STORAGE_BUFFERS,
        ),
        ("max_bind_groups", limits.max_bind_groups, usual.max_bind_groups),
        (
            "max_compute_invocations_per_workgroup",
            limits.max_compute_invocations_per_workgroup,
            usual.max_compute_invocations_per_workgroup,
        ),
        (
            "max_compute_workgroup_size_x",
            limits.max_compute_workgroup_size_x,
            usual.max_compute_workgroup_size_x,
        ),
        (
            "max_compute_workgroup_size_y",
            limits.max_compute_workgroup_size_y,
            usual.max_compute_workgroup_size_y,
        ),
        (
            "max_compute_workgroup_storage_size",
            limits.max_compute_workgroup_storage_size,
            usual.max_compute_workgroup_storage_size,
        ),
        (
            "max_compute_workgroups_per_dimension",
            limits.max_compute_workgroups_per_dimension,
            usual.max_compute_workgroups_per_dimension,
        ),
        ("max_uniform_buffers_per_shader_stage", limits.max_uniform_buffers_per_shader_stage, 1),
    ];
    let small = needs.iter().filter(|(_, has, need)| has < need);
    small.map(|(name, has, need)| format!("{name} is {has}, {need} are needed")).collect()
}

/// There is no adapter: of the backend that was asked for, here or in the environment, or none at all.
fn none(backend: Option<&str>) -> Error {
    match backend.map(str::to_owned).or_else(|| std::env::var("WGPU_BACKEND").ok()) {
        Some(backend) => Error::adapter(
            format!("no adapter that runs compute shaders has the backend {backend}"),
            [Remedy::OtherAdapter, Remedy::OnCpu],
        ),
        None => Error::adapter(
            "this machine has no adapter that runs compute shaders",
            [Remedy::InstallDriver, Remedy::OnCpu],
        ),
    }
}

/// An open device. A clone is another handle to it: both have its memory and its faults in common, and
/// the kernels that were compiled for one are there for the other.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) poller: Arc<Poller>,
    pub(super) compiled: Arc<Compiled>,
    pub(super) fault: Arc<Mutex<Option<Fault>>>,
    caps: Caps,
    adapter: Adapter,
}

impl Gpu {
    /// Opens the adapter that `choice` names, or the best one.
    ///
    /// # Errors
    /// [`Error::Adapter`] if none fits, with a list of those that exist.
    pub async fn open(choice: &AdapterChoice) -> Result<Self> {
        let backend = choice.backend.as_deref();
        let wanted = choice.adapter.clone().or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok());
        let found = enumerate(backend).await?;
        let fits = |adapter: &Adapter| match &wanted {
            None => true,
            Some(wanted) => {
                wanted.parse() == Ok(adapter.index)
                    || adapter.name.to_lowercase().contains(&wanted.to_lowercase())
            }
        };
        let names: Vec<String> =
            found.iter().map(|(a, _)| format!("{} {} ({})", a.index, a.name, a.backend)).collect();
        let (description, adapter) = found
            .into_iter()
            .filter(|(adapter, _)| fits(adapter))
            .min_by_key(|(adapter, _)| rank(adapter))
            .ok_or_else(|| match (&wanted, names.is_empty()) {
                (Some(wanted), false) => Error::adapter(
                    format!("no adapter matches `{wanted}`; available: {}", names.join(", ")),
                    backend.is_none().then_some(Remedy::OpenGl).into_iter().collect::<Vec<_>>(),
                ),
                _ => none(backend),
            })?;
        Self::request(description, adapter, choice.max_binding).await
    }

    async fn request(
        description: Adapter,
        adapter: wgpu::Adapter,
        max_binding: Option<u64>,
    ) -> Result<Self> {
        let mut limits = adapter.limits();
        if let Some(bytes) = max_binding {
            limits.max_storage_buffer_binding_size =
                limits.max_storage_buffer_binding_size.min(bytes);
        }
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("pellucid"),
                required_features: adapter.features() & USEFUL,
                required_limits: limits,
                ..wgpu::DeviceDescriptor::default()
            })
            .await
            .map_err(|error| Error::adapter(format!("{}: {error}", description.name), []))?;
        let mut gpu = Self::new(description, &adapter.get_info(), device, queue);
        if let Some(bytes) = max_binding {
            // A browser's device has its default limits even where less was asked for.
            gpu.caps.max_binding = gpu.caps.max_binding.min(bytes);
        }
        Ok(gpu)
    }

    /// Takes a device that an app has opened, with its queue and the adapter that it came from. The
    /// app can go on using all of them: they are handles, and the work of both is submitted to one
    /// queue.
    ///
    /// The device needs no feature, and no more than the limits of [`wgpu::Limits::default`]. With
    /// [`wgpu::Features::SUBGROUP`] and [`wgpu::Features::SHADER_F16`] faster kernels run; with the
    /// adapter's own limits larger tensors stay in one piece. Features that the adapter has but the
    /// device was not created with are not used.
    ///
    /// The device's handlers of uncaptured errors and of device loss are replaced, since an error
    /// must end the work here; an error that the app catches in its own error scope is not seen. If
    /// the device is lost, the app must open another.
    ///
    /// # Errors
    /// [`Error::Adapter`], naming each limit that is too small, with what is needed and what the
    /// device has.
    pub fn from_parts(
        adapter: &wgpu::Adapter,
        device: wgpu::Device,
        queue: wgpu::Queue,
    ) -> Result<Self> {
        let description = describe(0, adapter);
        let mut lacking = lacking(&device.limits());
        let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
        if !adapter.get_downlevel_capabilities().flags.contains(compute) {
            lacking.push("it has no compute shaders".to_owned());
        }
        if lacking.is_empty() {
            return Ok(Self::new(description, &adapter.get_info(), device, queue));
        }
        let reason = format!(
            "the device that was opened on {} cannot run the kernels: {}; request it with at least \
             wgpu's default limits",
            description.name,
            lacking.join(", ")
        );
        Err(Error::adapter(reason, []))
    }

    fn new(
        description: Adapter,
        info: &wgpu::AdapterInfo,
        device: wgpu::Device,
        queue: wgpu::Queue,
    ) -> Self {
        let (limits, features) = (device.limits(), device.features());
        let caps = Caps {
            max_binding: limits.max_storage_buffer_binding_size,
            max_buffer: limits.max_buffer_size,
            max_groups: limits.max_compute_workgroups_per_dimension,
            max_invocations: limits.max_compute_invocations_per_workgroup,
            max_workgroup_bytes: limits.max_compute_workgroup_storage_size,
            subgroups: features
                .contains(wgpu::Features::SUBGROUP)
                .then_some((info.subgroup_min_size, info.subgroup_max_size)),
            f16: features.contains(wgpu::Features::SHADER_F16),
            software: info.device_type == wgpu::DeviceType::Cpu,
        };
        let fault = Arc::new(Mutex::new(None));
        let note = Arc::clone(&fault);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            log::debug!("{error}");
            let fault = match error {
                wgpu::Error::OutOfMemory { .. } => Fault::Memory,
                other => Fault::Other(other.to_string()),
            };
            if let Ok(mut slot) = note.lock() {
                slot.get_or_insert(fault);
            }
        }));
        let note = Arc::clone(&fault);
        device.set_device_lost_callback(move |reason, text| {
            log::debug!("device lost ({reason:?}): {text}");
            // The loss matters more than a fault noted before, which it may well have caused.
            if let Ok(mut slot) = note.lock() {
                *slot = Some(Fault::Lost(text));
            }
        });
        let poller = Arc::new(Poller::new(device.clone()));
        let compiled = Arc::default();
        Self { device, queue, poller, compiled, fault, caps, adapter: description }
    }

    /// The device, for an app's own passes.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// The queue to which all work here is submitted, in order.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Which adapter this is.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Gives the device up at once: everything that waits for it, and every later request, ends in
    /// [`Error::Lost`].
    pub fn destroy(&self) {
        // The device itself reports the loss only once its work is done, and reports the errors
        // that follow before that.
        if let Ok(mut slot) = self.fault.lock() {
            *slot = Some(Fault::Lost("it was given up".to_owned()));
        }
        self.device.destroy();
    }

    /// Clears a fault, so that a single program that the device rejects does not end all work. A
    /// lost device stays lost.
    pub fn forget_fault(&self) {
        if let Ok(mut slot) = self.fault.lock()
            && !matches!(*slot, Some(Fault::Lost(_)))
        {
            *slot = None;
        }
    }

    /// Fails if the device has reported a fault since it was opened.
    pub fn check(&self) -> Result<()> {
        let name = &self.adapter.name;
        match self.fault()? {
            None => Ok(()),
            Some(Fault::Memory) => {
                Err(Error::memory(format!("{name} has no memory left"), [Remedy::LessMemory]))
            }
            Some(Fault::Lost(text)) => Err(Error::Lost(format!("{name} ({text})"))),
            Some(Fault::Other(text)) => Err(Error::Device(format!("{name}: {text}"))),
        }
    }

    fn fault(&self) -> Result<Option<Fault>> {
        match self.fault.lock() {
            Ok(fault) => Ok(fault.clone()),
            Err(_) => {
                Err(Error::Device("a thread panicked while it recorded a device error".to_owned()))
            }
        }
    }
}
