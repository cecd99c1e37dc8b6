//! Adapters, and the device opened on one of them.

use std::sync::{Arc, Mutex};

use serde::Serialize;

use crate::error::{Error, Remedy, Result};

use super::readback::Poller;

/// Which adapter to open; the default takes the best one.
#[derive(Clone, Debug, Default)]
pub struct AdapterChoice {
    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: Option<String>,
    /// A part of the adapter's name, or its index in [`adapters`].
    pub adapter: Option<String>,
    /// Pretend that no binding may be larger than this many bytes; for tests.
    pub max_binding: Option<u64>,
}

/// One adapter of this machine, as the command line lists it.
#[derive(Clone, Debug, Serialize)]
pub struct Adapter {
    /// Its place in the list.
    pub index: usize,
    /// The name that the driver gives.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Driver and version.
    pub driver: String,
    /// What it can do beyond the default.
    pub features: Vec<String>,
    /// The limits that matter here.
    pub limits: Limits,
}

/// The limits of an adapter that decide what runs on it.
#[derive(Clone, Debug, Serialize)]
pub struct Limits {
    /// The largest binding, in bytes.
    pub max_storage_buffer_binding_size: u64,
    /// The largest buffer, in bytes.
    pub max_buffer_size: u64,
    /// Invocations in a workgroup.
    pub max_compute_invocations_per_workgroup: u32,
    /// Bytes of workgroup memory.
    pub max_compute_workgroup_storage_size: u32,
    /// Storage buffers a kernel may bind.
    pub max_storage_buffers_per_shader_stage: u32,
    /// Lanes that run in lock step: least and most.
    pub subgroup_size: [u32; 2],
}

/// What the opened device can do; read once, handed to whoever chooses kernels and grids.
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
    /// Whether kernels may calculate in half floats.
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
    /// It has gone, for good.
    Lost(String),
    /// Anything else.
    Other(String),
}

/// An open device.
#[derive(Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) poller: Poller,
    pub(super) fault: Arc<Mutex<Option<Fault>>>,
    caps: Caps,
    adapter: Adapter,
}

fn instance(backends: wgpu::Backends) -> wgpu::Instance {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = backends;
    wgpu::Instance::new(descriptor)
}

fn backends(choice: Option<&str>) -> Result<wgpu::Backends> {
    if cfg!(target_arch = "wasm32") {
        return Ok(wgpu::Backends::BROWSER_WEBGPU);
    }
    Ok(match choice {
        None => wgpu::Backends::from_env()
            .unwrap_or(wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12),
        Some("vulkan") => wgpu::Backends::VULKAN,
        Some("metal") => wgpu::Backends::METAL,
        Some("dx12") => wgpu::Backends::DX12,
        Some("gl") => wgpu::Backends::GL,
        Some(other) => {
            return Err(Error::Input(format!(
                "there is no backend {other}; choose vulkan, metal, dx12, gl or cpu"
            )));
        }
    })
}

