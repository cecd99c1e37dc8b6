//! `sample`, `penalties` and `top_k` against their twins, on this machine's adapter.

use pellucid::check::cases::{self, Drawn};
use pellucid::gpu::{BufferId, Engine, Plan, Recording, Tensor};
use pellucid::ops::{Chosen, Op, Penalties, Sample, TopK, UNDRAWN};
use pellucid::reference;
use pellucid::sampling::Sampling;
use pellucid::select::{KernelSelection, Reduce};

use crate::shared::gpu;

/// The first row starts here; the others count on from it.
const SEQUENCE: u32 = 5;
const POSITION: u32 = 10;
const STEP: u32 = 7;

const PLAIN: Sampling = Sampling {
    repetition_penalty: 1.0,
    presence_penalty: 0.0,
    frequency_penalty: 0.0,
    temperature: 1.0,
    top_k: 0,
    top_p: 1.0,
    min_p: 0.0,
    seed: 0x1234_5678_9abc_def0,
};

/// Every combination that takes a different path through the kernel.
const SETTINGS: &[Sampling] = &[
    Sampling { temperature: 0.0, ..PLAIN },
    PLAIN,
    Sampling { temperature: 0.7, ..PLAIN },
    Sampling { temperature: 0.05, ..PLAIN },
    Sampling { top_k: 1, ..PLAIN },
    Sampling { top_k: 40, ..PLAIN },
    Sampling { top_p: 1e-4, ..PLAIN },
    Sampling { top_p: 0.9, ..PLAIN },
    Sampling { min_p: 0.05, ..PLAIN },
    Sampling { min_p: 1.0, ..PLAIN },
    Sampling { top_k: 3, top_p: 0.7, ..PLAIN },
    Sampling { temperature: 1.3, top_k: 60, top_p: 0.9, min_p: 0.02, ..PLAIN },
];

struct Device {
    engine: Engine,
    selection: KernelSelection,
}

impl Device {
    fn new() -> Self {
        let gpu = gpu();
        let selection = KernelSelection::defaults(gpu.caps());
        Self { engine: Engine::new(gpu), selection }
    }

    fn buffer<T: bytemuck::Pod>(&mut self, values: &[T]) -> BufferId {
        let (id, bytes) = (BufferId::fresh(), bytemuck::cast_slice(values));
        self.engine.create(id, bytes.len() as u64).unwrap();
        self.engine.write(id, 0, bytes).unwrap();
        id
    }

    fn tensor(&mut self, rows: usize, values: &[f32]) -> Tensor {
        let tensor = Tensor::persistent(rows, values.len() / rows);
        self.engine.create_tensor(&tensor).unwrap();
        self.engine.write_tensor(&tensor, values).unwrap();
        tensor
    }

    fn run(&mut self, times: usize, ops: &[&dyn Op]) {
        let mut recording = Recording::new();
        for op in ops {
            op.record(&mut recording, &self.selection).unwrap();
        }
        let plan = self.engine.prepare(&recording).unwrap();
        let steps: Vec<(&Plan, u32)> = vec![(&plan, 0); times];
        for steps in steps.chunks(32) {
            self.engine.submit(steps, &[]).unwrap();
            self.engine.flush().unwrap();
        }
    }

    fn words(&mut self, id: BufferId, count: usize) -> Vec<u32> {
        let read = self.engine.submit(&[], &[(id, 0, count as u64 * 4)]).unwrap().unwrap();
        bytemuck::pod_collect_to_vec(&pollster::block_on(self.engine.finish(read)).unwrap())
    }

    /// Draws `steps` tokens for each row of the same logits: (N, steps).
    fn draw(
        &mut self,
        n: usize,
        logits: &[f32],
        sampling: Sampling,
        steps: usize,
    ) -> Vec<Vec<u32>> {
        let logits = self.tensor(n, logits);
        let first: Vec<u32> =
            (SEQUENCE..).take(n).flat_map(|sequence| [9, POSITION, sequence, STEP]).collect();
        let rows = self.buffer(&first);
        let ids = self.buffer(&vec![0_u32; steps * n]);
        self.run(steps, &[&Sample { logits, rows, counts: None, sampling, ids, ring: steps }]);
        let moved = self.words(rows, n * 4);
        let slots = self.words(ids, steps * n);
        let drawn: Vec<Vec<u32>> = (0..n)
            .map(|row| (0..steps).map(|i| slots[(STEP as usize + i) % steps * n + row]).collect())
            .collect();
        for (row, (moved, sequence)) in drawn.iter().zip(moved.chunks_exact(4).zip(SEQUENCE..)) {
            let count = steps as u32;
            let id = if row[steps - 1] == UNDRAWN { moved[0] } else { row[steps - 1] };
            assert_eq!(moved, [id, POSITION + count, sequence, STEP + count]);
            assert!((id as usize) < logits.columns);
        }
        for id in [logits.buffer, rows, ids] {
            self.engine.free(id);
        }
        drawn
    }
}

