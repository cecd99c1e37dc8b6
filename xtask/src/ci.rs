//! Every check of the repository, fastest first, as one command.
//!
//! The first failure ends the run. No step is skipped silently: what is missing is installed,
//! or the step fails, or a line says what ran instead.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use crate::adapters::{self, Software};
use crate::tally::Tally;
use crate::validation::Watch;
use crate::{browser, build, deny, models, outside, packages, shell};

/// One named step of the run.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Tally) -> Result<(), String>,
}

/// In the order in which they run. Tests and the program share the dev profile, so the dependencies
/// are built once.
const STEPS: [Step; 22] = [
    Step {
        name: "fmt",
        about: "the formatting",
        run: |_| shell::run(&mut shell::cargo(&["fmt", "--all", "--check"])),
    },
    Step {
        name: "clippy",
        about: "the lints, warnings denied",
        run: |_| {
            let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            shell::run(&mut shell::cargo(&args))
        },
    },
    Step {
        name: "docs",
        about: "the documentation, warnings denied",
        run: |_| {
            let mut doc = shell::cargo(&["doc", "--workspace", "--no-deps"]);
            shell::run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
        },
    },
    Step {
        name: "deny",
        about: "the dependencies' licences, sources and known faults, if cargo deny is installed",
        run: |_| deny::check(),
    },
    Step {
        name: "package",
        about: "the packages that would be published, packed and unpacked",
        run: |_| outside::pack(),
    },
    Step {
        name: "features",
        about: "the library with fewer features, warnings denied",
        run: |_| outside::features(),
    },
    Step {
        name: "adapters",
        about: "software adapters, installed if missing",
        run: |_| adapters::install(),
    },
    Step { name: "models", about: "real models, fetched if missing", run: |_| models::fetch() },
    Step { name: "build", about: "the library, the program and the tests", run: |_| build::all() },
    Step { name: "unit", about: "the tests that need no adapter", run: unit },
    Step { name: "spirv", about: "spirv-val on every shader as SPIR-V", run: spirv },
    Step {
        name: "doctest",
        about: "the examples in the documentation, on lavapipe",
        run: |tally| on(Software::Lavapipe, &["--doc"], tally),
    },
    Step {
        name: "gpu-lavapipe",
        about: "the GPU tests on lavapipe, under the Vulkan validation layers",
        run: watched,
    },
    Step {
        name: "faults",
        about: "faults planted in kernels, which the cases must catch",
        run: |tally| on(Software::Lavapipe, &["--test", "faults"], tally),
    },
    Step {
        name: "conformance-lavapipe",
        about: "the conformance tests on lavapipe",
        run: |tally| on(Software::Lavapipe, &["--test", "conformance"], tally),
    },
    Step {
        name: "gpu-swiftshader",
        about: "the GPU tests on SwiftShader",
        run: |tally| on(Software::SwiftShader, &["--test", "gpu"], tally),
    },
    Step {
        name: "conformance-swiftshader",
        about: "the conformance tests on SwiftShader",
        // Training was tested on lavapipe, and takes minutes on SwiftShader.
        run: |tally| {
            let [one, two] = ["learn::a_model_without_layers", "learn::two_layers_of_attention"];
            let args = ["--test", "conformance", "--", "--skip", one, "--skip", two];
            on(Software::SwiftShader, &args, tally)
        },
    },
    Step {
        name: "doctor",
        about: "the self-test on lavapipe, with subgroups of 4 and of 16",
        run: doctor,
    },
    Step {
        name: "outside",
        about: "the packages, and README's example as a crate of its own, on lavapipe",
        run: |_| outside::build(),
    },
    Step { name: "gl", about: "one generation on OpenGL (llvmpipe)", run: gl },
    Step { name: "cli", about: "the program's own tests, on lavapipe", run: cli },
    Step {
        name: "browser",
        about: "the page in Chromium, on its software WebGPU",
        run: |tally| browser::test(&mut |line| tally.count_node(line)),
    },
];

