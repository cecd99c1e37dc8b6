//! Every input of the fuzzer's corpus, read as the fuzzer reads it.

#[path = "../fuzz/readers.rs"]
mod readers;

use std::fs;
use std::path::Path;

fn read_all(target: &str, reader: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        // The name is printed before a reader may crash on the file.
        println!("{}", path.display());
        reader(&fs::read(&path).unwrap());
        count += 1;
    }
    assert!(count > 10, "{target}: only {count} inputs");
}

#[test]
fn gguf() {
    read_all("gguf", readers::gguf);
}

#[test]
fn safetensors() {
    read_all("safetensors", readers::safetensors);
}

#[test]
fn tokenizer() {
    read_all("tokenizer", readers::tokenizer);
}

#[test]
fn config() {
    read_all("config", readers::config);
}
