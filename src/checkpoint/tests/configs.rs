//! config.json: what its fields mean, and what is rejected.

use serde_json::{Value, json};

use super::folders::{gpt2_config, gpt2_tensors, llama_config, llama_tensors};
use super::{Tensor, counting, folder, refusal, write};
use crate::checkpoint::{Checkpoint, Param};
use crate::config::{Config, Position, Rope, RopeScaling};

fn with(mut config: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    for (key, value) in changes {
        config[key] = value;
    }
    config
}

fn open(config: &Value, tensors: &[Tensor]) -> Config {
    let folder = folder(config, tensors);
    Checkpoint::open(folder.path()).unwrap().config().clone()
}

fn biases(names: &[(&str, usize)]) -> Vec<Tensor> {
    (0..2)
        .flat_map(|layer| {
            names.iter().map(move |(name, width)| {
                counting(format!("model.layers.{layer}.{name}"), &[*width], 0)
            })
        })
        .collect()
}

const QKV: [(&str, usize); 3] =
    [("self_attn.q_proj.bias", 8), ("self_attn.k_proj.bias", 4), ("self_attn.v_proj.bias", 4)];

#[test]
fn rotation_reads_in_its_older_and_newer_form() {
    let llama3 = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    });
    let scaled = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original_context: 16.0 };
    let linear = || RopeScaling::Linear { factor: 2.0 };
    let cases = [
        (json!({}), 1e4, 4, RopeScaling::None),
        (json!({"rope_theta": 5e5, "rope_scaling": null}), 5e5, 4, RopeScaling::None),
        (json!({"rope_theta": 5e5, "rope_scaling": llama3}), 5e5, 4, scaled.clone()),
        (json!({"rope_scaling": {"type": "linear", "factor": 2.0}}), 1e4, 4, linear()),
        (json!({"rope_parameters": with(llama3, json!({"rope_theta": 1e6}))}), 1e6, 4, scaled),
        (
            json!({"rope_parameters": {"rope_type": "default", "rope_theta": 7}}),
            7.0,
            4,
            RopeScaling::None,
        ),
        (
            json!({"rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 2, "rope_theta": 9},
                "sliding_attention": {"rope_type": "linear", "factor": 2, "rope_theta": 9},
            }}),
            9.0,
            4,
            linear(),
        ),
        (json!({"partial_rotary_factor": 0.5}), 1e4, 2, RopeScaling::None),
    ];
    for (changes, base, rotated, scaling) in cases {
        let config = open(&with(llama_config(), changes.clone()), &llama_tensors("model."));
        let expected = Position::Rope(Rope { base, rotated, scaling });
        assert_eq!(config.position, expected, "{changes}");
    }
}

#[test]
fn windows_follow_each_familys_rules() {
    let qwen = |model: &str, changes: Value| {
        let base = json!({"model_type": model, "head_dim": 4, "sliding_window": 8});
        let norms = [("self_attn.q_norm.weight", 4), ("self_attn.k_norm.weight", 4)];
        let extra = if model == "qwen2" { biases(&QKV) } else { biases(&norms) };
        let tensors = [llama_tensors("model."), extra].concat();
        let config = open(&with(with(llama_config(), base), changes), &tensors);
        assert_eq!(config.biases.qkv, model == "qwen2");
        assert_eq!(config.qk_norm, model == "qwen3");
        assert!(!config.biases.out && config.bos.is_none() && config.eos.is_empty());
        config.windows()
    };
    let mistral = |changes: Value| {
        let config = with(llama_config(), json!({"model_type": "mistral"}));
        open(&with(config, changes), &llama_tensors("model.")).windows()
    };
    assert_eq!(mistral(json!({})), [Some(4096); 2]);
    assert_eq!(mistral(json!({"sliding_window": null})), [None; 2]);
    assert_eq!(mistral(json!({"sliding_window": 5})), [Some(5); 2]);
    let kinds = json!(["full_attention", "sliding_attention"]);
    assert_eq!(mistral(json!({"sliding_window": 5, "layer_types": kinds})), [None, Some(5)]);
    for model in ["qwen2", "qwen3"] {
        assert_eq!(qwen(model, json!({})), [None; 2]);
        assert_eq!(qwen(model, json!({"use_sliding_window": true})), [None; 2]);
        let late = json!({"use_sliding_window": true, "max_window_layers": 1});
        assert_eq!(qwen(model, late), [None, Some(8)]);
        let listed =
            json!({"use_sliding_window": true, "max_window_layers": 0, "layer_types": kinds});
        assert_eq!(qwen(model, listed), [None, Some(8)]);
    }
    assert_eq!(open(&llama_config(), &llama_tensors("model.")).windows(), [None; 2]);
}

