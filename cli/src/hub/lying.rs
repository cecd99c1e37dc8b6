//! A hub that answers with any bytes: whatever it sends, the client ends soon, writes nowhere else, and
//! keeps no file that is not what its name says.
//!
//! An input is the answers to one request after another, with a line `%%` between them; after the last
//! one the Hub only hangs up. `@endless` before an answer repeats its last line without an end. The
//! inputs lie in `fuzz/corpus/hub`; each run tries changed ones too, more of them if `PELLUCID_INPUTS`
//! says how many.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::cache::Repository;
use super::client::Client;
use super::transport::Patience;
use super::{Hub, Id, Wanted, hash};
use crate::output;

/// The line between two answers.
const BETWEEN: &[u8] = b"%%\n";

/// How much of an endless answer is sent to a client that does not hang up.
const MOST: usize = 100 << 20;

/// How many changed inputs are tried if nothing else is said.
const CHANGED: usize = 300;

/// A hub whose answers are set for each input.
struct Liar {
    address: String,
    answers: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Liar {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(Vec::new()));
        let next = Arc::clone(&answers);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer: Option<Vec<u8>> = next.lock().unwrap().pop();
                // A client that leaves is its own business.
                let _ = send(stream, &answer.unwrap_or_default());
            }
        });
        Self { address, answers }
    }

    /// Lets a client fetch a model from a hub that gives these answers.
    fn try_out(&self, input: &[u8]) {
        let mut answers: Vec<Vec<u8>> = vec![Vec::new()];
        for line in input.split_inclusive(|byte| *byte == b'\n') {
            match answers.last_mut() {
                Some(last) if line != BETWEEN => last.extend_from_slice(line),
                _ => answers.push(Vec::new()),
            }
        }
        answers.reverse();
        *self.answers.lock().unwrap() = answers;
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let id = Id::parse(Path::new("o/n")).unwrap();
        let hub = Hub { repository: Repository::new(&root, &id.repository), id };
        let short = Duration::from_millis(1);
        let patience = Patience {
            sign: Duration::from_millis(300),
            answer: Duration::from_secs(1),
            first_pause: short,
            longest_pause: 5 * short,
        };
        let start = Instant::now();
        let client = Client::at(&self.address, Some("secret".to_owned()), patience).unwrap();
        let found = hub.fetch(&client, None, Wanted::Model);
        // Each of up to fifteen files may be refused as slowly as patience allows.
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        match found {
            Ok(path) => assert!(path.starts_with(hub.repository.folder()), "{}", path.display()),
            Err(error) => {
                let told = output::sentence(&error);
                assert!(!told.chars().any(char::is_control), "{told:?}");
                assert!(!told.contains("secret") && told.len() < 2000, "{told:?}");
            }
        }
        check(folder.path(), &root);
    }
}

/// Answers one request.
fn send(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    stream.set_write_timeout(Some(Duration::from_millis(300)))?;
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? > 0 {
        request.push(byte[0]);
    }
    let Some(answer) = answer.strip_prefix(b"@endless") else { return stream.write_all(answer) };
    stream.write_all(answer)?;
    let last = answer.split_inclusive(|byte| *byte == b'\n').next_back().unwrap_or(b"\n");
    let piece = last.repeat((1 << 16) / last.len() + 1);
    (0..MOST / piece.len()).try_for_each(|_| stream.write_all(&piece))
}

/// Checks what the client left: nothing beside its cache, and no blob with another hash than its name.
fn check(folder: &Path, root: &Path) {
    let mut folders: Vec<PathBuf> = vec![folder.into()];
    while let Some(within) = folders.pop() {
        for entry in within.read_dir().unwrap() {
            let path = entry.unwrap().path();
            assert!(path.starts_with(root), "{}", path.display());
            if path.is_dir() {
                folders.push(path.clone());
            }
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if within.ends_with("blobs") && !name.ends_with(".incomplete") {
                assert_eq!(hash::difference(&path, &name).unwrap(), None);
            }
        }
    }
}

/// The inputs by name.
fn corpus() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/hub");
    let paths = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    all.sort();
    all
}

/// What is put into answers: what HTTP and the client look for.
const WORDS: [&str; 22] = [
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-9/10\r\n",
    "HTTP/1.1 302 Found\r\nLocation: //127.0.0.1:1/x\r\n",
    "HTTP/1.1 416 No\r\n",
    "HTTP/1.1 429 Busy\r\nRetry-After: 0\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "Location: /a\r\n",
    "Location: file:///etc/passwd\r\n",
    "Content-Length: 18446744073709551615\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Content-Encoding: gzip\r\n",
    "Content-Range: bytes 18446744073709551615-/*\r\n",
    "ETag: \"../../x\"\r\n",
    "ETag: W/\"a\"\r\n",
    "X-Linked-Size: 9\r\n",
    "X-Linked-Etag: \"0123456789abcdef0123456789abcdef01234567\"\r\n",
    "X-Error-Code: GatedRepo\r\n",
    "Retry-After: 99999999999999999999\r\n",
    "ffffffffffffffff\r\n",
    "%%\n",
    "\u{1b}[2J../\0",
];

/// One input changed in a few places, by random numbers that are the same in every run.
fn changed(all: &[(PathBuf, Vec<u8>)], state: &mut u64) -> Vec<u8> {
    let mut roll = |bound: usize| {
        *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((*state >> 33) as usize) % bound.max(1)
    };
    let mut input = all[roll(all.len())].1.clone();
    for _ in 0..=roll(4) {
        let at = roll(input.len() + 1);
        let end = (at + roll(40)).min(input.len());
        match roll(6) {
            0 => drop(input.splice(at..end, [])),
            1 => drop(input.splice(at..at, WORDS[roll(WORDS.len())].bytes())),
            2 => input.truncate(at),
            3 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << roll(8)),
            4 => drop(input.splice(at..at, input[at..end].to_vec())),
            _ => {
                let other = &all[roll(all.len())].1;
                input.splice(at.., other[roll(other.len())..].iter().copied());
            }
        }
    }
    input
}

#[test]
fn whatever_a_hub_sends_the_client_ends_well() {
    let (liar, all) = (Liar::new(), corpus());
    assert!(all.len() > 10, "only {} inputs", all.len());
    for (path, input) in &all {
        println!("{}", path.display());
        liar.try_out(input);
    }
    let count = std::env::var("PELLUCID_INPUTS").map_or(CHANGED, |count| count.parse().unwrap());
    let mut state = 7;
    for _ in 0..count {
        let input = changed(&all, &mut state);
        // The last one that is printed is the one that failed.
        println!("{}", input.escape_ascii());
        liar.try_out(&input);
    }
}
