//! Looking inside: what `inspect` prints for scripts, edits, steering, and how mistakes are told.

use pellucid::checkpoint::{NewTensor, read_safetensors, write_safetensors};
use pellucid::format::Format;
use serde_json::Value;

use super::text::model_with_text;
use super::{failure, json, model, on_cpu, pellucid, stderr, usage_error, with_input};

const TOKENS: [&str; 2] = ["--tokens", "5,3,8,1,2,6"];

/// What a command prints as JSON for the golden GPT-2 and these tokens.
fn seen(args: &[&str]) -> Value {
    let args = [&["inspect"], args, &["--json"], &TOKENS[..]].concat();
    json(&on_cpu("gpt2", &args))
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        value => vec![value.as_f64().unwrap_or(f64::NAN)],
    }
}

#[test]
fn hooks_are_listed_with_their_aliases() {
    let listed = json(&on_cpu("gpt2", &["inspect", "hooks", "--length", "3", "--json"]));
    let rows = listed["hooks"].as_array().unwrap();
    let row = rows.iter().find(|row| row["name"] == "blocks.1.attn.hook_pattern").unwrap();
    let heads = row["shape"][0].as_u64().unwrap();
    assert_eq!(row["shape"], serde_json::json!([heads, 3, 3]));
    assert_eq!(row["bytes"], heads * 9 * 4);
    assert!(row["aliases"].as_array().unwrap().contains(&Value::from("pattern.1")));
    let drawn = on_cpu("gpt2", &["inspect", "hooks"]);
    assert!(String::from_utf8(drawn.stdout).unwrap().contains("attn.hook_z"));
}

