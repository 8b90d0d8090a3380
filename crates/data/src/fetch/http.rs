//! Asking a server: certificates, proxies, redirects, credentials, errors as sentences.
//!
//! One request and its answer; storing and resuming are [`super::download`]'s work. Redirects are
//! followed here, so that each address gets its own proxy and credentials never leave their host.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Proxy};
use url::Url;

use super::pip::PipSettings;
use super::{Environment, proxy};
use crate::DataError;

/// How many redirects are followed.
const REDIRECTS_MAX: usize = 10;

/// How often a page is asked for.
const PAGE_ATTEMPTS_MAX: u32 = 3;

/// A client for one fetch.
pub(super) struct Client<'a> {
    environment: &'a Environment,
    pip: &'a PipSettings,
    roots: OnceCell<Arc<Vec<Certificate<'static>>>>,
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// What is asked for.
    pub url: Url,
    /// The value of the Authorization header, for that host only.
    pub authorization: Option<String>,
    /// More headers.
    pub headers: BTreeMap<&'static str, String>,
}

/// An answer: its status, headers and body, and the address it came from.
pub(super) struct Answer {
    /// The answer itself.
    pub response: Response<Body>,
    /// The address after redirects.
    pub url: Url,
}

/// A page, read whole.
pub(super) struct Page {
    /// The answer's status.
    pub status: u16,
    /// The kind of content, as the server names it.
    pub content_type: String,
    /// The address after redirects.
    pub url: Url,
    /// The content.
    pub bytes: Vec<u8>,
}

impl Request {
    /// A plain request for `url`, its user and password turned into a header.
    pub(super) fn new(url: &Url) -> Self {
        Self {
            authorization: basic_authorization(url),
            url: without_credentials(url),
            headers: BTreeMap::new(),
        }
    }
}

impl<'a> Client<'a> {
    pub(super) fn new(environment: &'a Environment, pip: &'a PipSettings) -> Self {
        Self {
            environment,
            pip,
            roots: OnceCell::new(),
        }
    }

    /// Asks and follows redirects; any other status is the caller's to judge.
    pub(super) fn get(&self, request: &Request) -> Result<Answer, Failed> {
        let mut request = request.clone();
        for _ in 0..=REDIRECTS_MAX {
            let response = self.get_once(&request)?;
            let location = response.headers().get(header::LOCATION);
            let location = match (response.status().as_u16(), location) {
                (301 | 302 | 303 | 307 | 308, Some(location)) => location,
                _ => {
                    return Ok(Answer {
                        response,
                        url: request.url,
                    });
                }
            };
            let next = location
                .to_str()
                .ok()
                .and_then(|location| request.url.join(location).ok())
                .filter(|next| matches!(next.scheme(), "http" | "https"))
                .ok_or_else(|| {
                    Failed::final_("it redirects to an address that is none".to_owned())
                })?;
            if next.origin() != request.url.origin() {
                request.authorization = None;
            }
            request.url = next;
        }
        Err(Failed::final_(format!(
            "it redirects more than {REDIRECTS_MAX} times; check the address"
        )))
    }

