//! The browser's module and page.
//!
//! rustup's wasm target builds it if it is installed. Otherwise Debian's compiler does, and builds the
//! standard library from source.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{packages, shell};

const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler for wasm and what it needs.
const DEBIAN: [&str; 5] = ["rustc-web", "cargo-web", "rust-web-src", "rust-web-llvm", "lld-22"];

/// `cargo xtask web [--serve [PORT]]`.
pub(crate) fn main(options: &[&str]) -> Result<(), String> {
    match options {
        [] => {
            let folder = make()?;
            eprintln!("xtask: the page is in {}; any file server can serve it", folder.display());
            Ok(())
        }
        ["--serve"] => serve("8080"),
        ["--serve", port] => serve(port),
        _ => Err("the only option of web is --serve [PORT]".to_owned()),
    }
}

fn serve(port: &str) -> Result<(), String> {
    let folder = make()?;
    shell::run(tool().arg("open").arg(folder).arg(port))
}

/// Makes the static folder and returns its path.
pub(crate) fn make() -> Result<PathBuf, String> {
    let folder = shell::root().join("target/page");
    make_into(&folder, tool())?;
    Ok(folder)
}

/// Makes the page in another folder, with this program.
pub(crate) fn make_into(folder: &Path, mut tool: Command) -> Result<(), String> {
    let module = compile()?;
    shell::run(tool.arg("make").arg(module).arg(folder))
}

/// The program that makes the page, and nothing besides.
pub(crate) fn tool() -> Command {
    shell::cargo(&["run", "--quiet", "--package", "pellucid-web-build", "--"])
}

/// Compiles the module and gives its path.
fn compile() -> Result<PathBuf, String> {
    // In one folder, two compilers would keep discarding each other's output.
    let target = shell::root().join("target/web");
    need_compiler()?;
    let mut command = if has_target() {
        shell::cargo(&["build"])
    } else {
        let mut cargo = shell::program("/usr/bin/cargo");
        cargo.args(["build", "-Zbuild-std=std,panic_abort"]);
        cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", "/usr/bin/rustc");
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "/usr/bin/rust-lld");
        cargo
    };
    command.args(["--package", "pellucid-web", "--profile", "web", "--target", TARGET]);
    shell::run(command.env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join(TARGET).join("web/pellucid_web.wasm"))
}

/// Installs a compiler of the module, if there is none.
pub(crate) fn need_compiler() -> Result<(), String> {
    if has_target() {
        return Ok(());
    }
    packages::install(&DEBIAN).map_err(|error| {
        format!("the page needs `rustup target add {TARGET}`; without rustup, {error}")
    })
}

/// Whether the compiler in use has the target's standard library.
fn has_target() -> bool {
    let mut ask = shell::program("rustc");
    ask.args(["--print", "target-libdir", "--target", TARGET]);
    shell::capture(&mut ask).is_ok_and(|path| Path::new(path.trim()).is_dir())
}