#[test]
fn values_are_printed_or_written_under_classic_names() {
    let found =
        seen(&["values", "--hook", "resid_post.-1", "--hook", "blocks.*.hook_z", "--logits"]);
    assert_eq!(found["tokens"].as_array().unwrap().len(), 6);
    let values = found["values"].as_object().unwrap();
    assert_eq!(values.len(), 3, "{values:?}");
    let post = &values["blocks.1.hook_resid_post"];
    let size: u64 = post["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).product();
    assert_eq!(post["data"].as_array().unwrap().len() as u64, size);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("v.safetensors");
    let path = file.to_str().unwrap();
    let args = ["values", "--hook", "resid_post.-1", "--hook", "scores.0", "-o", path];
    let told = seen(&args);
    assert_eq!(
        told["names"],
        serde_json::json!(["blocks.0.attn.hook_attn_scores", "blocks.1.hook_resid_post"])
    );
    let written = read_safetensors(&file).unwrap();
    let written: Vec<f64> =
        written["blocks.1.hook_resid_post"].iter().map(|x| f64::from(*x)).collect();
    assert_eq!(written, numbers(&post["data"]));
    let drawn = seen(&["values", "--hook", "embed", "--max-new-tokens", "3"]);
    assert_eq!(drawn["values"]["hook_embed"]["shape"][0], 8);
}

#[test]
fn edits_act_alike_in_every_command() {
    let plain = seen(&["values", "--hook", "resid_post.1"]);
    let edit = ["--edit", "resid_pre.1[2:4] *= 0", "--ablate", "L1H0"];
    let edited = seen(&[&["values", "--hook", "resid_post.1"], &edit[..]].concat());
    let data = |found: &Value| numbers(&found["values"]["blocks.1.hook_resid_post"]["data"]);
    let (plain, edited) = (data(&plain), data(&edited));
    let width = plain.len() / 6;
    // Zeros come in at position 2, but head 0 is missing everywhere.
    assert_ne!(plain[..width], edited[..width]);
    assert_ne!(plain[5 * width..], edited[5 * width..]);
    let score = |more: &[&str]| {
        let args = [&["score", "--json"], &TOKENS[..], more].concat();
        numbers(&json(&on_cpu("gpt2", &args))["logprobs"])
    };
    assert_ne!(score(&[]), score(&edit));
    let write = |more: &[&str]| {
        let generate = ["generate", "--json", "--max-new-tokens", "3", "--logprobs", "1"];
        let args = [&generate[..], &TOKENS[..], more].concat();
        json(&on_cpu("gpt2", &args))["logprobs"].clone()
    };
    assert_ne!(write(&[]), write(&edit));
    assert_ne!(write(&[]), write(&["--edit", "resid_pre.1 *= 0 @drawn"]));
    assert_eq!(
        write(&["--edit", "resid_pre.1 = 0.5 @prompt", "--edit", "resid_pre.1 = 0.5 @drawn"]),
        write(&["--edit", "resid_pre.1 = 0.5"])
    );
}

#[test]
fn tensors_of_files_are_broadcast_and_steer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.safetensors");
    let tensor = |name: &str, shape: &[usize]| NewTensor {
        name: name.to_owned(),
        format: Format::F32,
        shape: shape.to_vec(),
    };
    let width = {
        let found = seen(&["values", "--hook", "embed"]);
        found["values"]["hook_embed"]["shape"][1].as_u64().unwrap() as usize
    };
    let ramp: Vec<f32> = (0..width).map(|i| i as f32 * 0.01).collect();
    let tensors = [tensor("blocks.0.hook_resid_post", &[width]), tensor("rows", &[2, width])];
    write_safetensors(&file, &tensors, &[], &mut |i| {
        Ok(if i == 0 { ramp.clone() } else { [&ramp[..], &ramp].concat() })
    })
    .unwrap();
    let name = file.display();
    let post = |more: &[&str]| {
        let args = [&["values", "--hook", "resid_post.0"], more].concat();
        numbers(&seen(&args)["values"]["blocks.0.hook_resid_post"]["data"])
    };
    let plain = post(&[]);
    let added = post(&["--edit", &format!("resid_post.0 += {name}:blocks.0.hook_resid_post * 2")]);
    for (place, (plain, added)) in plain.iter().zip(&added).enumerate() {
        let step = f64::from(ramp[place % width]) * 2.0;
        assert!((added - plain - step).abs() < 1e-5, "{place}: {plain} {added}");
    }
    // A file of which only one tensor is a hook's is no file of steering vectors.
    let steer = format!("{name}:2");
    let args = [&["inspect", "values", "--hook", "embed", "--steer", &steer], &TOKENS[..]].concat();
    assert!(failure(&on_cpu("gpt2", &args)).contains("rows"));
    let only = folder.path().join("s.safetensors");
    write_safetensors(&only, &tensors[..1], &[], &mut |_| Ok(ramp.clone())).unwrap();
    assert_eq!(post(&["--steer", &format!("{}:2", only.display())]), added);
    let mean = post(&["--edit", &format!("resid_post.0[1] mean {name}:rows")]);
    assert_eq!(mean[..width], plain[..width]);
    let expected: Vec<f64> = ramp.iter().map(|x| f64::from(*x)).collect();
    assert!(pellucid::measure::furthest(&mean[width..2 * width], &expected) < 1e-6);
    let whole = post(&["--edit", &format!("resid_post.0[2:4] = {name}:rows")]);
    assert!(pellucid::measure::furthest(&whole[3 * width..4 * width], &expected) < 1e-6);
}

