//! Folders in Hugging Face's layout.

use std::path::Path;

use serde_json::{Value, json};

use super::{Tensor, as_kind, counting, folder, refusal, safetensors, write};
use crate::checkpoint::{Checkpoint, Param};
use crate::files::Files;
use crate::format::Format;
use crate::tokenizer::{Encode, Tokenizer};

/// A Llama of two layers: C 8, H 2, K 1, D 4, F 12, V 6.
pub(super) fn llama_config() -> Value {
    json!({
        "model_type": "llama", "vocab_size": 6, "hidden_size": 8, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 12,
        "max_position_embeddings": 32,
    })
}

pub(super) fn llama_tensors(prefix: &str) -> Vec<Tensor> {
    let mut tensors = vec![
        counting(format!("{prefix}embed_tokens.weight"), &[6, 8], 0),
        counting(format!("{prefix}norm.weight"), &[8], 1),
        counting("lm_head.weight", &[6, 8], 2),
    ];
    for layer in 0..2 {
        for (name, shape) in [
            ("input_layernorm", [8].as_slice()),
            ("post_attention_layernorm", &[8]),
            ("self_attn.q_proj", &[8, 8]),
            ("self_attn.k_proj", &[4, 8]),
            ("self_attn.v_proj", &[4, 8]),
            ("self_attn.o_proj", &[8, 8]),
            ("mlp.gate_proj", &[12, 8]),
            ("mlp.up_proj", &[12, 8]),
            ("mlp.down_proj", &[8, 12]),
        ] {
            let start = 10 * (tensors.len() + 1);
            tensors.push(counting(format!("{prefix}layers.{layer}.{name}.weight"), shape, start));
        }
    }
    tensors
}

/// A GPT-2 of one layer: C 4, H 2, context 3, F 16, V 5, with the buffers of old files.
pub(super) fn gpt2_config() -> Value {
    json!({
        "model_type": "gpt2", "vocab_size": 5, "n_embd": 4, "n_layer": 1, "n_head": 2,
        "n_positions": 3, "eos_token_id": 4, "bos_token_id": 4,
    })
}

pub(super) fn gpt2_tensors(prefix: &str) -> Vec<Tensor> {
    [
        ("wte.weight", [5, 4].as_slice()),
        ("wpe.weight", &[3, 4]),
        ("h.0.ln_1.weight", &[4]),
        ("h.0.ln_1.bias", &[4]),
        ("h.0.attn.c_attn.weight", &[4, 12]),
        ("h.0.attn.c_attn.bias", &[12]),
        ("h.0.attn.bias", &[1, 1, 3, 3]),
        ("h.0.attn.c_proj.weight", &[4, 4]),
        ("h.0.attn.c_proj.bias", &[4]),
        ("h.0.ln_2.weight", &[4]),
        ("h.0.ln_2.bias", &[4]),
        ("h.0.mlp.c_fc.weight", &[4, 16]),
        ("h.0.mlp.c_fc.bias", &[16]),
        ("h.0.mlp.c_proj.weight", &[16, 4]),
        ("h.0.mlp.c_proj.bias", &[4]),
        ("ln_f.weight", &[4]),
        ("ln_f.bias", &[4]),
    ]
    .into_iter()
    .map(|(name, shape)| counting(format!("{prefix}{name}"), shape, 0))
    .collect()
}

fn count_from(start: usize, count: usize) -> Vec<f32> {
    (start..start + count).map(|i| i as f32).collect()
}

