//! Configurations of published models: each is read under its own name.

use std::path::Path;

use serde_json::{Value, json};

use crate::checkpoint::fields::Fields;
use crate::checkpoint::hf::config;
use crate::checkpoint::notes::Notes;
use crate::config::{Config, Rope};

/// What matters of a configuration: sizes, rotation, windows, and whether the head is tied.
fn summary(config: &Value) -> String {
    let map = config.as_object().unwrap();
    let notes = Notes::default();
    let fields = Fields::new(Path::new("config.json"), map, &notes);
    let (config, _) = config::read(fields, None, 10_000).unwrap();
    let Config { layers, width, heads, kv_heads, head_width, .. } = config;
    let hidden = config.mlp.hidden();
    let rope = |rope: &Rope| {
        let rotation = rope.rotation(4_096);
        let slowest = rotation.frequencies.last().unwrap();
        format!("{} of {head_width} to {slowest:.2e} x {:.3}", rope.rotated, rotation.amplitude)
    };
    let ropes = config.rope(layers - 1).map(rope).unwrap_or("none".to_owned());
    let windows: Vec<usize> = config.windows().into_iter().flatten().collect();
    let windowed = windows.first().map_or(String::new(), |w| format!(", {} x {w}", windows.len()));
    let tied = if config.tied_head { ", tied" } else { "" };
    format!("{layers} x {width}, {heads}/{kv_heads}, {hidden}, {ropes}{windowed}{tied}")
}

#[test]
fn llama_and_those_that_are_read_as_llama() {
    let tinyllama = json!({
        "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 22,
        "num_attention_heads": 32, "num_key_value_heads": 4, "intermediate_size": 5632,
        "vocab_size": 32000, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5,
        "rope_scaling": null, "pretraining_tp": 1,
    });
    assert_eq!(summary(&tinyllama), "22 x 2048, 32/4, 5632, 64 of 64 to 1.33e-4 x 1.000");
    let smollm2 = json!({
        "model_type": "llama", "hidden_size": 576, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536,
        "vocab_size": 49152, "max_position_embeddings": 8192, "rope_theta": 100_000,
        "tie_word_embeddings": true, "rope_interleaved": false,
    });
    assert_eq!(summary(&smollm2), "30 x 576, 9/3, 1536, 64 of 64 to 1.43e-5 x 1.000, tied");
    let llama_3_2 = json!({
        "model_type": "llama", "hidden_size": 2048, "num_hidden_layers": 16, "head_dim": 64,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 8192,
        "vocab_size": 128_256, "max_position_embeddings": 131_072, "rope_theta": 500_000.0,
        "rope_scaling": {
            "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3",
        },
        "tie_word_embeddings": true, "attention_bias": false, "mlp_bias": false,
    });
    assert_eq!(summary(&llama_3_2), "16 x 2048, 32/8, 8192, 64 of 64 to 9.42e-8 x 1.000, tied");
    let mistral = json!({
        "model_type": "mistral", "hidden_size": 4096, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
        "vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": 4096,
    });
    assert_eq!(
        summary(&mistral),
        "32 x 4096, 32/8, 14336, 128 of 128 to 1.15e-4 x 1.000, 32 x 4096"
    );
    let qwen2_5 = json!({
        "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "intermediate_size": 4864,
        "vocab_size": 151_936, "max_position_embeddings": 32768, "max_window_layers": 24,
        "sliding_window": 32768, "use_sliding_window": false, "rope_theta": 1e6,
        "tie_word_embeddings": true,
    });
    assert_eq!(summary(&qwen2_5), "24 x 896, 14/2, 4864, 64 of 64 to 1.54e-6 x 1.000, tied");
}

#[test]
fn phi_and_gemma() {
    let phi_4_mini = json!({
        "model_type": "phi3", "hidden_size": 3072, "num_hidden_layers": 32,
        "num_attention_heads": 24, "num_key_value_heads": 8, "intermediate_size": 8192,
        "vocab_size": 200_064, "max_position_embeddings": 131_072,
        "original_max_position_embeddings": 4096, "partial_rotary_factor": 0.75,
        "rope_scaling": {
            "type": "longrope", "short_factor": vec![1.0; 48], "long_factor": vec![2.0; 48],
        },
        "sliding_window": 262_144, "tie_word_embeddings": true,
    });
    // 32 times the original context of 4096: √(1 + 5/12).
    assert_eq!(
        summary(&phi_4_mini),
        "32 x 3072, 24/8, 8192, 96 of 128 to 1.21e-4 x 1.190, 32 x 262144, tied"
    );
    let gemma_2 = json!({
        "model_type": "gemma2", "hidden_size": 3584, "num_hidden_layers": 42, "head_dim": 256,
        "num_attention_heads": 16, "num_key_value_heads": 8, "intermediate_size": 14336,
        "vocab_size": 256_000, "max_position_embeddings": 8192, "query_pre_attn_scalar": 256,
        "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
        "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "sliding_window": 4096,
        "cache_implementation": "hybrid",
    });
    assert_eq!(
        summary(&gemma_2),
        "42 x 3584, 16/8, 14336, 256 of 256 to 1.07e-4 x 1.000, 21 x 4096, tied"
    );
    let gemma_3 = json!({
        "model_type": "gemma3_text", "hidden_size": 1152, "num_hidden_layers": 26,
        "head_dim": 256, "num_attention_heads": 4, "num_key_value_heads": 1,
        "intermediate_size": 6912, "vocab_size": 262_144, "max_position_embeddings": 32768,
        "query_pre_attn_scalar": 256, "rope_theta": 1_000_000, "rope_local_base_freq": 10000,
        "rope_scaling": null, "sliding_window": 512, "sliding_window_pattern": 6,
    });
    // Layers 6, 12, 18 and 24 have global attention; the last layer has the rotation of those with
    // a window.
    assert_eq!(
        summary(&gemma_3),
        "26 x 1152, 4/1, 6912, 256 of 256 to 1.07e-4 x 1.000, 22 x 512, tied"
    );
}

#[test]
fn pythia_gpt_j_and_gpt_neo() {
    let pythia = json!({
        "model_type": "gpt_neox", "hidden_size": 512, "num_hidden_layers": 6,
        "num_attention_heads": 8, "intermediate_size": 2048, "vocab_size": 50304,
        "max_position_embeddings": 2048, "hidden_act": "gelu", "rotary_pct": 0.25,
        "rotary_emb_base": 10000, "use_parallel_residual": true, "tie_word_embeddings": false,
    });
    assert_eq!(summary(&pythia), "6 x 512, 8/8, 2048, 16 of 64 to 3.16e-4 x 1.000");
    let gpt_j = json!({
        "model_type": "gptj", "n_embd": 4096, "n_head": 16, "n_layer": 28, "n_positions": 2048,
        "n_inner": null, "rotary": true, "rotary_dim": 64, "vocab_size": 50400,
        "activation_function": "gelu_new", "tie_word_embeddings": false,
    });
    assert_eq!(summary(&gpt_j), "28 x 4096, 16/16, 16384, 64 of 256 to 1.33e-4 x 1.000");
    let gpt_neo = json!({
        "model_type": "gpt_neo", "hidden_size": 768, "num_heads": 12, "num_layers": 12,
        "attention_types": [[["global", "local"], 6]], "window_size": 256, "vocab_size": 50257,
        "max_position_embeddings": 2048, "intermediate_size": null,
        "activation_function": "gelu_new",
    });
    assert_eq!(summary(&gpt_neo), "12 x 768, 12/12, 3072, none, 6 x 256, tied");
}