#[test]
fn biases_and_tying_follow_the_flags() {
    let config = with(
        llama_config(),
        json!({"attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true}),
    );
    let rest = [
        ("self_attn.o_proj.bias", 8),
        ("mlp.gate_proj.bias", 12),
        ("mlp.up_proj.bias", 12),
        ("mlp.down_proj.bias", 8),
    ];
    let mut tensors = [llama_tensors("model."), biases(&QKV), biases(&rest)].concat();
    // The head is stored too, with the embedding's values.
    tensors[2] = Tensor { name: "lm_head.weight".to_owned(), ..tensors[0].clone() };
    let folder = folder(&config, &tensors);
    let model = Checkpoint::open(folder.path()).unwrap();
    assert!(model.config().tied_head && !model.has(Param::Head, 0));
    assert_eq!(model.matrix(Param::GateBias, 1).unwrap().columns, 12);
    let untied = with(gpt2_config(), json!({"tie_word_embeddings": false}));
    let tensors = [gpt2_tensors("transformer."), vec![counting("lm_head.weight", &[5, 4], 0)]];
    assert!(!open(&untied, &tensors.concat()).tied_head);
}

#[test]
fn end_tokens_come_from_either_file() {
    let cases = [
        (json!({}), None, Some(1), vec![2]),
        (json!({"eos_token_id": [5, 3, 99, -1, 3], "bos_token_id": 0}), None, Some(0), vec![3, 5]),
        (json!({"eos_token_id": null, "bos_token_id": null}), None, None, vec![]),
        (json!({"eos_token_id": 77}), None, Some(1), vec![]),
        (json!({}), Some(json!({"eos_token_id": [4, 5], "bos_token_id": 3})), Some(3), vec![4, 5]),
        (json!({"eos_token_id": 4}), Some(json!({"eos_token_id": null})), Some(1), vec![4]),
    ];
    for (changes, generation, bos, eos) in cases {
        let folder = folder(&with(llama_config(), changes.clone()), &llama_tensors("model."));
        if let Some(generation) = generation {
            write(folder.path(), "generation_config.json", generation.to_string());
        }
        let config = Checkpoint::open(folder.path()).unwrap().config().clone();
        assert_eq!((config.bos, config.eos), (bos, eos), "{changes}");
    }
}

#[test]
fn a_family_is_known_by_its_class_too() {
    let config =
        with(llama_config(), json!({"model_type": null, "architectures": ["LlamaForCausalLM"]}));
    assert_eq!(open(&config, &llama_tensors("model.")).architecture, "llama");
}

#[test]
fn impossible_configurations_are_refused_by_field() {
    let unknown = json!({"rope_scaling": {"rope_type": "proportional", "factor": 2.0}});
    let mixed = json!({"rope_parameters": {"a": {"rope_theta": 1}, "b": {"rope_theta": 2}}});
    let bare = json!({"rope_scaling": {"rope_type": "llama3", "factor": 2.0}});
    let llama = [
        (
            json!({"model_type": "mamba"}),
            "architecture mamba is not supported; supported: gpt2, gpt_neo, gptj, gpt_neox, llama",
        ),
        (json!({"model_type": null}), "model_type is missing"),
        (json!({"hidden_size": 0}), "hidden_size must be a whole number"),
        (json!({"vocab_size": -3}), "vocab_size must be"),
        (json!({"vocab_size": "many"}), "vocab_size must be"),
        (json!({"hidden_size": 1u64 << 62}), "hidden_size must be"),
        (json!({"num_hidden_layers": 1u64 << 40}), "num_hidden_layers must be"),
        (json!({"num_hidden_layers": 2_000_000}), "num_hidden_layers is 2000000"),
        (json!({"num_attention_heads": 3}), "num_attention_heads of 3 does not divide"),
        (json!({"num_key_value_heads": 3}), "num_key_value_heads of 3 does not divide"),
        (json!({"num_attention_heads": 8}), "head_dim rotates 1 of 1"),
        (json!({"head_dim": 5}), "head_dim rotates 5 of 5"),
        (json!({"partial_rotary_factor": 0.25}), "partial_rotary_factor rotates 1 of 4"),
        (json!({"partial_rotary_factor": 2.5}), "partial_rotary_factor must be at most 1"),
        (json!({"rms_norm_eps": 0}), "rms_norm_eps must be a number above 0"),
        (json!({"rope_theta": -1}), "rope_theta must be"),
        (json!({"hidden_act": "relu"}), "hidden_act relu is not supported; supported: gelu, "),
        (json!({"eos_token_id": "x"}), "eos_token_id must be a token id"),
        (json!({"layer_types": ["full_attention"]}), "layer_types lists 1 layers, not 2"),
        (json!({"layer_types": ["full_attention", "x"]}), "layer type x is not supported"),
        (json!({"quantization_config": {"quant_method": "gptq"}}), "gptq quantization"),
        (
            unknown,
            "rotary scaling proportional is not supported; \
             supported: default, linear, dynamic, llama3, yarn, longrope",
        ),
        (mixed, "rope_parameters that differ"),
        (bare, "rope_scaling of type llama3 lacks low_freq_factor"),
    ];
    let gpt2 = [
        (json!({"activation_function": "relu"}), "activation_function relu is not supported"),
        (json!({"scale_attn_weights": false}), "scale_attn_weights false is not supported"),
        (json!({"scale_attn_by_inverse_layer_idx": true}), "scale_attn_by_inverse_layer_idx true"),
        (json!({"add_cross_attention": true}), "add_cross_attention true is not supported"),
        (json!({"n_head": 3}), "n_head of 3 does not divide"),
        (json!({"n_positions": 4}), "wpe.weight: its shape is [3, 4]"),
        (json!({"tie_word_embeddings": false}), "lm_head.weight: is missing"),
    ];
    let llama = llama.map(|case| (llama_config(), llama_tensors("model."), case));
    let gpt2 = gpt2.map(|case| (gpt2_config(), gpt2_tensors("transformer."), case));
    for (config, tensors, (changes, expected)) in llama.into_iter().chain(gpt2) {
        let folder = folder(&with(config, changes.clone()), &tensors);
        let error = refusal(folder.path());
        assert!(error.contains(expected), "{changes}: {error}");
        assert!(error.contains(&*folder.path().to_string_lossy()), "{changes}: {error}");
    }
}

#[test]
fn broken_json_is_refused() {
    let folder = folder(&llama_config(), &llama_tensors("model."));
    let bomb = "[".repeat(100_000);
    for text in ["", "{", "[]", "{\"a\": 1e", bomb.as_str()] {
        write(folder.path(), "config.json", text);
        let error = refusal(folder.path());
        assert!(error.contains("config.json: is not valid JSON"), "{error}");
    }
}
