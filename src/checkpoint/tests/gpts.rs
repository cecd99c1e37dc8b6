//! Relatives of GPT-2: their configurations and the layouts of their tensors.

use serde_json::{Value, json};

use super::llamas::{first_values, open, tensors, with};
use super::{Tensor, counting, folder};
use crate::checkpoint::{Checkpoint, Param};
use crate::config::{Config, Mlp, Nonlinearity, Position, Rope, RopeScaling};

/// A GPT-NeoX of one layer: C 4, H 2, D 2, F 3, V 5.
fn neox(changes: Value, head: &'static str) -> (Value, Vec<Tensor>) {
    let config = json!({
        "model_type": "gpt_neox", "vocab_size": 5, "hidden_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 3, "max_position_embeddings": 9,
        "rotary_pct": 1.0, "rotary_emb_base": 77,
    });
    let tensors = tensors(&[
        ("gpt_neox.embed_in.weight", &[5, 4]),
        ("gpt_neox.final_layer_norm.weight", &[4]),
        ("gpt_neox.final_layer_norm.bias", &[4]),
        ("gpt_neox.layers.0.input_layernorm.weight", &[4]),
        ("gpt_neox.layers.0.input_layernorm.bias", &[4]),
        ("gpt_neox.layers.0.post_attention_layernorm.weight", &[4]),
        ("gpt_neox.layers.0.post_attention_layernorm.bias", &[4]),
        ("gpt_neox.layers.0.attention.query_key_value.weight", &[12, 4]),
        ("gpt_neox.layers.0.attention.query_key_value.bias", &[12]),
        ("gpt_neox.layers.0.attention.dense.weight", &[4, 4]),
        ("gpt_neox.layers.0.attention.dense.bias", &[4]),
        ("gpt_neox.layers.0.mlp.dense_h_to_4h.weight", &[3, 4]),
        ("gpt_neox.layers.0.mlp.dense_h_to_4h.bias", &[3]),
        ("gpt_neox.layers.0.mlp.dense_4h_to_h.weight", &[4, 3]),
        ("gpt_neox.layers.0.mlp.dense_4h_to_h.bias", &[4]),
        (head, &[5, 4]),
    ]);
    (with(config, changes), tensors)
}

#[test]
fn neox_holds_queries_keys_and_values_head_by_head() {
    for head in ["embed_out.weight", "lm_head.weight"] {
        let (config, tensors) = neox(json!({}), head);
        let (_folder, model) = open(&config, &tensors);
        // Rows 0 and 1 are the first head's queries, 6 and 7 the second's; keys follow, then
        // values.
        for (part, bias, rows) in [
            (Param::Q, Param::QBias, [0, 1, 6, 7]),
            (Param::K, Param::KBias, [2, 3, 8, 9]),
            (Param::V, Param::VBias, [4, 5, 10, 11]),
        ] {
            let rows = rows.map(|row: u8| f32::from(row));
            assert_eq!(first_values(&model, part), rows.map(|row| 4.0 * row));
            let some = model.matrix(part, 0).unwrap().values(1..3).unwrap();
            assert_eq!([some[0], some[4]], [4.0 * rows[1], 4.0 * rows[2]]);
            assert_eq!(model.matrix(bias, 0).unwrap().values(0..1).unwrap(), rows);
        }
        assert_eq!(model.matrix(Param::Head, 0).unwrap().name, head);
        let config = model.config();
        assert!(config.parallel && config.biases.qkv);
        assert_eq!(config.mlp, Mlp::Plain { hidden: 3, function: Nonlinearity::Gelu });
        let rope = Rope { base: 77.0, rotated: 2, scaling: RopeScaling::None };
        assert_eq!(config.position, Position::Rope(rope));
    }
    let (config, tensors) = neox(json!({"use_parallel_residual": false}), "lm_head.weight");
    assert!(!open(&config, &tensors).1.config().parallel);
}

#[test]
fn gpt_neos_windows_follow_its_patterns() {
    let windows = |changes: Value| -> Result<Config, String> {
        let config = json!({
            "model_type": "gpt_neo", "vocab_size": 5, "hidden_size": 4, "num_layers": 3,
            "num_heads": 2, "max_position_embeddings": 9, "window_size": 6,
        });
        let mut all = tensors(&[
            ("transformer.wte.weight", &[5, 4]),
            ("transformer.wpe.weight", &[9, 4]),
            ("transformer.ln_f.weight", &[4]),
            ("transformer.ln_f.bias", &[4]),
        ]);
        for layer in 0..3 {
            for (name, shape) in [
                ("ln_1.weight", [4].as_slice()),
                ("ln_1.bias", &[4]),
                ("ln_2.weight", &[4]),
                ("ln_2.bias", &[4]),
                ("attn.attention.q_proj.weight", &[4, 4]),
                ("attn.attention.k_proj.weight", &[4, 4]),
                ("attn.attention.v_proj.weight", &[4, 4]),
                ("attn.attention.out_proj.weight", &[4, 4]),
                ("attn.attention.out_proj.bias", &[4]),
                ("mlp.c_fc.weight", &[16, 4]),
                ("mlp.c_fc.bias", &[16]),
                ("mlp.c_proj.weight", &[4, 16]),
                ("mlp.c_proj.bias", &[4]),
            ] {
                all.push(counting(format!("transformer.h.{layer}.{name}"), shape, 0));
            }
        }
        let folder = folder(&with(config, changes), &all);
        let opened = Checkpoint::open(folder.path()).map_err(|error| error.to_string());
        opened.map(|model| model.config().clone())
    };
    let config = windows(json!({})).unwrap();
    assert_eq!(config.windows(), [None, Some(6), None]);
    assert_eq!((config.attention_scale(), config.mlp.hidden()), (1.0, 16));
    let turned = json!({"attention_types": [[["local"], 2], [["global"], 1]]});
    assert_eq!(windows(turned).unwrap().windows(), [Some(6), Some(6), None]);
    for wrong in [
        json!([[["local"], 2]]),
        json!([[["local", "global"], 4_000_000_000_000_u64]]),
        json!([[[], 4_000_000_000_000_u64]]),
        json!([[["wide"], 3]]),
        json!("local"),
    ] {
        let error = windows(json!({ "attention_types": wrong })).unwrap_err();
        assert!(error.contains("attention_types must be patterns"), "{error}");
    }
}

#[test]
fn neox_is_known_by_its_class_too() {
    let (config, tensors) = neox(json!({}), "lm_head.weight");
    let class = json!({"model_type": null, "architectures": ["GPTNeoXForCausalLM"]});
    assert_eq!(open(&with(config, class), &tensors).1.config().architecture, "gpt_neox");
}
