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

    fn cookie(&self, value: &str) -> HeaderValue {
        let secure = if self.over_tls { "; Secure" } else { "" };
        let text = format!("{COOKIE_NAME}={value}; Path=/; HttpOnly; SameSite=Lax{secure}");
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
            over_tls: parts.extensions.get::<OverTls>().is_some(),
        })
    }
}

/// The session's id that a request presents, if it looks like one.
pub(crate) fn session_in(headers: &HeaderMap) -> Option<String> {
    let lines = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|it| it.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        let is_id = value.len() == ID_CHARS && value.bytes().all(|it| it.is_ascii_hexdigit());
        (name == COOKIE_NAME && is_id).then(|| value.to_owned())
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
    }
}
