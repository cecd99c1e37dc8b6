//! What happens when a device goes away: everything ends in an error, and nothing waits forever.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pellucid::Error;
use pellucid::gpu::{AdapterChoice, BufferId, Engine, Recording, Tensor};
use pellucid::ops::{Add, Op};
use pellucid::select::KernelSelection;

use crate::shared::own_gpu;

/// Longer than anything here takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs in a separate thread, and fails if it does not end.
fn within_patience(run: impl FnOnce() + Send + 'static) {
    let (done, finished) = mpsc::channel();
    let worker = thread::spawn(move || {
        run();
        // The receiver is gone only after a timeout.
        let _ = done.send(());
    });
    match finished.recv_timeout(PATIENCE) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("something waits for a lost device"),
        _ => worker.join().unwrap(),
    }
}

fn engine() -> Engine {
    Engine::new(own_gpu(&AdapterChoice::default()))
}

#[track_caller]
fn assert_lost<T>(result: Result<T, Error>) {
    match result {
        Err(Error::Lost(reason)) => assert!(!reason.is_empty()),
        Err(other) => panic!("not the loss of the device, but: {other}"),
        Ok(_) => panic!("a lost device still works"),
    }
}

#[test]
fn a_read_under_way_ends_when_the_device_goes() {
    within_patience(|| {
        let mut engine = engine();
        let buffer = BufferId::fresh();
        engine.create(buffer, 1 << 20).unwrap();
        let readback = engine.submit(&[], &[(buffer, 0, 1 << 20)]).unwrap().unwrap();
        engine.gpu().destroy();
        // What had been copied before may still arrive; later results may not.
        drop(pollster::block_on(engine.finish(readback)));
        assert_lost(engine.submit(&[], &[(buffer, 0, 16)]));
    });
}

#[test]
fn a_lost_device_refuses_everything() {
    within_patience(|| {
        let mut engine = engine();
        let tensor = Tensor::persistent(4, 8);
        engine.create_tensor(&tensor).unwrap();
        let mut recording = Recording::new();
        let selection = KernelSelection::defaults(engine.gpu().caps());
        Add { x: tensor, out: Tensor { buffer: BufferId::fresh(), ..tensor }, kept: None }
            .record(&mut recording, &selection)
            .unwrap();
        engine.gpu().destroy();
        assert_lost(engine.create(BufferId::fresh(), 64));
        assert_lost(engine.prepare(&Recording::new()));
        assert_lost(engine.flush());
        assert_lost(pollster::block_on(engine.read(&tensor)));
    });
}
