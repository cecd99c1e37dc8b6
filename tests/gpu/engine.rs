//! How the engine runs plans, whatever their kernels.

use pellucid::gpu::{Engine, Recording, Tensor};
use pellucid::ops::{Add, Op};
use pellucid::select::KernelSelection;

use crate::shared::gpu;

/// Wherever a plan is cut, dispatches run in order, each after the one before it.
#[test]
fn a_plan_in_pieces_does_the_same_in_several_submits() {
    let gpu = gpu();
    let selection = KernelSelection::defaults(gpu.caps());
    let mut engine = Engine::new(gpu);
    let [x, out] = [(); 2].map(|()| Tensor::persistent(3, 5));
    for tensor in [x, out] {
        engine.create_tensor(&tensor).unwrap();
        engine.write_tensor(&tensor, &[1.0_f32; 15]).unwrap();
    }
    // Each is added to the other in turn: Fibonacci numbers, which any other order would miss.
    let mut recording = Recording::new();
    for _ in 0..5 {
        Add { x, out, kept: None }.record(&mut recording, &selection).unwrap();
        Add { x: out, out: x, kept: None }.record(&mut recording, &selection).unwrap();
    }
    for (pieces, submits) in [(1, 1), (3, 3), (4, 4), (10, 10), (1000, 10)] {
        let plan = engine.prepare(&recording).unwrap().in_pieces(pieces);
        let before = engine.counters();
        engine.submit_pieces(&plan, 0, &[]).unwrap();
        let done = engine.counters().since(before);
        assert_eq!((done.dispatches, done.submits, done.passes), (10, submits, submits));
        let mut expected = [1.0_f32; 2];
        for _ in 0..5 {
            expected[1] += expected[0];
            expected[0] += expected[1];
        }
        for (tensor, expected) in [(x, expected[0]), (out, expected[1])] {
            assert_eq!(pollster::block_on(engine.read(&tensor)).unwrap(), [expected; 15]);
            engine.write_tensor(&tensor, &[1.0_f32; 15]).unwrap();
        }
    }
}
