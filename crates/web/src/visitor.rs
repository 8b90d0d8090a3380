//! Whence a request comes, and the cookie of a session: `HttpOnly`, `SameSite=Lax`, and `Secure` where the
//! request came over TLS.
//!
//! The cookie holds 256 random bits and nothing else. An id that a request brings is looked up and never
//! taken over: whoever logs in gets a new one.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::header::{COOKIE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue};
use lathe_workshop::people::SESSION_MS_MAX;

/// In the extensions of requests that came over TLS: whoever opens the listener puts it there.
#[derive(Debug, Clone, Copy)]
pub struct OverTls;

const COOKIE_NAME: &str = "lathe_session";
/// The cookie of a sign-in that was begun by a provider: it ties what comes back to this browser.
const BEGUN_NAME: &str = "lathe_sign_in";
/// Where alone it is sent.
const BEGUN_PATH: &str = "/login/oidc";
/// How long it is kept, as the workshop remembers what was begun.
const BEGUN_S_MAX: u32 = 600;
/// Digits of an id.
const ID_CHARS: usize = 64;

/// Whence a request comes.
#[derive(Debug)]
pub(crate) struct Visitor {
    /// The address, where the listener tells it.
    pub address: Option<IpAddr>,
    /// The browser, as it calls itself.
    pub agent: String,
    /// The session's id that it presents.
    pub session: Option<String>,
    /// The id of a sign-in that was begun, which it presents.
    pub begun: Option<String>,
    over_tls: bool,
}

impl Visitor {
    /// The header that keeps a session's id in the browser.
    pub fn keeps(&self, id: &str) -> HeaderValue {
        let seconds = SESSION_MS_MAX / 1000;
        self.cookie(&format!("{id}; Max-Age={seconds}"))
    }

    /// The header that takes it out.
    pub fn forgets(&self) -> HeaderValue {
        self.cookie("; Max-Age=0")
    }

    /// The header that keeps the id of a sign-in that was begun, or takes it out. It has to come back from the
    /// provider's page, which is another site's: `Lax` lets it, on the way of the address bar alone.
    pub fn keeps_begun(&self, id: Option<&str>) -> HeaderValue {
        let value = match id {
            Some(id) => format!("{id}; Max-Age={BEGUN_S_MAX}"),
            None => "; Max-Age=0".to_owned(),
        };
        self.named(BEGUN_NAME, &value, BEGUN_PATH)
    }

    fn cookie(&self, value: &str) -> HeaderValue {
        self.named(COOKIE_NAME, value, "/")
    }

    fn named(&self, name: &str, value: &str, path: &str) -> HeaderValue {
        let secure = if self.over_tls { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path={path}; HttpOnly; SameSite=Lax{secure}");
        HeaderValue::from_str(&text).expect("hexadecimal digits and constants")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, Infallible> {
        let from = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let agent = parts.headers.get(USER_AGENT);
        let agent = agent.and_then(|it| it.to_str().ok()).unwrap_or_default();
        Ok(Visitor {
            address: from.map(|ConnectInfo(address)| address.ip()),
            agent: agent.to_owned(),
            session: session_in(&parts.headers),
            begun: id_in(&parts.headers, BEGUN_NAME),
            over_tls: parts.extensions.get::<OverTls>().is_some(),
        })
    }
}

/// The session's id that a request presents, if it looks like one.
pub(crate) fn session_in(headers: &HeaderMap) -> Option<String> {
    id_in(headers, COOKIE_NAME)
}

/// The id that the cookie `wanted` has, if it looks like one.
fn id_in(headers: &HeaderMap, wanted: &str) -> Option<String> {
    let lines = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|it| it.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let is_id = value.len() == ID_CHARS && value.bytes().all(|it| it.is_ascii_hexdigit());
        (name == wanted && is_id).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presented(cookie: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(cookie).expect("a cookie"));
        session_in(&headers)
    }

    #[test]
    fn only_what_looks_like_an_id_is_looked_up() {
        let id = "0f".repeat(32);
        assert_eq!(
            presented(&format!("lathe_lang=zh; lathe_session={id}")),
            Some(id.clone())
        );
        for cookie in [
            "lathe_session=".to_owned(),
            format!("lathe_session={id}0"),
            format!("session={id}"),
            format!("lathe_session={}", "zz".repeat(32)),
        ] {
            assert_eq!(presented(&cookie), None, "{cookie}");
        }
    }

    #[test]
    fn no_script_reads_the_cookie_and_no_other_site_sends_it() {
        let visitor = |over_tls| Visitor {
            address: None,
            agent: String::new(),
            session: None,
            begun: None,
            over_tls,
        };
        let plain = visitor(false).keeps("ab");
        assert_eq!(
            plain,
            "lathe_session=ab; Max-Age=43200; Path=/; HttpOnly; SameSite=Lax"
        );
        let secure = visitor(true).forgets();
        assert_eq!(
            secure,
            "lathe_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Lax; Secure"
        );
        let begun = visitor(true).keeps_begun(Some("ab"));
        assert_eq!(
            begun,
            "lathe_sign_in=ab; Max-Age=600; Path=/login/oidc; HttpOnly; SameSite=Lax; Secure"
        );
    }
}
