//! What is said to be missing, and what is found: stale indices, names in wrappers, types that
//! cannot be read, mixtures of experts.

use std::path::Path;

use serde_json::{Value, json};

use super::folders::{llama_config, llama_tensors};
use super::gguf::llama;
use super::llamas::with;
use super::{Meta, Tensor, counting, folder, refusal, safetensors, write};
use crate::checkpoint::{Checkpoint, Param, TensorLayout};
use crate::files::Files;
use crate::format::Format;

const INDEX: &str = "model.safetensors.index.json";

/// A folder of two shards, whose index is what `change` makes of the right one.
fn shards(
    config: &Value,
    tensors: &[Tensor],
    change: impl Fn(&mut serde_json::Map<String, Value>),
) -> tempfile::TempDir {
    let folder = folder(config, &[]);
    let path = folder.path();
    std::fs::remove_file(path.join("model.safetensors")).unwrap();
    let (one, two) = tensors.split_at(7);
    let mut map = serde_json::Map::new();
    for (file, tensors) in [(SHARDS[0], one), (SHARDS[1], two)] {
        write(path, file, safetensors(tensors));
        map.extend(tensors.iter().map(|tensor| (tensor.name.clone(), json!(file))));
    }
    change(&mut map);
    write(path, INDEX, json!({"metadata": {}, "weight_map": map}).to_string());
    folder
}

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

fn first_value(model: &Checkpoint, param: Param) -> f32 {
    model.matrix(param, 0).unwrap().values(0..1).unwrap()[0]
}

#[test]
fn a_stale_index_stops_nobody() {
    let tensors = llama_tensors("model.");
    let open = |folder: &tempfile::TempDir| Checkpoint::open(folder.path()).unwrap();
    // A tied head that nobody stored.
    let tied = with(llama_config(), json!({"tie_word_embeddings": true}));
    let without: Vec<Tensor> =
        tensors.iter().filter(|tensor| tensor.name != "lm_head.weight").cloned().collect();
    let stale = shards(&tied, &without, |map| {
        map.insert("lm_head.weight".to_owned(), json!(SHARDS[0]));
    });
    let model = open(&stale);
    assert!(model.config().tied_head && model.warnings().is_empty());
    // One that is needed, and that the index does not list; and a file that it does not.
    let stale = shards(&llama_config(), &tensors, |map| {
        map.retain(|_, file| file == SHARDS[0]);
        map.remove("lm_head.weight");
    });
    let model = open(&stale);
    assert_eq!((first_value(&model, Param::Head), model.config().layers), (2.0, 2));
    assert_eq!(model.matrix(Param::Down, 1).unwrap().values(0..1).unwrap()[0], 210.0);
    let [note] = model.warnings() else { panic!("{:?}", model.warnings()) };
    assert!(note.contains("does not list 15 tensors of its files, which are read"), "{note}");
    // One that the index puts into another file than the one that has it.
    let stale = shards(&llama_config(), &tensors, |map| {
        map["lm_head.weight"] = json!(SHARDS[1]);
    });
    assert_eq!(first_value(&open(&stale), Param::Head), 2.0);
}

#[test]
fn what_is_needed_and_not_there_is_named_with_its_file() {
    let name = "lm_head.weight";
    let tensors = llama_tensors("model.");
    let without: Vec<Tensor> =
        tensors.iter().filter(|tensor| tensor.name != name).cloned().collect();
    let listed = shards(&llama_config(), &without, |map| {
        map.insert(name.to_owned(), json!(SHARDS[1]));
    });
    let error = refusal(listed.path());
    let expected = format!("{}: tensor {name}: is missing, though {INDEX} puts it here", SHARDS[1]);
    assert!(error.contains(&expected), "{error}");
    let whole = shards(&llama_config(), &tensors, |_| {});
    std::fs::remove_file(whole.path().join(SHARDS[1])).unwrap();
    let error = refusal(whole.path());
    let expected = format!("is missing, as is the file, though {INDEX} puts it here");
    assert!(error.contains(SHARDS[1]) && error.contains(&expected), "{error}");
}

#[test]
fn of_one_name_in_two_files_the_index_decides() {
    let tensors = llama_tensors("model.");
    for (place, first) in [(SHARDS[0], 2.0), (SHARDS[1], 70.0)] {
        let mut twice = tensors.clone();
        twice.push(counting("lm_head.weight", &[6, 8], 70));
        let folder = shards(&llama_config(), &twice, |map| {
            map["lm_head.weight"] = json!(place);
        });
        assert_eq!(first_value(&Checkpoint::open(folder.path()).unwrap(), Param::Head), first);
    }
}

