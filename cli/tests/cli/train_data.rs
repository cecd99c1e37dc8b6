//! What runs on the machine's adapter learn from: documents, conversations, ids, and models that have
//! learned before.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::train::{Run, SMALL};
use super::{failure, json as report, pellucid, stderr};

const END: &str = "<|endoftext|>";

/// Three words at a time, always followed by the end of a text.
fn stories(count: usize) -> String {
    let name = |i: usize| ["Ann", "Bob", "Sue"][i * i % 3];
    (0..count).map(|i| format!("{} ran.{END}", name(i))).collect()
}

/// A tokenizer of bytes with these special tokens; the first one begins a text.
fn tokenizer(path: &Path, special: &[&str]) {
    let mut command = pellucid(&["tokenizer", "train", "--kind", "bytes", "-o"]);
    command.arg(path).arg(path.with_file_name("text"));
    for name in special {
        command.args(["--special-token", name]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let mut file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let id = json!([file["added_tokens"][0]["id"]]);
    file["post_processor"] = json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": special[0], "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {special[0]: {"id": special[0], "ids": id, "tokens": [special[0]]}}
    });
    fs::write(path, file.to_string()).unwrap();
}

/// How probable a text is to a model of this run, with more options.
fn score(run: &Run, model: &str, text: &str, options: &[&str]) -> Value {
    fs::write(run.place("scored"), text).unwrap();
    let mut command = pellucid(&["score", "--json", "--backend", "cpu"]);
    command.arg(run.place("scored")).arg("--model").arg(run.place(model)).args(options);
    report(&command.output().unwrap())
}

/// The token that ends a text counts as one, is learned, and is counted.
#[test]
fn the_end_of_a_text_is_learned_on_the_adapter() {
    let run = Run::new();
    fs::write(run.place("text"), stories(90)).unwrap();
    let options = [&SMALL[..], &["--steps", "60", "--seed", "1"]].concat();
    let output = run.command("run", &options).output().unwrap();
    report(&output);
    let told = stderr(&output);
    assert!(told.contains("special tokens in the text: <|endoftext|> (90 times)"), "{told}");
    assert!(told.contains("729 training tokens, 81 validation tokens"), "{told}");
    let found = score(&run, "run/model", &format!("Ann ran.{END}"), &["--special"]);
    assert_eq!(found["tokens"].as_array().unwrap().len(), 9);
    let end = found["logprobs"].as_array().unwrap().last().unwrap().as_f64().unwrap();
    assert!(end.exp() > 0.5, "P(end) is {}", end.exp());
    // What is written stops there.
    let mut command = pellucid(&["generate", "--json", "--backend", "cpu", "--temperature", "0"]);
    command.args(["--max-new-tokens", "30", "Bob"]).arg("--model").arg(run.place("run/model"));
    let written = report(&command.output().unwrap());
    assert_eq!((&written["text"], &written["finish"]), (&" ran.".into(), &"eos".into()));
    let config = String::from_utf8(run.read("run/model/tokenizer_config.json")).unwrap();
    assert!(config.contains("\"eos_token\": \"<|endoftext|>\""), "{config}");
    // As text it is thirteen characters, and that is said.
    let plain = [&options[..], &["--no-special"]].concat();
    let output = run.command("plain", &plain).output().unwrap();
    report(&output);
    let told = stderr(&output);
    assert!(told.contains("1,701 training tokens, 189 validation tokens"), "{told}");
    let (bytes, own) = (run.place("bytes.json"), ["<s>", END]);
    fs::write(run.place("text"), "<s>".to_owned() + &stories(90)).unwrap();
    tokenizer(&bytes, &own);
    let with = |options: &[&str]| {
        let mut command = run.command("with", &SMALL);
        command.args(["--steps", "1", "--tokenizer"]).arg(&bytes).args(options);
        let output = command.output().unwrap();
        report(&output);
        fs::remove_dir_all(run.place("with")).unwrap();
        stderr(&output)
    };
    let told = with(&[]);
    assert!(told.contains("treated as plain text: <s> (1 times)"), "{told}");
    let told = with(&["--special"]);
    assert!(told.contains("<s> (1 times)") && !told.contains("treated as plain text"), "{told}");
}

