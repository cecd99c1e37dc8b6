//! The program as others see it: what it prints where, and how it ends.
//!
//! What is computed is checked by the reference, which runs anywhere; tests whose name says so use
//! the machine's adapter.

mod adapter;
mod built_in;
mod chat;
mod failures;
#[cfg(unix)]
mod files;
mod hub;
mod inspect;
#[cfg(unix)]
mod inspect_faults;
#[cfg(unix)]
mod interrupt;
mod text;
mod tokenizer;
mod train;
mod train_again;
mod train_data;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use pellucid::measure::furthest;
use serde_json::Value;

/// The folder of a small golden model.
fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/models").join(name)
}

fn golden(name: &str) -> Value {
    let text = std::fs::read_to_string(model(name).join("golden.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// The program, which is not to reach for the network.
fn pellucid(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pellucid"));
    command.args(args).env_remove("RUST_LOG").env("HF_HUB_OFFLINE", "1").stdin(Stdio::null());
    // What is found out about the adapter stays within the tests.
    command.env("PELLUCID_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    command
}

/// Runs a command on a golden model with the reference, whose name comes before the options.
fn on_cpu(name: &str, args: &[&str]) -> Output {
    let mut command = pellucid(args);
    command.args(["--backend", "cpu", "--model"]).arg(model(name));
    command.output().unwrap()
}

fn with_input(mut command: Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The object on standard output, which holds one line and nothing else.
fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The sentence of a failure: exit code 1, nothing on standard output, one line that says `error:`.
fn failure(output: &Output) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(output.stdout.is_empty(), "{text}");
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or_else(|| panic!("no error: {text}")).to_owned()
}

fn usage_error(output: &Output) -> String {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty() && text.starts_with("error: "), "{text}");
    text
}

fn list(ids: &Value) -> String {
    let ids: Vec<String> = ids.as_array().unwrap().iter().map(ToString::to_string).collect();
    ids.join(",")
}

fn assert_near(found: &Value, golden: &Value, what: &str) {
    // JSON has no NaN: a number that is none would be `null`, and infinitely far.
    let numbers = |value: &Value| -> Vec<f64> {
        value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
    };
    let error = furthest(&numbers(found), &numbers(golden));
    assert!(error < 1e-3, "{what}: off by {error}: {found}, not {golden}");
}

#[test]
fn greedy_tokens_are_those_of_an_independent_engine() {
    for name in ["gpt2", "llama", "qwen3"] {
        let golden = &golden(name)["greedy"];
        let prompt = list(&golden["prompt"]);
        let args = ["generate", "--json", "--max-new-tokens", "16", "--tokens", &prompt];
        let found = json(&on_cpu(name, &args));
        assert_eq!(found["tokens"], golden["tokens"], "{name}");
        assert_eq!(found["prompt_tokens"], golden["prompt"], "{name}");
    }
}

#[test]
fn scores_are_those_of_an_independent_engine() {
    for name in ["gpt2", "llama"] {
        let golden = &golden(name)["sequences"][0];
        let found = json(&on_cpu(
            name,
            &["score", "--json", "--top", "5", "--tokens", &list(&golden["tokens"])],
        ));
        assert_eq!(found["tokens"], golden["tokens"], "{name}");
        assert_near(&found["logprobs"], &golden["logprobs"], name);
        let logprobs = golden["logprobs"].as_array().unwrap();
        let mean =
            logprobs.iter().map(|l| l.as_f64().unwrap()).sum::<f64>() / logprobs.len() as f64;
        let perplexity = found["perplexity"].as_f64().unwrap();
        assert!((perplexity.ln() + mean).abs() < 1e-4, "{name}: {perplexity}");
        let top = found["top"].as_array().unwrap();
        assert_eq!(top.len(), golden["tokens"].as_array().unwrap().len(), "{name}");
        for place in golden["top"].as_array().unwrap() {
            let found = &top[place[0].as_u64().unwrap() as usize];
            let split = |pairs: &Value, part: usize| {
                pairs.as_array().unwrap().iter().map(|pair| pair[part].clone()).collect::<Value>()
            };
            assert_eq!(split(found, 0), split(&place[1], 0), "{name}");
            assert_near(&split(found, 1), &split(&place[1], 1), name);
        }
    }
}

#[test]
fn scores_on_the_adapter_are_the_same() {
    let golden = &golden("llama")["sequences"][0];
    let mut command = pellucid(&["score", "--json", "--tokens", &list(&golden["tokens"])]);
    let output = command.arg("--model").arg(model("llama")).output().unwrap();
    assert_near(&json(&output)["logprobs"], &golden["logprobs"], "llama on the adapter");
}

#[test]
fn generate_prints_what_the_contract_says() {
    let args = ["generate", "--json", "--tokens", "1, 2,3", "--max-new-tokens", "4"];
    let found = json(&on_cpu("gpt2", &args));
    let keys: Vec<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
    let mut expected = [
        "prompt_tokens",
        "tokens",
        "text",
        "finish",
        "seed",
        "timings",
        "counters",
        "adapter",
        "plan",
        "memory",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert_eq!(found["tokens"].as_array().unwrap().len(), 4);
    assert_eq!(found["finish"], "length");
    assert!(found["seed"].is_u64());
    for timing in ["load_s", "first_token_s", "prefill_tok_s", "decode_tok_s"] {
        assert!(found["timings"][timing].as_f64().unwrap() > 0.0, "{timing}");
    }
    for missing in ["text", "counters", "adapter", "plan", "memory"] {
        assert!(found[missing].is_null(), "{missing} on the CPU without a tokenizer");
    }
}

#[test]
fn generate_on_the_adapter_counts_what_it_does() {
    let args =
        ["generate", "--json", "--tokens", "1,2,3", "--max-new-tokens", "16", "--ignore-eos"];
    let output = pellucid(&args).arg("--model").arg(model("gpt2")).output().unwrap();
    let found = json(&output);
    let counters = &found["counters"];
    assert_eq!(counters["passes_per_token"], 1.0);
    assert_eq!(counters["submits_per_token"], 1.0);
    assert_eq!(counters["readback_bytes_per_token"], 4.0);
    assert_eq!(counters["allocations_per_token"], 0.0);
    assert!(counters["dispatches_per_token"].as_f64().unwrap() > 10.0);
    assert!(counters["weight_bytes_per_token"].as_f64().unwrap() > 1e5);
    assert!(found["adapter"]["name"].is_string() && found["adapter"]["limits"].is_object());
    assert_eq!(found["plan"].as_str().unwrap().len(), 16);
    for part in ["weights", "cache", "activations"] {
        assert!(found["memory"][part].as_u64().unwrap() > 0, "{part}");
    }
}

#[test]
fn what_cannot_be_computed_is_null() {
    let none =
        json(&on_cpu("gpt2", &["generate", "--json", "--tokens", "1", "--max-new-tokens", "0"]));
    assert_eq!(none["tokens"], serde_json::json!([]));
    assert!(none["timings"]["first_token_s"].is_null());
    let one =
        json(&on_cpu("gpt2", &["generate", "--json", "--tokens", "1", "--max-new-tokens", "1"]));
    assert!(one["timings"]["decode_tok_s"].is_null());
    assert!(one["timings"]["prefill_tok_s"].is_f64());
    let single = json(&on_cpu("gpt2", &["score", "--json", "--tokens", "1"]));
    assert_eq!(single["logprobs"], serde_json::json!([]));
    assert!(single["perplexity"].is_null() && single.get("top").is_none());
}

#[test]
fn a_full_context_ends_the_text() {
    let args = ["generate", "--json", "--tokens", "1,2,3", "--context", "8", "--ignore-eos"];
    let found = json(&on_cpu("gpt2", &args));
    assert_eq!(found["finish"], "context");
    assert_eq!(found["tokens"].as_array().unwrap().len(), 6);
}

#[test]
fn a_seed_repeats_and_none_differs() {
    let draw = |more: &[&str]| {
        let args = ["generate", "--json", "--tokens", "1,2", "--temperature", "1.5"];
        json(&on_cpu("llama", &[&args, more].concat()))
    };
    let (a, b) = (draw(&["--seed", "7"]), draw(&["--seed", "7"]));
    assert_eq!((&a["tokens"], &a["seed"]), (&b["tokens"], &b["seed"]));
    let (a, b) = (draw(&[]), draw(&[]));
    assert_ne!((&a["tokens"], &a["seed"]), (&b["tokens"], &b["seed"]));
    let again = draw(&["--seed", &a["seed"].to_string()]);
    assert_eq!(again["tokens"], a["tokens"]);
}

#[test]
fn log_probabilities_come_with_the_tokens() {
    let args =
        ["generate", "--json", "--tokens", "1,2", "--max-new-tokens", "3", "--logprobs", "2"];
    let found = json(&on_cpu("llama", &args));
    let rows = found["logprobs"].as_array().unwrap();
    let tokens = found["tokens"].as_array().unwrap();
    assert_eq!((rows.len(), tokens.len()), (3, 3));
    for (row, token) in rows.iter().zip(tokens) {
        assert_eq!(&row["token"], token);
        assert_eq!(row["top"].as_array().unwrap().len(), 2);
        // Greedily, the token is the most probable one.
        assert_eq!(row["top"][0], serde_json::json!([row["token"], row["logprob"]]));
    }
}

#[test]
fn ids_come_from_standard_input_too() {
    let mut command =
        pellucid(&["score", "--json", "--tokens", "-", "--backend", "cpu", "--model"]);
    command.arg(model("gpt2"));
    let found = json(&with_input(command, b"5, 6,7\n"));
    assert_eq!(found["tokens"], serde_json::json!([5, 6, 7]));
}

#[test]
fn without_json_the_ids_stand_in_for_missing_text() {
    let output = on_cpu("gpt2", &["generate", "--tokens", "1,2,3", "--max-new-tokens", "3"]);
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(text.trim_end().split(',').count(), 3, "{text}");
    assert!(stderr(&output).contains("3 tokens (length)"), "{}", stderr(&output));
}

#[test]
fn adapters_are_listed_with_what_decides() {
    let found = json(&pellucid(&["adapters", "--json"]).output().unwrap());
    let adapters = found["adapters"].as_array().unwrap();
    assert!(!adapters.is_empty(), "this test needs an adapter");
    for (index, adapter) in adapters.iter().enumerate() {
        assert_eq!(adapter["index"], index);
        for text in ["name", "backend", "type", "driver"] {
            assert!(adapter[text].is_string(), "{text}");
        }
        assert!(adapter["features"].is_array() && adapter["limits"].is_object());
    }
}

#[test]
fn bench_measures_what_fits_on_the_adapter() {
    let args = ["bench", "--json", "--runs", "2", "--only", "pp128", "--only", "tg64"];
    let found = json(&on_cpu("qwen3", &args));
    assert!(found["pp128"].is_null() && found["ceilings"].is_null() && found["counters"].is_null());

    let output = pellucid(&["bench", "--json", "--only", "ceilings"]).output().unwrap();
    let found = json(&output);
    let ceilings = &found["ceilings"];
    let rate = |value: &Value| {
        let rate = value.as_f64().unwrap();
        assert!(rate.is_finite() && rate > 0.0, "{ceilings}");
        rate
    };
    rate(&ceilings["gflop_s"]);
    // Unpacking f32 does what reading does.
    let ratio = rate(&ceilings["unpack_gb_s"]["f32"]) / rate(&ceilings["read_gb_s"]);
    assert!((0.1..10.0).contains(&ratio), "{ceilings}");
    for format in ["f16", "bf16", "q8_0", "q4_0", "q4_1"] {
        rate(&ceilings["unpack_gb_s"][format]);
    }
}
