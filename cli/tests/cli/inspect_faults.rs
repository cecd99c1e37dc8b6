//! What is wrong with what people give to `inspect` and to edits: one sentence that names it, and no file
//! that is half written.

use std::path::{Path, PathBuf};
use std::process::Command;

use pellucid::checkpoint::{NewTensor, write_safetensors};
use pellucid::format::Format;
use pellucid::inspect::{Direction, write_directions};
use pellucid::measure::furthest;
use serde_json::{Value, json as object};

use super::{failure, json, model, on_cpu, pellucid, stderr};

const TOKENS: [&str; 2] = ["--tokens", "5,3,8,1,2,6"];
/// Of the golden GPT-2.
const WIDTH: usize = 60;

/// The sentence with which a command on the golden GPT-2 ends.
fn told(args: &[&str]) -> String {
    failure(&on_cpu("gpt2", &[args, &TOKENS[..]].concat()))
}

fn values(args: &[&str]) -> Vec<f64> {
    let args = [&["inspect", "values", "--json", "--hook", "resid_post.1"], args, &TOKENS[..]];
    let found = json(&on_cpu("gpt2", &args.concat()));
    let data = &found["values"]["blocks.1.hook_resid_post"]["data"];
    data.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

/// A safetensors file of one tensor.
fn tensor(folder: &Path, name: &str, shape: &[usize], values: &[f32]) -> PathBuf {
    let path = folder.join("t.safetensors");
    let new = NewTensor { name: name.to_owned(), format: Format::F32, shape: shape.to_vec() };
    write_safetensors(&path, &[new], &[], &mut |_| Ok(values.to_vec())).unwrap();
    path
}

fn ramp(count: usize) -> Vec<f32> {
    (0..count).map(|i| i as f32 * 0.01 - 0.2).collect()
}

#[test]
fn names_and_places_that_do_not_exist_are_told() {
    for (args, parts) in [
        (
            &["inspect", "values", "--hook", "resid_pst.1"][..],
            &["no hook is named resid_pst.1", "blocks.1.hook_resid_post"][..],
        ),
        (&["inspect", "values", "--hook", "blocks.*.hook_zz"], &["no hook is named"]),
        (&["inspect", "values", "--hook", "pattern.2"], &["pattern", "2 layers"]),
        (&["inspect", "values", "--hook", "rot_q.0"], &["rot_q", "learned positions"]),
        (
            &["inspect", "values", "--hook", "embed", "--edit", "resid_post.0[9] = 0"],
            &["blocks.0.hook_resid_post", "up to 9", "6 tokens"],
        ),
        (&["inspect", "values", "--hook", "embed", "--edit", "z.0[:, 3] = 0"], &["3", "3 values"]),
        (&["inspect", "lens", "--positions", "9:12"], &["9..12", "6 tokens"]),
        (&["inspect", "lens", "--target", "501"], &["501", "vocabulary of 501"]),
        (&["inspect", "attribute", "--answer", "1", "--position", "6"], &["6", "6 tokens"]),
        (&["inspect", "attention", "--layer", "2"], &["2"]),
        (&["generate", "--ablate", "L0H3"], &["no L0H3", "3 heads"]),
        (&["generate", "--ablate", "L0N240"], &["no L0N240", "240 neurons"]),
    ] {
        let found = told(args);
        for part in parts {
            assert!(found.contains(part), "{args:?}: {found}");
        }
    }
}

#[test]
fn tensors_that_do_not_fit_are_told_with_what_would() {
    let folder = tempfile::tempdir().unwrap();
    let edit = |path: &Path, text: &str| text.replace("FILE", path.to_str().unwrap());
    let path = tensor(folder.path(), "x", &[7], &ramp(7));
    let found = told(&["generate", "--edit", &edit(&path, "resid_post.0 += FILE:x")]);
    for part in ["[7]", "60", "blocks.0.hook_resid_post"] {
        assert!(found.contains(part), "{found}");
    }
    let found = told(&["generate", "--edit", &edit(&path, "resid_post.0 = FILE:y")]);
    assert!(found.contains("y") && found.contains("which has x"), "{found}");
    let mut broken = ramp(WIDTH);
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        broken[3] = bad;
        let path = tensor(folder.path(), "blocks.0.hook_resid_post", &[WIDTH], &broken);
        for operation in ["+= FILE:NAME", "= FILE:NAME", "project FILE:NAME", "mean FILE:NAME"] {
            let text = edit(&path, &format!("resid_post.0 {operation}"));
            let found =
                told(&["generate", "--edit", &text.replace("NAME", "blocks.0.hook_resid_post")]);
            assert!(found.contains("t.safetensors") && found.contains("the value "), "{found}");
        }
        let found = told(&["generate", "--steer", path.to_str().unwrap()]);
        assert!(found.contains("t.safetensors") && found.contains("not finite"), "{found}");
    }
}

