//! Models of the Hub, from a server of our own.

mod faults;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json as object};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{failure, golden, json, model, pellucid, stderr};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server that speaks as the Hub does: small files itself, large ones by a redirect to another
/// path.
#[derive(Clone)]
struct Hub {
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    /// What was asked for: method, path, range and its condition, token.
    requests: Vec<String>,
    /// After how many bytes the next answers with a file's bytes break off.
    cuts: Vec<usize>,
    /// An answer to everything: status and error code.
    refusal: Option<(u16, &'static str)>,
    /// Answers before the usual ones: status and `Retry-After`.
    busy: Vec<(u16, &'static str)>,
    /// How often large files' bytes differ from what their hash says.
    damaged: usize,
    /// A small file whose bytes differ from what its hash says.
    small_damaged: Option<&'static str>,
    /// Whether ranges are ignored.
    whole_only: bool,
    /// Another server that sends large files' bytes.
    elsewhere: Option<String>,
    /// The `ETag` of the next answers with large files' bytes.
    etags: Vec<&'static str>,
    /// How many bytes follow those of a large file.
    excess: usize,
}

impl Hub {
    fn new(files: HashMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let hub = Self { address, state };
        let server = hub.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that leaves is its own business.
                let _ = server.answer(stream);
            }
        });
        hub
    }

    /// A golden model with a tokenizer of its own.
    fn llama() -> Self {
        let mut files = HashMap::new();
        for item in model("llama").read_dir().unwrap() {
            let path = item.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            files.insert(name, std::fs::read(path).unwrap());
        }
        files.insert("README.md".to_owned(), b"not wanted".to_vec());
        Self::new(files)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
    }

    /// What was asked for since the last time.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    fn run(&self, home: &Path, id: &str, environment: &[(&str, &str)]) -> Output {
        let args = ["generate", "--json", "--tokens", "1,2,3", "--max-new-tokens", "2"];
        let mut command = self.command(&args, home);
        command.args(["--backend", "cpu", "--model", id]);
        command.envs(environment.iter().copied()).output().unwrap()
    }

    /// The program with this hub and a cache of its own, whatever the environment says.
    fn command(&self, args: &[&str], home: &Path) -> Command {
        let mut command = pellucid(args);
        for name in ["HF_TOKEN", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        command.env("HF_HOME", home).env("HF_ENDPOINT", &self.address).env("NO_PROXY", "*");
        command
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut first = String::new();
        reader.read_line(&mut first)?;
        let (mut range, mut condition) = (None, String::new());
        let mut token = String::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(given) = line.strip_prefix("if-range: ") {
                condition = given.to_owned();
            }
            if let Some(from) = line.strip_prefix("range: bytes=") {
                range = from.trim_end_matches('-').parse::<usize>().ok();
            }
            if let Some(given) = line.strip_prefix("authorization: ") {
                token = format!(" as {given}");
            }
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let mut state = self.state.lock().unwrap();
        let from = range.map(|from| format!(" from {from}")).unwrap_or_default();
        let only = if condition.is_empty() { String::new() } else { format!(" if {condition}") };
        state.requests.push(format!("{method} {path}{from}{only}{token}"));
        let etag = if path.starts_with("/cdn/") { state.etags.pop() } else { None };
        // Ranges of another file are not what was asked for.
        let same = condition.is_empty() || etag.is_none_or(|etag| etag == condition);
        let (mut head, body) = state.reply(method, path, range.filter(|_| same));
        if let Some(etag) = etag {
            head += &format!("ETag: {etag}\r\n");
        }
        let cut = if path.starts_with("/cdn/") { state.cuts.pop() } else { None };
        drop(state);
        write!(
            stream,
            "HTTP/1.1 {head}Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        )?;
        if method != "HEAD" {
            stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])?;
        }
        stream.flush()
    }
}

