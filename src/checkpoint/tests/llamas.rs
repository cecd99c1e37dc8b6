//! Relatives of Llama: their configurations and the layouts of their tensors.

use serde_json::{Value, json};

use super::folders::{llama_config, llama_tensors};
use super::{Gguf, Meta, Tensor, counting, folder, refusal};
use crate::checkpoint::{Checkpoint, Param};
use crate::config::{Mlp, Nonlinearity, Position, Rope, RopeScaling};

pub(super) fn with(mut config: Value, changes: Value) -> Value {
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    config.as_object_mut().unwrap().extend(changes);
    config
}

pub(super) fn tensors(shapes: &[(&str, &[usize])]) -> Vec<Tensor> {
    shapes.iter().map(|(name, shape)| counting(*name, shape, 0)).collect()
}

pub(super) fn open(config: &Value, tensors: &[Tensor]) -> (tempfile::TempDir, Checkpoint) {
    let folder = folder(config, tensors);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    (folder, checkpoint)
}

/// The first value of each row.
pub(super) fn first_values(model: &Checkpoint, part: Param) -> Vec<f32> {
    let matrix = model.matrix(part, 0).unwrap();
    let values = matrix.values(0..matrix.rows).unwrap();
    values.chunks(matrix.columns).map(|row| row[0]).collect()
}

pub(super) fn count_by(start: usize, step: usize, count: usize) -> Vec<f32> {
    (0..count).map(|i| (start + i * step) as f32).collect()
}

/// A Gemma of two layers: C 8, H 2, K 1, D 4, F 12, V 6.
fn gemma(kind: &str, changes: Value) -> (Value, Vec<Tensor>) {
    let config = json!({
        "model_type": kind, "tie_word_embeddings": true, "head_dim": 4, "query_pre_attn_scalar": 16,
        "sliding_window": 5, "dtype": "bfloat16",
    });
    let mut tensors = llama_tensors("model.");
    tensors.retain(|tensor| tensor.name != "lm_head.weight");
    for layer in 0..2 {
        for (name, width) in [
            ("pre_feedforward_layernorm", 8),
            ("post_feedforward_layernorm", 8),
            ("self_attn.q_norm", 4),
            ("self_attn.k_norm", 4),
        ] {
            tensors.push(counting(format!("model.layers.{layer}.{name}.weight"), &[width], 3));
        }
    }
    (with(with(llama_config(), config), changes), tensors)
}

#[test]
fn gemma_is_read_with_all_that_sets_it_apart() {
    let (config, tensors) = gemma("gemma2", json!({}));
    let (_folder, model) = open(&config, &tensors);
    let config = model.config();
    // √8 is 2.8284, of which a bfloat16 keeps 2.828125.
    assert_eq!(config.embed_scale, Some(2.828_125));
    assert_eq!(config.attention_scale(), 0.25);
    assert_eq!((config.attention_softcap, config.logit_softcap), (Some(50.0), Some(30.0)));
    assert_eq!(config.windows(), [Some(5), None]);
    assert!(
        config.post_norms && !config.qk_norm && config.kinds.iter().all(|kind| kind.rope.is_none())
    );
    assert_eq!(config.mlp, Mlp::Gated { hidden: 12, function: Nonlinearity::GeluTanh });
    // Gains that the file stores minus one are restored.
    assert_eq!(first_values(&model, Param::Norm2), [4.0]);
    let gain = model.matrix(Param::PostNorm2, 1).unwrap().values(0..1).unwrap();
    assert_eq!(gain, count_by(4, 1, 8));

    let (config, tensors) = gemma("gemma2", json!({"final_logit_softcapping": null}));
    assert_eq!(open(&config, &tensors).1.config().logit_softcap, None);
    let (config, tensors) = gemma("gemma2", json!({"use_bidirectional_attention": true}));
    let error = refusal(folder(&config, &tensors).path());
    assert!(error.contains("use_bidirectional_attention true is not supported"), "{error}");
}

/// A Gemma 2 in GGUF of so many layers: C 4, H 2, K 1, D 4, F 3, V 5.
fn gguf_gemma(layers: u32) -> Gguf {
    let mut file = Gguf {
        version: 3,
        pairs: vec![
            ("general.architecture", Meta::Text("gemma2")),
            ("gemma2.attention.layer_norm_rms_epsilon", Meta::F32(1e-6)),
            ("gemma2.attn_logit_softcapping", Meta::F32(40.0)),
        ],
        tensors: tensors(&[("token_embd.weight", &[5, 4]), ("output_norm.weight", &[4])]),
    };
    for (key, value) in [
        ("gemma2.block_count", layers),
        ("gemma2.context_length", 9),
        ("gemma2.embedding_length", 4),
        ("gemma2.feed_forward_length", 3),
        ("gemma2.attention.head_count", 2),
        ("gemma2.attention.head_count_kv", 1),
        ("gemma2.attention.key_length", 4),
        ("gemma2.attention.value_length", 4),
        ("gemma2.attention.sliding_window", 6),
    ] {
        file = file.with(key, Meta::U32(value));
    }
    for layer in 0..layers {
        for (name, shape) in [
            ("attn_norm", [4].as_slice()),
            ("attn_q", &[8, 4]),
            ("attn_k", &[4, 4]),
            ("attn_v", &[4, 4]),
            ("attn_output", &[4, 8]),
            ("post_attention_norm", &[4]),
            ("ffn_norm", &[4]),
            ("ffn_gate", &[3, 4]),
            ("ffn_up", &[3, 4]),
            ("ffn_down", &[4, 3]),
            ("post_ffw_norm", &[4]),
        ] {
            file.tensors.push(counting(format!("blk.{layer}.{name}.weight"), shape, 1));
        }
    }
    file
}

