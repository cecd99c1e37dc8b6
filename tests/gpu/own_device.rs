//! A device opened by an app: what it must offer, and values that stay on it.

use std::path::Path;
use std::sync::mpsc;

use pellucid::checkpoint::Checkpoint;
use pellucid::gpu::Gpu;
use pellucid::hook::Hook;
use pellucid::model::{Action, Change, Edit, Row, Session, SessionOptions};
use pellucid::select::KernelSelection;
use pellucid::{Error, wgpu};
use pollster::block_on;

/// The app's adapter, and the device on it with these features and limits.
fn open(
    features: wgpu::Features,
    limits: wgpu::Limits,
) -> (wgpu::Adapter, wgpu::Device, wgpu::Queue) {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY);
    let options = wgpu::RequestAdapterOptions::default();
    let adapter = block_on(wgpu::Instance::new(descriptor).request_adapter(&options));
    let adapter = adapter.expect("an adapter");
    let descriptor = wgpu::DeviceDescriptor {
        required_features: features,
        required_limits: limits,
        ..wgpu::DeviceDescriptor::default()
    };
    let (device, queue) = block_on(adapter.request_device(&descriptor)).unwrap();
    (adapter, device, queue)
}

#[test]
fn a_device_that_is_too_small_is_refused_by_name() {
    let limits = wgpu::Limits {
        max_storage_buffers_per_shader_stage: 4,
        max_compute_invocations_per_workgroup: 64,
        max_compute_workgroup_size_x: 64,
        ..wgpu::Limits::default()
    };
    let (adapter, device, queue) = open(wgpu::Features::empty(), limits);
    let name = adapter.get_info().name;
    match Gpu::from_parts(&adapter, device, queue) {
        Err(Error::Adapter { reason, .. }) => {
            let limits = "max_storage_buffers_per_shader_stage is 4, 8 are needed, \
                          max_compute_invocations_per_workgroup is 64, 256 are needed, \
                          max_compute_workgroup_size_x is 64, 256 are needed;";
            assert!(reason.contains(&name) && reason.contains(limits), "{reason}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a device with limits that are too small was accepted"),
    }
}

#[test]
fn only_what_the_device_was_asked_for_is_used() {
    let (adapter, device, queue) = open(wgpu::Features::empty(), wgpu::Limits::default());
    let gpu = Gpu::from_parts(&adapter, device, queue).unwrap();
    assert_eq!((gpu.caps().subgroups, gpu.caps().f16), (None, false));
    assert_eq!(gpu.caps().max_binding, wgpu::Limits::default().max_storage_buffer_binding_size);
    let useful = wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
    let (adapter, device, queue) = open(adapter.features() & useful, adapter.limits());
    let gpu = Gpu::from_parts(&adapter, device, queue).unwrap();
    assert_eq!(
        (gpu.caps().subgroups.is_some(), gpu.caps().f16),
        (
            adapter.features().contains(wgpu::Features::SUBGROUP),
            adapter.features().contains(wgpu::Features::SHADER_F16)
        )
    );
}

/// The bytes of a buffer, copied by the app itself.
fn copied(gpu: &Gpu, buffer: &wgpu::Buffer) -> Vec<u8> {
    let staging = gpu.device().create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: buffer.size(),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder =
        gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, buffer.size());
    gpu.queue().submit([encoder.finish()]);
    let (sender, mapped) = mpsc::channel();
    staging.slice(..).map_async(wgpu::MapMode::Read, move |result| drop(sender.send(result)));
    gpu.device().poll(wgpu::PollType::wait_indefinitely()).unwrap();
    mapped.recv().unwrap().unwrap();
    let view = staging.slice(..).get_mapped_range().unwrap();
    view.to_vec()
}

#[test]
fn values_stay_on_the_apps_device_as_they_are_read_back() {
    let (adapter, device, queue) = open(wgpu::Features::empty(), wgpu::Limits::default());
    let gpu = Gpu::from_parts(&adapter, device, queue).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/models/llama");
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let selection = KernelSelection::defaults(gpu.caps());
    let options = SessionOptions::default();
    let opening = Session::open(gpu, &checkpoint, &options, selection, |_| {});
    let mut session = block_on(opening).unwrap();

    let row = |(position, token)| Row { token, position, sequence: 0, step: 0 };
    let rows: Vec<Row> = (0..).zip([5, 9, 2, 7, 7]).map(row).collect();
    let actions = [
        (Hook::ResidPost(0), Action::Read),
        (Hook::ResidPost(1), Action::Read),
        (Hook::Z(0), Action::Edit(Edit::all(Change::Scale(0.5)))),
    ];
    let read = block_on(session.observe(&rows, &actions)).unwrap();
    let kept = session.observe_on_device(&rows, &actions).unwrap();
    assert_eq!(kept.activations.len(), read.activations.len());
    let engine = session.engine();
    let all = kept.activations.iter().map(|kept| &kept.tensor).chain([&kept.logits]);
    let expected = read.activations.iter().map(|read| &read.values).chain([&read.logits]);
    for (tensor, expected) in all.zip(expected) {
        let bytes = copied(engine.gpu(), engine.buffer(tensor.buffer).unwrap());
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&bytes);
        let found = values.chunks(tensor.stride()).take(tensor.rows);
        let found: Vec<f32> = found.flat_map(|row| &row[..tensor.columns]).copied().collect();
        assert_eq!(&found, expected);
    }
    for (kept, read) in kept.activations.iter().zip(&read.activations) {
        assert_eq!((kept.hook, &kept.shape), (read.hook, &read.shape));
    }
    let logits = kept.logits.buffer;
    session.release(kept);
    assert!(session.engine().buffer(logits).is_err(), "released memory is gone");
}
