//! What training refuses: damaged steps, numbers that are none, wrong batches. All else stays as it was.

use std::path::Path;

use pellucid::Error;
use pellucid::checkpoint::{Checkpoint, Param, TensorLayout};
use pellucid::format::Format;
use pellucid::train::{
    Batch, Family, IGNORED, ModelFiles, Optimizer, Saved, Sizes, TrainOptions, TrainSlot,
};
use pollster::block_on;
use serde_json::Value;

use super::learn::{OPTIONS, SMALL, begin, small_data, steps};
use super::train::trainer;

#[test]
fn the_step_before_stands_in_for_a_damaged_one() {
    let folder = tempfile::tempdir().unwrap();
    let initial = begin(&folder.path().join("new"), &SMALL, 5);
    let data = small_data();
    let mut trainer = trainer(&initial, OPTIONS);
    let mut saved = Vec::new();
    for last in 1..=3 {
        steps(&mut trainer, &data, last);
        saved.push(
            block_on(trainer.save(folder.path(), &ModelFiles::of(&initial).unwrap(), Value::Null))
                .unwrap(),
        );
    }
    // One value differs, and a file is truncated.
    let path = saved[2].join("optimizer.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let path = saved[1].join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    // An incomplete step, as left by a program that was killed.
    std::fs::create_dir(folder.path().join("step-00000009.part")).unwrap();
    let mut reported = Vec::new();
    let mut damaged =
        |folder: &Path, error: Error| reported.push((folder.to_owned(), error.to_string()));
    let found = Saved::latest(folder.path(), &mut damaged).unwrap().unwrap();
    assert_eq!(found.folder, saved[0]);
    assert_eq!(reported.len(), 2);
    assert!(
        reported[0].0 == saved[2] && reported[0].1.contains("optimizer.safetensors"),
        "{reported:?}"
    );
    assert!(reported[1].1.contains("damaged"), "{reported:?}");
    // Every file counts: the record itself, the configuration, and one more.
    let with = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let path = saved[0].join(name);
        let before = std::fs::read(&path).ok();
        let mut bytes = before.clone().unwrap_or_default();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        let error = Saved::open(&saved[0]).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()), "{error}");
        match before {
            Some(before) => std::fs::write(&path, before).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
    };
    let length = std::fs::metadata(saved[0].join("state.json")).unwrap().len() as usize;
    for at in (0..length).step_by(37).chain([length - 1, length - 6]) {
        with("state.json", &|bytes| bytes[at] ^= 1);
    }
    with("state.json", &|bytes| bytes.extend(b" "));
    with("config.json", &|bytes| bytes[20] ^= 1);
    with("generation_config.json", &|bytes| bytes.extend(b"{}"));
    assert!(Saved::open(&saved[0]).is_ok());
    // Where none is intact, there is nothing to go on with; what cannot be read may be intact.
    let path = saved[0].join("state.json");
    let state = std::fs::read(&path).unwrap();
    std::fs::write(&path, b"{}").unwrap();
    let error = Saved::latest(folder.path(), &mut |_, _| {}).unwrap_err().to_string();
    assert!(error.contains("all of its 3 saved steps are damaged"), "{error}");
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = Saved::latest(folder.path(), &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, state).unwrap();
    assert!(Saved::latest(&folder.path().join("nowhere"), &mut |_, _| {}).unwrap().is_none());
    // Only what training wrote is removed.
    std::fs::create_dir(folder.path().join("step-00000000")).unwrap();
    std::fs::write(folder.path().join("step-00000000/z"), "mine").unwrap();
    std::fs::write(saved[1].join("notes.txt"), "mine").unwrap();
    Saved::keep_last(folder.path(), 1).unwrap();
    assert_eq!([0, 1, 2].map(|i| saved[i].exists()), [false, true, true]);
    assert!(folder.path().join("step-00000000/z").exists() && saved[1].join("notes.txt").exists());
    assert!(!folder.path().join("step-00000009.part").exists());
}

/// A step saved by another optimizer or another model is refused.
#[test]
fn a_step_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let initial = begin(&folder.path().join("new"), &SMALL, 5);
    let files = ModelFiles::of(&initial).unwrap();
    let saved =
        block_on(trainer(&initial, OPTIONS).save(folder.path(), &files, Value::Null)).unwrap();
    let saved = Saved::open(&saved).unwrap();
    let other = begin(&folder.path().join("other"), &Sizes { width: 16, ..SMALL }, 5);
    let error = trainer(&other, OPTIONS).resume(&saved).unwrap_err().to_string();
    assert!(error.contains("does not match this model"), "{error}");
    // One of its last tensors alone is wrong: the first ones were not taken over either.
    let deeper = begin(&folder.path().join("deeper"), &Sizes { layers: 3, ..SMALL }, 5);
    let mut own = trainer(&deeper, OPTIONS);
    steps(&mut own, &small_data(), 1);
    let mut read = |slot| block_on(own.read(slot, Param::Q, 0)).unwrap();
    let before = [read(TrainSlot::Mean), read(TrainSlot::Square)];
    assert!(before[1].iter().any(|value| *value != 0.0));
    assert!(own.resume(&saved).is_err());
    let mut read = |slot| block_on(own.read(slot, Param::Q, 0)).unwrap();
    assert_eq!([read(TrainSlot::Mean), read(TrainSlot::Square)], before);
    assert_eq!(own.steps(), 1);
    let sgd = TrainOptions { optimizer: Optimizer::Sgd, ..OPTIONS };
    let error = trainer(&initial, sgd).resume(&saved).unwrap_err().to_string();
    assert!(error.contains("is not a moment of this optimizer"), "{error}");
}

