//! Settings that a config.json may spell in two ways, a test for each row of docs/settings.md about
//! rotation, sizes and folders: which spelling wins, and that the user is told about the other.

use serde_json::{Value, json};

use super::folders::{llama_config, llama_tensors};
use super::llamas::with;
use super::{Tensor, counting, folder, refusal, write};
use crate::checkpoint::fields::Fields;
use crate::checkpoint::hf::config;
use crate::checkpoint::notes::Notes;
use crate::checkpoint::{Checkpoint, Param};
use crate::config::{Config, Position, Rope, RopeScaling};

/// A configuration without tensors, and what the user is told about it.
pub(super) fn read(config: &Value) -> (Config, String) {
    let notes = Notes::default();
    let map = config.as_object().unwrap();
    let fields = Fields::new("config.json".as_ref(), map, &notes);
    let (config, _) = config::read(fields, None, 10_000).unwrap();
    (config, notes.into_sentences().join("\n"))
}

/// A model of this type with one layer or more.
pub(super) fn of_type(model_type: &str, changes: Value) -> Value {
    let sizes = json!({
        "model_type": model_type, "hidden_size": 8, "num_attention_heads": 2, "head_dim": 4,
        "num_key_value_heads": 1, "num_hidden_layers": 2, "max_position_embeddings": 32,
    });
    // Families that turn a part of each head have more to turn here.
    let more = match model_type {
        "gpt_neox" => json!({"hidden_size": 32, "head_dim": null}),
        "gptj" => json!({"rotary_dim": 4}),
        _ => json!({}),
    };
    with(with(sizes, more), changes)
}

pub(super) fn rope(config: &Config) -> &Rope {
    let Position::Rope(rope) = &config.position else { panic!("it turns") };
    rope
}

fn yarn(original_context: f64) -> RopeScaling {
    let amplitude = 0.1 * 4.0_f64.ln() + 1.0;
    RopeScaling::Yarn {
        factor: 4.0,
        fast: 32.0,
        slow: 1.0,
        original_context,
        whole: true,
        amplitude,
    }
}

#[test]
fn the_older_scaling_replaces_the_newer_parameters_in_all_families() {
    let linear = json!({
        "rope_scaling": {"rope_type": "linear", "factor": 4.0},
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
    });
    for family in ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gpt_neox", "phi3"] {
        let (config, told) = read(&of_type(family, linear.clone()));
        let found = (rope(&config).base, &rope(&config).scaling);
        assert_eq!(found, (1e4, &RopeScaling::Linear { factor: 4.0 }), "{family}");
        let note = "config.json: rope_parameters is not used, its base included: rope_scaling \
                    beside it takes precedence, and the base is 10000";
        assert!(told.contains(note), "{family}: {told}");
    }
    let both = json!({
        "rope_scaling": {
            "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64,
        },
        "rope_theta": 7e5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
    });
    let (config, _) = read(&of_type("llama", both));
    assert_eq!((rope(&config).base, &rope(&config).scaling), (7e5, &yarn(64.0)));
    // An empty object is none, and the same one twice needs no word.
    let empty = json!({"rope_scaling": {}, "rope_parameters": {"rope_theta": 5e5}});
    let same = json!({"rope_scaling": {"rope_theta": 9}, "rope_parameters": {"rope_theta": 9}});
    for (changes, base) in [(empty, 5e5), (same, 9.0)] {
        let (config, told) = read(&of_type("llama", changes));
        assert_eq!((rope(&config).base, told.as_str()), (base, ""));
    }
}

#[test]
fn in_gemma_3_the_older_scaling_replaces_single_values() {
    let both = json!({
        "rope_scaling": {"rope_type": "linear", "factor": 8.0},
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 5e5},
            "sliding_attention": {"rope_theta": 77},
        },
        "rope_theta": 3, "rope_local_base_freq": 4,
    });
    let (config, told) = read(&of_type("gemma3_text", both));
    assert_eq!(
        *rope(&config),
        Rope { base: 5e5, rotated: 4, scaling: RopeScaling::Linear { factor: 8.0 } }
    );
    assert_eq!(config.rope(0).map(|rope| rope.base), Some(77.0));
    for note in [
        "rope_parameters.full_attention.rope_type \"default\" is not used: rope_scaling.rope_type \
         \"linear\" takes precedence",
        "rope_theta 3 is not used: rope_scaling.rope_theta 500000.0 takes precedence",
        "rope_local_base_freq 4 is not used: rope_parameters.rope_theta 77.0 takes precedence",
    ] {
        assert!(told.contains(note), "{told}");
    }
    let flat = json!({"rope_parameters": {"rope_type": "linear", "factor": 8.0, "rope_theta": 3}});
    let (config, told) = read(&of_type("gemma3_text", flat));
    assert_eq!(*rope(&config), Rope { base: 1e6, rotated: 4, scaling: RopeScaling::None });
    assert!(told.contains("rope_parameters is not used: this family has one object for"), "{told}");
}