    /// Asks for a page of at most `bytes_max` bytes, again if the network or the server fails.
    pub(super) fn get_page(&self, request: &Request, bytes_max: u64) -> Result<Page, Failed> {
        let mut attempt = 1;
        loop {
            match self.get_page_once(request, bytes_max) {
                Err(failed) if failed.again && attempt < PAGE_ATTEMPTS_MAX => {
                    let pause_ms = self.environment.timeouts.retry_ms << (attempt - 1);
                    std::thread::sleep(Duration::from_millis(pause_ms));
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    fn get_page_once(&self, request: &Request, bytes_max: u64) -> Result<Page, Failed> {
        let answer = self.get(request)?;
        let status = answer.response.status().as_u16();
        if status == 429 || status >= 500 {
            return Err(Failed::from_status(status));
        }
        let kind = answer.response.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|value| value.to_str().ok());
        Ok(Page {
            status,
            content_type: kind.unwrap_or_default().to_owned(),
            url: answer.url,
            bytes: read_body(answer.response.into_body(), bytes_max)?,
        })
    }

    fn get_once(&self, request: &Request) -> Result<Response<Body>, Failed> {
        let proxy = proxy::for_url(&request.url, self.environment, self.pip.proxy.as_deref());
        let agent = self.agent(&request.url, proxy.as_deref())?;
        let mut call = agent.get(request.url.as_str());
        for (name, value) in &request.headers {
            call = call.header(*name, value);
        }
        if let Some(authorization) = &request.authorization {
            call = call.header(header::AUTHORIZATION, authorization);
        }
        call.call().map_err(|error| {
            let mut failed = Failed::from_ureq(error);
            if let Some(proxy) = proxy {
                failed
                    .reason
                    .push_str(&format!(" (asked through the proxy {})", shown(&proxy)));
            }
            failed
        })
    }

    fn agent(&self, url: &Url, proxy: Option<&str>) -> Result<Agent, Failed> {
        let timeouts = self.environment.timeouts;
        let milliseconds = |ms| Some(Duration::from_millis(ms));
        let proxy = match proxy {
            None => None,
            Some(proxy) => Some(Proxy::new(proxy).map_err(|_| {
                Failed::final_(format!(
                    "the proxy `{}` cannot be understood; write http://HOST:PORT",
                    shown(proxy)
                ))
            })?),
        };
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("lathe/", env!("CARGO_PKG_VERSION")))
            .proxy(proxy)
            .timeout_connect(milliseconds(timeouts.connect_ms))
            .timeout_recv_response(milliseconds(timeouts.answer_ms))
            .timeout_per_read(milliseconds(timeouts.silence_ms));
        if url.scheme() == "https" {
            let roots = RootCerts::Specific(self.roots()?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(config.build().new_agent())
    }

    /// The system's certificates (`SSL_CERT_FILE` and `SSL_CERT_DIR` honoured) and pip's own.
    fn roots(&self) -> Result<Arc<Vec<Certificate<'static>>>, Failed> {
        if let Some(roots) = self.roots.get() {
            return Ok(Arc::clone(roots));
        }
        let mut certificates = rustls_native_certs::load_native_certs().certs;
        if let Some(path) = &self.pip.cert {
            certificates.extend(rustls_native_certs::load_certs_from_paths(Some(path), None).certs);
        }
        if certificates.is_empty() {
            return Err(Failed::final_(
                "no trusted certificates were found; install ca-certificates or set SSL_CERT_FILE"
                    .to_owned(),
            ));
        }
        let roots = certificates
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect();
        Ok(Arc::clone(self.roots.get_or_init(|| Arc::new(roots))))
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failed {
    /// The reason with the next step.
    pub reason: String,
    /// Whether asking again may help.
    pub again: bool,
}

impl Failed {
    pub(super) fn final_(reason: String) -> Self {
        Self {
            reason,
            again: false,
        }
    }

    fn again(reason: String) -> Self {
        Self {
            reason,
            again: true,
        }
    }

    fn unknown_host() -> Self {
        Self::again(
            "its host name is not known; check the address, the network and the proxy".to_owned(),
        )
    }

    fn from_ureq(error: ureq::Error) -> Self {
        match error {
            ureq::Error::HostNotFound => Self::unknown_host(),
            ureq::Error::Timeout(what) => Self::again(format!(
                "the server kept silent too long ({what}); check the network, then run the same command again"
            )),
            ureq::Error::Io(error) => Self::from_io(&error),
            ureq::Error::Rustls(error) => Self::final_(format!(
                "its certificate is not trusted ({error}); point SSL_CERT_FILE at the file with your network's certificate authority"
            )),
            other => Self::again(format!("{other}; check the network and the proxy")),
        }
    }

    /// A connection that failed while it was made or read.
    pub(super) fn from_io(error: &std::io::Error) -> Self {
        // A refused certificate arrives wrapped when it shows up while bytes are read.
        let text = error.to_string();
        if text.contains("lookup address") {
            return Self::unknown_host();
        }
        if text.contains("certificate") {
            return Self::final_(format!(
                "its certificate is not trusted ({text}); point SSL_CERT_FILE at the file with your network's certificate authority"
            ));
        }
        Self::again(format!(
            "the connection failed ({text}); check the network and the proxy, then run the same command again"
        ))
    }

    /// What a status other than success means.
    pub(super) fn from_status(status: u16) -> Self {
        let (advice, again) = match status {
            401 | 403 | 407 => ("access is refused; check user, password or token", false),
            404 | 410 => ("there is no such file; check the address", false),
            429 => (
                "it is asked too often; wait and run the same command again",
                true,
            ),
            500.. => ("the server failed; run the same command again later", true),
            _ => ("this was not expected; check the address", false),
        };
        Self {
            reason: format!("the server answered {status}: {advice}"),
            again,
        }
    }

    /// As an error about `url`.
    pub(super) fn about(self, url: &Url) -> DataError {
        DataError::Network {
            url: shown(url.as_str()),
            reason: self.reason,
        }
    }
}

fn read_body(body: Body, bytes_max: u64) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    let mut reader = body.into_reader().take(bytes_max + 1);
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| Failed::from_io(&error))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Failed::final_(format!(
            "it is longer than {bytes_max} bytes, which no index is"
        )));
    }
    Ok(bytes)
}

/// The address without user and password, for people to read.
pub(super) fn shown(address: &str) -> String {
    match Url::parse(address) {
        Ok(url) if url.has_host() => without_credentials(&url).to_string(),
        // Not an address: nothing of it can be told to be no secret.
        _ if address.contains('@') => "(hidden)".to_owned(),
        _ => address.to_owned(),
    }
}

fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // These fail only for addresses that can have no credentials.
    let _no_password = url.set_password(None);
    let _no_user = url.set_username("");
    url
}

fn basic_authorization(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let user = percent_decoded(url.username());
    let password = percent_decoded(url.password().unwrap_or_default());
    let pair = [user, b":".to_vec(), password].concat();
    Some(format!("Basic {}", base64(&pair)))
}

/// The bytes of a text whose `%xx` stand for bytes.
pub(super) fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text
            .get(at + 1..at + 3)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            (byte, _) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Base64 with padding, by RFC 4648; only ever for a user and a password.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0u32, |group, place| {
            group << 8 | u32::from(chunk.get(place).copied().unwrap_or(0))
        });
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() {
                digit as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn base64_matches_the_rfcs_vectors() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn credentials_become_a_header_and_are_never_shown() {
        let url = Url::parse("https://us%40er:p%3Aw@host/x").unwrap();
        let request = Request::new(&url);
        assert_eq!(request.url.as_str(), "https://host/x");
        let expected = format!("Basic {}", base64(b"us@er:p:w"));
        assert_eq!(request.authorization, Some(expected));
        assert_eq!(shown(url.as_str()), "https://host/x");
        assert_eq!(shown("user:secret@host"), "(hidden)");
    }

    #[test]
    fn statuses_say_what_to_do_and_whether_again() {
        let check = |status, text: &str, again| {
            let failed = Failed::from_status(status);
            assert!(
                failed.reason.contains(text) && failed.again == again,
                "{failed:?}"
            );
        };
        check(403, "token", false);
        check(404, "no such file", false);
        check(429, "wait", true);
        check(503, "later", true);
        check(418, "check the address", false);
    }
}
