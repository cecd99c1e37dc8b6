//! What the system itself must provide: Debian packages and a Python.
//!
//! They are installed without asking only if that is harmless and possible: on Debian or a
//! derivative, as root or with a `sudo` that needs no password. Otherwise the error says what to
//! install.

use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::shell;

/// Whether packages may be installed here.
pub(crate) fn may_install() -> bool {
    apt().is_some()
}

/// Whether this is Debian itself; its derivatives lack some of its packages.
pub(crate) fn is_debian() -> bool {
    os_release("ID") == "debian"
}

/// Installs the missing ones of these Debian packages.
///
/// If that is not allowed, fails with one line that says what to install.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    // Steps run side by side, and the lists of packages have a lock that nobody waits for.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let missing: Vec<&str> = packages.iter().copied().filter(|name| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let Some(mut update) = apt() else {
        return Err(format!("please install {}", instruction(&missing)));
    };
    eprintln!("xtask: installing {} ...", missing.join(" "));
    shell::quiet(update.args(["update", "-qq"]))?;
    let mut install = apt().unwrap_or(update);
    shell::quiet(install.args(["install", "-qq", "--no-install-recommends"]).args(&missing))
}

/// Makes sure that a program can be run, installing its Debian package if necessary.
pub(crate) fn need(program: &str, package: &str) -> Result<(), String> {
    let found = || shell::succeeds(shell::program(program).arg("--version"));
    if found() {
        return Ok(());
    }
    install(&[package])?;
    if found() { Ok(()) } else { Err(format!("`{program}` cannot be run")) }
}

/// A Python that has the module, which Debian packages separately from Python.
pub(crate) fn python(module: &str) -> Result<&'static str, String> {
    let find = || {
        // The system's own is the last resort: a Python earlier on the path may lack the module.
        ["python3", "python", "/usr/bin/python3"].into_iter().find(|python| {
            shell::succeeds(shell::program(python).args(["-c", &format!("import {module}")]))
        })
    };
    let package = if module == "pip" { "python3-pip" } else { "python3-venv" };
    find().or_else(|| install(&["python3", package]).ok().and_then(|()| find())).ok_or_else(|| {
        format!("please install Python 3 with its module {module} ({package} on Debian)")
    })
}

/// The command to call `apt-get` here without a prompt, or `None`.
fn apt() -> Option<Command> {
    let family = [os_release("ID"), os_release("ID_LIKE")].join(" ");
    if !family.split_whitespace().any(|name| name == "debian") {
        return None;
    }
    let user = shell::capture(shell::program("id").arg("-u")).ok()?;
    let mut command = if user.trim() == "0" {
        shell::program("env")
    } else if shell::succeeds(shell::program("sudo").args(["-n", "true"])) {
        let mut sudo = shell::program("sudo");
        sudo.args(["-n", "env"]);
        sudo
    } else {
        return None;
    };
    // Another installation may be running: wait for it rather than fail.
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-oDPkg::Lock::Timeout=300"]);
    Some(command)
}

fn installed(package: &str) -> bool {
    let mut query = shell::program("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status} ", package]);
    query.output().is_ok_and(|output| output.stdout.starts_with(b"installed"))
}

/// The packages, and on Debian or a derivative the command that installs them.
fn instruction(packages: &[&str]) -> String {
    let packages = packages.join(" ");
    if shell::succeeds(shell::program("apt-get").arg("--version")) {
        format!("what is missing: sudo apt-get install {packages}")
    } else {
        format!("what Debian calls {packages}")
    }
}

/// A value from the file that names the system; empty if there is no such file.
fn os_release(key: &str) -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches('"').to_owned()
}
