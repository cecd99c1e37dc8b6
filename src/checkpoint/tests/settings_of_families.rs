//! The rows of docs/settings.md about windows, functions and types, and those about GGUF: a setting
//! that a family does not read is told, and so is the spelling that loses.

use serde_json::{Value, json};

use super::folders::{llama_config, llama_tensors};
use super::gguf::llama;
use super::settings::{of_type, read, rope};
use super::{Gguf, Meta, counting, folder};
use crate::checkpoint::Checkpoint;
use crate::config::{Nonlinearity, RopeScaling};

/// The windows of two layers, and what the user is told.
fn windows(model_type: &str, changes: Value) -> (Vec<Option<usize>>, String) {
    let (config, told) = read(&of_type(model_type, changes));
    (config.windows(), told)
}

#[test]
fn a_window_that_a_family_does_not_read_is_told() {
    let changes = json!({"sliding_window": 5, "use_sliding_window": true});
    for family in ["llama", "gpt2", "gpt_neox", "gptj"] {
        let (windows, told) = windows(family, changes.clone());
        assert!(windows.iter().all(Option::is_none), "{family}");
        for name in ["sliding_window 5", "use_sliding_window true"] {
            let note = format!("{name} is not used: models of type {family} do not read it");
            assert!(told.contains(&note), "{told}");
        }
    }
    let kinds = json!({"layer_types": ["full_attention", "sliding_attention"]});
    let (none, told) = windows("llama", kinds);
    assert_eq!(none, [None; 2]);
    assert!(told.contains("layer_types is not used: models of type llama have no"), "{told}");
    let quiet = json!({"sliding_window": null, "use_sliding_window": false,
                       "layer_types": ["full_attention", "full_attention"]});
    assert_eq!(windows("llama", quiet), (vec![None; 2], String::new()));
}

#[test]
fn the_switch_of_the_window_counts_in_qwen_only() {
    let off = json!({"sliding_window": 5, "use_sliding_window": false});
    for family in ["mistral", "phi3"] {
        let (on, told) = windows(family, off.clone());
        assert_eq!(on, [Some(5); 2]);
        let note = format!("use_sliding_window false is not used: models of type {family} do not");
        assert!(told.contains(&note), "{told}");
        assert_eq!(windows(family, json!({"sliding_window": 5})).1, "");
    }
    assert_eq!(windows("gemma2", off.clone()).0, [Some(5), None]);
    for family in ["qwen2", "qwen3"] {
        assert_eq!(windows(family, off.clone()), (vec![None; 2], String::new()));
        let (none, told) = windows(family, json!({"sliding_window": 5}));
        assert_eq!(none, [None; 2]);
        assert!(told.contains("sliding_window 5 is not used: use_sliding_window, which"), "{told}");
    }
}

#[test]
fn the_list_of_layers_precedes_their_numbers() {
    let kinds = json!(["sliding_attention", "full_attention"]);
    let listed = json!({
        "sliding_window": 5, "use_sliding_window": true, "max_window_layers": 1,
        "layer_types": kinds,
    });
    let (found, told) = windows("qwen2", listed);
    assert_eq!(found, [Some(5), None]);
    assert!(told.contains("max_window_layers 1 is not used: layer_types takes"), "{told}");
    let off = json!({"sliding_window": 5, "use_sliding_window": false, "layer_types": kinds});
    let (found, told) = windows("qwen2", off);
    assert_eq!(found, [None; 2]);
    assert!(told.contains("layer_types lists sliding_attention, but use_sliding_window"), "{told}");
    let pattern = json!({"sliding_window": 5, "sliding_window_pattern": 1, "layer_types": kinds});
    let (found, told) = windows("gemma3_text", pattern);
    assert_eq!(found, [Some(5), None]);
    assert!(told.contains("sliding_window_pattern 1 is not used: layer_types takes"), "{told}");
    let (found, told) = windows("phi3", json!({"sliding_window": 5, "layer_types": kinds}));
    assert_eq!(found, [Some(5); 2]);
    assert!(told.contains("is not used: models of type phi3 do not read it"), "{told}");
}

#[test]
fn gpt_neos_list_of_layers_precedes_its_patterns() {
    let sizes = json!({"model_type": "gpt_neo", "num_layers": 2, "window_size": 5});
    let changed = |list: Value, patterns: Value| {
        let mut config = sizes.clone();
        config["attention_layers"] = list;
        config["attention_types"] = patterns;
        let (config, told) = read(&config);
        (config.windows(), told)
    };
    let patterns = json!([[["global", "local"], 1]]);
    let (found, told) = changed(json!(["local", "global"]), patterns.clone());
    assert_eq!(found, [Some(5), None]);
    assert!(told.contains("is not used: attention_layers takes precedence"), "{told}");
    let (found, told) = changed(json!(["global", "local"]), patterns);
    assert_eq!((found, told.as_str()), (vec![None, Some(5)], ""));
}