impl State {
    /// Status line and headers, and the body.
    fn reply(&mut self, method: &str, path: &str, range: Option<usize>) -> (String, Vec<u8>) {
        let plain = |head: &str, body: &[u8]| (format!("{head}\r\n"), body.to_vec());
        if let Some((status, after)) = self.busy.pop() {
            return (format!("{status} Busy\r\nRetry-After: {after}\r\n"), b"busy".to_vec());
        }
        if let Some((status, code)) = self.refusal {
            return (format!("{status} No\r\nX-Error-Code: {code}\r\n"), b"no".to_vec());
        }
        if path == "/api/models/o/n/revision/main" || path == "/api/models/o/n/revision/v1" {
            let siblings: Vec<Value> =
                self.files.keys().map(|name| object!({"rfilename": name})).collect();
            return plain(
                "200 OK",
                object!({"sha": COMMIT, "siblings": siblings}).to_string().as_bytes(),
            );
        }
        if let Some(hash) = path.strip_prefix("/cdn/") {
            let file = self.files.values().find(|bytes| sha256(bytes) == hash);
            let mut bytes = file.cloned().unwrap_or_default();
            if self.damaged > 0 {
                self.damaged -= 1;
                bytes[10] ^= 1;
            }
            bytes.extend(vec![7; self.excess]);
            return match range.filter(|_| !self.whole_only) {
                Some(from) if from >= bytes.len() => plain("416 Range Not Satisfiable", b""),
                Some(from) => {
                    let total = bytes.len();
                    let range = format!("Content-Range: bytes {from}-{}/{total}", total - 1);
                    plain(&format!("206 Partial Content\r\n{range}"), &bytes[from..])
                }
                None => plain("200 OK", &bytes),
            };
        }
        let name = path.strip_prefix(&format!("/o/n/resolve/{COMMIT}/"));
        let Some((name, bytes)) = name.and_then(|name| self.files.get_key_value(name)) else {
            let code = if path.starts_with("/api") { "RepoNotFound" } else { "EntryNotFound" };
            return (format!("404 Not Found\r\nX-Error-Code: {code}\r\n"), Vec::new());
        };
        if name.ends_with(".safetensors") || name.ends_with(".gguf") {
            let (hash, size) = (sha256(bytes), bytes.len());
            let other = self.elsewhere.as_deref().unwrap_or_default();
            let head = format!(
                "302 Found\r\nLocation: {other}/cdn/{hash}\r\nX-Linked-Etag: \"{hash}\"\r\nX-Linked-Size: {size}"
            );
            return plain(&head, b"");
        }
        let etag = git_hash(bytes);
        let mut body = if method == "HEAD" { Vec::new() } else { bytes.clone() };
        if self.small_damaged == Some(name) && !body.is_empty() {
            body[0] ^= 1;
        }
        (format!("200 OK\r\nETag: \"{etag}\"\r\nX-Linked-Size: {}\r\n", bytes.len()), body)
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The hash by which git names a file's contents.
fn git_hash(bytes: &[u8]) -> String {
    let blob = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
    Sha1::digest(blob).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// From where downloads were taken up.
fn resumed(requests: &[String]) -> Vec<&str> {
    let fetched = fetched(requests).into_iter();
    let from =
        fetched.filter_map(|request| request.strip_prefix("GET /cdn/")?.split_once(" from "));
    from.map(|(_, from)| from).collect()
}

/// The requests that bring a file's bytes.
fn fetched(requests: &[String]) -> Vec<&String> {
    requests
        .iter()
        .filter(|request| request.starts_with("GET /cdn/") || request.starts_with("GET /o/"))
        .collect()
}

#[test]
fn a_model_is_fetched_once_and_lies_where_others_look() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    let found = json(&hub.run(home.path(), "o/n", &[]));
    let local = golden_tokens();
    assert_eq!(found["tokens"], local["tokens"]);
    let requests = hub.requests();
    assert!(requests.iter().any(|request| request.ends_with("/config.json")));
    assert!(!requests.iter().any(|request| request.contains("README")), "{requests:?}");

    let repository = home.path().join("hub/models--o--n");
    assert_eq!(std::fs::read_to_string(repository.join("refs/main")).unwrap(), COMMIT);
    let weights = repository.join("snapshots").join(COMMIT).join("model.safetensors");
    let blob = repository.join("blobs").join(sha256(&std::fs::read(&weights).unwrap()));
    assert_eq!(weights.canonicalize().unwrap(), blob.canonicalize().unwrap());
    #[cfg(unix)]
    assert!(weights.read_link().unwrap().starts_with("../../blobs"));

    let again = json(&hub.run(home.path(), "o/n", &[]));
    assert_eq!(again["tokens"], found["tokens"]);
    assert_eq!(
        hub.requests(),
        ["GET /api/models/o/n/revision/main"],
        "only what is newest is asked"
    );
    let revision = json(&hub.run(home.path(), "o/n:v1", &[("HF_TOKEN", "secret")]));
    assert_eq!(revision["tokens"], found["tokens"]);
    assert_eq!(hub.requests(), ["GET /api/models/o/n/revision/v1 as bearer secret"]);

    let offline = json(&hub.run(home.path(), "o/n", &[("HF_HUB_OFFLINE", "1")]));
    assert_eq!((&offline["tokens"], hub.requests()), (&found["tokens"], Vec::new()));
    let away = [("HF_ENDPOINT", "http://127.0.0.1:1")];
    let away = hub.run(home.path(), "o/n", &away);
    assert!(stderr(&away).contains("warning: the Hub cannot be reached"), "{}", stderr(&away));
    assert_eq!(json(&away)["tokens"], found["tokens"]);
    std::fs::remove_file(&weights).unwrap();
    let part = failure(&hub.run(home.path(), "o/n", &[("HF_HUB_OFFLINE", "1")]));
    assert!(part.starts_with("o/n is incomplete in the cache "), "{part}");
    let empty = tempfile::tempdir().unwrap();
    let missing = failure(&hub.run(empty.path(), "o/n", &[("HF_HUB_OFFLINE", "yes")]));
    assert!(missing.starts_with("o/n is not in the cache "), "{missing}");
    assert!(missing.ends_with("models--o--n, and HF_HUB_OFFLINE is set"), "{missing}");
}

/// What the model writes from its own folder.
fn golden_tokens() -> Value {
    assert!(golden("llama")["greedy"].is_object());
    let args = ["generate", "--json", "--tokens", "1,2,3", "--max-new-tokens", "2"];
    json(&crate::on_cpu("llama", &args))
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    hub.set(|state| state.cuts = vec![500, 1000]);
    let found = json(&hub.run(home.path(), "o/n", &[]));
    assert_eq!(found["tokens"], golden_tokens()["tokens"]);
    let requests = hub.requests();
    assert_eq!(resumed(&requests), ["1000", "1500"], "{requests:?}");

    // A hub that brings nothing more is given up, and the next run goes on from there.
    let home = tempfile::tempdir().unwrap();
    hub.set(|state| state.cuts = vec![0, 0, 0, 700]);
    let told = failure(&hub.run(home.path(), "o/n", &[]));
    assert!(told.starts_with("o/n: model.safetensors was interrupted after 700 of "), "{told}");
    assert!(told.ends_with("run again to resume"), "{told}");
    hub.requests();
    json(&hub.run(home.path(), "o/n", &[]));
    let requests = hub.requests();
    assert!(requests.iter().any(|request| request.ends_with(" from 700")), "{requests:?}");

    // A server without ranges sends all of it again.
    let home = tempfile::tempdir().unwrap();
    hub.set(|state| (state.cuts, state.whole_only) = (vec![700], true));
    assert_eq!(json(&hub.run(home.path(), "o/n", &[]))["tokens"], found["tokens"]);
}

#[test]
fn refusals_are_one_clear_sentence_each() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    let told = failure(&hub.run(home.path(), "no/such", &[]));
    assert!(told.starts_with("no/such is neither a file or folder here nor a model on the Hub"));
    for (status, code, expected) in [
        (401, "", "o/n: the Hub requires authentication: set HF_TOKEN"),
        (401, "RepoNotFound", "o/n is neither a file or folder here nor a model on the Hub"),
        (403, "GatedRepo", "o/n is gated: request access on the model's page, then set HF_TOKEN"),
        (404, "RevisionNotFound", "o/n has no revision main on the Hub"),
        (429, "", "o/n: too many requests to the Hub"),
        (503, "", "o/n: the Hub answered with status 503"),
    ] {
        hub.set(|state| state.refusal = Some((status, code)));
        let told = failure(&hub.run(home.path(), "o/n", &[]));
        assert!(told.starts_with(expected), "{told}");
    }
    hub.set(|state| state.refusal = None);
    let told = failure(&hub.run(home.path(), "o/n:m.gguf", &[]));
    assert_eq!(told, "o/n has no m.gguf; it has none");
    let away = tempfile::tempdir().unwrap();
    let told = failure(&hub.run(away.path(), "o/n", &[("HF_ENDPOINT", "http://127.0.0.1:1")]));
    assert!(told.contains(", and the Hub cannot be reached ("), "{told}");
}

#[test]
fn a_gguf_repository_gives_the_file_that_is_named() {
    let several = ["a.gguf", "b.gguf"].map(|name| (name.to_owned(), b"GGUF?".to_vec()));
    let (hub, home) = (Hub::new(several.into()), tempfile::tempdir().unwrap());
    let told = failure(&hub.run(home.path(), "o/n", &[]));
    assert!(told.contains("o/n has several GGUF files; name one"), "{told}");
    hub.requests();
    // The file is none really: what matters is that it was fetched and opened.
    let told = failure(&hub.run(home.path(), "o/n:b.gguf", &[]));
    assert!(told.contains("b.gguf: "), "{told}");
    let requests = hub.requests();
    assert!(requests.iter().any(|request| request.ends_with("/b.gguf")));
    assert!(!requests.iter().any(|request| request.ends_with("/a.gguf")), "{requests:?}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    std::fs::write(home.path().join("hub"), "a file in the way").unwrap();
    let told = failure(&hub.run(home.path(), "o/n", &[]));
    assert!(told.starts_with(&home.path().join("hub").display().to_string()), "{told}");
}

#[test]
fn a_tokenizer_needs_no_weights() {
    let (hub, home) = (Hub::llama(), tempfile::tempdir().unwrap());
    let args = ["tokenize", "--json", "hi", "--model", "o/n"];
    let told = failure(&hub.command(&args, home.path()).output().unwrap());
    assert_eq!(told, "o/n has no tokenizer of a supported kind");
    let tokenizer = object!({"model": {"type": "BPE", "vocab": {"h": 0, "i": 1, "hi": 2}, "merges": ["h i"]},
        "added_tokens": []});
    hub.set(|state| {
        state.files.insert("tokenizer.json".to_owned(), tokenizer.to_string().into_bytes());
    });
    let home = tempfile::tempdir().unwrap();
    hub.requests();
    let found = json(&hub.command(&args, home.path()).output().unwrap());
    assert_eq!(found["ids"], object!([2]));
    let requests = hub.requests();
    assert!(!requests.iter().any(|request| request.contains("safetensors")), "{requests:?}");
}