/// A token that use puts before a text is in the training data, or is not put there in use.
#[test]
fn the_beginning_of_a_text_is_learned_on_the_adapter_or_left_out() {
    let run = Run::new();
    let sizes = ["--family", "llama", "--steps", "60", "--seed", "1"];
    let learn = |output: &str, text: &str| {
        fs::write(run.place("text"), text).unwrap();
        let path = run.place("bos.json");
        tokenizer(&path, &["<s>", END]);
        let mut command = run.command(output, &[&SMALL[..], &sizes].concat());
        let output = command.arg("--tokenizer").arg(path).output().unwrap();
        report(&output);
        stderr(&output)
    };
    let perplexity = |model: &str, options: &[&str]| {
        score(&run, model, "Ann ran.", options)["perplexity"].as_f64().unwrap().ln()
    };
    // One document: too few to learn what the token means.
    let told = learn("one", &stories(90).replace(END, "\n"));
    assert!(told.contains("the training data has 1 of them, too few"), "{told}");
    let found = score(&run, "one/model", "Ann ran.", &[]);
    assert_eq!(found["tokens"].as_array().unwrap().len(), 8, "no token before the text");
    assert_eq!(perplexity("one/model", &[]), perplexity("one/model", &["--no-bos"]));
    // Many: each begins with it, in training as in use.
    let told = learn("many", &stories(90));
    assert!(told.contains("810 training tokens, 90 validation tokens"), "{told}");
    let found = score(&run, "many/model", "Ann ran.", &[]);
    assert_eq!(found["tokens"].as_array().unwrap().len(), 9);
    let [with, without] = [&[][..], &["--no-bos"]].map(|more| perplexity("many/model", more));
    assert!(with < without + 0.2 && with < 1.5, "{with} with it, {without} without");
    let config = String::from_utf8(run.read("many/model/tokenizer_config.json")).unwrap();
    assert!(config.contains("\"bos_token\": \"<s>\""), "{config}");
}

#[test]
fn ids_of_32_bits_are_read_as_such_on_the_adapter() {
    let run = Run::new();
    tokenizer(&run.place("t.json"), &[END]);
    let ids: Vec<u32> = (0..300).map(|i| i * 7 % 250).collect();
    let learn = |size: usize, output: &str| {
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()[..size].to_vec()).collect();
        fs::write(run.place("ids.bin"), bytes).unwrap();
        let mut command = run.on("ids.bin", output, &SMALL);
        let command = command.args(["--steps", "1", "--tokenizer"]).arg(run.place("t.json"));
        let output = command.output().unwrap();
        report(&output);
        stderr(&output)
    };
    for (size, output) in [(4, "long"), (2, "short")] {
        let told = learn(size, output);
        assert!(told.contains("270 training tokens, 30 validation tokens"), "{told}");
        assert_eq!(told.contains("ids of 32 bits"), size == 4, "{told}");
    }
    fs::write(run.place("ids.bin"), [44, 1, 1, 0]).unwrap();
    let mut command = run.on("ids.bin", "other", &SMALL);
    command.args(["--steps", "1", "--tokenizer"]).arg(run.place("t.json"));
    let error = failure(&command.output().unwrap());
    assert!(error.contains("holds token 300, but the model's vocabulary has 257"), "{error}");
}