#[test]
fn base_and_share_inside_the_object_precede_those_beside_it() {
    let both = json!({
        "rope_theta": 3, "partial_rotary_factor": 1.0,
        "rope_parameters": {"rope_theta": 5e5, "partial_rotary_factor": 0.5},
    });
    let (config, told) = read(&of_type("llama", both));
    assert_eq!((rope(&config).base, rope(&config).rotated), (5e5, 2));
    assert!(
        told.contains("rope_theta 3 is not used: rope_parameters.rope_theta 500000.0"),
        "{told}"
    );
    assert!(told.contains("partial_rotary_factor 1.0 is not used: rope_parameters."), "{told}");
    // One value spelled twice needs no word.
    let same = json!({"rope_theta": 5, "rope_parameters": {"rope_theta": 5.0}});
    assert_eq!(read(&of_type("llama", same)).1, "");
}

#[test]
fn the_newer_name_of_the_kind_of_rotation_precedes_the_older() {
    let both = json!({"rope_scaling": {"rope_type": "linear", "type": "yarn", "factor": 4.0}});
    let (config, told) = read(&of_type("llama", both));
    assert_eq!(rope(&config).scaling, RopeScaling::Linear { factor: 4.0 });
    let note = "rope_scaling.type \"yarn\" is not used: rope_scaling.rope_type \"linear\" takes";
    assert!(told.contains(note), "{told}");
}

#[test]
fn the_original_context_beside_the_object_precedes_the_one_inside() {
    let field = "original_max_position_embeddings";
    let yarn_64 = json!({"rope_type": "yarn", "factor": 4.0, field: 64});
    let both = |model_type: &str, changes: Value| {
        read(&of_type(model_type, with(json!({"rope_scaling": yarn_64}), changes)))
    };
    let (config, told) = both("llama", json!({field: 16}));
    assert_eq!(rope(&config).scaling, yarn(16.0));
    let note = "rope_scaling.original_max_position_embeddings 64 is not used: \
                original_max_position_embeddings beside it, which is 16.0 takes precedence";
    assert!(told.contains(note), "{told}");
    assert_eq!(both("llama", json!({})).1, "");
    // Phi-3's has a default, and Gemma 3 reads only the one inside.
    assert_eq!(rope(&both("phi3", json!({})).0).scaling, yarn(4_096.0));
    assert_eq!(rope(&both("gemma3_text", json!({field: 16})).0).scaling, yarn(64.0));
}

#[test]
fn neox_reads_its_own_names_of_base_and_share() {
    let both = json!({
        "rotary_emb_base": 77, "rope_theta": 3, "rotary_pct": 0.5, "partial_rotary_factor": 1.0,
    });
    let (config, told) = read(&of_type("gpt_neox", both));
    assert_eq!((rope(&config).base, rope(&config).rotated), (77.0, 8));
    assert!(told.contains("rope_theta 3 is not used: the base 77.0 takes precedence"), "{told}");
    assert!(told.contains("partial_rotary_factor 1.0 is not used: this family calls it"), "{told}");
    let (config, told) = read(&of_type("llama", json!({"rotary_emb_base": 77, "rotary_pct": 0.5})));
    assert_eq!((rope(&config).base, rope(&config).rotated), (1e4, 4));
    for name in ["rotary_emb_base 77", "rotary_pct 0.5"] {
        let note = format!("{name} is not used: models of type llama do not read it");
        assert!(told.contains(&note), "{told}");
    }
}

#[test]
fn general_names_of_sizes_precede_a_familys_own() {
    let both = json!({
        "model_type": "gpt2", "hidden_size": 8, "n_embd": 4, "num_attention_heads": 2,
        "num_hidden_layers": 3, "max_position_embeddings": 9, "n_positions": 9.0,
    });
    let (config, told) = read(&both);
    let sizes = (config.width, config.heads, config.layers, config.context);
    assert_eq!(sizes, (8, 2, 3, 9));
    assert_eq!(told, "config.json: n_embd 4 is not used: hidden_size 8 takes precedence");
    let (config, told) = read(&json!({
        "model_type": "gpt_neo", "num_heads": 4, "num_attention_heads": 2, "num_layers": 2,
    }));
    assert_eq!((config.heads, config.layers), (2, 2));
    assert!(told.contains("num_heads 4 is not used: num_attention_heads 2 takes"), "{told}");
    let (config, told) = read(&json!({"model_type": "gpt2", "n_positions": 7, "n_ctx": 6}));
    assert_eq!(config.context, 7);
    assert!(told.contains("n_ctx 6 is not used: n_positions 7 takes precedence"), "{told}");
}