#[test]
fn analyses_print_what_scripts_expect() {
    let lens = seen(&["lens", "--top", "2", "--target", "7"]);
    assert_eq!(
        lens["labels"],
        serde_json::json!(["0_pre", "0_mid", "1_pre", "1_mid", "final_post"])
    );
    assert_eq!(lens["top"][4][5].as_array().unwrap().len(), 2);
    assert_eq!(lens["kl"][4][0], 0.0);
    assert!(lens["rank"][0][0].is_u64() && lens["entropy"][0][5].is_f64());
    let found = seen(&["attribute", "--answer", "7", "--versus", "9", "--neurons", "2"]);
    let names: Vec<&str> = found["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    let expected =
        ["embed", "pos_embed", "0_attn_out", "0_mlp_out", "1_attn_out", "1_mlp_out", "bias"];
    assert_eq!(names, expected);
    let (total, logit) = (found["total"].as_f64().unwrap(), found["logit"].as_f64().unwrap());
    assert!((total - logit).abs() < 1e-4, "{total} {logit}");
    let pattern = seen(&["attention", "--layer", "1"]);
    assert_eq!(pattern["pattern"].as_array().unwrap().len(), 1);
    let rows = numbers(&pattern["pattern"]);
    assert!((rows[..6].iter().sum::<f64>() - 1.0).abs() < 1e-6);
    let heads = json(&on_cpu("gpt2", &["inspect", "heads", "--period", "5", "--json"]));
    assert_eq!(heads["tokens"].as_array().unwrap().len(), 10);
    assert_eq!(heads["induction"].as_array().unwrap().len(), 2);
    for what in ["head", "attn", "mlp", "layer"] {
        for how in ["zero", "mean"] {
            let found = seen(&["ablate", "--what", what, "--how", how]);
            assert!(found["baseline"].is_f64(), "{found}");
            assert!(numbers(&found["value"]).iter().all(|value| value.is_finite()), "{found}");
        }
    }
    let patch = |by: &str| {
        let args = [
            "inspect",
            "patch",
            "--what",
            "z",
            "--by",
            by,
            "--clean-tokens",
            "5,3,8",
            "--corrupted-tokens",
            "5,4,8",
            "--answer",
            "7",
            "--versus",
            "9",
            "--json",
        ];
        json(&on_cpu("gpt2", &args))
    };
    let found = patch("head-position");
    assert_eq!(found["axes"], serde_json::json!(["layer", "head", "position"]));
    assert_eq!(found["value"][1][0].as_array().unwrap().len(), 3);
    // What is before the change is the same in both texts.
    assert!(found["normalized"][0][0][0].as_f64().unwrap().abs() < 1e-9);
}

#[test]
fn a_direction_is_made_and_steers_a_chat() {
    let folder = tempfile::tempdir().unwrap();
    model_with_text(folder.path());
    let template = "{% for m in messages %}{{ m.content }}{% endfor %}";
    std::fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
    let [good, bad, out] = ["good", "bad", "v.gguf"].map(|name| folder.path().join(name));
    std::fs::write(&good, "one\ntwo\n").unwrap();
    std::fs::write(&bad, "three\nfour\n").unwrap();
    for method in ["mean", "pca"] {
        let mut command =
            pellucid(&["direction", "--json", "--backend", "cpu", "--method", method]);
        command.arg("--positive").arg(&good).arg("--negative").arg(&bad);
        command.arg("-o").arg(&out).arg("--model").arg(folder.path());
        let made = json(&command.output().unwrap());
        let layers = made["layers"].as_array().unwrap();
        assert_eq!(layers[0]["layer"], 1);
        assert!(layers[0]["norm"].as_f64().unwrap() > 0.0);
    }
    let mut chat = pellucid(&["chat", "--max-new-tokens", "1", "--backend", "cpu"]);
    chat.arg("--model").arg(folder.path());
    let lines = format!("/steer {}:3\n/ablate L0H0\n/ablate L99\n/edits\n/clear\n", out.display());
    let output = with_input(chat, lines.as_bytes());
    let told = stderr(&output);
    assert!(told.contains(&format!("(steer {}:3; ablate L0H0)", out.display())), "{told}");
    assert!(told.contains("this model has no L99"), "{told}");
    assert!(told.contains("(no edits)"), "{told}");
}

#[test]
fn mistakes_are_told_with_their_place() {
    for (args, part) in [
        (&["--edit", "z.1[a] = 0"][..], "at character 5, where an index"),
        (&["--ablate", "H1"], "names no part of a model"),
    ] {
        let mut command = pellucid(&["generate", "--model"]);
        command.arg(model("gpt2")).args(TOKENS).args(args);
        assert!(usage_error(&command.output().unwrap()).contains(part));
    }
    for (args, part) in [
        (&["--edit", "resid_pst.1 = 0"][..], "the nearest are blocks.1.hook_resid_post"),
        (&["--edit", "z.1[0, 99] = 0"], "has the index 99, but the axis has"),
        (&["--edit", "z.1[7] = 0 @prompt"], "acts on no position"),
        (&["--edit", "rot_q.1 = 0"], "adds learned positions"),
        (&["--ablate", "L7"], "this model has no L7"),
        (&["--steer", "/nonexistent"], "/nonexistent"),
    ] {
        let found = failure(&on_cpu("gpt2", &[&["generate"], &TOKENS[..], args].concat()));
        assert!(found.contains(part), "{args:?}: {found}");
    }
}

#[test]
fn several_texts_are_read_each_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = model_with_text(folder.path());
    let read = |args: &[&str], input: &str| {
        let mut command = pellucid(&["inspect", "values", "--json", "--hook", "resid_post.0"]);
        command.args(args).args(["--backend", "cpu", "--model"]).arg(&path);
        with_input(command, input.as_bytes())
    };
    let more = ["--logits", "--top", "2", "--positions", "-1:", "--edit", "resid_pre.1[-1] *= 0"];
    let alone = |text: &str| json(&read(&[&[text], &more[..]].concat(), ""));
    let expected = serde_json::json!([alone("ab"), alone("hello"), alone("c d")]);
    assert_eq!(expected[1]["tokens"].as_array().unwrap().len(), 5);
    // Only the last position's, and of it only two tokens: id and ln p.
    assert_eq!(expected[1]["top"].as_array().unwrap().len(), 1);
    assert_eq!(numbers(&expected[1]["top"]).len(), 4);
    assert!(expected[1].get("logits").is_none());
    let prompts = ["--prompt", "ab", "--prompt", "hello", "--prompt", "c d"];
    let found = json(&read(&[&prompts[..], &more[..]].concat(), ""));
    assert_eq!(found["prompts"], expected);
    let found = json(&read(&[&["--lines", "-"], &more[..]].concat(), "ab\n\nhello\nc d\n"));
    assert_eq!(found["prompts"], expected);

    let file = folder.path().join("all.safetensors");
    let written = [&prompts[..], &["-o", file.to_str().unwrap()]].concat();
    let told = json(&read(&written, ""));
    assert_eq!(told["names"][2], "2/blocks.0.hook_resid_post");
    let written = read_safetensors(&file).unwrap();
    let post = &expected[1]["values"]["blocks.0.hook_resid_post"]["data"];
    let hello: Vec<f64> =
        written["1/blocks.0.hook_resid_post"].iter().map(|x| f64::from(*x)).collect();
    assert_eq!(hello, numbers(post));

    let error = usage_error(&read(&["--prompt", "ab", "other"], ""));
    assert!(error.contains("cannot be used with"), "{error}");
    let error = failure(&read(&["--lines", "-"], "\n"));
    assert!(error.contains("holds no text"), "{error}");
    let error = failure(&read(&["ab", "--logits", "--positions", "5:9"], ""));
    assert!(error.contains("--positions names none of the 2 positions"), "{error}");
}

#[test]
fn logits_of_some_positions_are_rows_of_all() {
    let args = ["values", "--hook", "embed", "--logits"];
    let all = seen(&args);
    let some = seen(&[&args[..], &["--positions", "2:4"]].concat());
    let rows = all["logits"].as_array().unwrap();
    assert_eq!(some["logits"], serde_json::json!([rows[2], rows[3]]));
    let top = seen(&[&args[..], &["--top", "3", "--positions", "-1"]].concat());
    let last = numbers(&rows[5]);
    let best: Vec<f64> =
        numbers(&top["top"]).chunks(2).map(|pair| last[pair[0] as usize]).collect();
    assert_eq!(best.len(), 3);
    assert!(best.is_sorted_by(|a, b| a >= b), "{best:?}");
    assert_eq!(last.iter().filter(|x| **x > best[2]).count(), 2);
}
