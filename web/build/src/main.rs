//! Builds the static folder of Pellucid's page from the compiled module, and serves it.
//!
//! `cargo xtask web` compiles the module and calls this program with its path and the folder.

mod docs;
mod policy;
mod serve;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::Compression;
use flate2::write::GzEncoder;
use wasm_bindgen_cli_support::Bindgen;

/// The most bytes that the module may have, gzipped, tokenizers included.
const MOST_GZIPPED: usize = 3 << 20;

/// Files of the built-in model, which go next to the module.
const MODEL: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

const USAGE: &str = "usage: pellucid-web-build make MODULE FOLDER, or serve FOLDER PORT [UNDER], or open FOLDER PORT, or where";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["make", module, folder] => make(Path::new(module), Path::new(folder)),
        ["open", folder, port] => serve::serve(Path::new(folder), port, "", true),
        ["serve", folder, port] => serve::serve(Path::new(folder), port, "", false),
        ["serve", folder, port, under] => serve::serve(Path::new(folder), port, under, false),
        // For callers that must end the server themselves, and so start it without cargo.
        ["where"] => std::env::current_exe()
            .map(|path| println!("{}", path.display()))
            .map_err(|error| error.to_string()),
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("web: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// An error of the file system, with the path at fault.
fn at(path: &Path) -> impl Fn(std::io::Error) -> String {
    move |error| format!("{}: {error}", path.display())
}

/// Builds the whole folder from scratch.
fn make(module: &Path, folder: &Path) -> Result<(), String> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(at(folder))?;
    }
    copy_all(&root().join("web/page"), folder)?;
    bind(module, &folder.join("wasm"))?;
    let model = folder.join("model");
    fs::create_dir_all(&model).map_err(at(&model))?;
    for name in MODEL {
        copy(&root().join("assets/built_in").join(name), &model.join(name))?;
    }
    docs::render(&root().join("docs/the-function.md"), &root(), folder)?;
    let path = folder.join("wasm/pellucid_web_bg.wasm");
    let bytes = fs::read(&path).map_err(at(&path))?;
    let gzipped = gzipped(&bytes).map_err(at(&path))?;
    let mb = |bytes: usize| format!("{:.2} MB", bytes as f64 / 1e6);
    eprintln!("web: {} is {}, {} gzipped", path.display(), mb(bytes.len()), mb(gzipped));
    if gzipped > MOST_GZIPPED {
        return Err(format!("the module is over {} gzipped", mb(MOST_GZIPPED)));
    }
    Ok(())
}

/// The bindings by which JavaScript calls the module.
fn bind(module: &Path, folder: &Path) -> Result<(), String> {
    let mut bindgen = Bindgen::new();
    let bound = bindgen.input_path(module).web(true).and_then(|bindgen| {
        bindgen
            .typescript(true)
            .remove_name_section(true)
            .omit_default_module_path(true)
            .generate(folder)
    });
    bound.map_err(|error| format!("{}: {error:#}", module.display()))
}

fn gzipped(bytes: &[u8]) -> std::io::Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.len())
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::copy(from, to).map(|_| ()).map_err(at(from))
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let path = entry.map_err(at(from))?.path();
        let place = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() { copy_all(&path, &place)? } else { copy(&path, &place)? }
    }
    Ok(())
}

/// Writes a text file, and creates the folders above it.
fn write(path: &Path, text: &str) -> Result<(), String> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(text.as_bytes()).map_err(at(path))
}
