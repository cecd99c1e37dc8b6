//! A hub, a network and a cache that are not what they should be.

use crate::{failure, json, model, stderr};

use super::{COMMIT, Hub, fetched, golden_tokens, resumed, sha256};

#[test]
fn what_arrives_damaged_is_not_kept() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    hub.set(|state| state.damaged = usize::MAX);
    let told = failure(&hub.run(home.path(), "o/n", &[]));
    assert!(told.starts_with("o/n: model.safetensors arrived damaged: its SHA-256 is "), "{told}");
    // Damaged once, it is downloaded once more.
    hub.set(|state| state.damaged = 1);
    hub.requests();
    let output = hub.run(home.path(), "o/n", &[]);
    assert!(stderr(&output).contains("warning: model.safetensors arrived damaged"));
    assert_eq!(json(&output)["tokens"], golden_tokens()["tokens"]);
    assert_eq!(fetched(&hub.requests()).iter().filter(|r| r.contains("/cdn/")).count(), 2);
    let blobs = home.path().join("hub/models--o--n/blobs").read_dir().unwrap();
    let mut names = blobs.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.all(|name| !name.ends_with(".incomplete")));
}

/// Small files are compared with the hash by which git names them.
#[test]
fn a_small_file_that_arrives_damaged_is_told_too() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    hub.set(|state| state.small_damaged = Some("config.json"));
    let told = failure(&hub.run(home.path(), "o/n", &[]));
    assert!(told.starts_with("o/n: config.json arrived damaged: its git hash is "), "{told}");
    hub.set(|state| state.small_damaged = None);
    assert_eq!(json(&hub.run(home.path(), "o/n", &[]))["tokens"], golden_tokens()["tokens"]);
}

/// What became of the cache between two runs.
#[test]
fn a_file_that_was_damaged_in_the_cache_is_downloaded_again() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    let expected = json(&hub.run(home.path(), "o/n", &[]))["tokens"].clone();
    let snapshot = home.path().join("hub/models--o--n/snapshots").join(COMMIT);
    for (name, keep) in [("config.json", 0), ("model.safetensors", 0), ("model.safetensors", 100)] {
        let blob = snapshot.join(name).canonicalize().unwrap();
        let whole = std::fs::read(&blob).unwrap();
        let mut damaged = whole.clone();
        damaged[20] ^= 1;
        damaged.truncate(if keep > 0 { keep } else { whole.len() });
        std::fs::write(&blob, &damaged).unwrap();
        let offline = failure(&hub.run(home.path(), "o/n", &[("HF_HUB_OFFLINE", "1")]));
        assert!(offline.contains(&format!("damaged ({name}: its ")), "{offline}");
        hub.requests();
        let output = hub.run(home.path(), "o/n", &[]);
        assert!(stderr(&output).contains("downloading it again"), "{}", stderr(&output));
        assert_eq!(json(&output)["tokens"], expected);
        assert_eq!(fetched(&hub.requests()).len(), if name == "config.json" { 1 } else { 2 });
        assert_eq!(std::fs::read(&blob).unwrap(), whole);
    }
}

#[test]
fn a_file_ends_where_the_hub_said() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    hub.set(|state| state.excess = 100_000);
    assert_eq!(json(&hub.run(home.path(), "o/n", &[]))["tokens"], golden_tokens()["tokens"]);
}

#[test]
fn a_download_goes_on_only_if_it_is_still_the_same_file() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    // The last is the first to be sent.
    hub.set(|state| (state.cuts, state.etags) = (vec![500, 1000], vec!["\"b\"", "\"b\"", "\"a\""]));
    assert_eq!(json(&hub.run(home.path(), "o/n", &[]))["tokens"], golden_tokens()["tokens"]);
    let requests = hub.requests();
    assert_eq!(resumed(&requests), ["1000 if \"a\"", "500 if \"b\""], "{requests:?}");
}

#[test]
fn a_token_is_sent_to_the_hub_alone() {
    let (hub, other, home) = (Hub::llama(), Hub::llama(), tempfile::tempdir().unwrap());
    hub.set(|state| state.elsewhere = Some(other.address.clone()));
    let found = json(&hub.run(home.path(), "o/n", &[("HF_TOKEN", "secret")]));
    assert_eq!(found["tokens"], golden_tokens()["tokens"]);
    assert!(hub.requests().iter().all(|request| request.ends_with(" as bearer secret")));
    let requests = other.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].starts_with("GET /cdn/") && !requests[0].contains(" as "), "{requests:?}");
}

#[test]
fn a_busy_hub_is_asked_again() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    hub.set(|state| state.busy = vec![(503, "0"), (429, "1")]);
    let start = std::time::Instant::now();
    assert_eq!(json(&hub.run(home.path(), "o/n", &[]))["tokens"], golden_tokens()["tokens"]);
    assert!(start.elapsed().as_secs_f64() > 1.0, "it waited as long as it was asked to");
    let lists = hub.requests().iter().filter(|request| request.contains("/api/")).count();
    assert_eq!(lists, 3);
    // Nobody waits for an hour.
    hub.set(|state| state.busy = vec![(429, "3600")]);
    let told = failure(&hub.run(home.path(), "o/n", &[]));
    assert!(told.contains("too many requests to the Hub; wait 3600 seconds"), "{told}");
}

/// Links that somebody put into the cache are replaced and not followed.
#[cfg(unix)]
#[test]
fn links_in_the_cache_lead_nowhere() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    let (victim, repository) = (home.path().join("victim"), home.path().join("hub/models--o--n"));
    std::fs::write(&victim, "theirs").unwrap();
    let weights = std::fs::read(model("llama").join("model.safetensors")).unwrap();
    let place = repository.join(format!("blobs/{}.incomplete", sha256(&weights)));
    for place in [place, repository.join("refs/main")] {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&victim, place).unwrap();
    }
    assert_eq!(json(&hub.run(home.path(), "o/n", &[]))["tokens"], golden_tokens()["tokens"]);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "theirs");
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
}