#[test]
fn the_type_of_the_model_precedes_its_class() {
    let both = of_type("llama", json!({"architectures": ["MistralForCausalLM"]}));
    let (config, told) = read(&both);
    assert_eq!((config.architecture.as_str(), config.window(0)), ("llama", None));
    assert!(told.contains("is not used: model_type llama takes precedence"), "{told}");
    assert_eq!(read(&of_type("llama", json!({"architectures": ["LlamaForCausalLM"]}))).1, "");
}

/// A Llama whose file says that the head is the embedding.
fn tied(head: Tensor) -> (tempfile::TempDir, Vec<Tensor>) {
    let mut tensors = llama_tensors("model.");
    tensors[2] = head;
    (folder(&with(llama_config(), json!({"tie_word_embeddings": true})), &tensors), tensors)
}

#[test]
fn a_head_that_differs_from_the_embedding_to_which_it_is_tied_stays_apart() {
    let name = "lm_head.weight";
    let (folder, tensors) = tied(counting(name, &[6, 8], 2));
    let model = Checkpoint::open(folder.path()).unwrap();
    assert!(!model.config().tied_head);
    assert_eq!(model.matrix(Param::Head, 0).unwrap().values(0..1).unwrap()[..2], [2.0, 3.0]);
    assert_eq!(model.matrix(Param::Embed, 0).unwrap().values(0..1).unwrap()[..2], [0.0, 1.0]);
    let [note] = model.warnings() else { panic!("{:?}", model.warnings()) };
    assert!(
        note.contains("tensor lm_head.weight differs from model.embed_tokens.weight"),
        "{note}"
    );
    assert!(note.contains(&*folder.path().to_string_lossy()), "{note}");

    // With the same values, in another type too, it is the embedding.
    let same = Tensor { name: name.to_owned(), ..tensors[0].clone() };
    for same in [super::as_kind(&same, "BF16"), same] {
        let (folder, _) = tied(same);
        let model = Checkpoint::open(folder.path()).unwrap();
        assert!(model.config().tied_head && model.warnings().is_empty());
    }
    // If only the head is stored, it is the embedding.
    let mut tensors = tensors;
    tensors.remove(0);
    write(folder.path(), "model.safetensors", super::safetensors(&tensors));
    let model = Checkpoint::open(folder.path()).unwrap();
    assert!(model.config().tied_head);
    assert_eq!(model.matrix(Param::Embed, 0).unwrap().values(0..1).unwrap()[..2], [2.0, 3.0]);
    // A head of other sizes is neither.
    let (folder, _) = tied(counting(name, &[7, 8], 0));
    assert!(refusal(folder.path()).contains("tensor lm_head.weight: its shape is [7, 8]"));
}

#[test]
fn the_whole_models_flag_precedes_that_of_its_text() {
    let text = of_type("gemma3_text", json!({"tie_word_embeddings": false}));
    let (config, told) = read(&json!({"model_type": "gemma3", "text_config": text}));
    assert!(config.tied_head);
    assert!(told.contains("text_config.tie_word_embeddings false is not used"), "{told}");
}

#[test]
fn a_template_of_its_own_precedes_that_of_the_tokenizers_file() {
    let folder = folder(&llama_config(), &llama_tensors("model."));
    write(folder.path(), "chat_template.jinja", "one");
    for (other, told) in [("two", true), ("one", false)] {
        let text = json!({"chat_template": other}).to_string();
        write(folder.path(), "tokenizer_config.json", text);
        let model = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(model.chat_template(), Some("one"));
        let note = "tokenizer_config.json: chat_template is not used: chat_template.jinja takes";
        assert_eq!(model.warnings().iter().any(|sentence| sentence.contains(note)), told);
    }
}

#[test]
fn the_end_tokens_for_generation_precede_those_of_the_model() {
    let folder = folder(
        &with(llama_config(), json!({"eos_token_id": [2, 3], "bos_token_id": 0})),
        &llama_tensors("model."),
    );
    for (eos, bos, told) in [(json!([4, 2]), 1, 2), (json!([2, 3, 5]), 0, 0)] {
        let generation = json!({"eos_token_id": eos, "bos_token_id": bos}).to_string();
        write(folder.path(), "generation_config.json", generation);
        let model = Checkpoint::open(folder.path()).unwrap();
        let expected: Vec<u32> = if told == 2 { vec![2, 4] } else { vec![2, 3, 5] };
        assert_eq!((&model.config().eos, model.config().bos), (&expected, Some(bos)));
        let warnings = model.warnings();
        assert_eq!(warnings.len(), told, "{warnings:?}");
        if let [eos, bos] = warnings {
            assert!(eos.contains("eos_token_id 3 is not used"), "{eos}");
            assert!(bos.contains("bos_token_id 0 is not used"), "{bos}");
        }
    }
}