#[test]
fn what_files_of_gemma_leave_out_is_filled_in() {
    for (layers, scale) in [(3, 0.5), (46, 0.5_f64.sqrt())] {
        let (_folder, path) = gguf_gemma(layers).save();
        let model = Checkpoint::open(&path).unwrap();
        let config = model.config();
        assert_eq!((config.embed_scale, config.attention_scale()), (Some(2.0), scale));
        assert_eq!((config.attention_softcap, config.logit_softcap), (Some(40.0), Some(30.0)));
        assert_eq!(config.windows()[..3], [Some(6), None, Some(6)]);
        // Here gains are stored without an offset.
        assert_eq!(first_values(&model, Param::PostNorm1), [1.0]);
        assert_eq!(first_values(&model, Param::K), count_by(1, 4, 4));
    }
}

#[test]
fn gemma_3s_two_rotations_are_read_from_older_and_newer_files() {
    let older = json!({
        "sliding_window_pattern": 2, "rope_theta": 1e6, "rope_local_base_freq": 5e3,
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
    });
    let newer = json!({
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
            "sliding_attention": {"rope_type": "default", "rope_theta": 5e3},
        },
    });
    for changes in [older, newer] {
        let (config, tensors) = gemma("gemma3_text", changes);
        let (_folder, model) = open(&config, &tensors);
        let config = model.config();
        let scaling = RopeScaling::Linear { factor: 8.0 };
        let all = Rope { base: 1e6, rotated: 4, scaling };
        let local = Rope { base: 5e3, rotated: 4, scaling: RopeScaling::None };
        assert_eq!((config.rope(0), config.rope(1)), (Some(&local), Some(&all)));
        assert!(config.qk_norm && config.logit_softcap.is_none());
        assert_eq!(config.windows(), [Some(5), None]);
        assert_eq!(model.matrix(Param::QNorm, 0).unwrap().values(0..1).unwrap(), count_by(4, 1, 4));
    }
    let uneven = json!({"rope_parameters": {"sliding_attention": {"partial_rotary_factor": 0.3}}});
    let (config, tensors) = gemma("gemma3_text", uneven);
    let error = refusal(folder(&config, &tensors).path());
    assert!(error.contains("partial_rotary_factor rotates 1 of 4"), "{error}");
    let (config, tensors) = gemma("gemma3_text", json!({}));
    let config = open(&config, &tensors).1.config().clone();
    assert_eq!(config.rope(0).map(|rope| rope.base), Some(1e4));
    assert_eq!(config.windows(), [Some(5); 2], "the first that sees everything is the sixth");
}

#[test]
fn the_text_of_a_larger_gemma_3_is_found() {
    for prefix in ["language_model.model.", "model.language_model."] {
        let (text, tensors) = gemma("gemma3_text", json!({"dtype": null}));
        let renamed = tensors.into_iter().map(|tensor| {
            let name = tensor.name.replacen("model.", prefix, 1);
            Tensor { name, ..tensor }
        });
        let mut tensors: Vec<Tensor> = renamed.collect();
        tensors.push(counting("vision_tower.weight", &[3], 0));
        let config = json!({
            "model_type": "gemma3", "torch_dtype": "bfloat16", "text_config": text,
        });
        let (_folder, model) = open(&config, &tensors);
        assert_eq!((model.config().width, model.config().embed_scale), (8, Some(2.828_125)));
        assert_eq!(
            model.matrix(Param::Q, 0).unwrap().name,
            format!("{prefix}layers.0.self_attn.q_proj.weight")
        );
    }
    let error = refusal(folder(&json!({"model_type": "gemma3"}), &[]).path());
    assert!(error.contains("text_config is missing"), "{error}");
}

/// A Phi-3 of one layer: C 8, H 2, K 1, D 4, F 3, V 6.
fn phi3(changes: Value) -> (Value, Vec<Tensor>) {
    let config = json!({
        "model_type": "phi3", "num_hidden_layers": 1, "intermediate_size": 3,
        "tie_word_embeddings": true,
    });
    let tensors = tensors(&[
        ("model.embed_tokens.weight", &[6, 8]),
        ("model.norm.weight", &[8]),
        ("model.layers.0.input_layernorm.weight", &[8]),
        ("model.layers.0.post_attention_layernorm.weight", &[8]),
        ("model.layers.0.self_attn.qkv_proj.weight", &[16, 8]),
        ("model.layers.0.self_attn.o_proj.weight", &[8, 8]),
        ("model.layers.0.mlp.gate_up_proj.weight", &[6, 8]),
        ("model.layers.0.mlp.down_proj.weight", &[8, 3]),
    ]);
    (with(with(llama_config(), config), changes), tensors)
}

