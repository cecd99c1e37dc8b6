//! The steps of the run of all checks.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use crate::adapters::{self, Software};
use crate::tally::Tally;
use crate::validation::Watch;
use crate::{browser, build, deny, models, outside, packages, shell};

/// One named step of the run.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) lane: Lane,
    pub(crate) run: fn(&mut Tally) -> Result<(), String>,
}

/// What a step may run beside. A compiler keeps all cores busy, and tests do not, so that two of them
/// take less time together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// First, one after another.
    Build,
    /// Beside those: what is downloaded and installed, which keeps no core busy.
    Fetch,
    /// Then, one after another, while those of the browser run.
    Native,
    /// Beside those, the longest first; with the native ones done, two at a time.
    Browser,
    /// Last, alone, since it measures time.
    Alone,
}

/// In the order in which they run. Tests and the program share the dev profile, so the dependencies
/// are built once.
pub(crate) const STEPS: [Step; 30] = [
    Step {
        name: "fmt",
        about: "the formatting",
        lane: Lane::Build,
        run: |_| shell::run(&mut shell::cargo(&["fmt", "--all", "--check"])),
    },
    Step {
        name: "clippy",
        about: "the lints, warnings denied",
        lane: Lane::Build,
        run: |_| {
            let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            shell::run(&mut shell::cargo(&args))
        },
    },
    Step {
        name: "docs",
        about: "the documentation, warnings denied",
        lane: Lane::Build,
        run: |_| {
            let mut doc = shell::cargo(&["doc", "--workspace", "--no-deps"]);
            shell::run(doc.env("RUSTDOCFLAGS", "-Dwarnings"))
        },
    },
    Step {
        name: "deny",
        about: "the dependencies' licenses, sources and known faults, if cargo deny is installed",
        lane: Lane::Build,
        run: deny::check,
    },
    Step {
        name: "package",
        about: "the packages that would be published, packed and unpacked",
        lane: Lane::Build,
        run: |_| outside::pack(),
    },
    Step {
        name: "features",
        about: "the library with fewer features, warnings denied",
        lane: Lane::Build,
        run: |_| outside::features(),
    },
    Step {
        name: "adapters",
        about: "software adapters, installed if missing",
        lane: Lane::Fetch,
        run: |_| adapters::install(),
    },
    Step {
        name: "models",
        about: "real models, fetched if missing",
        lane: Lane::Fetch,
        run: |_| models::fetch(),
    },
    Step {
        name: "tools",
        about: "Chromium, and the compiler of the page's module, installed if missing",
        lane: Lane::Fetch,
        run: |_| browser::install(),
    },
    Step {
        name: "build",
        about: "the library, the program and the tests",
        lane: Lane::Build,
        run: |_| build::all(),
    },
    Step { name: "unit", about: "the tests that need no adapter", lane: Lane::Native, run: unit },
    Step {
        name: "spirv",
        about: "spirv-val on every shader as SPIR-V",
        lane: Lane::Native,
        run: spirv,
    },
    Step {
        name: "doctest",
        about: "the examples in the documentation, on lavapipe",
        lane: Lane::Native,
        run: |tally| on(Software::Lavapipe, &["--doc"], tally),
    },
    Step {
        name: "gpu-lavapipe",
        about: "the GPU tests on lavapipe, under the Vulkan validation layers",
        lane: Lane::Native,
        run: watched,
    },
    Step {
        name: "faults",
        about: "faults planted in kernels, which the cases must catch",
        lane: Lane::Native,
        run: |tally| on(Software::Lavapipe, &["--test", "faults"], tally),
    },
    Step {
        name: "conformance-lavapipe",
        about: "the conformance tests on lavapipe",
        lane: Lane::Native,
        run: |tally| on(Software::Lavapipe, &["--test", "conformance"], tally),
    },
    Step {
        name: "gpu-swiftshader",
        about: "the GPU tests on SwiftShader",
        lane: Lane::Native,
        run: |tally| on(Software::SwiftShader, &["--test", "gpu"], tally),
    },
    Step {
        name: "conformance-swiftshader",
        about: "the conformance tests on SwiftShader",
        // Training was tested on lavapipe, and takes minutes on SwiftShader.
        lane: Lane::Native,
        run: |tally| {
            let [one, two] = ["learn::a_model_without_layers", "learn::two_layers_of_attention"];
            let args = ["--test", "conformance", "--", "--skip", one, "--skip", two];
            on(Software::SwiftShader, &args, tally)
        },
    },
    Step {
        name: "doctor",
        about: "the self-test on lavapipe, with subgroups of 4 and of 16",
        lane: Lane::Native,
        run: doctor,
    },
    Step {
        name: "outside",
        about: "the packages, and README's example as a crate of its own, on lavapipe",
        lane: Lane::Native,
        run: |_| outside::build(),
    },
    Step { name: "gl", about: "one generation on OpenGL (llvmpipe)", lane: Lane::Native, run: gl },
    Step {
        name: "cli",
        about: "the program's own tests, on lavapipe",
        lane: Lane::Native,
        run: cli,
    },
    Step {
        name: "browser-robust",
        about: "the page where things go wrong",
        lane: Lane::Browser,
        run: |tally| browser::test("robust.test.js", &mut |line| tally.count_node(line)),
    },
    Step {
        name: "browser-truth",
        about: "the page's numbers against the native program's, and every kernel in Chromium",
        lane: Lane::Browser,
        run: |tally| browser::test("truth.test.js", &mut |line| tally.count_node(line)),
    },
    Step {
        name: "browser-page",
        about: "the page by pointer and by keys, on a phone, in the dark",
        lane: Lane::Browser,
        run: |tally| browser::test("page.test.js", &mut |line| tally.count_node(line)),
    },
    Step {
        name: "browser-inspect",
        about: "what the page's package sees inside a model",
        lane: Lane::Browser,
        run: |tally| browser::test("inspect.test.js", &mut |line| tally.count_node(line)),
    },
    Step {
        name: "browser-storage",
        about: "what the browser keeps",
        lane: Lane::Browser,
        run: |tally| browser::test("storage.test.js", &mut |line| tally.count_node(line)),
    },
    Step {
        name: "browser-policy",
        about: "what the page may load and send",
        lane: Lane::Browser,
        run: |tally| browser::test("policy.test.js", &mut |line| tally.count_node(line)),
    },
    Step {
        name: "browser-types",
        about: "the package's types",
        lane: Lane::Browser,
        run: |tally| browser::test("types.test.js", &mut |line| tally.count_node(line)),
    },
    Step {
        name: "speed",
        about: "how quickly the page answers in Chromium",
        lane: Lane::Alone,
        run: |tally| browser::test("speed.test.js", &mut |line| tally.count_node(line)),
    },
];

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
fn doctor(tally: &mut Tally) -> Result<(), String> {
    let Some(environment) = Software::Lavapipe.environment()? else {
        tally.skip("doctor", "lavapipe is not installed and may not be: no other subgroups to try");
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
fn gl(tally: &mut Tally) -> Result<(), String> {
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
            tally.skip("gl", "this system has no OpenGL that the program can use");
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
    on(Software::Lavapipe, &["--test", "cli"], tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_seen_in_json() {
        let json = r#"{ "tokens": [1], "text" : " Paris", "finish":"length", "seed": null }"#;
        assert_eq!(field(json, "finish").map(|value| &value[..8]), Some("\"length\""));
        assert!(field(json, "text").is_some_and(|value| value.starts_with("\" Paris")));
        assert_eq!(field(json, "seed"), None);
        assert_eq!(field(json, "other"), None);
    }
}
