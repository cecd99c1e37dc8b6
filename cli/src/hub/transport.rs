//! One request to the Hub: to whom the token may go, which redirects are followed, and how long one
//! waits for a hub that is busy.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use pellucid::{Error, Result};
use ureq::http::{Response, StatusCode, Uri};
use ureq::{Agent, Body, Proxy};

use super::cache;

/// Redirects that are followed, one after another.
const MOST_REDIRECTS: usize = 5;

/// How often a busy hub is asked again.
const BUSY_TRIES: u32 = 3;

/// How long the client waits for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// A sign of the Hub.
    pub(super) sign: Duration,
    /// An answer as a whole that is not a file.
    pub(super) answer: Duration,
    /// The first pause before a busy hub is asked again, if it does not say how long it is busy, or
    /// before a download that broke off goes on; each further one is longer.
    pub(super) first_pause: Duration,
    /// The longest pause that the Hub may ask for.
    pub(super) longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            sign: Duration::from_secs(60),
            answer: Duration::from_secs(300),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// The way to the Hub.
#[derive(Debug)]
pub(super) struct Transport {
    agent: Agent,
    hub: Origin,
    token: Option<String>,
    pub(super) patience: Patience,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    /// What the Hub says about a file. Redirects elsewhere are not followed: they say it.
    Head,
    /// A short answer as a whole.
    Short,
    /// A file's bytes from `start` on, if it is still the one of this validator.
    Bytes { start: u64, validator: Option<&'a str> },
}

/// Scheme, host and port: who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// `None` for an address that is neither of http nor of https.
    fn of(address: &Uri) -> Option<Self> {
        let https = match address.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = address.host()?.to_ascii_lowercase();
        let port = address.port_u16().unwrap_or(if https { 443 } else { 80 });
        Some(Self { https, host, port })
    }

    /// Whether nobody else can listen: over TLS, or within this machine.
    fn is_private(&self) -> bool {
        self.https || self.is_here()
    }

    /// Whether it is this machine.
    fn is_here(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        let loopback = |address: IpAddr| address.is_loopback();
        host == "localhost" || host.parse().is_ok_and(loopback)
    }
}

impl Transport {
    /// The way to this endpoint.
    ///
    /// # Errors
    /// [`Error::Input`] for an endpoint that is no address.
    pub(super) fn new(endpoint: &str, token: Option<String>, patience: Patience) -> Result<Self> {
        let hub = endpoint.parse().ok().and_then(|address| Origin::of(&address));
        let hub = hub.ok_or_else(|| {
            Error::Input(format!(
                "HF_ENDPOINT is {endpoint:?}, which is not an address such as https://huggingface.co"
            ))
        })?;
        if token.is_some() && !hub.is_private() {
            log::warn!(
                "HF_TOKEN is not sent to {endpoint}: it is not https, so others could read it"
            );
        }
        // A proxy would read what goes to this machine without TLS, and answer in its place.
        let proxy = if hub.is_here() { None } else { Proxy::try_from_env() };
        let config = Agent::config_builder()
            .proxy(proxy)
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(patience.sign))
            .timeout_recv_response(Some(patience.sign))
            .timeout_per_read(Some(patience.sign))
            .user_agent(concat!("pellucid/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent(), hub, token, patience })
    }

    /// Asks, follows redirects, and waits for a busy hub. Gives the answer and the address that it
    /// came from, or why there is none.
    pub(super) fn ask(&self, url: &str, ask: Ask<'_>) -> Result<Response<Body>, String> {
        let mut url: Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        for _ in 0..=MOST_REDIRECTS {
            let answer = self.patiently(&url, ask)?;
            let Some(next) = redirected(&url, &answer)? else { return Ok(answer) };
            if matches!(ask, Ask::Head) {
                // If the bytes are stored elsewhere, the redirect itself describes the file.
                let described = answer.headers().contains_key("x-linked-etag");
                if described || Origin::of(&next).as_ref() != Some(&self.hub) {
                    return Ok(answer);
                }
            }
            url = next;
        }
        Err("too many redirects".to_owned())
    }

    /// Asks one address, again if it is busy.
    fn patiently(&self, url: &Uri, ask: Ask<'_>) -> Result<Response<Body>, String> {
        let mut pause = self.patience.first_pause;
        for _ in 0..BUSY_TRIES {
            let answer = self.once(url, ask)?;
            if !is_busy(answer.status()) {
                return Ok(answer);
            }
            let asked = retry_after(&answer, SystemTime::now());
            // Whoever asks for more has to be asked by hand.
            if asked.is_some_and(|asked| asked > self.patience.longest_pause) {
                return Ok(answer);
            }
            log::debug!("{url}: {}, asked again in {:?}", answer.status(), asked.unwrap_or(pause));
            sleep(asked.unwrap_or(pause));
            pause *= 2;
        }
        self.once(url, ask)
    }

    fn once(&self, url: &Uri, ask: Ask<'_>) -> Result<Response<Body>, String> {
        let mut request = match ask {
            Ask::Head => self.agent.head(url),
            Ask::Short | Ask::Bytes { .. } => self.agent.get(url),
        };
        if let (Some(token), Some(origin)) = (&self.token, Origin::of(url))
            && origin == self.hub
            && origin.is_private()
        {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Ask::Bytes { start, validator } = ask
            && start > 0
        {
            request = request.header("Range", format!("bytes={start}-"));
            if let Some(validator) = validator {
                request = request.header("If-Range", validator);
            }
        }
        let whole = (!matches!(ask, Ask::Bytes { .. })).then_some(self.patience.answer);
        let request = request.config().timeout_global(whole).build();
        request.call().map_err(|error| error.to_string())
    }
}

/// Whether the Hub may answer otherwise in a while.
fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504)
}