#[test]
fn each_family_has_one_name_of_its_activation() {
    let both = |hidden_act: &str, hidden_activation: &str| json!({"hidden_act": hidden_act, "hidden_activation": hidden_activation});
    let function = |config: &crate::config::Config| match config.mlp {
        crate::config::Mlp::Gated { function, .. } => function,
        _ => panic!("these families have a gate"),
    };
    let (config, told) = read(&of_type("llama", both("silu", "gelu")));
    assert_eq!(function(&config), Nonlinearity::Silu);
    assert!(told.contains("hidden_activation \"gelu\" is not used: hidden_act \"silu\""), "{told}");
    let (config, told) = read(&of_type("gemma2", both("silu", "gelu")));
    assert_eq!(function(&config), Nonlinearity::Gelu);
    assert!(told.contains("hidden_act \"silu\" is not used: hidden_activation \"gelu\""), "{told}");
    let (config, told) = read(&of_type("gemma2", json!({"hidden_act": "silu"})));
    assert_eq!(function(&config), Nonlinearity::GeluTanh);
    assert!(told.contains("hidden_act \"silu\" is not used: models of type gemma2"), "{told}");
}

#[test]
fn each_family_has_one_name_of_its_epsilon() {
    let (config, told) = read(&of_type("llama", json!({"layer_norm_eps": 0.5})));
    assert_eq!(config.norm_eps, 1e-6);
    assert!(told.contains("layer_norm_eps 0.5 is not used: models of type llama"), "{told}");
    let (config, told) = read(&of_type("gpt_neox", json!({"rms_norm_eps": 0.5})));
    assert_eq!(config.norm_eps, 1e-5);
    assert!(told.contains("rms_norm_eps 0.5 is not used: models of type gpt_neox"), "{told}");
}

/// Settings that other families read never end in silence.
#[test]
fn what_only_other_families_read_is_told() {
    let layers = json!(["full_attention", "sliding_attention"]);
    for (family, changes) in [
        (
            "gpt2",
            json!({"hidden_act": "relu", "layer_norm_eps": 0.5, "intermediate_size": 9, "head_dim": 3,
                   "layer_types": layers, "attention_bias": true, "mlp_bias": true, "rotary_dim": 2,
                   "window_size": 4, "partial_rotary_factor": 0.5, "num_heads": 3}),
        ),
        ("gptj", json!({"hidden_act": "relu", "rms_norm_eps": 0.5, "n_ctx": 7, "rotary_pct": 0.5})),
        (
            "gpt_neo",
            json!({"hidden_activation": "silu", "n_embd": 9, "n_inner": 3, "rope_theta": 5.0}),
        ),
        (
            "gpt_neox",
            json!({"activation_function": "relu", "layer_norm_epsilon": 0.5, "mlp_bias": true,
                   "n_layer": 3, "layer_types": layers, "max_window_layers": 1}),
        ),
        (
            "llama",
            json!({"activation_function": "relu", "n_embd": 9, "n_head": 3, "n_inner": 3, "n_ctx": 5,
                   "rotary_dim": 2, "window_size": 4, "max_window_layers": 1, "layer_norm_eps": 0.5,
                   "rope_local_base_freq": 5.0, "use_parallel_residual": true}),
        ),
        (
            "mistral",
            json!({"max_window_layers": 1, "sliding_window_pattern": 3, "rotary_pct": 0.5}),
        ),
        ("gemma2", json!({"mlp_bias": true, "sliding_window_pattern": 3, "n_positions": 7})),
    ] {
        let (_, told) = read(&of_type(family, changes.clone()));
        for (name, value) in changes.as_object().unwrap() {
            let shown: String = value.to_string().chars().take(60).collect();
            let note = format!("config.json: {name} {shown} is not used: ");
            assert!(told.contains(&note), "{family}: {note} {told}");
        }
    }
    // What agrees needs no word, nor does what is off.
    let same = json!({"activation_function": "gelu_new", "hidden_act": "gelu_new", "head_dim": 4,
                      "layer_norm_epsilon": 0.5, "layer_norm_eps": 0.5, "mlp_bias": false,
                      "num_key_value_heads": null});
    assert_eq!(read(&of_type("gpt2", same)).1, "");
    let text = json!({"model_type": "gemma3", "torch_dtype": "float32", "text_config": of_type(
        "gemma3_text", json!({"torch_dtype": "bfloat16", "n_embd": 9}))});
    let (config, told) = read(&text);
    assert_eq!(config.embed_scale, Some(8.0_f32.sqrt()));
    for name in ["torch_dtype \"bfloat16\"", "n_embd 9"] {
        assert!(told.contains(&format!("text_config.{name} is not used: ")), "{told}");
    }
}

#[test]
fn the_newer_name_of_the_type_of_numbers_precedes_the_older() {
    let both = json!({"dtype": "bfloat16", "torch_dtype": "float32", "hidden_size": 8});
    let (config, told) = read(&of_type("gemma2", both));
    // √8 is 2.8284, of which a bfloat16 keeps 2.828125.
    assert_eq!(config.embed_scale, Some(2.828_125));
    let note = "torch_dtype \"float32\" is not used: dtype \"bfloat16\" takes precedence";
    assert!(told.contains(note), "{told}");
    let same = json!({"dtype": "float16", "torch_dtype": "float16"});
    assert_eq!(read(&of_type("llama", same)).1, "");
}