/// `SplitMix64`, and approximately normal numbers from it.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn normal(&mut self) -> f32 {
        let unit = |bits: u64| (bits >> 40) as f32 / (1 << 24) as f32;
        (0..12).map(|_| unit(self.next())).sum::<f32>() - 6.0
    }

    fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| self.normal() * scale).collect()
    }
}

fn widen(logits: &[f32]) -> Vec<f64> {
    logits.iter().map(|&x| f64::from(x)).collect()
}

/// Draws with all settings and compares; returns how many draws were decided by rounding, and how
/// many there were.
fn compare(device: &mut Device, n: usize, logits: &[f32], steps: usize) -> (usize, usize) {
    let vocab = logits.len() / n;
    let (mut close, mut total) = (0, 0);
    for sampling in SETTINGS {
        let drawn = device.draw(n, logits, *sampling, steps);
        if n == 1 {
            assert_eq!(drawn, device.draw(n, logits, *sampling, steps), "the same draw twice");
        }
        assert_eq!(drawn.len(), n);
        for ((drawn, logits), sequence) in drawn.iter().zip(logits.chunks(vocab)).zip(SEQUENCE..) {
            assert_eq!(drawn.len(), steps);
            let at = format!("{n} x {vocab}, row {}, {sampling:?}", sequence - SEQUENCE);
            let draw = reference::Draw { sequence, step: STEP };
            let whole = reference::sample(&widen(logits), &vec![0; vocab], sampling, draw);
            if sampling.temperature == 0.0 {
                assert!(drawn.iter().all(|&id| id == whole), "{at}: {drawn:?}, twin {whole}");
                continue;
            }
            let twin = Drawn::new(&widen(logits), sampling, sequence);
            assert_eq!(twin.agrees(STEP, whole), Some(true), "{at}");
            for (&id, step) in drawn.iter().zip(STEP..) {
                let agrees = twin.agrees(step, id);
                assert_ne!(agrees, Some(false), "{at}, step {step}: {id}");
                close += usize::from(agrees.is_none());
            }
        }
        total += n * steps;
    }
    (close, total)
}

#[test]
fn sample() {
    let mut device = Device::new();
    let mut random = Random(1);
    let (mut close, mut total) = (0, 0);
    // The twin sorts whole vocabularies, so there are fewer draws from large ones.
    for (vocab, steps) in [(1, 200), (7, 200), (501, 200), (4096, 50), (50_257, 8)] {
        for n in [1, 3] {
            // Rounding to halves makes many ties, at every boundary.
            let smooth = random.values(n * vocab, 3.0);
            let tied: Vec<f32> = smooth.iter().map(|x| (x * 2.0).round() / 2.0).collect();
            for logits in [smooth, tied] {
                let (near, drawn) = compare(&mut device, n, &logits, steps);
                close += near;
                total += drawn;
            }
        }
    }
    assert!(close * 1000 <= total, "{close} of {total} draws were decided by a rounding");
}

#[test]
fn sample_draws_the_same_with_any_workgroup() {
    let mut device = Device::new();
    let logits = Random(2).values(3 * 4096, 2.0);
    let expected: Vec<_> = SETTINGS.iter().map(|s| device.draw(3, &logits, *s, 20)).collect();
    for size in [1, 32, 256] {
        device.selection.reduce = Reduce::Workgroup(size);
        let got: Vec<_> = SETTINGS.iter().map(|s| device.draw(3, &logits, *s, 20)).collect();
        assert_eq!(got, expected, "workgroups of {size}");
    }
}