#[test]
fn llama_reads_with_and_without_its_prefix() {
    for prefix in ["model.", ""] {
        let folder = folder(&llama_config(), &llama_tensors(prefix));
        let model = Checkpoint::open(folder.path()).unwrap();
        assert_eq!((model.config().head_width, model.config().kv_width()), (4, 4));
        let down = model.matrix(Param::Down, 1).unwrap();
        assert_eq!(down.name, format!("{prefix}layers.1.mlp.down_proj.weight"));
        assert_eq!((down.rows, down.columns, down.format), (8, 12, Format::F32));
        let norm = model.matrix(Param::FinalNorm, 7).unwrap();
        assert_eq!((norm.rows, norm.columns), (1, 8));
        assert_eq!(norm.values(0..1).unwrap(), count_from(1, 8));
        assert!(norm.values(0..0).unwrap().is_empty());
        let head = model.matrix(Param::Head, 0).unwrap();
        assert_eq!(head.values(2..4).unwrap(), count_from(2 + 16, 16));
        assert!(head.read(4..7).unwrap_err().to_string().contains("has 6 rows"));
        assert!(!model.has(Param::QBias, 0) && !model.has(Param::Q, 2));
        let error = model.matrix(Param::QBias, 0).unwrap_err().to_string();
        assert!(error.contains("QBias, layer 0: not a parameter of this llama model"), "{error}");
        assert!(
            Tokenizer::from_checkpoint(&model).unwrap().is_none() && model.bpe().unwrap().is_none()
        );
    }
}

#[test]
fn gpt2s_matrices_are_transposed_and_split() {
    for (prefix, kind) in [("transformer.", "F32"), ("", "F16"), ("transformer.", "BF16")] {
        let tensors = gpt2_tensors(prefix);
        let tensors: Vec<Tensor> = tensors.iter().map(|tensor| as_kind(tensor, kind)).collect();
        let folder = folder(&gpt2_config(), &tensors);
        let model = Checkpoint::open(folder.path()).unwrap();
        for (third, (weight, bias)) in
            [(Param::Q, Param::QBias), (Param::K, Param::KBias), (Param::V, Param::VBias)]
                .into_iter()
                .enumerate()
        {
            // c_attn's value (i, o) is 12 i + o.
            let weight = model.matrix(weight, 0).unwrap();
            let row = |o: usize| (0..4).map(move |i| (12 * i + 4 * third + o) as f32);
            assert_eq!(weight.values(0..4).unwrap(), (0..4).flat_map(row).collect::<Vec<_>>());
            assert_eq!(weight.values(1..3).unwrap(), (1..3).flat_map(row).collect::<Vec<_>>());
            let bias = model.matrix(bias, 0).unwrap();
            assert_eq!(bias.values(0..1).unwrap(), count_from(4 * third, 4));
        }
        let up = model.matrix(Param::Up, 0).unwrap();
        assert_eq!((up.rows, up.columns), (16, 4));
        assert_eq!(up.values(15..16).unwrap(), [15.0, 31.0, 47.0, 63.0]);
        assert!(model.config().tied_head && !model.has(Param::Head, 0));
    }
}

#[test]
fn attention_only_models_need_no_mlp() {
    for (field, value) in [("attn_only", json!(true)), ("n_inner", json!(0))] {
        let mut config = gpt2_config();
        config[field] = value;
        let mut tensors = gpt2_tensors("transformer.");
        tensors.retain(|tensor| !tensor.name.contains("mlp") && !tensor.name.contains("ln_2"));
        let folder = folder(&config, &tensors);
        let model = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(model.config().mlp.hidden(), 0);
        assert!(!model.has(Param::Up, 0) && !model.has(Param::Norm2Bias, 0));
    }
}

#[test]
fn shards_are_found_through_their_index() {
    let folder = folder(&llama_config(), &[]);
    let path = folder.path();
    std::fs::remove_file(path.join("model.safetensors")).unwrap();
    let tensors = llama_tensors("model.");
    let (one, two) = tensors.split_at(7);
    write(path, "a.safetensors", safetensors(one));
    write(path, "b.safetensors", safetensors(two));
    assert!(refusal(path).contains("several *.safetensors"), "{}", refusal(path));

    let mut index = json!({"metadata": {}, "weight_map": {}});
    for (file, tensors) in [("a.safetensors", one), ("b.safetensors", two)] {
        for tensor in tensors {
            index["weight_map"][&tensor.name] = json!(file);
        }
    }
    write(path, "model.safetensors.index.json", index.to_string());
    let model = Checkpoint::open(path).unwrap();
    assert_eq!(model.matrix(Param::Head, 0).unwrap().values(0..1).unwrap(), count_from(2, 8));

    for file in ["../a.safetensors", "/etc/passwd", "..", ""] {
        index["weight_map"]["lm_head.weight"] = json!(file);
        write(path, "model.safetensors.index.json", index.to_string());
        let error = refusal(path);
        assert!(
            error.contains("lm_head.weight") && error.contains("file of this folder"),
            "{error}"
        );
    }
}

