//! A plain file server for one folder, as any other would be.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::thread;

use tiny_http::{Header, Request, Response, Server};

/// Serves a folder on this machine alone, below a path, until it is stopped.
pub(crate) fn serve(folder: &Path, port: &str, under: &str) -> Result<(), String> {
    let server = Server::http(format!("127.0.0.1:{port}"))
        .map_err(|error| format!("port {port}: {error}"))?;
    let under = under.trim_matches('/');
    let under = if under.is_empty() { "/".to_owned() } else { format!("/{under}/") };
    println!("http://{}{under}", server.server_addr());
    for request in server.incoming_requests() {
        let found = request.url().strip_prefix(&under).and_then(|url| file(folder, url));
        // A reader that takes its time must not keep others waiting.
        thread::spawn(move || answer(request, found));
    }
    Ok(())
}

fn answer(request: Request, path: Option<PathBuf>) {
    let opened = path.and_then(|path| Some((File::open(&path).ok()?, path)));
    // A reader that went away is none of ours.
    let _ = match opened {
        Some((file, path)) => send(request, file, &path),
        None => request.respond(Response::from_string("not here").with_status_code(404)),
    };
}

/// Sends a file, or what a request wants of its end.
fn send(request: Request, mut file: File, path: &Path) -> io::Result<()> {
    let length = file.metadata()?.len();
    let asked = request.headers().iter().find(|header| header.field.equiv("Range"));
    let first = asked.and_then(|header| from(header.value.as_str()));
    let mut headers = headers(path);
    let (status, rest) = match first {
        Some(first) if first < length => {
            file.seek(SeekFrom::Start(first))?;
            let range = format!("bytes {first}-{}/{length}", length - 1);
            headers.extend(Header::from_bytes("Content-Range", range));
            (206, length - first)
        }
        Some(_) => return request.respond(Response::empty(416)),
        None => (200, length),
    };
    request.respond(Response::new(status.into(), headers, file, Some(rest as usize), None))
}

/// Where the bytes begin that `bytes=N-` asks for.
fn from(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

/// The file that an address means.
fn file(folder: &Path, url: &str) -> Option<PathBuf> {
    let path = Path::new(url.split(['?', '#']).next().unwrap_or_default());
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return None;
    }
    let path = folder.join(path);
    Some(if path.is_dir() { path.join("index.html") } else { path })
}

fn headers(path: &Path) -> Vec<Header> {
    let kind = match path.extension().and_then(|extension| extension.to_str()) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("txt" | "md" | "ts") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let pairs = [("Content-Type", kind), ("Cache-Control", "no-cache")];
    pairs.iter().filter_map(|(name, value)| Header::from_bytes(*name, *value).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_stay_within_the_folder_and_ranges_are_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        assert_eq!(file(folder, "Cargo.toml?x#y"), Some(folder.join("Cargo.toml")));
        assert_eq!(file(folder, ""), Some(folder.join("index.html")));
        assert_eq!(file(folder, "src"), Some(folder.join("src/index.html")));
        assert_eq!((from("bytes=70-"), from("bytes=0-9"), from("x")), (Some(70), None, None));
        for outside in ["../Cargo.toml", "/etc/passwd", "src/../../x"] {
            assert_eq!(file(folder, outside), None, "{outside}");
        }
    }
}