#[test]
fn numbers_that_are_none_stop_the_run_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let initial = begin(folder.path(), &SMALL, 5);
    let data = small_data();
    let mut trainer = trainer(&initial, TrainOptions { clip: 0.0, ..OPTIONS });
    let batches = data.batches(&OPTIONS, 0, 1);
    // A step so large that nothing is left of the weights.
    let long = block_on(trainer.step(&batches, 1e30));
    let error = long.and_then(|_| block_on(trainer.step(&batches, 1e30))).unwrap_err();
    assert!(
        matches!(&error, Error::Diverged { tensor: Some(name), .. } if !name.is_empty()),
        "{error:?}"
    );
    assert!(error.to_string().contains("step "), "{error}");
}

/// A step whose loss or gradient is no number is forgotten, buffers included: the steps after it have the
/// bits of a run that never made it. Nor does it matter what else is left in the buffers of a pass.
#[test]
fn a_step_that_diverged_is_as_if_it_had_not_been() {
    let odd = Sizes { heads: 6, width: 36, ..SMALL };
    let llama = Sizes { family: Family::Llama, kv_heads: Some(3), ..odd };
    let sgd = TrainOptions { optimizer: Optimizer::Sgd, ..OPTIONS };
    let mixed = TrainOptions { mixed: true, ..OPTIONS };
    // The mean of a row overflows, or each of its values where it is stored as f16.
    for (name, sizes, options, large) in
        [("gpt2", SMALL, OPTIONS, 3e38), ("sgd", odd, sgd, 3e38), ("mixed", llama, mixed, 1e6_f32)]
    {
        let folder = tempfile::tempdir().unwrap();
        let initial = begin(&folder.path().join("new"), &Sizes { untied: true, ..sizes }, 5);
        // Only the wrong batch has token 7.
        let layout = TensorLayout::of(&initial).unwrap();
        let path = folder.path().join("new/model.safetensors");
        let mut values = |part: Param, layer: usize| {
            let matrix = initial.matrix(part, layer)?;
            let mut values = matrix.values(0..matrix.rows)?;
            if part == Param::Embed {
                values[7 * sizes.width + 1..8 * sizes.width].fill(large);
            }
            Ok(values)
        };
        layout.write(&path.with_extension("other"), Format::F32, &mut values).unwrap();
        std::fs::rename(path.with_extension("other"), &path).unwrap();
        let initial = Checkpoint::open(&folder.path().join("new")).unwrap();
        let data = small_data();
        let batches = |step: u64| {
            let mut batches = data.batches(&options, step, 2);
            for batch in &mut batches {
                for ids in [&mut batch.tokens, &mut batch.targets] {
                    ids.iter_mut().filter(|id| **id == 7).for_each(|id| *id = 8);
                }
            }
            batches
        };
        let mut wrong = batches(9);
        wrong[1].tokens[5] = 7;
        let (mut plain, mut own) = (trainer(&initial, options), trainer(&initial, options));
        for step in 0..4 {
            if step == 1 {
                let error = block_on(own.step(&wrong, 1e-3)).unwrap_err();
                assert!(matches!(&error, Error::Diverged { step: 2, .. }), "{error:?}");
            }
            if step == 1 {
                assert!(!block_on(own.evaluate(&wrong)).unwrap().is_finite());
            }
            if step == 3 {
                own.engine().fill_transient(f32::NAN);
            }
            if step == 2 {
                // Only the gradients tell.
                assert!(!block_on(own.add_gradients(&wrong)).unwrap().is_finite());
                let error = block_on(own.update(1e-3, 1.0)).unwrap_err();
                assert!(matches!(&error, Error::Diverged { tensor: Some(_), .. }), "{error:?}");
            }
            for rate in [f64::NAN, f64::INFINITY, -1.0] {
                let error = block_on(own.step(&batches(step), rate)).unwrap_err().to_string();
                assert!(error.contains("learning rate must be finite"), "{error}");
            }
            let found = [&mut plain, &mut own].map(|trainer| {
                let found = block_on(trainer.step(&batches(step), 1e-3)).unwrap();
                (found.step, found.loss.to_bits(), found.gradient_norm.to_bits())
            });
            assert_eq!(found[0], found[1], "{name}, step {step}");
            own.engine().fill_transient(f32::INFINITY);
            let found = [&mut plain, &mut own]
                .map(|trainer| block_on(trainer.evaluate(&batches(step))).unwrap().to_bits());
            assert_eq!(found[0], found[1], "{name}, evaluated after step {step}");
        }
        for slot in [TrainSlot::Value, TrainSlot::Gradient] {
            let [plain, own] = [&mut plain, &mut own]
                .map(|trainer| block_on(trainer.read(slot, Param::Down, 1)).unwrap());
            assert!(plain == own && plain.iter().all(|value| value.is_finite()), "{name}");
        }
    }
}

#[test]
fn what_cannot_be_learned_from_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let initial = begin(folder.path(), &SMALL, 5);
    let mut trainer = trainer(&initial, OPTIONS);
    let fine = small_data().batches(&OPTIONS, 0, 1).remove(0);
    let mut high = fine.clone();
    high.tokens[0] = 30;
    let short = Batch { tokens: vec![1; 3], targets: vec![1; 3] };
    let nothing = Batch { targets: vec![IGNORED; fine.targets.len()], ..fine };
    for (batch, word) in [(high, "vocabulary"), (short, "3 sequences of 16"), (nothing, "target")] {
        let error = block_on(trainer.step(&[batch], 1e-3)).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    assert_eq!(trainer.steps(), 0);
}
