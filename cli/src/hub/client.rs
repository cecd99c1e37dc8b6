//! Talking to the hub: what a repository holds, what a file is, and its bytes from some place on.

use std::time::Duration;

use pellucid::{Error, Result};
use serde::Deserialize;
use ureq::config::RedirectAuthHeaders;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

use super::cache;
use super::id::{Id, is_safe};

/// Where the hub is, unless `HF_ENDPOINT` says otherwise.
const ENDPOINT: &str = "https://huggingface.co";

/// How long to wait for the hub.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest list of files that is accepted.
const LONGEST_LIST: u64 = 64 << 20;

/// Redirects within the hub that are followed while a file is asked about.
const MOST_REDIRECTS: usize = 5;

/// A connection to the hub.
#[derive(Debug)]
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

/// What a repository holds at a commit.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<String>,
}

/// What the hub says of a file.
#[derive(Debug)]
pub(super) struct Facts {
    /// The hash that names it: SHA-256 for large files, git's for small ones.
    pub(super) etag: String,
    pub(super) size: Option<u64>,
}

/// Why there is no answer: the network failed, or the hub refused.
#[derive(Debug)]
pub(super) enum Failure {
    Network(String),
    Refused(Error),
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
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .max_redirects_will_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .user_agent(concat!("pellucid/", env!("CARGO_PKG_VERSION")))
            .build();
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Ok(Self { agent: config.new_agent(), endpoint, token: token()? })
    }

    /// The commit of a revision, and its files.
    pub(super) fn list(&self, id: &Id) -> Result<Listing, Failure> {
        let Id { repository, revision, .. } = id;
        let revision = encoded(revision);
        let url = format!("{}/api/models/{repository}/revision/{revision}", self.endpoint);
        let mut answer = self.get(&url, None)?;
        check(id, None, &answer)?;
        let body = answer.body_mut().with_config().limit(LONGEST_LIST).read_to_vec();
        let body = body.map_err(|error| Failure::Network(error.to_string()))?;
        let bad = |what: String| Error::Input(format!("{repository}: the hub's answer {what}"));
        let model: Model = serde_json::from_slice(&body)
            .map_err(|error| bad(format!("cannot be read: {error}")))?;
        if !cache::is_commit(&model.sha) {
            return Err(bad(format!("names the commit {:?}", model.sha)).into());
        }
        let files: Vec<String> = model.siblings.into_iter().map(|file| file.rfilename).collect();
        if let Some(file) = files.iter().find(|file| !is_safe(file)) {
            return Err(bad(format!("names the file {file:?}")).into());
        }
        Ok(Listing { commit: model.sha, files })
    }

    /// What a file is, without its bytes.
    pub(super) fn facts(&self, id: &Id, commit: &str, name: &str) -> Result<Facts, Failure> {
        let mut url = self.url(id, commit, name);
        for _ in 0..MOST_REDIRECTS {
            let request = self.authorised(self.agent.head(&url), &url);
            // If the bytes are stored elsewhere, the redirect itself describes the file.
            let request = request.config().max_redirects(0).build();
            let answer = request.call().map_err(|error| Failure::Network(error.to_string()))?;
            let header = |name: &str| answer.headers().get(name)?.to_str().ok();
            let within = header("location").filter(|place| place.starts_with('/'));
            if answer.status().is_redirection()
                && header("x-linked-etag").is_none()
                && let Some(place) = within
            {
                url = format!("{}{place}", self.host());
                continue;
            }
            if !answer.status().is_redirection() {
                check(id, Some(name), &answer)?;
            }
            let etag = header("x-linked-etag").or_else(|| header("etag")).unwrap_or_default();
            let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
            let size = header("x-linked-size")
                .or_else(|| header("content-length").filter(|_| !answer.status().is_redirection()));
            return Ok(Facts { etag, size: size.and_then(|size| size.parse().ok()) });
        }
        Err(Failure::Network(format!("too many redirects for {name}")))
    }

    /// A file's bytes from `start` on; the answer's status says whether it heeded that.
    pub(super) fn bytes(
        &self,
        id: &Id,
        commit: &str,
        name: &str,
        start: u64,
    ) -> Result<Response<Body>, Failure> {
        let url = self.url(id, commit, name);
        let answer = self.get(&url, (start > 0).then_some(start))?;
        if answer.status() != StatusCode::RANGE_NOT_SATISFIABLE {
            check(id, Some(name), &answer)?;
        }
        Ok(answer)
    }

    fn get(&self, url: &str, start: Option<u64>) -> Result<Response<Body>, Failure> {
        let mut request = self.authorised(self.agent.get(url), url);
        if let Some(start) = start {
            request = request.header("Range", format!("bytes={start}-"));
        }
        request.call().map_err(|error| Failure::Network(error.to_string()))
    }

    /// The token is sent to the hub itself and nowhere else.
    fn authorised<B>(
        &self,
        request: ureq::RequestBuilder<B>,
        url: &str,
    ) -> ureq::RequestBuilder<B> {
        match &self.token {
            Some(token) if url.starts_with(self.host()) => {
                request.header("Authorization", format!("Bearer {token}"))
            }
            _ => request,
        }
    }

    fn url(&self, id: &Id, commit: &str, name: &str) -> String {
        let name: Vec<String> = name.split('/').map(encoded).collect();
        format!("{}/{}/resolve/{commit}/{}", self.endpoint, id.repository, name.join("/"))
    }

    /// The endpoint without its path.
    fn host(&self) -> &str {
        let start = self.endpoint.find("://").map_or(0, |at| at + 3);
        let end = self.endpoint[start..].find('/').map_or(self.endpoint.len(), |at| start + at);
        &self.endpoint[..end]
    }
}

/// The token of `HF_TOKEN`, or of the file where the hub's tools keep it.
fn token() -> Result<Option<String>> {
    let given = cache::variable("HF_TOKEN").or_else(|| cache::variable("HUGGING_FACE_HUB_TOKEN"));
    let kept = || {
        let path = match cache::variable("HF_TOKEN_PATH") {
            Some(path) => path.into(),
            None => cache::home().ok()?.join("token"),
        };
        std::fs::read_to_string(path).ok()
    };
    let token = given.or_else(kept).map(|token| token.trim().to_owned());
    let token = token.filter(|token| !token.is_empty());
    if token.as_ref().is_some_and(|token| !token.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(Error::Input(
            "HF_TOKEN contains characters that are not allowed in a token".to_owned(),
        ));
    }
    Ok(token)
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
            format!("{what} has no revision {revision} on the hub")
        }
        (_, "RepoNotFound") | (404, "") if file.is_none() => format!(
            "{what} is neither a file or folder here nor a model on the hub (a private one needs HF_TOKEN)"
        ),
        (404, _) => format!("{what} is not on the hub"),
        (401, _) => {
            format!("{what}: the hub requires authentication: set HF_TOKEN to a valid token")
        }
        (403, _) => format!("{what}: this HF_TOKEN has no read access"),
        (429, _) => format!("{what}: too many requests to the hub; wait a while, or set HF_TOKEN"),
        (number, _) => format!("{what}: the hub answered with status {number}"),
    };
    Err(Error::Input(reason))
}

/// A part of a path as a URL spells it.
fn encoded(part: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    part.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
