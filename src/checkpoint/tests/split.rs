//! Models in several GGUF files.

use super::gguf::llama;
use super::{Gguf, Meta, counting, refusal, write};
use crate::checkpoint::{Checkpoint, Param, gguf_files};
use crate::files::Files;

const PARTS: [&str; 3] =
    ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"];

/// A Llama in three parts, of which the first holds all metadata.
fn parts() -> [Gguf; 3] {
    let whole = llama();
    let marked = |file: Gguf, index: u16| {
        file.with("split.no", Meta::U16(index))
            .with("split.count", Meta::U16(3))
            .with("split.tensors.count", Meta::I32(whole.tensors.len() as i32))
    };
    let bare = |tensors: &[super::Tensor]| Gguf {
        version: 3,
        pairs: Vec::new(),
        tensors: tensors.to_vec(),
    };
    let first = Gguf { tensors: whole.tensors[..2].to_vec(), ..whole.clone() };
    let (second, third) = (bare(&whole.tensors[2..5]), bare(&whole.tensors[5..]));
    [marked(first, 0), marked(second, 1), marked(third, 2)]
}

fn saved(parts: &[Gguf; 3]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, part) in PARTS.iter().zip(parts) {
        write(folder.path(), name, part.bytes());
    }
    folder
}

#[test]
fn any_part_opens_the_whole_model() {
    let folder = saved(&parts());
    let (_whole, path) = llama().save();
    let whole = Checkpoint::open(&path).unwrap();
    let same = |model: &Checkpoint| {
        assert_eq!(model.config(), whole.config());
        assert_eq!(model.fingerprint().unwrap(), whole.fingerprint().unwrap());
        for (param, rows) in [(Param::Q, 32), (Param::Down, 32), (Param::Embed, 3)] {
            let values =
                |model: &Checkpoint| model.matrix(param, 0).unwrap().values(0..rows).unwrap();
            assert_eq!(values(model), values(&whole), "{param:?}");
        }
        assert_eq!(model.bpe().unwrap(), whole.bpe().unwrap());
        assert!(model.warnings().is_empty(), "{:?}", model.warnings());
    };
    for name in PARTS {
        same(&Checkpoint::open(&folder.path().join(name)).unwrap());
    }
    same(&Checkpoint::open(folder.path()).unwrap());
    let files = PARTS.iter().zip(parts()).map(|(name, part)| ((*name).to_owned(), part.bytes()));
    same(&Checkpoint::open_files(Files::in_memory("given", files)).unwrap());
}

#[test]
fn a_part_that_lacks_is_named() {
    for (lacks, opened) in [(1, 0), (0, 2), (2, 1)] {
        let folder = saved(&parts());
        std::fs::remove_file(folder.path().join(PARTS[lacks])).unwrap();
        let error = refusal(&folder.path().join(PARTS[opened]));
        let place = format!("is part {} of 3 of a model; {} must", opened + 1, PARTS[lacks]);
        assert!(error.contains(&place) && error.contains("is missing"), "{place}: {error}");
        assert!(error.contains(PARTS[opened]), "{error}");
    }
    let folder = saved(&parts());
    for name in &PARTS[1..] {
        std::fs::remove_file(folder.path().join(name)).unwrap();
    }
    let error = refusal(&folder.path().join(PARTS[0]));
    assert!(error.contains("m-00002-of-00003.gguf and 1 more of its parts must lie"), "{error}");
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let folder = saved(&parts());
    let name = folder.path().join("other.gguf");
    std::fs::copy(folder.path().join(PARTS[1]), &name).unwrap();
    let error = refusal(&name);
    assert!(error.contains("other.gguf: is part 2 of 3 of a model, but its name"), "{error}");
    assert!(error.contains("it must end in -00002-of-00003.gguf"), "{error}");

    let refused = |change: fn(&mut [Gguf; 3])| {
        let mut parts = parts();
        change(&mut parts);
        refusal(&saved(&parts).path().join(PARTS[0]))
    };
    let error = refused(|parts| parts.swap(1, 2));
    assert!(error.contains("m-00002-of-00003.gguf: is not part 2 of 3"), "{error}");
    let error = refused(|parts| {
        let repeated = counting("output_norm.weight", &[32], 0);
        parts[2] = parts[2].clone().with_tensor(repeated);
    });
    assert!(
        error.contains("m-00003") && error.contains("output_norm.weight: is in another"),
        "{error}"
    );
    let error = refused(|parts| {
        parts[2] = parts[2].clone().without_tensor("blk.0.ffn_down.weight");
    });
    assert!(error.contains("split.tensors.count is 11, but the parts hold 10"), "{error}");
    let error = refused(|parts| {
        parts[0] = parts[0].clone().with("split.no", Meta::U16(3));
    });
    assert!(error.contains("split.no is 3, but there are 3 parts"), "{error}");
    let error = refused(|parts| {
        parts[0] = parts[0].clone().without("split.no");
    });
    assert!(error.contains("split.no is missing"), "{error}");
}

#[test]
fn the_names_of_parts_are_known() {
    assert_eq!(
        gguf_files("a/b-00002-of-00002.gguf"),
        ["a/b-00001-of-00002.gguf", "a/b-00002-of-00002.gguf"]
    );
    for name in ["m.gguf", "m-1-of-2.gguf", "m-00001-of-0000x.gguf", "m-00001-of-00002.bin"] {
        assert_eq!(gguf_files(name), [name]);
    }
}