#[test]
fn a_single_file_precedes_an_index() {
    let folder = shards(&llama_config(), &llama_tensors("model."), |_| {});
    let mut tensors = llama_tensors("model.");
    tensors[2] = counting("lm_head.weight", &[6, 8], 40);
    write(folder.path(), "model.safetensors", safetensors(&tensors));
    let model = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(first_value(&model, Param::Head), 40.0);
    let [note] = model.warnings() else { panic!("{:?}", model.warnings()) };
    assert!(note.contains("is not used, nor are its files: model.safetensors takes"), "{note}");
}

/// Another name of a tensor.
type Rename = fn(&str) -> String;

/// The tensors of a Llama under other names.
fn renamed(name: impl Fn(&str) -> String) -> Vec<Tensor> {
    let tensors = llama_tensors("model.").into_iter();
    tensors.map(|tensor| Tensor { name: name(&tensor.name), ..tensor }).collect()
}

#[test]
fn names_are_found_in_the_wrappers_of_training_programs() {
    let inside = |name: &str| name.replace("layers.0.", "layers.0._orig_mod.");
    let cases: [(&str, Rename); 6] = [
        ("compiled", |name| format!("_orig_mod.{name}")),
        ("adapted", |name| format!("base_model.model.{name}")),
        ("both, in parallel", |name| format!("module._orig_mod.base_model.model.{name}")),
        ("adapted without its adapter", |name| name.replace("_proj.", "_proj.base_layer.")),
        ("part of a larger model", |name| format!("language_model.{name}")),
        ("part of a newer one", |name| name.replace("model.", "model.language_model.")),
    ];
    for (what, rename) in cases {
        let folder = folder(&llama_config(), &renamed(rename));
        let model = Checkpoint::open(folder.path()).unwrap();
        assert_eq!(first_value(&model, Param::Head), 2.0, "{what}");
        let down = model.matrix(Param::Down, 1).unwrap();
        assert_eq!(down.name, rename("model.layers.1.mlp.down_proj.weight"), "{what}");
        assert_eq!(down.values(0..1).unwrap()[0], 210.0, "{what}");
        // What is written has the names that the family has.
        let written = tempfile::tempdir().unwrap();
        let path = written.path().join("model.safetensors");
        let mut values = |param, layer| {
            let matrix = model.matrix(param, layer)?;
            matrix.values(0..matrix.rows)
        };
        TensorLayout::of(&model).unwrap().write(&path, Format::F32, &mut values).unwrap();
        write(written.path(), "config.json", llama_config().to_string());
        let again = Checkpoint::open(written.path()).unwrap();
        let name = again.matrix(Param::Down, 1).unwrap().name;
        assert_eq!(name, "model.layers.1.mlp.down_proj.weight", "{what}");
        assert_eq!(again.matrix(Param::Head, 0).unwrap().name, "lm_head.weight", "{what}");
    }
    let folder = folder(&llama_config(), &renamed(inside));
    assert_eq!(first_value(&Checkpoint::open(folder.path()).unwrap(), Param::Head), 2.0);
}

#[test]
fn errors_about_wrapped_tensors_have_the_names_of_the_file() {
    let mut tensors = renamed(|name| format!("_orig_mod.{name}"));
    tensors[2] = counting("_orig_mod.lm_head.weight", &[8, 6], 0);
    let error = refusal(folder(&llama_config(), &tensors).path());
    assert!(error.contains("tensor _orig_mod.lm_head.weight: its shape is [8, 6]"), "{error}");
    tensors[2] = counting("_orig_mod.lm_head.weight", &[6, 8], 0);
    tensors.push(counting("lm_head.weight", &[6, 8], 0));
    let error = refusal(folder(&llama_config(), &tensors).path());
    assert!(error.contains("is in the file as ") && error.contains("lm_head.weight"), "{error}");
}

#[test]
fn an_adapter_is_told_as_such() {
    let mut tensors = renamed(|name| format!("base_model.model.{name}"));
    let name = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    tensors.push(counting(name, &[2, 8], 0));
    let folder = folder(&llama_config(), &tensors);
    let error = refusal(folder.path());
    assert!(error.contains(&format!("a LoRA adapter beside its model (tensor {name})")), "{error}");
    std::fs::remove_file(folder.path().join("config.json")).unwrap();
    write(folder.path(), "adapter_config.json", "{}");
    let error = refusal(folder.path());
    assert!(error.contains("has no config.json: it holds an adapter"), "{error}");
}