#[test]
fn steering_vectors_of_other_models_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let of = |layer, count| Direction { layer, values: ramp(count), norm: 1.0, separation: None };
    let gguf = place("v.gguf");
    let steer = |path: &Path, more: &str| format!("{}{more}", path.display());
    for (hint, layer, width, more, part) in [
        ("gpt2", 1, 7, "", "7 values, but blocks.1.hook_resid_post has 60"),
        ("gpt2", 2, WIDTH, "", "it has 2, counted from 0"),
        ("gpt2", 0, WIDTH, "", "of layer 0"),
        ("llama", 1, WIDTH, "", "was made for llama"),
        ("gpt2", 1, WIDTH, "@0-2", "up to layer 2; the model has 2 layers"),
        ("gpt2", 1, WIDTH, "@0-0", "no vector for the layers that were named"),
    ] {
        write_directions(&gguf, hint, &[of(layer, width)]).unwrap();
        let found = told(&["generate", "--steer", &steer(&gguf, more)]);
        assert!(found.contains(part) && found.contains("v.gguf"), "{hint} {layer}: {found}");
    }
    let json = place("v.json");
    for (vector, part) in [
        (
            object!({"layer": 1, "vector": [1.0, 2.0]}),
            "2 values, but blocks.1.hook_resid_post has 60",
        ),
        (object!({"layer": 2, "vector": ramp(WIDTH)}), "2 layers"),
        (object!({"modelId": "gemma-2-2b", "layer": 1, "vector": ramp(WIDTH)}), "gemma-2-2b"),
        (object!({"vector": ramp(WIDTH)}), "neither a layer nor a hook"),
        (object!({"layer": 1, "hookType": "resid-pst", "vector": ramp(WIDTH)}), "hook_resid_post"),
        (object!({"layer": 1, "vector": [null]}), "as Neuronpedia writes it"),
        (object!({"layer": 1}), "vector"),
    ] {
        std::fs::write(&json, vector.to_string()).unwrap();
        let found = told(&["generate", "--steer", json.to_str().unwrap()]);
        assert!(found.contains(part) && found.contains("v.json"), "{vector}: {found}");
    }
    // A model is no vector.
    let other = model("gguf-gpt2");
    let mut other = std::fs::read_dir(other).unwrap().map(|entry| entry.unwrap().path());
    let gguf = |path: &PathBuf| path.extension().is_some_and(|end| end == "gguf");
    let other = other.find(gguf).unwrap();
    let found = told(&["generate", "--steer", other.to_str().unwrap()]);
    assert!(found.contains("holds a model"), "{found}");
}

