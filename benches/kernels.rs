//! Times the variants of a linear layer per format and shape, taking turns, so that a busy machine
//! slows all of them equally; before that, how fast the adapter unpacks each format at best.
//! Arguments filter: only the lines that contain all of them are timed.

use std::time::Instant;

use pellucid::format::Format;
use pellucid::gpu::{AdapterChoice, Engine, Gpu, Plan, Recording, Tensor};
use pellucid::ops::{Epilogue, Linear, Op, Weight};
use pellucid::select::{KernelSelection, Lanes, LanesKind, Matmul};

/// Seconds per run of a plan, with `repeat` runs in one submit.
fn time(engine: &mut Engine, plan: &Plan, repeat: usize) -> f64 {
    let steps: Vec<(&Plan, u32)> = (0..repeat).map(|_| (plan, 0)).collect();
    let start = Instant::now();
    engine.submit(&steps, &[]).unwrap();
    engine.flush().unwrap();
    start.elapsed().as_secs_f64() / repeat as f64
}

/// The variants that make sense for this many rows.
fn variants(base: &KernelSelection, rows: usize, lanes: u32) -> Vec<(String, KernelSelection)> {
    if rows > 8 {
        let direct = |n, t| Matmul::Direct { n, t };
        return [direct(8, 1), direct(8, 2), direct(8, 8), Matmul::Tiled]
            .map(|matmul| (format!("{matmul:?}"), KernelSelection { matmul, ..base.clone() }))
            .to_vec();
    }
    let mut all = vec![
        Lanes::one(8),
        Lanes::one(32),
        Lanes { kind: LanesKind::Workgroup, size: 64, lanes: 32 },
    ];
    if lanes > 0 {
        all.extend([
            Lanes { kind: LanesKind::LanePerRow, size: lanes, lanes },
            Lanes { kind: LanesKind::LanePerRow, size: 32, lanes },
            Lanes { kind: LanesKind::WholeSubgroup, size: 64, lanes },
        ]);
    }
    all.into_iter()
        .map(|l| (format!("{l:?}"), KernelSelection { lanes: l, ..base.clone() }))
        .collect()
}

fn main() {
    let gpu = pollster::block_on(Gpu::open(&AdapterChoice::default())).unwrap();
    println!("{} {}", gpu.adapter().name, gpu.adapter().driver);
    let caps = gpu.caps().clone();
    let mut engine = Engine::new(gpu);
    let base = KernelSelection { forced: true, ..KernelSelection::defaults(&caps) };
    let lanes = caps.subgroups.filter(|(least, most)| least == most).map_or(0, |(size, _)| size);
    let shapes: [(usize, usize, usize); 9] = [
        (1, 2304, 768),
        (1, 768, 3072),
        (1, 3072, 576),
        (1, 49152, 576),
        (4, 3072, 768),
        (1, 3072, 768),
        (128, 3072, 768),
        (128, 768, 3072),
        (512, 1024, 1024),
    ];
    let filters: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let selected = |line: &str| filters.iter().all(|word| line.contains(word.as_str()));
    for (format, rate) in pellucid::tune::measure(&mut engine).unwrap().unpack_gb_s {
        println!("{format:5} unpacked at {rate:.2} GB/s");
    }
    for format in Format::ALL {
        for (t, n, k) in shapes {
            let k = k.next_multiple_of(format.block());
            let title = format!("{format:5} {t:3}x{n}x{k}");
            let variants = variants(&base, t, lanes).into_iter();
            let variants: Vec<_> =
                variants.filter(|(name, _)| selected(&format!("{title} {name}"))).collect();
            if variants.is_empty() {
                continue;
            }
            let weight = Weight::named("w", format, n, k, caps.max_binding);
            for piece in &weight.shards {
                for (plane, bytes) in piece.planes.iter().zip(Weight::plane_bytes(format, k)) {
                    engine.create(*plane, (bytes * piece.rows.next_multiple_of(4)) as u64).unwrap();
                }
            }
            let (x, out) = (Tensor::persistent(t, k), Tensor::persistent(t, n));
            engine.create_tensor(&x).unwrap();
            engine.create_tensor(&out).unwrap();
            let mut contenders = Vec::new();
            for (name, selection) in variants {
                let mut recording = Recording::new();
                let linear =
                    Linear { x, weight: &weight, bias: None, epilogue: Epilogue::Write, out };
                linear.record(&mut recording, &selection).unwrap();
                let plan = engine.prepare(&recording).unwrap();
                time(&mut engine, &plan, 1);
                contenders.push((name, plan, Vec::new()));
            }
            for _ in 0..9 {
                for (_, plan, times) in &mut contenders {
                    times.push(time(&mut engine, plan, if t <= 8 { 10 } else { 1 }));
                }
            }
            for (name, _, mut times) in contenders {
                times.sort_by(f64::total_cmp);
                let median = times[times.len() / 2];
                println!(
                    "{title} {name:38} {:8.3} ms {:6.2} GB/s {:6.2} GFLOP/s",
                    median * 1e3,
                    weight.bytes() as f64 / median / 1e9,
                    2.0 * (t * n * k) as f64 / median / 1e9
                );
            }
            for plane in weight.shards.iter().flat_map(|piece| &piece.planes) {
                engine.free(*plane);
            }
        }
    }
}
