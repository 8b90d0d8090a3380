//! Which language a page speaks, and how templates ask the catalogue for words.
//!
//! `?lang=zh` or `?lang=en` decides and is remembered in a cookie; else the cookie; else the
//! browser's `Accept-Language`; else English. Not here: the words, which stand in the workshop's
//! catalogue.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE};
use axum::http::request::Parts;
use lathe_workshop::people::Signed;
use lathe_workshop::words::{self, Lang};

const COOKIE_NAME: &str = "lathe_lang";
const COOKIE_SECONDS: u32 = 365 * 24 * 60 * 60;

/// The language of one request, with what the layout needs for its switch, and who reads.
#[derive(Clone, Debug)]
pub(crate) struct Tongue {
    /// The words of the language.
    pub say: Say,
    /// The `Set-Cookie` value, where the request chose a language by `?lang=`.
    pub cookie: Option<String>,
    /// Path and query of this page in the other language.
    pub other_href: String,
    /// Who is logged in, as the guard found out.
    pub who: Option<Signed>,
}

/// The catalogue in one language; `Copy`, so that templates pass it about freely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Say {
    lang: Lang,
}

impl Say {
    /// The catalogue in `lang`.
    pub const fn new(lang: Lang) -> Say {
        Say { lang }
    }

    /// The text of `key`.
    pub fn it(self, key: &str) -> String {
        words::get(self.lang, key, &[])
    }

    /// The text of `key` with its `{name}` places filled.
    pub fn with(self, key: &str, arguments: &[(&str, &str)]) -> String {
        words::get(self.lang, key, arguments)
    }

    /// The text of the key `GROUP.NAME`.
    pub fn it_of(self, group: &str, name: impl std::fmt::Display) -> String {
        self.it(&format!("{group}.{name}"))
    }

    /// The text of `GROUP.NAME`, or the name itself where the catalogue does not know it: for names
    /// that packs choose.
    pub fn name_of(self, group: &str, name: &str) -> String {
        let key = format!("{group}.{name}");
        if words::has(&key) {
            self.it(&key)
        } else {
            name.to_owned()
        }
    }

    /// As [`Say::with`] with the one place `{value}`, which templates can write shortly.
    pub fn of(self, key: &str, value: impl std::fmt::Display) -> String {
        self.with(key, &[("value", &value.to_string())])
    }

    /// The language.
    pub fn lang(self) -> Lang {
        self.lang
    }

    /// The value of `<html lang>`.
    pub fn html_lang(self) -> &'static str {
        self.lang.tag()
    }

    /// The same of the language one can switch to.
    pub fn other_html_lang(self) -> &'static str {
        other(self.lang).tag()
    }

    /// Picks the text written in this language.
    pub fn pick<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self.lang {
            Lang::Zh => zh,
            Lang::En => en,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Tongue {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Tongue, Infallible> {
        let query = parts.uri.query().unwrap_or("");
        let chosen = query
            .split('&')
            .filter_map(|pair| pair.strip_prefix("lang="))
            .find_map(lang_of);
        let lang = chosen
            .or_else(|| from_cookie(&parts.headers))
            .or_else(|| from_accept(&parts.headers))
            .unwrap_or(Lang::En);
        let cookie = chosen.map(|lang| {
            let tag = short_tag(lang);
            format!("{COOKIE_NAME}={tag}; Path=/; Max-Age={COOKIE_SECONDS}; SameSite=Lax; HttpOnly")
        });
        let other_href = other_href(parts.uri.path(), query, lang);
        Ok(Tongue {
            say: Say::new(lang),
            cookie,
            other_href,
            who: parts.extensions.get::<Signed>().cloned(),
        })
    }
}

fn other(lang: Lang) -> Lang {
    match lang {
        Lang::Zh => Lang::En,
        Lang::En => Lang::Zh,
    }
}

fn short_tag(lang: Lang) -> &'static str {
    match lang {
        Lang::Zh => "zh",
        Lang::En => "en",
    }
}

/// The language of a tag such as `zh`, `zh-Hans-CN`, `en-GB`; none for a language we do not speak.
fn lang_of(tag: &str) -> Option<Lang> {
    let primary = tag.split('-').next().unwrap_or(tag);
    if primary.eq_ignore_ascii_case("zh") {
        Some(Lang::Zh)
    } else if primary.eq_ignore_ascii_case("en") {
        Some(Lang::En)
    } else {
        None
    }
}

fn from_cookie(headers: &HeaderMap) -> Option<Lang> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .find_map(|line| {
            line.split(';').find_map(|pair| {
                let (name, value) = pair.trim().split_once('=')?;
                if name == COOKIE_NAME {
                    lang_of(value)
                } else {
                    None
                }
            })
        })
}

/// The language with the highest weight among those we speak; the first named on ties.
fn from_accept(headers: &HeaderMap) -> Option<Lang> {
    let line = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(Lang, f32)> = None;
    for item in line.split(',') {
        let mut parts = item.split(';').map(str::trim);
        let Some(lang) = parts.next().and_then(lang_of) else {
            continue;
        };
        let weight = parts
            .find_map(|part| part.strip_prefix("q="))
            .map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0));
        if weight > 0.0 && best.is_none_or(|(_, highest)| weight > highest) {
            best = Some((lang, weight));
        }
    }
    best.map(|(lang, _)| lang)
}

/// This page in the other language: the same query with `lang` exchanged.
fn other_href(path: &str, query: &str, lang: Lang) -> String {
    let mut href = format!("{path}?");
    for pair in query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("lang="))
    {
        href.push_str(pair);
        href.push('&');
    }
    href.push_str("lang=");
    href.push_str(short_tag(other(lang)));
    href
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderValue, Request};

    async fn tongue(uri: &str, headers: &[(&'static str, &'static str)]) -> Tongue {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_static(value));
        }
        let (mut parts, ()) = request.body(()).expect("a request").into_parts();
        let Ok(tongue) = Tongue::from_request_parts(&mut parts, &()).await;
        tongue
    }

    async fn check(uri: &str, headers: &[(&'static str, &'static str)], expected: &str) {
        assert_eq!(
            tongue(uri, headers).await.say.html_lang(),
            expected,
            "{uri} {headers:?}"
        );
    }

    #[tokio::test]
    async fn the_query_then_the_cookie_then_the_browser_decide() {
        check("/", &[], "en").await;
        check(
            "/",
            &[("accept-language", "zh-CN,zh;q=0.9,en;q=0.8")],
            "zh-CN",
        )
        .await;
        check(
            "/",
            &[("accept-language", "fr, en;q=0.4, zh-Hans;q=0.6")],
            "zh-CN",
        )
        .await;
        check("/", &[("accept-language", "zh;q=0, en;q=0.1")], "en").await;
        check(
            "/",
            &[("cookie", "a=b; lathe_lang=zh"), ("accept-language", "en")],
            "zh-CN",
        )
        .await;
        check("/?lang=en", &[("cookie", "lathe_lang=zh")], "en").await;
        check("/?lang=xx", &[("cookie", "lathe_lang=zh")], "zh-CN").await;
    }

    #[tokio::test]
    async fn a_chosen_language_is_remembered_and_can_be_switched() {
        let chosen = tongue("/orders/7?page=2&lang=zh", &[]).await;
        assert!(
            chosen
                .cookie
                .expect("a cookie")
                .starts_with("lathe_lang=zh; Path=/;")
        );
        assert_eq!(chosen.other_href, "/orders/7?page=2&lang=en");
        assert_eq!(tongue("/data", &[]).await.cookie, None);
        assert_eq!(tongue("/data", &[]).await.other_href, "/data?lang=zh");
    }
}
