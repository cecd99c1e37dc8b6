//! Looking inside, compared with what TransformerLens says about the same models: every value, edits,
//! ablations, patches, scores of heads, the lens and attributions. `tests/golden/inspect/make.py` says
//! how the files were made and what they hold.

use std::path::{Path, PathBuf};

use pellucid::checkpoint::{NamedTensor, TensorFile};
use pellucid::config::Config;
use pellucid::generate::{Backend, Llm};
use pellucid::hook::{Hook, Point};
use pellucid::inspect::{
    AttributeOptions, Direction, EditText, HeadOptions, Instead, LensOptions, Metric, Parts,
    PatchOptions, Pieces, Steering, Tensors, ablate, attribute, heads, lens, patch,
    write_directions,
};
use pellucid::measure::relative_error;
use pellucid::model::{Edit, actions, hooks, named, shape};
use pollster::block_on;

use super::common::{backend, ids, numbers, read_json};
use super::inspect::llm;

/// The error that is allowed, as a share of a tensor's norm.
const TOLERANCE: f64 = 1e-4;

/// The positions whose logits the files have under an edit.
const EDITED: [usize; 2] = [3, 7];

const MODELS: [&str; 4] = ["gpt2", "llama", "qwen3", "gemma3"];

/// What TransformerLens says about a model.
struct Golden {
    name: &'static str,
    path: PathBuf,
    file: TensorFile,
    tokens: Vec<u32>,
    answer: u32,
    versus: u32,
}

impl Golden {
    fn open(name: &'static str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inspect");
        let path = folder.join(format!("{name}.safetensors"));
        let file = TensorFile::open(&path).unwrap();
        let metric = whole(&file.tensor("metric").unwrap());
        let tokens = whole(&file.tensor("tokens").unwrap());
        Self { name, path, file, tokens, answer: metric[0], versus: metric[1] }
    }

    fn tensor(&self, name: &str) -> NamedTensor {
        self.file.tensor(name).unwrap()
    }

    /// The names that follow a prefix.
    fn under(&self, prefix: &str) -> Vec<String> {
        let names = self.file.names().into_iter();
        let names: Vec<String> =
            names.filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect();
        assert!(!names.is_empty(), "{} has nothing under {prefix}", self.name);
        names
    }

    fn metric(&self, name: &str) -> Metric {
        match name {
            "loss" => Metric::Loss,
            "logit_diff" => Metric::LogitDifference { answer: self.answer, versus: self.versus },
            other => panic!("no metric is called {other}"),
        }
    }

    /// Fails unless the values are those of this name, to the tolerance.
    fn check(&self, name: &str, found: &[f64]) {
        let expected = self.tensor(name).values;
        let error = relative_error(found, &expected);
        assert!(error <= TOLERANCE, "{}: {name} is off by {error:.1e}", self.name);
    }
}