/// How long the Hub asks to wait: seconds, or a date.
pub(super) fn retry_after<B>(answer: &Response<B>, now: SystemTime) -> Option<Duration> {
    let text = answer.headers().get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// Where an answer redirects to; `None` if it does not.
fn redirected<B>(from: &Uri, answer: &Response<B>) -> Result<Option<Uri>, String> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(place) = answer.headers().get("location") else { return Ok(None) };
    let next = place.to_str().ok().and_then(|place| joined(from, place));
    let Some((next, origin)) = next.and_then(|next| Origin::of(&next).map(|origin| (next, origin)))
    else {
        return Err(format!("it redirects to {place:?}, which is not an address"));
    };
    if !origin.https && from.scheme_str() == Some("https") {
        return Err(format!("it redirects from https to {next}, which others could change"));
    }
    Ok(Some(next))
}

/// The address that a reference means on a page of this address.
fn joined(from: &Uri, place: &str) -> Option<Uri> {
    let (scheme, authority) = (from.scheme_str()?, from.authority()?);
    let text = if place.contains("://") && !place.starts_with(['/', '?', '.']) {
        place.to_owned()
    } else if place.starts_with("//") {
        format!("{scheme}:{place}")
    } else if place.starts_with('/') {
        format!("{scheme}://{authority}{place}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{place}")
    };
    text.parse().ok()
}

/// The token of `HF_TOKEN`, or of the file where the Hub's tools keep it.
pub(super) fn token() -> Result<Option<String>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Option<Origin> {
        Origin::of(&text.parse().unwrap())
    }

    #[test]
    fn the_hub_is_its_scheme_host_and_port() {
        let hub = origin("https://huggingface.co/api").unwrap();
        for same in ["https://huggingface.co:443/x", "https://HuggingFace.co"] {
            assert_eq!(origin(same).unwrap(), hub, "{same}");
        }
        for other in [
            "http://huggingface.co/x",
            "https://huggingface.co:8443/x",
            "https://huggingface.co.example.org/x",
            "https://huggingface.co@example.org/x",
            "https://cdn.huggingface.co/x",
        ] {
            assert_ne!(origin(other).unwrap(), hub, "{other}");
        }
        assert_eq!(origin("ftp://huggingface.co/x"), None);
    }

    #[test]
    fn a_token_stays_where_nobody_can_listen() {
        for (address, private) in [
            ("https://example.org", true),
            ("http://127.0.0.1:80", true),
            ("http://127.1.2.3", true),
            ("http://[::1]:8080", true),
            ("http://localhost:1", true),
            ("http://example.org", false),
            ("http://192.168.0.1", false),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1.example.org", false),
        ] {
            assert_eq!(origin(address).unwrap().is_private(), private, "{address}");
        }
    }

    #[test]
    fn redirects_are_read_as_browsers_do() {
        let from: Uri = "https://h.co:8/a/b?q".parse().unwrap();
        for (place, expected) in [
            ("https://cdn.org/x?u=http://y", "https://cdn.org/x?u=http://y"),
            ("//cdn.org/x", "https://cdn.org/x"),
            ("/x?u=http://y", "https://h.co:8/x?u=http://y"),
            ("c", "https://h.co:8/a/c"),
        ] {
            assert_eq!(joined(&from, place).unwrap().to_string(), expected);
        }
        let answer = |place: &str| {
            Response::builder().status(302).header("location", place).body(()).unwrap()
        };
        let next = redirected(&from, &answer("/x")).unwrap().unwrap();
        assert_eq!(next.to_string(), "https://h.co:8/x");
        let error = redirected(&from, &answer("http://h.co/x")).unwrap_err();
        assert!(error.contains("redirects from https to http://h.co/x"), "{error}");
        assert!(redirected(&from, &answer("file:///etc/passwd")).is_err());
        assert!(redirected(&from, &Response::new(())).unwrap().is_none());
    }

    #[test]
    fn a_busy_hub_says_how_long_in_seconds_or_by_a_date() {
        let answer = |text: &str| Response::builder().header("retry-after", text).body(()).unwrap();
        let now = httpdate::parse_http_date("Wed, 21 Oct 2015 07:28:00 GMT").unwrap();
        for (text, seconds) in [
            ("7", Some(7)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:00:00 GMT", Some(0)),
            ("soon", None),
        ] {
            assert_eq!(retry_after(&answer(text), now), seconds.map(Duration::from_secs), "{text}");
        }
    }
}