/// Lines of JSON: documents for a new model, conversations for one with a chat template.
#[test]
fn documents_and_conversations_of_json_lines_are_learned_on_the_adapter() {
    let run = Run::new();
    let lines: String = (0..60)
        .map(|i| format!("{}\n", json!({"text": (["Ann ran.", "Bob sat."][i % 2]), "id": i})))
        .collect();
    fs::write(run.place("d.jsonl"), lines).unwrap();
    let options = [&SMALL[..], &["--steps", "60", "--seed", "1"]].concat();
    let output = run.on("d.jsonl", "run", &options).output().unwrap();
    report(&output);
    let told = stderr(&output);
    assert!(told.contains("60 documents") && told.contains("not used: id (60 times)"), "{told}");
    assert!(told.contains("486 training tokens, 54 validation tokens"), "{told}");
    // A template, which the exported folder may have.
    let model = run.place("run/model");
    let template = "{% for m in messages %}{{ m.content }}<|endoftext|>{% endfor %}";
    fs::write(model.join("chat_template.jinja"), template).unwrap();
    let talk = |user: &str, answer: &str| {
        json!({"messages": [{"role": "user", "content": user},
            {"role": "assistant", "content": answer}]})
    };
    let talks = [talk("Ann", "sat."), talk("Bob", "ran.")];
    let lines: String = (0..40).map(|i| format!("{}\n", talks[i % 2])).collect();
    fs::write(run.place("t.jsonl"), lines).unwrap();
    let from = model.display().to_string();
    let tune =
        ["--from", &from, "--batch", "4", "--steps", "60", "--lr", "1e-2", "--context", "16"];
    let output = run.on("t.jsonl", "tuned", &tune).output().unwrap();
    report(&output);
    let told = stderr(&output);
    assert!(told.contains("0 documents, 40 conversations"), "{told}");
    let asked = |message: &str| {
        let mut command = pellucid(&["chat", "--json", "--backend", "cpu", "--temperature", "0"]);
        command.args(["--max-new-tokens", "9"]).arg("--model").arg(run.place("tuned/model"));
        let answer = report(&super::with_input(command, format!("{message}\n").as_bytes()));
        (answer["text"].clone(), answer["finish"].clone())
    };
    assert_eq!(asked("Ann"), ("sat.".into(), "eos".into()));
    assert_eq!(asked("Bob"), ("ran.".into(), "eos".into()));
    // The loss is over five tokens of each conversation, and over all but the first with all.
    let all = [&tune[..], &["--loss-on", "all"]].concat();
    let output = run.on("t.jsonl", "all", &all).output().unwrap();
    report(&output);
    let first = |name: &str| {
        let log = String::from_utf8(run.read(&format!("{name}/log.jsonl"))).unwrap();
        serde_json::from_str::<Value>(log.lines().next().unwrap()).unwrap()["valid_loss"].clone()
    };
    assert_ne!(first("tuned"), first("all"));
    fs::write(run.place("t.jsonl"), "{\"messages\": []}\n{\"messages\": [1]}\n").unwrap();
    let error = failure(&run.on("t.jsonl", "wrong", &tune).output().unwrap());
    assert!(error.contains("t.jsonl: line 2: message 1 is not an object"), "{error}");
}

/// The model from before stays the result if training only makes it worse.
#[test]
fn fine_tuning_on_the_adapter_keeps_the_better_model() {
    let run = Run::new();
    let options = [&SMALL[1..], &["--steps", "60", "--seed", "1"]].concat();
    report(&run.command("run", &options).output().unwrap());
    let from = run.place("run/model").display().to_string();
    let tune = |output: &str, rate: &[&str]| {
        let steps = ["--from", &from, "--steps", "6", "--batch", "2", "--save-every", "0"];
        report(&run.command(output, &[&steps[..], rate].concat()).output().unwrap())
    };
    let evaluations = |output: &str| -> Vec<(u64, f64)> {
        let log = String::from_utf8(run.read(&format!("{output}/log.jsonl"))).unwrap();
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let pair = |line: Value| Some((line["step"].as_u64()?, line["valid_loss"].as_f64()?));
        lines.filter_map(pair).collect()
    };
    let worse = tune("worse", &["--lr", "1"]);
    assert_eq!(worse["best_step"], 0);
    let losses = evaluations("worse");
    assert_eq!(losses[0].0, 0);
    assert!(losses.iter().skip(1).all(|loss| loss.1 > losses[0].1), "{losses:?}");
    let tensors = |name: &str| run.read(&format!("{name}/model.safetensors"));
    assert!(tensors("worse/model") == tensors("run/model"), "the model from before");
    let better = tune("better", &["--lr", "1e-3"]);
    assert!(better["best_step"].as_u64().unwrap() > 0, "{better}");
    let losses = evaluations("better");
    assert!(better["valid_loss"].as_f64().unwrap() < losses[0].1, "{losses:?}");
    // The usual rate for a model that has learned is a twentieth of that of a new one.
    tune("usual", &[]);
    let log = String::from_utf8(run.read("usual/log.jsonl")).unwrap();
    let mut rates =
        log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["rate"].clone());
    assert_eq!(rates.find(|rate| !rate.is_null()), Some(5e-5.into()));
}
