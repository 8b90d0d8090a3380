//! Who may ask: the guard in front of every page, the API and `/v1`.
//!
//! Three checks, in this order: the `Host` a request names (against DNS rebinding), the origin of
//! anything that changes state (against cross-site request forgery), and, where the workshop
//! listens beyond loopback, a key. Not here: accounts and roles, and any limit on how much one may
//! ask.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use crate::api;

/// SHA-256 of a key.
pub type KeyDigest = [u8; 32];

/// Where the workshop listens, and therefore what it asks of a request.
#[derive(Clone, Debug)]
pub enum Access {
    /// Only this machine can connect: no key is asked for, but the request has to name a loopback
    /// host, so that no web page can reach the workshop through a domain of its own.
    Loopback,
    /// Others can connect: every request carries one of the keys whose SHA-256 digests stand here.
    /// An empty list admits nobody.
    Keys(Arc<[KeyDigest]>),
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("this workshop answers only to a loopback name such as 127.0.0.1 or localhost")]
    Host,
    #[error("a page of another origin may not change anything here")]
    Origin,
    #[error("this workshop listens beyond loopback and asks for a key")]
    Key,
}

impl Refusal {
    fn code(self) -> &'static str {
        match self {
            Refusal::Host => "host-refused",
            Refusal::Origin => "origin-refused",
            Refusal::Key => "key-required",
        }
    }

    fn next(self) -> &'static str {
        match self {
            Refusal::Host => "Open the address that `lathe up` printed.",
            Refusal::Origin => {
                "Send the request from the workshop's own pages, or without an Origin header."
            }
            Refusal::Key => {
                "Send `Authorization: Bearer KEY`; a browser may give the key as the password."
            }
        }
    }

    fn into_response(self) -> Response {
        let status = match self {
            Refusal::Host | Refusal::Origin => StatusCode::FORBIDDEN,
            Refusal::Key => StatusCode::UNAUTHORIZED,
        };
        let body = api::error_body(self.code(), &self.to_string(), self.next());
        let mut response = (status, body).into_response();
        if self == Refusal::Key {
            let challenge = HeaderValue::from_static("Basic realm=\"Lathe\", charset=\"UTF-8\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Middleware: lets a request through or answers it with the reason it was turned away.
pub(crate) async fn guard(State(access): State<Access>, request: Request, next: Next) -> Response {
    match check(&access, request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            tracing::warn!(
                code = refusal.code(),
                path = request.uri().path(),
                "request refused"
            );
            refusal.into_response()
        }
    }
}

fn check(access: &Access, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = host_of(uri, headers).ok_or(Refusal::Host)?;
    if matches!(access, Access::Loopback) && !is_loopback(host_name(host)) {
        return Err(Refusal::Host);
    }
    if !method.is_safe() && !same_origin(host, headers) {
        return Err(Refusal::Origin);
    }
    match access {
        Access::Loopback => Ok(()),
        Access::Keys(digests) if holds_key(digests, headers) => Ok(()),
        Access::Keys(_) => Err(Refusal::Key),
    }
}

/// Host and port as the client named them.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    match headers.get(HOST) {
        Some(host) => host.to_str().ok(),
        None => uri.authority().map(|authority| authority.as_str()),
    }
}

/// The host without its port and without the brackets of an IPv6 literal.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    host.split(':').next().unwrap_or(host)
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether a state-changing request comes from our own pages or from no page at all. Browsers send
/// `Origin` with every POST; programs send neither of the two headers.
fn same_origin(host: &str, headers: &HeaderMap) -> bool {
    if let Some(origin) = headers.get(ORIGIN) {
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let origin_host = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        return origin_host.is_some_and(|origin_host| origin_host.eq_ignore_ascii_case(host));
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => true,
        Some(_) => false,
    }
}

