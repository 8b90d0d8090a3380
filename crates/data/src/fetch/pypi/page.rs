//! The two forms of an index page: JSON (PEP 691) and HTML (PEP 503).

use lathe_evidence::Digest;
use serde::Deserialize;
use url::Url;

use super::Link;
use crate::fetch::http::percent_decoded;

#[derive(Deserialize)]
struct JsonPage {
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: JsonHashes,
    /// false, true, or the reason.
    #[serde(default)]
    yanked: serde_json::Value,
}

#[derive(Deserialize, Default)]
struct JsonHashes {
    sha256: Option<String>,
}

/// The links of a JSON page that came from `base`.
pub(super) fn json_links(bytes: &[u8], base: &Url) -> Result<Vec<Link>, String> {
    let page: JsonPage = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let links = page.files.into_iter().filter_map(|file| {
        Some(Link {
            name: file.filename,
            url: join(base, &file.url)?,
            sha256: file.hashes.sha256.and_then(|text| text.parse().ok()),
            yanked: !matches!(
                file.yanked,
                serde_json::Value::Null | serde_json::Value::Bool(false)
            ),
        })
    });
    Ok(links.collect())
}

/// The links of an HTML page that came from `base`: every `<a href>`, with `#sha256=` and
/// `data-yanked` where they are.
///
/// Not an HTML parser: tags and their attributes are all that an index page has.
pub(super) fn html_links(bytes: &[u8], base: &Url) -> Vec<Link> {
    let text = String::from_utf8_lossy(bytes);
    let mut base = base.clone();
    let mut links = Vec::new();
    for tag in tags(&text) {
        let href = tag.attribute("href");
        match (tag.name.to_ascii_lowercase().as_str(), href) {
            ("base", Some(href)) => base = join(&base, &href).unwrap_or(base),
            ("a", Some(href)) => links.extend(html_link(&href, &base, tag.has("data-yanked"))),
            _ => {}
        }
    }
    links
}

fn html_link(href: &str, base: &Url, yanked: bool) -> Option<Link> {
    let mut url = join(base, href)?;
    let fragment = url.fragment().unwrap_or_default().to_owned();
    url.set_fragment(None);
    let sha256 = fragment
        .split('&')
        .find_map(|part| part.strip_prefix("sha256="))
        .and_then(|text| text.parse::<Digest>().ok());
    let name = percent_decoded(url.path_segments()?.next_back()?);
    Some(Link {
        name: String::from_utf8(name).ok()?,
        url,
        sha256,
        yanked,
    })
}

/// `href` against `base`; the base's credentials go along to its own host only.
fn join(base: &Url, href: &str) -> Option<Url> {
    let mut url = base.join(href.trim()).ok()?;
    if !matches!(url.scheme(), "http" | "https" | "file") {
        return None;
    }
    if url.origin() == base.origin() && url.username().is_empty() && url.scheme() != "file" {
        url.set_username(base.username()).ok()?;
        url.set_password(base.password()).ok()?;
    }
    Some(url)
}

struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, &'a str)>,
}

impl Tag<'_> {
    fn attribute(&self, name: &str) -> Option<String> {
        let found = self
            .attributes
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| unescaped(value))
    }

    fn has(&self, name: &str) -> bool {
        self.attributes
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    }
}

/// The opening tags of a text.
fn tags(text: &str) -> impl Iterator<Item = Tag<'_>> {
    text.split('<').skip(1).filter_map(|piece| {
        let end = piece.find(|c: char| !c.is_ascii_alphanumeric())?;
        let (name, rest) = piece.split_at(end);
        (!name.is_empty()).then(|| Tag {
            name,
            attributes: attributes(rest),
        })
    })
}

/// The attributes up to the tag's `>`; one without a value has an empty one.
fn attributes(mut rest: &str) -> Vec<(&str, &str)> {
    let mut attributes = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '=' | '>' | '/'));
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        if name.is_empty() {
            return attributes;
        }
        let (value, after) = match after.trim_start().strip_prefix('=') {
            Some(value) => attribute_value(value.trim_start()),
            None => ("", after),
        };
        attributes.push((name, value));
        rest = after;
    }
}

fn attribute_value(text: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    let end = text.find(|c: char| c.is_ascii_whitespace() || c == '>');
    text.split_at(end.unwrap_or(text.len()))
}

/// The few entities that stand in addresses.
fn unescaped(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#x27;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#43;", "+")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://user:pw@host/simple/name/").unwrap()
    }

    #[test]
    fn html_pages_are_read_as_they_are_written() {
        let digest = Digest::of(b"x");
        let html = format!(
            r#"<!DOCTYPE html><html><head><title>Links</title></head><body>
            <a href="../../files/name-1.0.tar.gz#sha256={digest}" data-requires-python="&gt;=3">name-1.0.tar.gz</a><br/>
            <A data-yanked='broken' HREF = 'https://other/name-2%2B1-py3-none-any.whl?a=1&amp;b=2#md5=0'>x</A>
            <a href=name-3.zip>y</a><a name="no link">z</a><a href="mailto:x@y">m</a>"#
        );
        let links = html_links(html.as_bytes(), &base());
        let shown: Vec<_> = links
            .iter()
            .map(|link| {
                (
                    link.name.as_str(),
                    link.url.as_str(),
                    link.sha256,
                    link.yanked,
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                (
                    "name-1.0.tar.gz",
                    "https://user:pw@host/files/name-1.0.tar.gz",
                    Some(digest),
                    false
                ),
                (
                    "name-2+1-py3-none-any.whl",
                    "https://other/name-2%2B1-py3-none-any.whl?a=1&b=2",
                    None,
                    true
                ),
                (
                    "name-3.zip",
                    "https://user:pw@host/simple/name/name-3.zip",
                    None,
                    false
                ),
            ]
        );
    }

    #[test]
    fn a_base_tag_moves_the_links() {
        let html = b"<base href='https://cdn/x/'><a href='name-1.zip'>";
        assert_eq!(
            html_links(html, &base())[0].url.as_str(),
            "https://cdn/x/name-1.zip"
        );
    }

    #[test]
    fn json_pages_are_read() {
        let digest = Digest::of(b"x");
        let json = format!(
            r#"{{"meta": {{"api-version": "1.1"}}, "name": "name", "files": [
                {{"filename": "name-1.zip", "url": "../f/name-1.zip", "hashes": {{"sha256": "{digest}"}}, "yanked": false}},
                {{"filename": "name-2.zip", "url": "https://o/2", "hashes": {{}}, "yanked": "why", "size": 3}}]}}"#
        );
        let links = json_links(json.as_bytes(), &base()).unwrap();
        assert_eq!(
            links[0].url.as_str(),
            "https://user:pw@host/simple/f/name-1.zip"
        );
        assert_eq!((links[0].sha256, links[0].yanked), (Some(digest), false));
        assert_eq!((links[1].sha256, links[1].yanked), (None, true));
        assert!(json_links(b"<html>", &base()).is_err());
    }

    #[test]
    fn broken_pages_end() {
        for html in [
            "<a",
            "<a href",
            "<a href=",
            "<a href='x",
            "<<<a>",
            "<a =x>",
            "<a \u{301}='é'>",
            "<a/ / href=b",
        ] {
            html_links(html.as_bytes(), &base());
        }
    }
}