#[test]
fn any_single_file_serves() {
    let folder = folder(&llama_config(), &llama_tensors("model."));
    let path = folder.path();
    std::fs::rename(path.join("model.safetensors"), path.join("other.safetensors")).unwrap();
    Checkpoint::open(path).unwrap();
    std::fs::remove_file(path.join("other.safetensors")).unwrap();
    assert!(refusal(path).contains("has no *.safetensors"));
    write(path, "pytorch_model.bin", "");
    assert!(refusal(path).contains("pytorch_model.bin is not supported"));
}

#[test]
fn chat_templates_are_found_in_each_place() {
    let folder = folder(&llama_config(), &llama_tensors(""));
    let path = folder.path();
    let template = || Checkpoint::open(path).unwrap().chat_template().map(str::to_owned);
    assert_eq!(template(), None);
    write(path, "tokenizer_config.json", r#"{"chat_template": "one"}"#);
    assert_eq!(template().as_deref(), Some("one"));
    let named = r#"{"chat_template": [{"name": "x", "template": "y"}, {"name": "default", "template": "two"}]}"#;
    write(path, "tokenizer_config.json", named);
    assert_eq!(template().as_deref(), Some("two"));
    write(path, "chat_template.jinja", "three");
    assert_eq!(template().as_deref(), Some("three"));
}

#[test]
fn what_is_not_there_is_named() {
    for path in ["nowhere.gguf", "/nowhere/at/all", "./nowhere", "owner/model"] {
        let error = refusal(path.as_ref());
        assert_eq!(error, format!("{path}: no such file or folder"));
    }
    let empty = tempfile::TempDir::new().unwrap();
    assert!(refusal(empty.path()).contains("config.json"));
}

/// Files from another source than a disk make the same model, tokenizer included.
#[test]
fn a_model_of_given_files_is_that_of_the_folder() {
    let ids = |checkpoint: &Checkpoint| {
        let tokenizer = Tokenizer::from_checkpoint(checkpoint).unwrap();
        tokenizer.map(|tokenizer| tokenizer.encode("to be", Encode::default()).ok())
    };
    for (folder, only) in [
        ("assets/built_in", None),
        ("tests/golden/models/llama", None),
        ("tests/golden/models/gguf-llama", Some("model.gguf")),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let paths = folder.read_dir().unwrap().map(|item| item.unwrap().path());
        let file = |path: std::path::PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read(path).unwrap())
        };
        let files = paths.filter(|path| only.is_none_or(|only| path.ends_with(only))).map(file);
        let given = Checkpoint::open_files(Files::in_memory("elsewhere", files)).unwrap();
        let own = only.map_or(folder.clone(), |only| folder.join(only));
        let own = Checkpoint::open(&own).unwrap();
        assert_eq!(given.config(), own.config());
        assert_eq!(given.fingerprint().unwrap(), own.fingerprint().unwrap());
        assert_eq!(ids(&given), ids(&own));
    }
    let built_in = ids(&Checkpoint::built_in().unwrap());
    assert!(built_in.flatten().is_some_and(|ids| ids.len() > 1));
    let nothing = Checkpoint::open_files(Files::given("elsewhere", [])).unwrap_err().to_string();
    assert!(nothing.contains("elsewhere") && nothing.contains("config.json"), "{nothing}");
}
