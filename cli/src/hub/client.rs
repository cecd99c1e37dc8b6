//! Talking to the Hub: what a repository holds, what a file is, and its bytes from some place on.

use std::time::SystemTime;

use pellucid::{Error, Result};
use serde::Deserialize;
use ureq::Body;
use ureq::http::{Response, StatusCode};

use super::cache;
use super::id::{Id, is_safe, shown};
use super::transport::{Ask, Patience, Transport, retry_after, token};

/// Where the Hub is, unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// The longest list of files that is accepted.
const LONGEST_LIST: u64 = 64 << 20;

/// A connection to the Hub.
#[derive(Debug)]
pub(super) struct Client {
    transport: Transport,
    endpoint: String,
}

/// What a repository holds at a commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// What the Hub says of a file.
#[derive(Debug)]
pub(super) struct Facts {
    /// The hash that names it: SHA-256 for large files, git's for small ones.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
    /// Names the file to whoever sends its bytes, if that is known yet.
    pub(super) validator: Option<String>,
}

/// Why there is no answer: the network failed, or the Hub refused.
#[derive(Debug)]
pub(super) enum Failure {
    Network(String),
    /// The network brings next to nothing, which only the bytes of a file show.
    Slow,
    Refused(Error),
}

impl Failure {
    /// What happened.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Network(reason) => reason.clone(),
            Self::Slow => "less than 1 KiB arrives per second".to_owned(),
            Self::Refused(error) => error.to_string(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

#[derive(Deserialize)]
struct Model {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Client {
    /// A client configured by the environment: `HF_ENDPOINT`, and `HF_TOKEN` or the token of the
    /// last login.
    pub(super) fn new() -> Result<Self> {
        let endpoint = cache::variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        Self::at(endpoint.trim().trim_end_matches('/'), token()?, Patience::default())
    }

    /// A client of the Hub at this address.
    pub(super) fn at(endpoint: &str, token: Option<String>, patience: Patience) -> Result<Self> {
        let transport = Transport::new(endpoint, token, patience)?;
        Ok(Self { transport, endpoint: endpoint.to_owned() })
    }

    /// How long it waits for what.
    pub(super) fn patience(&self) -> Patience {
        self.transport.patience
    }

    /// The commit of a revision, and its files.
    pub(super) fn list(&self, id: &Id) -> Result<Listing, Failure> {
        let Id { repository, revision, .. } = id;
        let revision = encoded(revision);
        let url = format!("{}/api/models/{repository}/revision/{revision}", self.endpoint);
        let mut answer = self.transport.ask(&url, Ask::Short).map_err(Failure::Network)?;
        check(id, None, &answer)?;
        let body = answer.body_mut().with_config().limit(LONGEST_LIST).read_to_vec();
        let body = body.map_err(|error| Failure::Network(error.to_string()))?;
        let bad = |what: String| Error::Input(format!("{repository}: the Hub's answer {what}"));
        let model: Model = serde_json::from_slice(&body)
            .map_err(|error| bad(format!("cannot be read: {error}")))?;
        if !cache::is_commit(&model.sha) {
            return Err(bad(format!("names the commit {}", shown(&model.sha))).into());
        }
        let files: Vec<String> = model.siblings.into_iter().map(|file| file.rfilename).collect();
        if let Some(file) = files.iter().find(|file| !is_safe(file)) {
            return Err(bad(format!("names the file {}", shown(file))).into());
        }
        Ok(Listing { commit: model.sha, files })
    }

    /// What a file is, without its bytes.
    pub(super) fn facts(&self, id: &Id, commit: &str, name: &str) -> Result<Facts, Failure> {
        let url = self.url(id, commit, name);
        let answer = self.transport.ask(&url, Ask::Head).map_err(Failure::Network)?;
        let elsewhere = answer.status().is_redirection();
        if !elsewhere {
            check(id, Some(name), &answer)?;
        }
        let header = |name: &str| answer.headers().get(name)?.to_str().ok();
        let etag = header("x-linked-etag").or_else(|| header("etag")).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let size =
            header("x-linked-size").or_else(|| header("content-length").filter(|_| !elsewhere));
        let validator = if elsewhere { None } else { validator(&answer) };
        Ok(Facts { etag, size: size.and_then(|size| size.parse().ok()), validator })
    }

    /// A file's bytes from `start` on, if it is still the one of this validator; the answer's status
    /// says whether it heeded that.
    pub(super) fn bytes(
        &self,
        id: &Id,
        commit: &str,
        name: &str,
        (start, validator): (u64, Option<&str>),
    ) -> Result<Response<Body>, Failure> {
        let ask = Ask::Bytes { start, validator };
        let answer = self.transport.ask(&self.url(id, commit, name), ask);
        let answer = answer.map_err(Failure::Network)?;
        if answer.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            check(id, Some(name), &answer)?;
        }
        Ok(answer)
    }

    fn url(&self, id: &Id, commit: &str, name: &str) -> String {
        let name: Vec<String> = name.split('/').map(encoded).collect();
        format!("{}/{}/resolve/{commit}/{}", self.endpoint, id.repository, name.join("/"))
    }
}

/// What tells whether a file is still the same one: its `ETag`, unless that is a weak one.
pub(super) fn validator<B>(answer: &Response<B>) -> Option<String> {
    let etag = answer.headers().get("etag")?.to_str().ok()?;
    etag.starts_with('"').then(|| etag.to_owned())
}

/// The error for an answer that is not a success.
fn check(id: &Id, file: Option<&str>, answer: &Response<Body>) -> Result<()> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let Id { repository, revision, .. } = id;
    let code = answer.headers().get("x-error-code").and_then(|code| code.to_str().ok());
    let what = file.map_or_else(|| repository.clone(), |file| format!("{repository}: {file}"));
    let reason = match (status.as_u16(), code.unwrap_or_default()) {
        (_, "GatedRepo") => format!(
            "{what} is gated: request access on the model's page, then set HF_TOKEN to your token"
        ),
        (_, "RevisionNotFound") => {
            format!("{what} has no revision {revision} on the Hub")
        }
        (_, "RepoNotFound") | (404, "") if file.is_none() => format!(
            "{what} is neither a file or folder here nor a model on the Hub (a private one needs HF_TOKEN)"
        ),
        (404, _) => format!("{what} is not on the Hub"),
        (401, _) => {
            format!("{what}: the Hub requires authentication: set HF_TOKEN to a valid token")
        }
        (403, _) => format!("{what}: this HF_TOKEN has no read access"),
        (429, _) => {
            format!("{what}: too many requests to the Hub; {}, or set HF_TOKEN", wait(answer))
        }
        (503, _) => format!("{what}: the Hub answered with status 503; {}", wait(answer)),
        (number, _) => format!("{what}: the Hub answered with status {number}"),
    };
    Err(Error::Input(reason))
}

/// How long to wait before the Hub is asked again.
fn wait(answer: &Response<Body>) -> String {
    match retry_after(answer, SystemTime::now()) {
        Some(time) => format!("wait {} seconds", time.as_secs()),
        None => "wait a while".to_owned(),
    }
}

/// A part of a path as a URL spells it.
fn encoded(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