/// The same vector in each format is the same edit: `direction.N` is added to what layer N gives, as in
/// llama.cpp; Neuronpedia's records name their hook and their strength.
#[test]
fn steering_vectors_are_added_where_their_formats_say() {
    let folder = tempfile::tempdir().unwrap();
    let vector = ramp(WIDTH);
    let path = tensor(folder.path(), "x", &[WIDTH], &vector);
    let edit = |hook: &str, times: f32| {
        values(&["--edit", &format!("{hook} += {}:x * {times}", path.display())])
    };
    let steer =
        |path: &Path, more: &str| values(&["--steer", &format!("{}{more}", path.display())]);
    let near = |found: Vec<f64>, expected: Vec<f64>| {
        assert!(furthest(&found, &expected) < 1e-5);
    };
    let gguf = folder.path().join("v.gguf");
    let direction = Direction { layer: 1, values: vector.clone(), norm: 1.0, separation: None };
    write_directions(&gguf, "gpt2", &[direction]).unwrap();
    near(steer(&gguf, ":2"), edit("resid_post.1", 2.0));
    near(steer(&gguf, ":-0.5@1-1"), edit("resid_post.1", -0.5));
    let json = folder.path().join("v.json");
    let json_of = |value: Value| {
        std::fs::write(&json, value.to_string()).unwrap();
        steer(&json, "")
    };
    let record = object!({
        "modelId": "gpt2-small", "layer": "1-res-jb", "index": "7", "vector": vector,
        "hookName": "blocks.1.hook_resid_pre", "vectorDefaultSteerStrength": 2.0, "vectorLabel": "x",
    });
    near(json_of(record), edit("resid_pre.1", 2.0));
    let form = object!({
        "modelId": "gpt2-small", "layerNumber": 0, "hookType": "resid-post", "vector": vector,
        "vectorDefaultSteerStrength": 3.0,
    });
    near(json_of(form), edit("resid_post.0", 3.0));
    let plain = object!({"layer": 0, "vector": vector, "strength": 1.5});
    near(json_of(plain), edit("resid_post.0", 1.5));
    // A source's name alone does not say which hook: that is told.
    let source = object!({"layer": "1-res-jb", "vector": vector});
    std::fs::write(&json, source.to_string()).unwrap();
    let args = ["inspect", "values", "--hook", "embed", "--steer", json.to_str().unwrap()];
    let output = on_cpu("gpt2", &[&args, &TOKENS[..]].concat());
    let text = stderr(&output);
    assert!(output.status.success() && text.contains("names the source 1-res-jb"), "{text}");
}

/// The program under a limit of the shell's.
fn limited(limit: &str, args: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap '' XFSZ; ulimit {limit}; exec \"$@\""), "sh"]);
    let program = pellucid(args);
    command.arg(program.get_program()).args(program.get_args());
    command.args(["--backend", "cpu", "--model"]).arg(model("gpt2")).args(TOKENS);
    command
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    for (args, file) in [
        (&["inspect", "values", "--hook", "*"][..], "v.safetensors"),
        (&["inspect", "values", "--hook", "*", "--max-new-tokens", "2"], "w.safetensors"),
        (&["inspect", "values", "--hook", "embed"], "v.json"),
        (&["inspect", "lens"], "l.json"),
        (&["inspect", "ablate", "--what", "head"], "a.json"),
        (&["inspect", "attention"], "p.safetensors"),
    ] {
        let path = folder.path().join(file);
        std::fs::write(&path, "what was there").unwrap();
        let mut command = limited("-f 0", args);
        let found = failure(&command.arg("-o").arg(&path).output().unwrap());
        assert!(found.contains(file), "{args:?}: {found}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was there", "{args:?}");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{args:?}");
    }
}

/// A tensor that a file says it has, and no memory holds.
#[test]
fn a_tensor_too_large_for_the_memory_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.safetensors");
    let count: u64 = 2 << 30;
    let name = "blocks.0.hook_resid_post";
    let entry = object!({"dtype": "F32", "shape": [count], "data_offsets": [0, 4 * count]});
    let header = object!({ name: entry }).to_string();
    let start = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    std::fs::write(&path, &start).unwrap();
    // Nothing is stored of what is never written.
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(start.len() as u64 + 4 * count).unwrap();
    let steer = path.to_str().unwrap();
    let edit = format!("resid_post.0 += {steer}:{name}");
    for args in [&["generate", "--steer", steer][..], &["generate", "--edit", &edit]] {
        let found = failure(&limited("-v 4000000", args).output().unwrap());
        assert!(found.contains("large.safetensors"), "{args:?}: {found}");
    }
}