fn describe(index: usize, adapter: &wgpu::Adapter) -> Adapter {
    let (info, features, limits) = (adapter.get_info(), adapter.features(), adapter.limits());
    let known = [
        (wgpu::Features::SUBGROUP, "subgroups"),
        (wgpu::Features::SHADER_F16, "shader-f16"),
        (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query"),
    ];
    Adapter {
        index,
        name: info.name,
        backend: info.backend.to_str().to_owned(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => "discrete",
            wgpu::DeviceType::IntegratedGpu => "integrated",
            wgpu::DeviceType::VirtualGpu => "virtual",
            wgpu::DeviceType::Cpu => "software",
            wgpu::DeviceType::Other => "other",
        }
        .to_owned(),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        features: known
            .iter()
            .filter(|(flag, _)| features.contains(*flag))
            .map(|(_, name)| (*name).to_owned())
            .collect(),
        limits: Limits {
            max_storage_buffer_binding_size: limits.max_storage_buffer_binding_size,
            max_buffer_size: limits.max_buffer_size,
            max_compute_invocations_per_workgroup: limits.max_compute_invocations_per_workgroup,
            max_compute_workgroup_storage_size: limits.max_compute_workgroup_storage_size,
            max_storage_buffers_per_shader_stage: limits.max_storage_buffers_per_shader_stage,
            subgroup_size: [info.subgroup_min_size, info.subgroup_max_size],
        },
    }
}

/// How much an adapter is wanted: discrete before integrated before software.
/// GL is not even looked for unless it is asked for or nothing else is there.
fn rank(adapter: &Adapter) -> u32 {
    match adapter.kind.as_str() {
        "discrete" => 0,
        "integrated" => 1,
        "virtual" => 2,
        "other" => 3,
        _ => 4,
    }
}

async fn enumerate(backend: Option<&str>) -> Result<Vec<(Adapter, wgpu::Adapter)>> {
    let backends = backends(backend)?;
    let found = instance(backends).enumerate_adapters(backends).await;
    let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
    let able = found
        .into_iter()
        .filter(|adapter| adapter.get_downlevel_capabilities().flags.contains(compute))
        .filter(|adapter| adapter.limits().max_storage_buffers_per_shader_stage >= 8);
    Ok(able.enumerate().map(|(index, adapter)| (describe(index, &adapter), adapter)).collect())
}

/// The adapters of one backend, or of all; those of GL come last.
async fn every_adapter(backend: Option<&str>) -> Result<Vec<(Adapter, wgpu::Adapter)>> {
    let mut found = enumerate(backend).await?;
    if backend.is_none() && wgpu::Backends::from_env().is_none() {
        found.extend(enumerate(Some("gl")).await?);
    }
    for (index, (adapter, _)) in found.iter_mut().enumerate() {
        adapter.index = index;
    }
    Ok(found)
}

/// The adapters of this machine that can run compute shaders, those of GL last.
///
/// # Errors
/// [`Error::Input`] for an unknown backend.
pub async fn adapters(backend: Option<&str>) -> Result<Vec<Adapter>> {
    Ok(every_adapter(backend).await?.into_iter().map(|(adapter, _)| adapter).collect())
}

impl Gpu {
    /// Opens the adapter that `choice` names, or the best one.
    ///
    /// # Errors
    /// [`Error::Adapter`] if none fits, with the list of those there are.
    pub async fn open(choice: &AdapterChoice) -> Result<Self> {
        let backend = choice.backend.as_deref();
        let wanted = choice.adapter.clone().or_else(|| std::env::var("WGPU_ADAPTER_NAME").ok());
        // Looking for GL costs a start-up of its own: only where nothing else is there or an
        // adapter is asked for by name, which may be one of GL's.
        let mut found = if wanted.is_none() { enumerate(backend).await? } else { Vec::new() };
        if found.is_empty() {
            found = every_adapter(backend).await?;
        }
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
                    format!("no adapter is called {wanted}; there are: {}", names.join(", ")),
                    [],
                ),
                _ => Error::adapter(
                    "this machine has no adapter that runs compute shaders",
                    [Remedy::InstallDriver, Remedy::OnCpu],
                ),
            })?;
        Self::request(description, adapter, choice.max_binding).await
    }

    async fn request(
        description: Adapter,
        adapter: wgpu::Adapter,
        max_binding: Option<u64>,
    ) -> Result<Self> {
        let useful = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
        let features = adapter.features() & useful;
        let mut limits = adapter.limits();
        if let Some(bytes) = max_binding {
            limits.max_storage_buffer_binding_size =
                limits.max_storage_buffer_binding_size.min(bytes);
        }
        let info = adapter.get_info();
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
        let (device, queue) = adapter
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("pellucid"),
                required_features: features,
                required_limits: limits,
                ..wgpu::DeviceDescriptor::default()
            })
            .await
            .map_err(|error| Error::adapter(format!("{}: {error}", description.name), []))?;
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
            // It counts more than what was noted before, which it may well have caused.
            if let Ok(mut slot) = note.lock() {
                *slot = Some(Fault::Lost(text));
            }
        });
        let poller = Poller::new(device.clone());
        Ok(Self { device, queue, poller, fault, caps, adapter: description })
    }

    /// What the device can do.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// Which adapter this is.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Gives the device up at once: whatever waits for it, and all that is asked of it from now on,
    /// ends in [`Error::Lost`].
    pub fn destroy(&self) {
        // The device itself tells of it only once its work is done, and of the errors that follow
        // before that.
        if let Ok(mut slot) = self.fault.lock() {
            *slot = Some(Fault::Lost("it was given up".to_owned()));
        }
        self.device.destroy();
    }

    /// Forgets a fault, so that one program which a device refuses does not end all work with it. A
    /// device that is lost stays lost.
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
                Err(Error::Device("a thread failed while it noted a device error".to_owned()))
            }
        }
    }
}