#[test]
fn sample_takes_whatever_logits_come() {
    let mut device = Device::new();
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let cases: &[(&[f32], &[u32])] = &[
        (&[nan, 2.0, -nan, 1.0], &[1]),
        // From these, no token is drawn.
        (&[nan, nan], &[UNDRAWN]),
        (&[-inf, -inf, -inf], &[UNDRAWN]),
        (&[0.0, inf, 3.0, inf], &[UNDRAWN]),
        (&[-0.0, 0.0], &[0, 1]),
        (&[3e38, -3e38, 0.0], &[0]),
    ];
    for (logits, best) in cases {
        let greedy = device.draw(1, logits, SETTINGS[0], 1);
        assert_eq!(greedy, [[best[0]]], "{logits:?}");
        for sampling in [Sampling { min_p: 1.0, ..PLAIN }, Sampling { top_k: 2, ..PLAIN }] {
            let drawn = device.draw(1, logits, sampling, 40);
            let fits = |id: &u32| {
                if best == &[UNDRAWN] { *id == UNDRAWN } else { (*id as usize) < logits.len() }
            };
            assert!(drawn[0].iter().all(fits), "{drawn:?}");
        }
        let sampling = Sampling { temperature: 1e-20, top_p: 0.999, ..PLAIN };
        let drawn = device.draw(1, logits, sampling, 40);
        assert!(drawn[0].iter().all(|id| best.contains(id)), "{logits:?}: {drawn:?}");
    }
}

#[test]
fn sample_counts_and_penalties_look_at_the_counts() {
    let mut device = Device::new();
    let sampling = Sampling {
        repetition_penalty: 1.3,
        presence_penalty: 0.4,
        frequency_penalty: 0.25,
        temperature: 0.9,
        ..PLAIN
    };
    for (n, vocab) in [(1, 1), (2, 7), (3, 501), (1, 4096)] {
        let raw = Random(3).values(n * vocab, 2.0);
        let mut seen: Vec<u32> = (0..n * vocab).map(|i| [0, 0, 2, 1][i % 4]).collect();
        let logits = device.tensor(n, &raw);
        let out = device.tensor(n, &vec![0.0; n * vocab]);
        let counts = device.buffer(&seen);
        let first: Vec<u32> = (0..n as u32).flat_map(|sequence| [0, 0, sequence, 0]).collect();
        let rows = device.buffer(&first);
        let (ring, steps) = (4, 30);
        let ids = device.buffer(&vec![0_u32; ring * n]);
        let penalties = Penalties { logits, counts, sampling, out };
        device.run(1, &[&penalties]);
        let got = pollster::block_on(device.engine.read(&out)).unwrap();
        let expected = reference::penalties(&widen(&raw), &seen, &sampling);
        assert_eq!(got.len(), expected.len());
        for (got, expected) in got.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() <= 1e-6 * expected.abs().max(1.0));
        }
        let sample = Sample { logits: out, rows, counts: Some(counts), sampling, ids, ring };
        let mut rounding = 0;
        for step in 0..steps {
            device.run(1, &[&penalties, &sample]);
            let slots = device.words(ids, ring * n);
            for row in 0..n {
                let id = slots[step % ring * n + row];
                let (from, to) = (row * vocab, (row + 1) * vocab);
                let draw = reference::Draw { sequence: row as u32, step: step as u32 };
                let twin =
                    reference::sample(&widen(&raw[from..to]), &seen[from..to], &sampling, draw);
                rounding += usize::from(twin != id);
                seen[from + id as usize] += 1;
            }
        }
        assert!(rounding <= 1, "{rounding} draws differ");
        assert_eq!(device.words(counts, n * vocab), seen);
    }
}

#[test]
fn penalties() {
    let mut device = crate::common::Device::open();
    for (rows, vocab) in [(1, 1), (3, 7), (2, 501), (3, 4096), (1, 50_257)] {
        for (repetition_penalty, presence_penalty, frequency_penalty) in
            [(1.0, 0.0, 0.0), (1.3, 0.0, 0.0), (0.8, 0.4, 0.0), (1.0, 0.0, -0.25), (1.3, 0.4, 0.25)]
        {
            let sampling =
                Sampling { repetition_penalty, presence_penalty, frequency_penalty, ..PLAIN };
            device.check(&cases::Penalties { rows, vocab, sampling });
        }
    }
}