#[test]
fn biases_that_the_family_does_not_have_are_told() {
    for family in ["mistral", "qwen2", "phi3"] {
        let biased = json!({"attention_bias": true, "mlp_bias": true});
        let (config, told) = read(&of_type(family, biased));
        assert_eq!((config.biases.qkv, config.biases.out), (family == "qwen2", false));
        for name in ["attention_bias", "mlp_bias"] {
            let note = format!("{name} true is not used: models of type {family} do not read it");
            assert!(told.contains(&note), "{told}");
        }
    }
    let extra = [
        counting("model.layers.0.self_attn.q_proj.bias", &[8], 1),
        counting("model.layers.1.self_attn.q_proj.bias", &[8], 1),
        counting("model.layers.1.self_attn.rotary_emb.inv_freq", &[2], 1),
    ];
    let folder = folder(&llama_config(), &[llama_tensors("model."), extra.to_vec()].concat());
    let model = Checkpoint::open(folder.path()).unwrap();
    let [note] = model.warnings() else { panic!("{:?}", model.warnings()) };
    let what = "2 tensors are not used, such as model.layers.0.self_attn.q_proj.bias";
    assert!(note.contains(what), "{note}");
}

#[test]
fn layers_that_the_configuration_does_not_count_are_told() {
    let mut config = llama_config();
    config["num_hidden_layers"] = json!(1);
    let folder = folder(&config, &llama_tensors("model."));
    let model = Checkpoint::open(folder.path()).unwrap();
    let [note] = model.warnings() else { panic!("{:?}", model.warnings()) };
    let what = "9 tensors are not used, such as model.layers.1.";
    assert!(note.contains(what), "{note}");
}

/// A GGUF model, and what the user is told.
fn open(file: &Gguf) -> (Checkpoint, String) {
    let (_folder, path) = file.save();
    let model = Checkpoint::open(&path).unwrap();
    let told = model.warnings().join("\n");
    (model, told)
}

#[test]
fn gguf_keys_that_lose_are_told() {
    assert_eq!(open(&llama()).1, "");
    let linear = llama()
        .with("llama.rope.scaling.factor", Meta::F32(4.0))
        .with("llama.rope.scale_linear", Meta::F32(2.0));
    let (model, told) = open(&linear);
    assert_eq!(rope(model.config()).scaling, RopeScaling::Linear { factor: 4.0 });
    let note = "llama.rope.scale_linear 2.0 is not used: llama.rope.scaling.factor 4.0 takes";
    assert!(told.contains(note), "{told}");
    let (model, told) = open(&linear.with("llama.rope.scaling.type", Meta::Text("none")));
    assert_eq!(rope(model.config()).scaling, RopeScaling::None);
    for key in ["scaling.factor 4.0", "scale_linear 2.0"] {
        let note = format!("llama.rope.{key} is not used: rope.scaling.type is none");
        assert!(told.contains(&note), "{told}");
    }
    let (model, told) = open(&llama().with("llama.attention.sliding_window", Meta::U32(7)));
    assert_eq!(model.config().windows(), [None]);
    let note = "llama.attention.sliding_window 7 is not used: models of type llama do not read it";
    assert!(told.contains(note), "{told}");
    let epsilon = "llama.attention.layer_norm_epsilon";
    let (model, told) = open(&llama().with(epsilon, Meta::F32(0.25)));
    assert_eq!(model.config().norm_eps, 0.5);
    assert!(told.contains("llama.attention.layer_norm_epsilon 0.25 is not used"), "{told}");
    let padded = llama().with("llama.vocab_size", Meta::U32(4)).with_tensor(counting(
        "token_embd.weight",
        &[4, 32],
        0,
    ));
    let (model, told) = open(&padded);
    assert_eq!(model.config().vocab, 4);
    assert!(told.contains("llama.vocab_size 4 takes precedence: tokenizer.ggml.tokens"), "{told}");
    let (model, told) = open(&llama().with("tokenizer.ggml.eot_token_id", Meta::U32(9)));
    assert_eq!(model.config().eos, [2]);
    let note = "tokenizer.ggml.eot_token_id 9 is not used: the vocabulary has 3 tokens";
    assert!(told.contains(note), "{told}");
    let yarn = || {
        let scaled = llama().with("llama.rope.scaling.type", Meta::Text("yarn"));
        scaled.with("llama.rope.scaling.factor", Meta::F32(4.0))
    };
    let (_, told) = open(&yarn().with("llama.rope.scaling.yarn_ext_factor", Meta::F32(0.5)));
    assert!(told.contains("llama.rope.scaling.yarn_ext_factor 0.5 is not used"), "{told}");
    for key in [
        "llama.rope.scaling.yarn_attn_factor",
        "llama.rope.scaling.yarn_ext_factor",
        "llama.rope.scaling.yarn_log_multiplier",
    ] {
        for number in [f32::NAN, f32::INFINITY] {
            let (_folder, path) = yarn().with(key, Meta::F32(number)).save();
            let refused = Checkpoint::open(&path).unwrap_err().to_string();
            assert!(refused.contains(key), "{refused}");
        }
    }
}