/// Runs the steps that the options select, and ends with `N passed, M failed`.
pub(crate) fn main(options: &[&str]) -> ExitCode {
    let steps = match choose(options) {
        Ok(steps) => steps,
        Err(error) => {
            eprintln!("xtask: {error}");
            return ExitCode::from(2);
        }
    };
    if options.contains(&"--list") {
        for step in steps {
            println!("{:24}{}", step.name, step.about);
        }
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let mut tally = Tally::default();
    let result = run(&steps, &mut tally);
    let seconds = start.elapsed().as_secs_f64();
    let exit = match result {
        Ok(()) => {
            eprintln!("ci: all steps passed ({seconds:.0} s)");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("ci: {error} ({seconds:.0} s)");
            ExitCode::FAILURE
        }
    };
    println!("{} passed, {} failed", tally.passed, tally.failed);
    exit
}

/// The steps named by `--only`, or all.
fn choose(options: &[&str]) -> Result<Vec<&'static Step>, String> {
    let mut chosen = Vec::new();
    let mut rest = options.iter();
    while let Some(&option) = rest.next() {
        match (option, rest.as_slice().first()) {
            ("--list", _) => {}
            ("--only", Some(name)) => {
                let step = STEPS.iter().find(|step| step.name == *name);
                let unknown = || format!("`{name}` is not a step; see `cargo xtask ci --list`");
                chosen.push(step.ok_or_else(unknown)?);
                rest.next();
            }
            ("--only", None) => return Err("--only needs the name of a step".to_owned()),
            _ => {
                return Err(format!(
                    "`{option}` is not an option of ci, which has --list and --only STEP"
                ));
            }
        }
    }
    Ok(if chosen.is_empty() { STEPS.iter().collect() } else { chosen })
}

/// Runs the steps in order, up to the first that fails.
fn run(steps: &[&Step], tally: &mut Tally) -> Result<(), String> {
    for (index, step) in steps.iter().enumerate() {
        eprintln!("\nci: [{}/{}] {}: {}", index + 1, steps.len(), step.name, step.about);
        let start = Instant::now();
        let failed_before = tally.failed;
        let result = (step.run)(tally);
        let seconds = start.elapsed().as_secs_f64();
        result.map_err(|error| {
            // A failure outside of any test, or one that kills its test program, counts as well.
            tally.failed = tally.failed.max(failed_before + 1);
            format!("step {} failed after {seconds:.1} s: {error}", step.name)
        })?;
        eprintln!("ci: {} passed in {seconds:.1} s", step.name);
    }
    Ok(())
}

fn shaders() -> PathBuf {
    shell::root().join("target/shaders")
}

fn unit(tally: &mut Tally) -> Result<(), String> {
    // A shader that was removed from the sources must not be checked any more.
    shell::remove_folder(&shaders())?;
    fs::create_dir_all(shaders()).map_err(|error| shell::at(&shaders(), &error))?;
    let args = ["--lib", "--bins"];
    let args = [&args[..], &["--test", "shaders", "--test", "tidy", "--test", "corpus"]].concat();
    tally.test(&args, [("PELLUCID_SPIRV_OUT", shaders())])
}

fn spirv(_: &mut Tally) -> Result<(), String> {
    packages::need("spirv-val", "spirv-tools")?;
    let folder = shaders();
    let entries = folder.read_dir().map_err(|error| shell::at(&folder, &error))?;
    let files = entries.flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension() == Some(OsStr::new("spv"))).collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{} holds no SPIR-V; the step unit writes it", folder.display()));
    }
    for file in &files {
        shell::quiet(shell::program("spirv-val").arg(file))?;
    }
    eprintln!("ci: {} shaders are valid", files.len());
    Ok(())
}

/// Runs tests that need an adapter on this one, or on the machine's own if it is not available.
fn on(adapter: Software, args: &[&str], tally: &mut Tally) -> Result<(), String> {
    models::fetch()?;
    let name = adapter.name();
    if let Some(mut environment) = adapter.environment()? {
        environment.push(("PELLUCID_TEST_ADAPTER", name.into()));
        return tally.test(args, environment);
    }
    eprintln!("ci: {name} is not installed and may not be: using this machine's own adapter");
    tally.test(args, [("", ""); 0])
}

/// The GPU tests on lavapipe, in which the validation layers must report nothing.
fn watched(tally: &mut Tally) -> Result<(), String> {
    let Some(watch) = Watch::new()? else {
        eprintln!("ci: the Vulkan validation layers are not installed and may not be");
        return on(Software::Lavapipe, &["--test", "gpu"], tally);
    };
    let Some(mut environment) = Software::Lavapipe.environment()? else {
        return on(Software::Lavapipe, &["--test", "gpu"], tally);
    };
    environment.push(("PELLUCID_TEST_ADAPTER", Software::Lavapipe.name().into()));
    environment.extend(watch.environment());
    tally.test(&["--test", "gpu"], environment)?;
    watch.silent()
}

/// Compares every kernel with its twin, as users do, with other subgroup sizes than lavapipe's own;
/// all of them must be right.
fn doctor(_: &mut Tally) -> Result<(), String> {
    let Some(environment) = Software::Lavapipe.environment()? else {
        eprintln!("ci: lavapipe is not installed and may not be: no other subgroups to try");
        return Ok(());
    };
    let program = build::pellucid()?;
    for (bits, size) in [("128", "[4,4]"), ("512", "[16,16]")] {
        let mut command = shell::program(&program);
        command.args(["doctor", "--json"]).envs(environment.clone());
        command.env("LP_NATIVE_VECTOR_WIDTH", bits);
        let printed = shell::capture(&mut command)?;
        let count = |word: &str| printed.matches(word).count();
        let (wrong, right) = (count("\"ok\":false"), count("\"ok\":true"));
        if wrong > 0 || right < 100 || !printed.contains(size) {
            return Err(format!("{wrong} variants are wrong and {right} right:\n{printed}"));
        }
        eprintln!("ci: {} variants are right with subgroups of {size}", right - 1);
    }
    Ok(())
}

