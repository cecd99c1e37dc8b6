//! Times kernels per shape beside the adapter's ceilings.
use pellucid::gpu::*;
use pellucid::names::Format;
use pellucid::ops::*;
use std::time::Instant;

fn time(engine: &mut Engine, plan: &Plan, repeat: usize) -> f64 {
    let mut best = Vec::new();
    for _ in 0..7 {
        let steps: Vec<(&Plan, u32)> = (0..repeat).map(|_| (plan, 0)).collect();
        let start = Instant::now();
        engine.submit(&steps, &[]).unwrap();
        engine.flush().unwrap();
        best.push(start.elapsed().as_secs_f64() / repeat as f64);
    }
    best.sort_by(f64::total_cmp);
    best[best.len() / 2]
}

fn main() {
    let gpu = pollster::block_on(Gpu::open(&AdapterChoice::default())).unwrap();
    println!("{} {}", gpu.adapter().name, gpu.adapter().driver);
    let caps = gpu.caps().clone();
    let mut engine = Engine::new(gpu);
    let base = Choices::defaults(&caps);
    for format in [Format::F32, Format::F16, Format::Q8_0, Format::Q4_1] {
        for (t, n, k) in [(1, 2304, 768), (1, 3072, 768), (1, 768, 3072), (128, 3072, 768)] {
            let mut variants: Vec<(String, Choices)> = Vec::new();
            if t == 1 {
                for lanes in [
                    Lanes::One(8),
                    Lanes::One(32),
                    Lanes::Subgroup { size: 8, lanes: 8 },
                    Lanes::Subgroup { size: 32, lanes: 8 },
                    Lanes::Workgroup { size: 64, lanes: 32 },
                ] {
                    variants.push((format!("{lanes:?}"), Choices { lanes, ..base.clone() }));
                }
            } else {
                for (n, t) in [(8, 1), (8, 4), (1, 8), (4, 2)] {
                    variants.push((
                        format!("tile {n}x{t}"),
                        Choices { matmul: MatmulTile { n, t }, ..base.clone() },
                    ));
                }
            }
            for (name, choices) in variants {
                let weight = Weight::named("w", format, n, k, caps.max_binding);
                for piece in &weight.parts {
                    for (plane, bytes) in piece.planes.iter().zip(Weight::plane_bytes(format, k)) {
                        engine.create(*plane, (bytes * piece.rows) as u64).unwrap();
                    }
                }
                let x = Tensor::lasting(t, k);
                let out = Tensor::lasting(t, n);
                engine.create_tensor(&x).unwrap();
                engine.create_tensor(&out).unwrap();
                let mut recording = Recording::new();
                Linear { x, weight: &weight, bias: None, store: Store::Write, out }
                    .record(&mut recording, &choices)
                    .unwrap();
                let plan = engine.prepare(&recording).unwrap();
                time(&mut engine, &plan, 1);
                let s = time(&mut engine, &plan, if t == 1 { 20 } else { 1 });
                let flops = 2.0 * (t * n * k) as f64;
                println!(
                    "{format} {t}x{n}x{k} {name:40} {:8.3} ms {:6.2} GB/s {:6.2} GFLOP/s",
                    s * 1e3,
                    weight.bytes() as f64 / s / 1e9,
                    flops / s / 1e9
                );
                for piece in &weight.parts {
                    for plane in &piece.planes {
                        engine.free(*plane);
                    }
                }
            }
        }
    }
}
