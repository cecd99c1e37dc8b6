//! The page in Chromium, on its software WebGPU, compared with the native program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::adapters::Software;
use crate::{build, models, packages, shell, web};

/// The text that both learn from.
const TEXT: &str = "docs/the-function.md";

/// What both are asked to continue.
const PROMPT: &str = "ROMEO:";
const QUESTION: &str = "The capital of France is";
const MESSAGE: &str = "What is the capital of France?\n";

type Environment = Vec<(&'static str, PathBuf)>;

fn folder() -> PathBuf {
    shell::root().join("target/browser")
}

fn site() -> PathBuf {
    folder().join("site")
}

/// The program that makes and serves the page.
fn tool() -> Result<Command, String> {
    build::program("pellucid-web-build").map(shell::program)
}

/// Installs what the page's tests need, if it is missing.
pub(crate) fn install() -> Result<(), String> {
    need_browser()?;
    web::need_compiler()
}

/// Runs the tests of a file, and shows each line they print.
pub(crate) fn test(file: &str, see: &mut dyn FnMut(&str)) -> Result<(), String> {
    run(&folder().join("tests").join(file), &prepared()?, see)
}

/// The environment of the tests, prepared once a run.
fn prepared() -> Result<Environment, String> {
    static PREPARED: OnceLock<Result<Environment, String>> = OnceLock::new();
    PREPARED.get_or_init(prepare).clone()
}

fn run(
    file: &Path,
    environment: &[(&'static str, PathBuf)],
    see: &mut dyn FnMut(&str),
) -> Result<(), String> {
    let mut node = shell::program("node");
    node.arg("--test-reporter=tap").arg(file).envs(environment.iter().cloned());
    shell::tee(&mut node, see)
}

/// The browser, the page, the tests, and what the native program answers: the environment of the tests.
fn prepare() -> Result<Environment, String> {
    let (folder, site, tests) = (folder(), site(), folder().join("tests"));
    need_browser()?;
    web::make_into(&site.join("page"), tool()?)?;
    models::fetch()?;
    let model = models::folder().join(models::SMOL_LM2);
    shell::link(&model, &site.join("smollm2.gguf"))?;
    let native = folder.join("native.json");
    write(&native, &answers(&model, &folder)?)?;
    copy(&shell::root().join("web/tests"), &tests)?;
    let mut install = shell::program("npm");
    install.args(["install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]);
    // What was fetched before is not asked for again; the versions are exact.
    shell::quiet(install.arg("--prefer-offline").current_dir(&tests))?;
    let server = shell::capture(tool()?.arg("where"))?.trim().into();
    Ok(vec![
        ("PELLUCID_NATIVE", native),
        ("PELLUCID_SCREENS", folder.join("screens")),
        ("PELLUCID_SERVER", server),
        ("PELLUCID_SITE", site),
        ("PELLUCID_SMOLLM2", model),
    ])
}

/// The number in a test runner's line that counts passed or failed tests.
pub(crate) fn counted(line: &str) -> Option<(bool, u64)> {
    let (word, number) = line.trim().strip_prefix("# ")?.split_once(' ')?;
    let passed = match word {
        "pass" => true,
        "fail" => false,
        _ => return None,
    };
    Some((passed, number.parse().ok()?))
}

/// Node and Chromium, installed if that is allowed.
fn need_browser() -> Result<(), String> {
    packages::need("node", "nodejs")?;
    packages::need("npm", "npm")?;
    let other = std::env::var_os("PELLUCID_CHROMIUM").map(PathBuf::from);
    if Path::new("/usr/bin/chromium").exists() || other.is_some_and(|path| path.exists()) {
        return Ok(());
    }
    packages::install(&["chromium"]).map_err(|error| {
        format!("{error}; PELLUCID_CHROMIUM may give the path of another Chromium")
    })
}

/// The native program's answers to everything the page is asked.
fn answers(smollm2: &Path, folder: &Path) -> Result<String, String> {
    let environment = Software::Lavapipe.environment()?.unwrap_or_default();
    let program = build::pellucid()?;
    let pellucid = |args: &[&str]| {
        let mut command = shell::program(&program);
        command.args(args).envs(environment.clone());
        command
    };
    let smollm2 = smollm2.to_string_lossy();
    let generate = |more: &[&str]| {
        let mut command = pellucid(&["generate", "--json"]);
        shell::capture(command.args(more))
    };
    let score = |generated: &str, more: &[&str]| {
        let [prompt, tokens] = ["prompt_tokens", "tokens"].map(|key| list(generated, key));
        let (Some(prompt), Some(tokens)) = (prompt, tokens) else {
            return Err(format!("no tokens in {generated}"));
        };
        let mut command = pellucid(&["score", "--json", "--tokens"]);
        shell::capture(command.arg(format!("{prompt},{tokens}")).args(more))
    };
    let greedy = ["--temperature", "0", "--ignore-eos", "--max-new-tokens", "64"];
    let written = generate(&[&greedy[..], &[PROMPT]].concat())?;
    let scored = score(&written, &["--top", "5"])?;
    let drawn = ["--max-new-tokens", "32", "--ignore-eos", "--temperature", "0.8"];
    let drawn = generate(&[&drawn[..], &["--top-p", "0.9", "--seed", "7", PROMPT]].concat())?;
    let real = ["--temperature", "0", "--max-new-tokens", "16", QUESTION];
    let real = generate(&[&["--model", &smollm2], &real[..]].concat())?;
    let real_scored = score(&real, &["--model", &smollm2])?;
    let chat =
        ["chat", "--json", "--temperature", "0", "--max-new-tokens", "7", "--model", &smollm2];
    let answer = shell::answer(&mut pellucid(&chat), MESSAGE)?;
    let changes = ["--ablate", "L1H0", "--edit", "resid_post.0[-1] *= 0.5"];
    let changed = generate(&[&greedy[..], &changes, &[PROMPT]].concat())?;
    let inspect = |more: &[&str]| {
        let mut command = pellucid(&["inspect"]);
        shell::capture(command.args(more).args(changes).args(["--json", PROMPT]))
    };
    let seen = inspect(&["lens", "--top", "3", "--target", "5"])?;
    let attributed = inspect(&["attribute", "--answer", "5", "--versus", "9"])?;
    let ablated = inspect(&["ablate", "--what", "head"])?;

    let run = folder.join("run");
    shell::remove_folder(&run)?;
    let sizes = ["--layers", "2", "--heads", "2", "--width", "32", "--context", "32"];
    let pace = ["--batch", "4", "--steps", "10", "--lr", "1e-3", "--beta2", "0.99"];
    let mut train = pellucid(&["train", TEXT, "--no-check", "-o"]);
    shell::quiet(train.arg(&run).args(sizes).args(pace))?;
    let log = run.join("log.jsonl");
    let log = fs::read_to_string(&log).map_err(|error| shell::at(&log, &error))?;
    let lines = log.lines().collect::<Vec<_>>().join(",");
    Ok(format!(
        "{{\"prompt\":{PROMPT:?},\"written\":{written},\"scored\":{scored},\"drawn\":{drawn},\
         \"question\":{QUESTION:?},\"real\":{real},\"realScored\":{real_scored},\
         \"answer\":{answer},\"changed\":{changed},\"seen\":{seen},\"attributed\":{attributed},\
         \"ablated\":{ablated},\"trained\":[{lines}]}}"
    ))
}

/// The numbers of a list in a JSON object, without the brackets.
fn list<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = json.split_once(&format!("\"{key}\":["))?;
    after.split(']').next()
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|error| shell::at(path, &error))
}

/// Copies the files of a folder.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(|error| shell::at(to, &error))?;
    for entry in from.read_dir().map_err(|error| shell::at(from, &error))?.flatten() {
        let path = entry.path();
        if path.is_file() {
            let place = to.join(entry.file_name());
            fs::copy(&path, &place).map_err(|error| shell::at(&path, &error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::steps::STEPS;

    #[test]
    fn every_file_of_tests_has_a_step() {
        let folder = shell::root().join("web/tests");
        let names = folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.map(|name| name.into_string().unwrap());
        for name in names.filter_map(|name| name.strip_suffix(".test.js").map(str::to_owned)) {
            let own = |step: &str| step == name || step.strip_prefix("browser-") == Some(&name);
            assert!(STEPS.iter().any(|step| own(step.name)), "{name}");
        }
    }

    #[test]
    fn runners_are_counted() {
        assert_eq!(counted("# pass 12"), Some((true, 12)));
        assert_eq!(counted("# fail 0\n"), Some((false, 0)));
        assert_eq!(counted("# Subtest: pass 3"), None);
        assert_eq!(counted("ok 1 - pass"), None);
    }

    #[test]
    fn lists_are_found() {
        let json = r#"{"prompt_tokens":[1,2],"tokens":[3,4,5],"text":"x"}"#;
        assert_eq!(list(json, "tokens"), Some("3,4,5"));
        assert_eq!(list(json, "other"), None);
    }
}
