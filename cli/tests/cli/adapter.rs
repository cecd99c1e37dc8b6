//! What is found out about the machine's adapter: whether it is right, and what is fast on it.

use std::path::Path;

use serde_json::Value;

use super::{failure, json, model, pellucid};

/// The files that a cache folder holds.
fn kept(folder: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(folder.join("adapters")).into_iter().flatten();
    let text = |file: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(file.unwrap().path()).unwrap()
    };
    files.map(|file| serde_json::from_str(&text(file)).unwrap()).collect()
}

/// Four tokens of a small model on the adapter, with a cache folder: the object that it prints.
fn generate(folder: &Path, options: &[&str]) -> Value {
    let args = ["generate", "--json", "--tokens", "1,2,3", "--max-new-tokens", "4"];
    let mut command = pellucid(&args);
    command.env("PELLUCID_CACHE", folder).args(options).arg("--model").arg(model("llama"));
    json(&command.output().unwrap())
}

#[test]
fn doctor_finds_every_kernel_right() {
    let found = json(&pellucid(&["doctor", "--json"]).output().unwrap());
    assert_eq!(found["ok"], true);
    assert!(found["adapter"]["name"].is_string());
    let kernels = found["kernels"].as_array().unwrap();
    assert!(kernels.len() > 100, "{} variants", kernels.len());
    for kernel in kernels {
        assert!(kernel["kernel"].is_string() && kernel["variant"].is_string(), "{kernel}");
        assert!(kernel["ok"] == true && kernel["max_rel_err"].is_number(), "{kernel}");
    }
    let refused = failure(&pellucid(&["doctor", "--backend", "cpu"]).output().unwrap());
    assert!(refused.contains("--backend cpu"), "{refused}");
}

#[test]
fn the_first_use_of_an_adapter_is_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let unchecked = generate(folder.path(), &["--no-check"]);
    assert!(kept(folder.path()).is_empty(), "--no-check tries nothing");
    let first = generate(folder.path(), &[]);
    let [page] = &kept(folder.path())[..] else { panic!("one file for one adapter") };
    let passed = page["passed"].as_array().unwrap();
    assert!(passed.iter().any(|name| name.as_str().unwrap().starts_with("rms_norm")), "{page}");
    assert!(page["profile"]["excluded"].as_array().unwrap().is_empty(), "{page}");
    let second = generate(folder.path(), &[]);
    assert_eq!(page, &kept(folder.path())[0], "nothing is tried again");
    for other in [&unchecked, &second] {
        assert_eq!((&first["tokens"], &first["plan"]), (&other["tokens"], &other["plan"]));
    }

    // A place that cannot be written is no reason to fail.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(generate(&file, &[])["tokens"], first["tokens"]);
}

#[test]
fn what_is_excluded_is_not_used_and_what_is_tuned_is() {
    let folder = tempfile::tempdir().unwrap();
    let plain = generate(folder.path(), &[]);
    let mut command = pellucid(&["tune", "--json", "--model"]);
    command.env("PELLUCID_CACHE", folder.path()).arg(model("llama"));
    let tuned = json(&command.output().unwrap());
    let contests = tuned["contests"].as_array().unwrap();
    assert!(contests.len() > 5, "{tuned}");
    assert!(contests.iter().all(|contest| contest["gain"].as_f64().unwrap() >= 1.0), "{tuned}");
    assert_eq!(generate(folder.path(), &["--no-tune"])["plan"], plain["plan"]);

    // The file is plain data: what somebody else measured counts as well, and a variant that is
    // excluded is not chosen.
    let path = tuned["file"].as_str().unwrap();
    let mut page = kept(folder.path()).remove(0);
    page["profile"]["reduce"] = serde_json::json!({ "Workgroup": 32 });
    page["profile"]["excluded"] = serde_json::json!(["matvec_shuffle", "lanes_subgroup"]);
    std::fs::write(path, page.to_string()).unwrap();
    let other = generate(folder.path(), &[]);
    assert_ne!(other["plan"], plain["plan"]);
    assert_eq!(other["tokens"], plain["tokens"]);
    let page = kept(folder.path()).remove(0);
    let passed = |word: &str| {
        let names = page["passed"].as_array().unwrap().iter();
        names.filter(|name| name.as_str().unwrap().contains(word)).count()
    };
    assert!(passed("reduce_workgroup WG=32") > 0, "what is new was tried: {page}");
}