/// Whole numbers, which the files hold as f32.
fn whole(tensor: &NamedTensor) -> Vec<u32> {
    tensor.values.iter().map(|value| *value as u32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}

/// The name of the golden that a value has.
fn golden_of(config: &Config, hook: Hook) -> String {
    let theirs = match hook {
        // The stream as a sub-layer reads it is a copy of the stream.
        Hook::AttnIn(layer) => Hook::ResidPre(layer),
        Hook::MlpIn(layer) if config.parallel => Hook::ResidPre(layer),
        Hook::MlpIn(layer) => Hook::ResidMid(layer),
        own => own,
    };
    format!("values/{theirs}")
}

/// Every value of the model, and its logits.
fn values(golden: &Golden, llm: &mut Llm) {
    let (config, count) = (llm.config().clone(), golden.tokens.len());
    let reads = actions(&[], hooks(&config));
    let all: Vec<usize> = (0..count).collect();
    let seen = block_on(llm.observe(&golden.tokens, &reads, &all)).unwrap();
    golden.check("logits", &wide(&seen.logits));
    let mut compared = Vec::new();
    for activation in &seen.activations {
        let hook = activation.hook;
        let expected = golden.tensor(&golden_of(&config, hook));
        assert_eq!(activation.shape, expected.shape, "{}: {hook}", golden.name);
        assert_eq!(activation.shape, shape(&config, hook, count, count));
        // What the mask hides is −∞ here and the lowest number there.
        let pairs = activation.values.iter().zip(&expected.values);
        let (found, expected): (Vec<f64>, Vec<f64>) = pairs
            .filter(|(found, expected)| {
                let hidden = **found == f32::NEG_INFINITY;
                assert_eq!(hidden, **expected < -1e30, "{}: {hook} is masked alike", golden.name);
                !hidden
            })
            .map(|(found, expected)| (f64::from(*found), f64::from(*expected)))
            .unzip();
        let error = relative_error(&found, &expected);
        assert!(error <= TOLERANCE, "{}: {hook} is off by {error:.1e}", golden.name);
        compared.push(hook.to_string());
    }
    for name in golden.under("values/") {
        assert!(compared.contains(&name), "{}: {name} is not compared", golden.name);
    }
    assert_eq!(compared.len(), hooks(&config).len(), "{}: every value", golden.name);
}

/// The edits of a golden's name.
fn edits_of(golden: &Golden, config: &Config, text: &str) -> Vec<(Hook, Edit)> {
    let text = text.replace("FILE", golden.path.to_str().unwrap());
    let edit: EditText = text.parse().unwrap();
    edit.resolve(config, golden.tokens.len(), &mut Tensors::default()).unwrap()
}

fn edits(golden: &Golden, llm: &mut Llm) {
    let config = llm.config().clone();
    let logits = golden.tensor("logits").values;
    let plain = EDITED.map(|row| logits[row * config.vocab..][..config.vocab].to_vec()).concat();
    for text in golden.under("edit/") {
        let actions = actions(&edits_of(golden, &config, &text), []);
        let found = block_on(llm.observe(&golden.tokens, &actions, &EDITED)).unwrap().logits;
        let expected = golden.tensor(&format!("edit/{text}")).values;
        golden.check(&format!("edit/{text}"), &wide(&found));
        // What the edit does may be far less than the logits.
        let gap = |other: &[f32]| -> f64 {
            let gap = expected.iter().zip(other).map(|(a, b)| f64::from(a - b));
            length(&gap.collect::<Vec<f64>>())
        };
        let (off, moved) = (gap(&found), gap(&plain));
        assert!(off <= 0.01 * moved, "{}: {text}: {off:.1e} of {moved:.1e}", golden.name);
    }
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn ablations(golden: &Golden, llm: &mut Llm) {
    for name in golden.under("ablate/") {
        let parts: Vec<&str> = name.split('/').collect();
        let [what, how, metric] = parts[..] else { continue };
        let what = match what {
            "head" => Parts::Heads,
            "attn" => Parts::Attention,
            "mlp" => Parts::Mlps,
            "layer" => Parts::Layers,
            other => panic!("no part is called {other}"),
        };
        let instead = if how == "zero" { Instead::Zero } else { Instead::Mean(&[]) };
        let measure = golden.metric(metric);
        let sweep = ablate(llm, &golden.tokens, &[], (what, instead), measure, |_, _| {});
        let found = block_on(sweep).unwrap();
        golden.check(&format!("ablate/baseline/{metric}"), &[found.baseline]);
        golden.check(&format!("ablate/{name}"), &found.values.concat());
    }
}

fn patches(golden: &Golden, llm: &mut Llm) {
    let corrupted = whole(&golden.tensor("corrupted"));
    for name in golden.under("patch/") {
        let Some((what, by)) = name.split_once('/') else { continue };
        let Some(hook) = Hook::spelled(&format!("{what}.0"), 1).first().copied() else {
            panic!("no value is called {what}")
        };
        let by = match by {
            "position" => Pieces::Positions,
            "head" => Pieces::Heads,
            "head-position" => Pieces::HeadsAndPositions,
            other => panic!("no pieces are called {other}"),
        };
        let options = PatchOptions { point: hook.point(), by };
        let texts = [&golden.tokens[..], &corrupted];
        let metric = golden.metric("logit_diff");
        let found = block_on(patch(llm, texts, &[], options, metric, |_, _| {})).unwrap();
        let expected = golden.tensor(&format!("patch/{name}"));
        assert_eq!(found.shape, expected.shape, "{}: {name}", golden.name);
        golden.check(&format!("patch/{name}"), &found.values);
        golden.check("patch/clean", &[found.clean]);
        golden.check("patch/corrupted", &[found.corrupted]);
    }
}

fn scores(golden: &Golden, llm: &mut Llm) {
    let seed = u64::from(whole(&golden.tensor("heads/seed"))[0]);
    let found = block_on(heads(llm, &[], HeadOptions { period: 6, seed })).unwrap();
    assert_eq!(found.tokens, whole(&golden.tensor("heads/tokens")), "{}", golden.name);
    for (name, values) in [
        ("previous", &found.previous),
        ("duplicate", &found.duplicate),
        ("induction", &found.induction),
        ("current", &found.current),
        ("first", &found.first),
        ("prefix_matching", &found.prefix_matching),
        ("copying_olsson", &found.copying_olsson),
    ] {
        golden.check(&format!("heads/{name}"), &values.concat());
    }
}

fn lenses(golden: &Golden, llm: &mut Llm) {
    let options = LensOptions { top: 3, target: Some(golden.answer), positions: None };
    let found = block_on(lens(llm, &golden.tokens, &[], &options)).unwrap();
    let layers = llm.config().layers;
    let labels = (0..layers).flat_map(|layer| [format!("{layer}_pre"), format!("{layer}_mid")]);
    let labels: Vec<String> = labels.chain(["final_post".to_owned()]).collect();
    assert_eq!(found.labels, labels, "{}", golden.name);
    let all: Vec<_> = found.readings.iter().flatten().collect();
    let of = |get: fn(&pellucid::inspect::Reading) -> f64| -> Vec<f64> {
        all.iter().map(|reading| get(reading)).collect()
    };
    golden.check("lens/entropy", &of(|reading| reading.entropy));
    golden.check("lens/kl", &of(|reading| reading.kl));
    let ranks: Vec<u32> = all.iter().map(|reading| reading.rank.unwrap() as u32).collect();
    assert_eq!(ranks, whole(&golden.tensor("lens/rank")), "{}", golden.name);
    let top = || all.iter().flat_map(|reading| &reading.top);
    let tops: Vec<u32> = top().map(|(id, _)| *id).collect();
    assert_eq!(tops, whole(&golden.tensor("lens/top_ids")), "{}", golden.name);
    let logprobs: Vec<f64> = top().map(|(_, logprob)| f64::from(*logprob)).collect();
    golden.check("lens/top_logprobs", &logprobs);
}

fn attributions(golden: &Golden, llm: &mut Llm) {
    let config = llm.config().clone();
    let neurons = golden.tensor("attribute/neurons");
    let options = AttributeOptions {
        answer: golden.answer,
        versus: Some(golden.versus),
        position: None,
        neurons: neurons.values.len(),
    };
    let found = block_on(attribute(llm, &golden.tokens, &[], &options)).unwrap();
    let mut names = vec!["embed".to_owned()];
    names.extend(hooks(&config).contains(&Hook::PosEmbed).then(|| "pos_embed".to_owned()));
    names
        .extend((0..config.layers).flat_map(|l| [format!("{l}_attn_out"), format!("{l}_mlp_out")]));
    names.push("bias".to_owned());
    let (labels, values): (Vec<String>, Vec<f64>) = found.components.into_iter().unzip();
    assert_eq!(labels, names, "{}", golden.name);
    golden.check("attribute/components", &values);
    golden.check("attribute/heads", &found.heads.concat());
    golden.check("attribute/logit", &[found.logit]);
    let expected = f64::from(golden.tensor("attribute/logit").values[0]);
    let size = length(&values);
    assert!((found.total - expected).abs() <= TOLERANCE * size, "{}", golden.name);
    let mut all = vec![0.0; neurons.values.len()];
    for (layer, neuron, value) in &found.neurons {
        all[layer * neurons.shape[1] + neuron] = *value;
    }
    golden.check("attribute/neurons", &all);
    let sizes: Vec<f64> = found.neurons.iter().map(|(_, _, value)| value.abs()).collect();
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{}: the largest first", golden.name);
    // Half of them are the first half.
    let options = AttributeOptions { neurons: 5, ..options };
    let few = block_on(attribute(llm, &golden.tokens, &[], &options)).unwrap().neurons;
    assert_eq!(few, found.neurons[..5], "{}", golden.name);
}

/// TransformerLens 4's own names mean the values that it has under them.
fn spellings(golden: &Golden, llm: &mut Llm) {
    let config = llm.config();
    let folder = golden.path.parent().unwrap();
    let all = read_json(&folder.join("names.json"));
    for (theirs, classic) in all[golden.name].as_object().unwrap() {
        let classic: Vec<&str> =
            classic.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
        // Not every value of TransformerLens 4 is offered.
        if let Ok(found) = named(config, theirs) {
            let found = found.iter().map(|hook| golden_of(config, *hook).replace("values/", ""));
            let found: Vec<String> = found.collect();
            let fits = matches!(&found[..], [one] if classic.contains(&one.as_str()));
            assert!(fits, "{}: {theirs} is {classic:?}, not {found:?}", golden.name);
        }
    }
    // And it has every name that is offered as one of its own.
    let after = |name: &str| -> String {
        let inside = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        inside.map_or(name, |(_, name)| name).to_owned()
    };
    let models = all.as_object().unwrap().values();
    let theirs: Vec<String> = models
        .flat_map(|names| names.as_object().unwrap().keys())
        .map(|name| after(name))
        .collect();
    for hook in hooks(config) {
        for name in hook.aliases().into_iter().filter(|name| name.contains("hook_")) {
            let own = after(&name);
            let known = theirs.contains(&own) || Point::all().any(|point| point.name() == own);
            assert!(known, "{}: TransformerLens has no {name} for {hook}", golden.name);
        }
    }
}

type Part = fn(&Golden, &mut Llm);

/// All of it in one session, since each one makes its pipelines anew.
fn everything(backend: &Backend) {
    let parts: [Part; 8] =
        [spellings, values, edits, ablations, patches, scores, lenses, attributions];
    for name in MODELS {
        let golden = Golden::open(name);
        let mut llm = llm(name, backend.clone());
        for part in parts {
            part(&golden, &mut llm);
        }
    }
}

#[test]
fn the_device_says_what_transformer_lens_says() {
    everything(&backend());
}

#[test]
fn the_reference_says_what_transformer_lens_says() {
    everything(&Backend::Cpu);
}

/// llama.cpp adds `direction.N` to what layer N gives; `control_vector.py` says how the file was made.
#[test]
fn control_vectors_steer_as_in_llama_cpp() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/inspect/control_vector.json");
    let golden = read_json(&file);
    let tokens = ids(&golden["tokens"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.gguf");
    let vectors = golden["vectors"].as_array().unwrap();
    let direction = |(layer, values): (usize, &serde_json::Value)| Direction {
        layer,
        values: numbers(values).iter().map(|x| *x as f32).collect(),
        norm: 1.0,
        separation: None,
    };
    let directions: Vec<Direction> = (1..).zip(vectors).map(direction).collect();
    write_directions(&path, "gemma3", &directions).unwrap();
    for backend in [backend(), Backend::Cpu] {
        let mut llm = llm("gguf-gemma3", backend);
        let mut logits = |layers: String| {
            let steering: Steering = format!("{}{layers}", path.display()).parse().unwrap();
            let edits = steering.edits(llm.config()).unwrap();
            wide(&block_on(llm.observe_last(&tokens, &edits, &[])).unwrap().logits)
        };
        for case in golden["cases"].as_array().unwrap() {
            let expected = numbers(&case["logits"]);
            let range = format!("@{}-{}", case["first"], case["last"]);
            // Its keys and values are f16.
            let error = relative_error(&logits(range.clone()), &expected);
            println!("control vectors {range}: {error:.1e}");
            assert!(error <= 1e-2, "{range} is off by {error:.1e}");
        }
        let all = numbers(&golden["cases"][0]["logits"]);
        assert!(relative_error(&logits(String::new()), &all) <= 1e-2, "all layers of the file");
        let other =
            relative_error(&logits("@1-2".to_owned()), &numbers(&golden["cases"][1]["logits"]));
        assert!(other > 0.1, "other layers do something else: {other:.1e}");
    }
}
