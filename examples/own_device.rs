//! An app with a device of its own, like those on egui or Bevy: the model runs on that device, and
//! the app's own pass uses a value of the model without reading it back.

use std::sync::mpsc;

use pellucid::check::SelectionPolicy;
use pellucid::checkpoint::Checkpoint;
use pellucid::gpu::{Gpu, Tensor};
use pellucid::hook::Hook;
use pellucid::model::{Action, Row, Session, SessionOptions};
use pellucid::tokenizer::{Encode, Tokenizer};
use pellucid::{Error, wgpu};

/// The app's shader: the norm of each row of the residual stream. Rows are padded, so their starts
/// are STRIDE values apart.
const NORMS: &str = "
override WIDTH: u32;
override STRIDE: u32;
@group(0) @binding(0) var<storage, read> stream: array<f32>;
@group(0) @binding(1) var<storage, read_write> norms: array<f32>;

@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) row: vec3<u32>) {
    var sum = 0.0;
    for (var i = 0u; i < WIDTH; i++) {
        let x = stream[row.x * STRIDE + i];
        sum += x * x;
    }
    norms[row.x] = sqrt(sum);
}
";

/// The app's own device: wgpu's default limits suffice, and no feature is needed. With the features
/// `SUBGROUP` and `SHADER_F16`, if the adapter has them, the model runs faster.
async fn open() -> pellucid::Result<(wgpu::Adapter, wgpu::Device, wgpu::Queue)> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    descriptor.backends = wgpu::Backends::from_env().unwrap_or(wgpu::Backends::PRIMARY);
    let instance = wgpu::Instance::new(descriptor);
    let adapter = instance.request_adapter(&wgpu::RequestAdapterOptions::default()).await;
    let adapter = adapter.map_err(|error| Error::adapter(error.to_string(), []))?;
    let opened = adapter.request_device(&wgpu::DeviceDescriptor::default()).await;
    let (device, queue) = opened.map_err(|error| Error::adapter(error.to_string(), []))?;
    Ok((adapter, device, queue))
}

/// Runs the app's pass on a tensor of the model, and reads its few results.
fn norms(session: &Session, stream: &Tensor) -> pellucid::Result<Vec<f32>> {
    let (device, queue) = (session.engine().gpu().device(), session.engine().gpu().queue());
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("norms"),
        source: wgpu::ShaderSource::Wgsl(NORMS.into()),
    });
    let constants = [("WIDTH", stream.columns as f64), ("STRIDE", stream.stride() as f64)];
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("norms"),
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &constants,
            ..wgpu::PipelineCompilationOptions::default()
        },
        cache: None,
    });
    let bytes = stream.rows as u64 * 4;
    let buffer = |usage| {
        device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("norms"),
            size: bytes,
            usage,
            mapped_at_creation: false,
        })
    };
    let out = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC);
    let staging = buffer(wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ);
    // The model's buffer is bound directly: nothing is copied.
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("norms"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[
            wgpu::BindGroupEntry {
                binding: 0,
                resource: session.engine().buffer(stream.buffer)?.as_entire_binding(),
            },
            wgpu::BindGroupEntry { binding: 1, resource: out.as_entire_binding() },
        ],
    });
    let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    {
        let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(stream.rows as u32, 1, 1);
    }
    encoder.copy_buffer_to_buffer(&out, 0, &staging, 0, bytes);
    // A queue runs submissions in order: the model's pass ends before this one starts.
    queue.submit([encoder.finish()]);

    let (sender, mapped) = mpsc::channel();
    staging.slice(..).map_async(wgpu::MapMode::Read, move |result| drop(sender.send(result)));
    let lost = |error: String| Error::Device(format!("reading the norms: {error}"));
    device.poll(wgpu::PollType::wait_indefinitely()).map_err(|error| lost(error.to_string()))?;
    let result = mapped.recv().map_err(|error| lost(error.to_string()))?;
    result.map_err(|error| lost(error.to_string()))?;
    let view = staging.slice(..).get_mapped_range().map_err(|error| lost(format!("{error:?}")))?;
    let value = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    Ok(view.chunks_exact(4).map(value).collect())
}

fn main() -> pellucid::Result<()> {
    pollster::block_on(async {
        let (adapter, device, queue) = open().await?;
        // Handles are cheap to clone: the app keeps its own.
        let gpu = Gpu::from_parts(&adapter, device.clone(), queue.clone())?;
        println!("on {}, opened by the app", gpu.adapter().name);

        let checkpoint = Checkpoint::built_in()?;
        let (options, selection) = (SessionOptions::default(), SelectionPolicy::built_in());
        let mut session = Session::open(gpu, &checkpoint, &options, selection, |_| {}).await?;

        let Some(tokenizer) = Tokenizer::from_checkpoint(&checkpoint)? else { return Ok(()) };
        let ids = tokenizer.encode("ROMEO:\nBut soft, what light", Encode::default())?;
        let row = |(position, &token)| Row { token, position, sequence: 0, step: 0 };
        let rows: Vec<Row> = (0..).zip(&ids).map(row).collect();
        let last = Hook::ResidPost(session.model().config.layers - 1);

        let kept = session.observe_on_device(&rows, &[(last, Action::Read)])?;
        let norms = norms(&session, &kept.activations[0].tensor)?;
        session.release(kept);
        println!("the norm of {last} at each token:");
        for (id, norm) in ids.iter().zip(norms) {
            println!("{norm:8.2}  {}", tokenizer.token(*id).unwrap_or_default());
        }
        Ok(())
    })
}