#[test]
fn a_mixture_of_experts_is_told_as_such() {
    let folder = folder(&llama_config(), &llama_tensors("model."));
    for (changes, words) in [
        (
            json!({"model_type": "mixtral", "num_local_experts": 8}),
            "(mixtral with num_local_experts 8)",
        ),
        (json!({"model_type": "qwen3_moe"}), "(qwen3_moe)"),
        (json!({"num_experts": 4}), "(llama with num_experts 4)"),
    ] {
        write(folder.path(), "config.json", with(llama_config(), changes).to_string());
        let error = refusal(folder.path());
        assert!(error.contains(&format!("a mixture of experts {words}")), "{error}");
    }
    let mut tensors = llama_tensors("model.");
    let name = "model.layers.0.block_sparse_moe.experts.0.w1.weight";
    tensors.push(counting(name, &[12, 8], 0));
    let error = refusal(super::folder(&llama_config(), &tensors).path());
    assert!(error.contains(&format!("a mixture of experts (tensor {name})")), "{error}");
    for (file, words) in [
        (llama().with("llama.expert_count", Meta::U32(8)), "(llama.expert_count 8)"),
        (
            llama().with_tensor(counting("blk.0.ffn_gate_exps.weight", &[2, 32, 32], 0)),
            "(tensor blk.0.ffn_gate_exps.weight)",
        ),
        (
            llama()
                .with("general.architecture", Meta::Text("qwen3moe"))
                .with("qwen3moe.expert_count", Meta::U32(128)),
            "(qwen3moe.expert_count 128)",
        ),
    ] {
        let (_folder, path) = file.save();
        let error = refusal(&path);
        assert!(error.contains(&format!("a mixture of experts {words}")), "{error}");
    }
}

#[test]
fn types_that_cannot_be_read_are_named_with_all_their_tensors() {
    let nonlinear = |name: &str, kind| {
        let bytes = vec![0; 32 * 18];
        Tensor { name: name.to_owned(), shape: vec![32, 32], kind, bytes }
    };
    let file = llama()
        .with_tensor(nonlinear("blk.0.ffn_up.weight", "IQ2_XS"))
        .with_tensor(nonlinear("blk.0.ffn_down.weight", "IQ2_XS"))
        .with_tensor(nonlinear("blk.0.ffn_gate.weight", "IQ3_S"));
    let (_folder, path) = file.save();
    let error = refusal(&path);
    let expected = "tensor blk.0.ffn_down.weight: its type IQ2_XS is not supported \
                    (2 tensors have IQ2_XS: blk.0.ffn_down.weight, blk.0.ffn_up.weight; \
                    1 tensor has IQ3_S: blk.0.ffn_gate.weight); supported: F32, F16, BF16, and in \
                    GGUF Q8_0, ";
    assert!(error.contains(expected), "{error}");
    // A tensor that nobody needs may be of any type.
    let (_folder, path) = llama().with_tensor(nonlinear("extra.weight", "IQ2_XS")).save();
    Checkpoint::open(&path).unwrap();
    // Of many, some are named.
    let tensors = llama_tensors("model.").into_iter();
    let wide = tensors.map(|tensor| Tensor { kind: "I32", ..tensor }).collect::<Vec<_>>();
    let error = refusal(folder(&llama_config(), &wide).path());
    assert!(error.contains("(21 tensors have I32: lm_head.weight, "), "{error}");
    assert!(error.contains(" and 13 more); supported: "), "{error}");
}

#[test]
fn a_folder_with_one_gguf_file_is_that_model() {
    let (folder, path) = llama().save();
    write(folder.path(), "README.md", "");
    assert_eq!(Checkpoint::open(folder.path()).unwrap().path(), path);
    write(folder.path(), "other.gguf", llama().bytes());
    let error = refusal(folder.path());
    assert!(
        error.contains("holds several models") && error.contains("model.gguf, other"),
        "{error}"
    );
    let files = [("a.txt".to_owned(), Vec::new()), ("m.gguf".to_owned(), llama().bytes())];
    let model = Checkpoint::open_files(Files::in_memory("given", files)).unwrap();
    assert_eq!(model.path(), Path::new("given/m.gguf"));
}
