//! Every input of the fuzzer's corpus, read as the fuzzer reads it.

#[path = "../fuzz/bounds.rs"]
mod bounds;
#[path = "../fuzz/readers.rs"]
mod readers;

use std::fs;
use std::path::Path;
use std::time::Duration;

#[global_allocator]
static COUNTING: bounds::Counting = bounds::Counting;

/// What an input may take here: the library is hardly optimized, and other tests run at the same time.
const TIME: Duration = Duration::from_secs(10);

fn read_all(target: &str, reader: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut count = 0;
    for file in files {
        let path = file.unwrap().path();
        // The name is printed before a reader may crash on the file.
        println!("{}", path.display());
        bounds::bounded(reader, &fs::read(&path).unwrap(), TIME);
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

#[test]
fn text() {
    read_all("text", readers::text);
}

#[test]
fn template() {
    read_all("template", readers::template);
}

#[test]
fn prompt_cache() {
    read_all("prompt_cache", readers::prompt_cache);
}

#[test]
fn saved_step() {
    read_all("saved_step", readers::saved_step);
}