/// Generates on OpenGL: the path for adapters without modern features.
fn gl(_: &mut Tally) -> Result<(), String> {
    models::fetch()?;
    let model = models::folder().join(models::SMOL_LM2);
    let mut command = shell::program(build::pellucid()?);
    command.args(["generate", "--backend", "gl", "--max-new-tokens", "4", "--json"]);
    command.arg("--model").arg(model).arg("The capital of France is");
    match Software::Llvmpipe.environment()? {
        Some(environment) => _ = command.envs(environment),
        None if cfg!(target_os = "linux") => {
            eprintln!(
                "ci: llvmpipe is not installed and may not be: using this machine's own OpenGL"
            );
        }
        None => {
            eprintln!("ci: skipped, since this system has no OpenGL that the program can use");
            return Ok(());
        }
    }
    let printed = shell::capture(&mut command)?;
    let text = field(&printed, "text").is_some_and(|value| !value.starts_with("\"\""));
    let finish = field(&printed, "finish").is_some();
    if text && finish {
        eprint!("{printed}");
        Ok(())
    } else {
        Err(format!("no text or no finish in the output of `generate --json`:\n{printed}"))
    }
}

/// The text under a key of a JSON object, from its opening quote on. Not a parser, but enough to see
/// that it is there.
fn field<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = json.split_once(&format!("\"{key}\""))?;
    let value = after.trim_start().strip_prefix(':')?.trim_start();
    value.starts_with('"').then_some(value)
}

fn cli(tally: &mut Tally) -> Result<(), String> {
    let folder = shell::root().join("cli/tests");
    if !folder.is_dir() {
        eprintln!("ci: nothing to run, since the folder cli/tests does not exist");
        return Ok(());
    }
    on(Software::Lavapipe, &["--test", "cli"], tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Step = Step {
        name: "good",
        about: "passes",
        run: |tally| {
            tally.count("test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured\n");
            Ok(())
        },
    };
    const CRASH: Step =
        Step { name: "crash", about: "says nothing", run: |_| Err("gone".to_owned()) };
    const BAD: Step = Step {
        name: "bad",
        about: "fails",
        run: |tally| {
            tally.count("test result: \x1b[31mFAILED\x1b[0m. 2 passed; 3 failed; 0 ignored\n");
            Err("three tests".to_owned())
        },
    };

    #[test]
    fn the_first_failure_ends_the_run() {
        let mut tally = Tally::default();
        assert_eq!(run(&[&GOOD, &GOOD], &mut tally), Ok(()));
        assert_eq!(tally, Tally { passed: 10, failed: 0 });

        let error = run(&[&GOOD, &BAD, &GOOD], &mut tally).unwrap_err();
        assert!(error.starts_with("step bad failed") && error.ends_with("three tests"), "{error}");
        assert_eq!(tally, Tally { passed: 17, failed: 3 });
    }

    #[test]
    fn a_failure_without_a_test_counts_as_one() {
        let mut tally = Tally::default();
        assert!(run(&[&CRASH, &GOOD], &mut tally).is_err(), "the first step fails");
        assert_eq!(tally, Tally { passed: 0, failed: 1 });
    }

    #[test]
    fn options_choose_steps() {
        let names = |options: &[&str]| {
            choose(options).map(|steps| steps.iter().map(|step| step.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).map(|all| all.len()), Ok(STEPS.len()));
        assert_eq!(names(&["--only", "gl", "--only", "fmt"]), Ok(vec!["gl", "fmt"]));
        assert!(names(&["--only"]).is_err_and(|error| error.contains("needs the name")));
        assert!(names(&["--only", "x"]).is_err_and(|error| error.contains("`x` is not a step")));
        assert!(names(&["--fast"]).is_err_and(|error| error.contains("`--fast`")));
    }

    #[test]
    fn fields_are_seen_in_json() {
        let json = r#"{ "tokens": [1], "text" : " Paris", "finish":"length", "seed": null }"#;
        assert_eq!(field(json, "finish").map(|value| &value[..8]), Some("\"length\""));
        assert!(field(json, "text").is_some_and(|value| value.starts_with("\" Paris")));
        assert_eq!(field(json, "seed"), None);
        assert_eq!(field(json, "other"), None);
    }
}
