//! The adapters of this machine: which there are, and what each can do.

use serde::Serialize;

use crate::error::{Error, Result};

/// Which adapter to open; the default takes the best one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterChoice {
    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: Option<String>,
    /// A part of the adapter's name, or its index in [`adapters`] of the same backend.
    pub adapter: Option<String>,
    /// Treats no binding as larger than this many bytes; for tests.
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
    /// Lanes that run in lockstep: least and most.
    pub subgroup_size: [u32; 2],
}

/// The most storage buffers that a kernel binds.
pub(super) const STORAGE_BUFFERS: u32 = 8;

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

pub(super) fn describe(index: usize, adapter: &wgpu::Adapter) -> Adapter {
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

/// An adapter's rank, lower is better: discrete before integrated before software.
pub(super) fn rank(adapter: &Adapter) -> u32 {
    match adapter.kind.as_str() {
        "discrete" => 0,
        "integrated" => 1,
        "virtual" => 2,
        "other" => 3,
        _ => 4,
    }
}

/// The adapters of these backends that can run compute shaders.
async fn look(backends: wgpu::Backends) -> Vec<(Adapter, wgpu::Adapter)> {
    let found = instance(backends).enumerate_adapters(backends).await;
    let compute = wgpu::DownlevelFlags::COMPUTE_SHADERS;
    let able = found
        .into_iter()
        .filter(|adapter| adapter.get_downlevel_capabilities().flags.contains(compute))
        .filter(|adapter| adapter.limits().max_storage_buffers_per_shader_stage >= STORAGE_BUFFERS);
    able.enumerate().map(|(index, adapter)| (describe(index, &adapter), adapter)).collect()
}

/// The adapters that can be chosen. Those of OpenGL are the same devices through a worse API, and
/// enumerating them costs another start-up, so they are left out unless asked for or the only ones.
/// An adapter therefore has the same index wherever it is listed or chosen.
pub(super) async fn enumerate(backend: Option<&str>) -> Result<Vec<(Adapter, wgpu::Adapter)>> {
    let found = look(backends(backend)?).await;
    let any = backend.is_none() && wgpu::Backends::from_env().is_none();
    if found.is_empty() && any { Ok(look(backends(Some("gl"))?).await) } else { Ok(found) }
}

/// The adapters of this machine that can run compute shaders; those of OpenGL only for the backend
/// `gl`, or where there are no others.
///
/// # Errors
/// [`Error::Input`] for an unknown backend.
pub async fn adapters(backend: Option<&str>) -> Result<Vec<Adapter>> {
    Ok(enumerate(backend).await?.into_iter().map(|(adapter, _)| adapter).collect())
}