fn holds_key(digests: &[KeyDigest], headers: &HeaderMap) -> bool {
    let Some(key) = headers
        .get(AUTHORIZATION)
        .and_then(|value| key_in(value.to_str().ok()?))
    else {
        return false;
    };
    // Digests are compared, never keys: how long that takes says nothing about a key.
    let digest: KeyDigest = Sha256::digest(key.as_bytes()).into();
    digests.contains(&digest)
}

/// The key in an `Authorization` value: `Bearer KEY`, or the password of `Basic`.
fn key_in(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(rest)
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    text.split_once(':')
        .map(|(_, password)| password.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    fn ask(access: &Access, method: Method, pairs: &[(&'static str, &str)]) -> Result<(), Refusal> {
        check(access, &method, &Uri::from_static("/"), &headers(pairs))
    }

    #[test]
    fn loopback_answers_only_to_loopback_names() {
        for host in [
            "localhost",
            "LOCALHOST:7878",
            "127.0.0.1:7878",
            "127.3.2.1",
            "[::1]:7878",
        ] {
            assert_eq!(
                ask(&Access::Loopback, Method::GET, &[("host", host)]),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "[::2]",
            "",
        ] {
            let refused = Err(Refusal::Host);
            assert_eq!(
                ask(&Access::Loopback, Method::GET, &[("host", host)]),
                refused,
                "{host}"
            );
        }
        assert_eq!(ask(&Access::Loopback, Method::GET, &[]), Err(Refusal::Host));
    }

    #[test]
    fn a_change_from_another_origin_is_refused() {
        let host = ("host", "127.0.0.1:7878");
        for origin in [
            "http://evil.example",
            "null",
            "http://127.0.0.1:9999",
            "http://127.0.0.1",
            "ftp://127.0.0.1:7878",
        ] {
            let asked = ask(&Access::Loopback, Method::POST, &[host, ("origin", origin)]);
            assert_eq!(asked, Err(Refusal::Origin), "{origin}");
        }
        let asked = ask(
            &Access::Loopback,
            Method::POST,
            &[host, ("sec-fetch-site", "cross-site")],
        );
        assert_eq!(asked, Err(Refusal::Origin));
    }

    #[test]
    fn our_pages_and_programs_may_change() {
        let host = ("host", "127.0.0.1:7878");
        let own = ("origin", "http://127.0.0.1:7878");
        assert_eq!(ask(&Access::Loopback, Method::POST, &[host, own]), Ok(()));
        assert_eq!(ask(&Access::Loopback, Method::POST, &[host]), Ok(()));
        let fetched = ("sec-fetch-site", "same-origin");
        assert_eq!(
            ask(&Access::Loopback, Method::POST, &[host, fetched]),
            Ok(())
        );
    }

    #[test]
    fn beyond_loopback_a_key_is_asked_for() {
        let digest: KeyDigest = Sha256::digest(b"open sesame").into();
        let access = Access::Keys(vec![digest].into());
        let host = ("host", "tuning.factory.example");
        assert_eq!(ask(&access, Method::GET, &[host]), Err(Refusal::Key));
        assert_eq!(
            ask(
                &access,
                Method::GET,
                &[host, ("authorization", "Bearer wrong")]
            ),
            Err(Refusal::Key)
        );
        assert_eq!(
            ask(
                &access,
                Method::GET,
                &[host, ("authorization", "Basic !!!")]
            ),
            Err(Refusal::Key)
        );
        assert_eq!(
            ask(
                &access,
                Method::GET,
                &[host, ("authorization", "Bearer open sesame")]
            ),
            Ok(())
        );
        let basic = base64::engine::general_purpose::STANDARD.encode("anyone:open sesame");
        let basic = format!("Basic {basic}");
        assert_eq!(
            ask(&access, Method::GET, &[host, ("authorization", &basic)]),
            Ok(())
        );
        let nobody = Access::Keys(Arc::from([]));
        assert_eq!(
            ask(&nobody, Method::GET, &[host, ("authorization", "Bearer ")]),
            Err(Refusal::Key)
        );
    }
}