/// Pairs of a row against the twin: the values agree, and each id is one whose value is right.
fn assert_pairs(got: &[u32], expected: &[(u32, f64)], all: &[f64]) {
    assert_eq!(got.len(), expected.len() * 2);
    for (pair, (id, log_p)) in got.chunks(2).zip(expected) {
        let value = f64::from(f32::from_bits(pair[1]));
        assert!((value - log_p).abs() < 1e-5, "{id}: {value}, twin {log_p}");
        let own = all[pair[0] as usize];
        assert!(pair[0] == *id || (own != *log_p && (own - log_p).abs() < 1e-5), "{pair:?} {id}");
    }
}

#[test]
fn top_k() {
    let mut device = Device::new();
    let mut random = Random(4);
    for (n, vocab, k) in
        [(1, 1, 1), (3, 7, 7), (2, 501, 64), (3, 4096, 5), (3, 50_257, 20), (1, 50_257, 200)]
    {
        let smooth = random.values(n * vocab, 3.0);
        let tied: Vec<f32> = smooth.iter().map(|x| x.round()).collect();
        for values in [smooth, tied] {
            let log_p = reference::log_softmax(&widen(&values), vocab);
            let logits = device.tensor(n, &values);
            let out = device.buffer(&vec![0_u64; n * k]);
            device.run(1, &[&TopK { logits, k, chosen: None, out }]);
            let got = device.words(out, n * k * 2);
            let rows = || values.chunks(vocab).zip(log_p.chunks(vocab));
            for (got, (values, log_p)) in got.chunks(k * 2).zip(rows()) {
                assert_pairs(got, &reference::top_k(&widen(values), k), log_p);
            }
            // Step 6 in a ring of 4: slot 1 holds the tokens drawn at step 5.
            for k in [0, k] {
                let token = |row: usize| (row * 13 + vocab / 2) % vocab;
                let first: Vec<u32> = (0..n).flat_map(|i| [token(i) as u32, 1, 0, 6]).collect();
                let chosen = Some(Chosen { rows: device.buffer(&first), ring: 4 });
                let out = device.buffer(&vec![7_u64; 4 * n * (k + 1)]);
                device.run(1, &[&TopK { logits, k, chosen, out }]);
                let got = device.words(out, 4 * n * (k + 1) * 2);
                let slots: Vec<&[u32]> = got.chunks((k + 1) * 2).collect();
                for (row, (values, log_p)) in rows().enumerate() {
                    let own = (token(row) as u32, log_p[token(row)]);
                    let mut expected = vec![own];
                    expected.extend(reference::top_k(&widen(values), k));
                    assert_pairs(slots[n + row], &expected, log_p);
                }
                let untouched = [&slots[..n], &slots[2 * n..]].concat();
                assert!(untouched.iter().all(|slot| slot.chunks(2).all(|pair| pair == [7, 0])));
            }
        }
    }
}

#[test]
fn top_k_gives_the_impossible_no_probability() {
    let mut device = Device::new();
    let logits = device.tensor(1, &[f32::NAN, 1.0, f32::NEG_INFINITY]);
    let out = device.buffer(&[0_u64; 3]);
    device.run(1, &[&TopK { logits, k: 3, chosen: None, out }]);
    let none = f32::NEG_INFINITY.to_bits();
    assert_eq!(device.words(out, 6), [1, 0, 0, none, 2, none]);
}

#[test]
fn impossible_numbers_are_refused() {
    let mut recording = Recording::new();
    let selection = KernelSelection::defaults(&pellucid::gpu::Caps::default());
    let mut refused = |op: &dyn Op| op.record(&mut recording, &selection).unwrap_err().to_string();
    let logits = Tensor::persistent(1, 7);
    let [rows, ids] = [(); 2].map(|()| BufferId::fresh());
    let sample = Sample { logits, rows, counts: None, sampling: PLAIN, ids, ring: 4 };
    assert!(refused(&Sample { ring: 0, ..sample }).contains("ring"));
    let wide = Tensor::persistent(1, 600_000);
    assert!(refused(&Sample { logits: wide, ..sample }).contains("600000"));
    let cold = Sampling { temperature: -1.0, ..PLAIN };
    assert!(refused(&Sample { sampling: cold, ..sample }).contains("temperature"));
    let top = TopK { logits, k: 8, chosen: None, out: ids };
    assert!(refused(&top).contains("at most 7"));
    let out = Tensor::persistent(2, 7);
    let penalties = Penalties { logits, counts: ids, sampling: PLAIN, out };
    assert!(refused(&penalties).contains("out 2 x 7"));
}
