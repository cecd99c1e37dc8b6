//! Times attention over a cache, few rows and many, behind short and long contexts; variants take
//! turns, so that a busy machine slows all of them equally.

use std::time::Instant;

use pellucid::gpu::{AdapterChoice, BufferId, Engine, Gpu, Plan, Recording, Tensor};
use pellucid::ops::{Attention, Cache, CacheFormat, CacheShard, Mask, Op};
use pellucid::select::{AttentionTiling, KernelSelection, Reduce};

/// Seconds per plan, all of them run in one submit.
fn time(engine: &mut Engine, plans: &[Plan], extent: u32) -> f64 {
    let steps: Vec<(&Plan, u32)> = plans.iter().map(|plan| (plan, extent)).collect();
    let start = Instant::now();
    engine.submit(&steps, &[]).unwrap();
    engine.flush().unwrap();
    start.elapsed().as_secs_f64() / plans.len() as f64
}

/// The variants that make sense for this many rows.
fn variants(base: &KernelSelection, rows: usize) -> Vec<(String, KernelSelection)> {
    if rows > 8 {
        return [AttentionTiling::Direct, AttentionTiling::Tiled]
            .map(|attention| {
                (format!("{attention:?}"), KernelSelection { attention, ..base.clone() })
            })
            .to_vec();
    }
    let mut loaded = base.clone();
    loaded.profile.excluded.insert("attention_split_shuffle".to_owned());
    let mut all = vec![("default".to_owned(), base.clone()), ("no shuffle".to_owned(), loaded)];
    all.extend(
        [64, 256]
            .map(|chunk| (format!("chunk {chunk}"), KernelSelection { chunk, ..base.clone() })),
    );
    all.extend([8, 64].map(|size| {
        let reduce = Reduce::Workgroup(size);
        (format!("{reduce:?}"), KernelSelection { reduce, ..base.clone() })
    }));
    all
}

fn main() {
    let gpu = pollster::block_on(Gpu::open(&AdapterChoice::default())).unwrap();
    println!("{} {}", gpu.adapter().name, gpu.adapter().driver);
    let base = KernelSelection::defaults(gpu.caps());
    let mut engine = Engine::new(gpu);
    // Query heads, key/value heads, head width, rows, the position after the last of them.
    let shapes = [
        (9, 3, 64, 1, 512),
        (9, 3, 64, 1, 4096),
        (12, 12, 64, 1, 1024),
        (32, 8, 128, 1, 4096),
        (9, 3, 64, 4, 2048),
        (9, 3, 64, 128, 128),
        (9, 3, 64, 128, 512),
        (9, 3, 64, 128, 2048),
        (12, 12, 64, 128, 512),
    ];
    let only: Option<usize> = std::env::var("ROWS").ok().and_then(|rows| rows.parse().ok());
    for (heads, kv_heads, width, count, end) in shapes {
        if only.is_some_and(|only| only != count) {
            continue;
        }
        for format in [CacheFormat::F32, CacheFormat::F16] {
            let context = 4096;
            let one = Cache::named(format, [1, context], [kv_heads, width], u64::MAX);
            let span = 2 * one.bytes() * end as u64 / context as u64;
            // Enough layers that no cache holds them all: a token reads each once.
            let layers = if count > 8 { 1 } else { (160_000_000 / span).clamp(1, 40) };
            let caches: Vec<Cache> = (0..layers)
                .map(|_| Cache::named(format, [1, context], [kv_heads, width], u64::MAX))
                .collect();
            for cache in &caches {
                let CacheShard { k, v, .. } = cache.shards[0];
                engine.create(k, cache.bytes()).unwrap();
                engine.create(v, cache.bytes()).unwrap();
            }
            let columns = heads * width;
            let (q, out) = (Tensor::persistent(count, columns), Tensor::persistent(count, columns));
            engine.create_tensor(&q).unwrap();
            engine.create_tensor(&out).unwrap();
            let rows = BufferId::fresh();
            let row_values: Vec<[u32; 4]> =
                (0..count).map(|row| [0, (end - count + row) as u32, 0, 0]).collect();
            engine.create(rows, (count * 16) as u64).unwrap();
            engine.write(rows, 0, bytemuck::cast_slice(&row_values)).unwrap();
            let scale = 1.0 / (width as f64).sqrt();
            let mut contenders = Vec::new();
            for (name, selection) in variants(&base, count) {
                let plans: Vec<Plan> = caches
                    .iter()
                    .map(|cache| {
                        let mut recording = Recording::new();
                        let attention = Attention {
                            rows,
                            q,
                            cache,
                            mask: Mask { window: None, scale, softcap: None },
                            out,
                        };
                        attention.record(&mut recording, &selection).unwrap();
                        engine.prepare(&recording).unwrap()
                    })
                    .collect();
                time(&mut engine, &plans, end as u32);
                contenders.push((name, plans, Vec::new()));
            }
            for _ in 0..9 {
                for (_, plans, times) in &mut contenders {
                    times.push(time(&mut engine, plans, end as u32));
                }
            }
            for (name, _, mut times) in contenders {
                times.sort_by(f64::total_cmp);
                let median = times[times.len() / 2];
                let bytes = span;
                println!(
                    "{format:?} {heads}/{kv_heads}x{width} {count:3} rows behind {end:4} {name:24} {:8.3} ms {:6.2} GB/s {:6.2} GFLOP/s",
                    median * 1e3,
                    bytes as f64 / median / 1e9,
                    4.0 * (count * (end - count / 2) * heads * width) as f64 / median / 1e9
                );
            }
            for CacheShard { k, v, .. } in caches.iter().flat_map(|cache| &cache.shards) {
                engine.free(*k);
                engine.free(*v);
            }
            for id in [rows, q.buffer, out.buffer] {
                engine.free(id);
            }
        }
    }
}