#[test]
fn phi_3s_joined_matrices_are_split() {
    let (config, tensors) = phi3(json!({"sliding_window": 7}));
    let (_folder, model) = open(&config, &tensors);
    assert_eq!(model.config().windows(), [Some(7)]);
    assert_eq!(first_values(&model, Param::K), count_by(8 * 8, 8, 4));
    assert_eq!(first_values(&model, Param::V), count_by(12 * 8, 8, 4));
    assert_eq!(first_values(&model, Param::Gate), count_by(0, 8, 3));
    assert_eq!(first_values(&model, Param::Up), count_by(3 * 8, 8, 3));
}

#[test]
fn long_rotations_have_two_sets_of_divisors() {
    let set = |kind: &str| {
        json!({
            "original_max_position_embeddings": 16,
            "rope_scaling": {"type": kind, "short_factor": [1.0, 2.0], "long_factor": [3.0, 4.5]},
        })
    };
    for kind in ["longrope", "su", "yarn"] {
        let (config, tensors) = phi3(set(kind));
        let (_folder, model) = open(&config, &tensors);
        let Position::Rope(rope) = &model.config().position else { panic!("it turns") };
        let [short, long] = [16, 17].map(|context| rope.rotation(context));
        assert_eq!(short.frequencies, [1.0, 0.01 / 2.0]);
        assert_eq!(long.frequencies, [1.0 / 3.0, 0.01 / 4.5]);
        // A context of 32 is twice the original 16: √(1 + ln 2 / ln 16).
        assert!((long.amplitude - 1.25_f64.sqrt()).abs() < 1e-12);
    }
    let uneven = json!({
        "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [3.0, 4.5]},
    });
    let negative = json!({
        "rope_scaling": {"type": "longrope", "short_factor": [1.0, -1], "long_factor": [3.0, 4.5]},
    });
    for (changes, expected) in [
        (uneven, "rope_scaling has 1 values of short_factor for 2 pairs"),
        (negative, "short_factor must be a list of numbers above 0"),
        (json!({"rope_scaling": {"type": "longrope"}}), "longrope lacks short_factor"),
    ] {
        let (config, tensors) = phi3(changes);
        let error = refusal(folder(&config, &tensors).path());
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn yarn_keeps_fast_pairs_and_divides_slow_ones() {
    let read = |changes: Value| {
        let config = with(llama_config(), json!({"head_dim": 16, "rope_scaling": changes}));
        let mut tensors = llama_tensors("model.");
        for tensor in &mut tensors {
            let rows = [
                ("q_proj", [32, 8]),
                ("k_proj", [16, 8]),
                ("v_proj", [16, 8]),
                ("o_proj", [8, 32]),
            ];
            if let Some((_, shape)) = rows.iter().find(|(name, _)| tensor.name.contains(name)) {
                *tensor = counting(tensor.name.clone(), shape, 0);
            }
        }
        let (_folder, model) = open(&config, &tensors);
        let Position::Rope(rope) = &model.config().position else { panic!("it turns") };
        let rotation = rope.rotation(32);
        let plain = (0..8).map(|i| 1e4_f64.powf(-f64::from(i) / 8.0));
        let shares: Vec<f64> = rotation.frequencies.iter().zip(plain).map(|(f, p)| f / p).collect();
        (shares, rotation.amplitude)
    };
    let (shares, amplitude) = read(json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512,
        "beta_fast": 8, "beta_slow": 1,
    }));
    // Pair 2 turns 8.1 times in 512 positions, pair 4 0.81 times: 16 ln(512 / 2π turns) / 2 ln 1e4
    // is 2.02 and 3.82, so the ramp is from 2 to 4.
    let expected = [1.0, 1.0, 1.0, 0.625, 0.25, 0.25, 0.25, 0.25];
    assert!(shares.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{shares:?}");
    assert!((amplitude - (0.1 * 4.0_f64.ln() + 1.0)).abs() < 1e-12);
    let given = json!({
        "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512,
        "attention_factor": 1.5, "truncate": false,
    });
    assert_eq!(read(given).1, 1.5);
    let both = json!({"rope_type": "yarn", "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 1.0});
    assert_eq!(read(both).1, 1.0);
    // Scaling begins at the end of the context that the model was made for.
    assert_eq!(read(json!({"rope_type": "dynamic", "factor": 4.0})), (vec![1.0; 8], 1.0));
}

#[test]
fn gemma_is_known_by_its_class_too() {
    let (config, tensors) = gemma("gemma2", json!({}));
    let class = json!({"model_type": null, "architectures": ["Gemma2ForCausalLM"]});
    assert_eq!(open(&with(config, class), &tensors).1.config().architecture, "gemma2");
}
