//! Without --model: the model that is part of the program.

use serde_json::Value;

use super::{failure, json, pellucid};

fn found(args: &[&str]) -> Value {
    json(&pellucid(args).args(["--json", "--backend", "cpu"]).output().unwrap())
}

#[test]
fn generate_without_a_model_writes_a_scene() {
    let plain = ["generate", "ROMEO:", "--max-new-tokens", "19"];
    let best = found(&[&plain[..], &["--temperature", "0"]].concat());
    assert_eq!(best["prompt_tokens"], serde_json::json!([814, 26]));
    let text = best["text"].as_str().unwrap();
    assert!(text.starts_with("\nI'll not believe me, and I'll believe me."), "{text:?}");
    // Its most probable words go round in circles: without a temperature it draws.
    let seeds = ["1", "2"].map(|seed| found(&[&plain[..], &["--seed", seed]].concat()));
    assert!(seeds[0]["text"] != seeds[1]["text"], "{}", seeds[0]);
    let again = found(&[&plain[..], &["--seed", "1"]].concat());
    assert_eq!(again["text"], seeds[0]["text"]);
}

#[test]
fn score_and_tokenize_take_it_too() {
    let ids = json(&pellucid(&["tokenize", "--json", "ROMEO:"]).output().unwrap());
    assert_eq!(ids["ids"], serde_json::json!([814, 26]));
    let score = found(&["score", "--tokens", "814,26,199"]);
    assert!(score["perplexity"].as_f64().unwrap() < 3.0, "a name begins a line: {score}");
    let error = failure(&pellucid(&["chat", "--backend", "cpu"]).output().unwrap());
    assert!(error.contains("no chat template"), "{error}");
}

#[test]
fn bench_train_measures_on_the_adapter() {
    let args = ["bench", "train", "--only", "char", "--batch", "1", "--steps", "1", "--json"];
    let found = json(&pellucid(&args).output().unwrap());
    let model = &found["models"][0];
    let names = ["step_ms", "tok_s", "gflop_s", "product_gflop_s", "share"];
    for (name, of) in names
        .map(|name| (name, model))
        .into_iter()
        .chain(["activations", "largest_buffer"].map(|name| (name, &model["memory"])))
    {
        let value = of[name].as_f64().unwrap();
        assert!(value.is_finite() && value > 0.0, "{name}: {model}");
    }
    let share = model["gflop_s"].as_f64().unwrap() / model["product_gflop_s"].as_f64().unwrap();
    assert!((share - model["share"].as_f64().unwrap()).abs() < 1e-9 && share < 2.0, "{model}");
    // 6 N + 12 L H d T operations a token, N without positions, biases and norms.
    let multiplied = 4 * (12 * 128 * 128) + 65 * 128;
    let operations = f64::from(6 * multiplied + 12 * 4 * 128 * 64);
    let made = model["tok_s"].as_f64().unwrap() * operations / 1e9;
    assert!((made / model["gflop_s"].as_f64().unwrap() - 1.0).abs() < 1e-9, "{model}");
    assert_eq!(model["parameters"], 809_856);
}

#[test]
fn bench_inspect_measures_on_the_adapter() {
    let cases = ["decode_steered", "patch_resid_pre", "patterns_128"];
    let only = cases.iter().flat_map(|case| ["--only", case]);
    let args: Vec<&str> =
        ["bench", "inspect", "--pairs", "1", "--json"].into_iter().chain(only).collect();
    let found = json(&pellucid(&args).output().unwrap());
    assert_eq!(found["cases"].as_object().unwrap().len(), 3, "{found}");
    for case in cases {
        let case = &found["cases"][case];
        let [ratio, with, without] =
            ["ratio", "seconds_with", "seconds_without"].map(|name| case[name].as_f64().unwrap());
        assert!(ratio > 0.0 && ratio.is_finite() && with > 0.0 && without > 0.0, "{case}");
        // One pair is no interval.
        assert!(case["interval"].is_null() && case["goal"].is_number(), "{case}");
    }
    let of = |case: &str, name: &str| found["cases"][case][name].as_f64().unwrap();
    let of_times = |case| of(case, "seconds_with") / of(case, "seconds_without");
    // Of decoding the speeds count; the sweep has a variant for each of 6 layers and 20 tokens.
    for (case, expected) in [
        ("decode_steered", 1.0 / of_times("decode_steered")),
        ("patterns_128", of_times("patterns_128")),
        ("patch_resid_pre", of_times("patch_resid_pre") / 120.0),
    ] {
        assert!((of(case, "ratio") / expected - 1.0).abs() < 1e-9, "{case}: {found}");
    }
    let steering = &found["steering"];
    let each = |run: &str, name: &str| steering[run][name].as_f64().unwrap();
    assert_eq!(steering["layers"], 6);
    let [more, submits] = ["dispatches_per_token", "submits_per_token"]
        .map(|name| each("with", name) - each("without", name));
    assert_eq!((more, submits), (6.0, 0.0), "{steering}");
    let output = pellucid(&["bench", "inspect", "--backend", "cpu"]).output().unwrap();
    assert!(failure(&output).contains("is not timed"));
}
