//! The files of a package's version, from the index that pip is configured with.
//!
//! Both forms of the simple index are read: JSON (PEP 691) and HTML (PEP 503); and find-links
//! folders and pages. Which file of a version is taken is decided by what is wanted from it.

mod page;
mod version;

use std::path::Path;

use lathe_evidence::Digest;
use url::Url;

use self::version::FileKind;
use super::http::{Client, Failed, Request, shown};
use super::pip::PipSettings;
use crate::bounds::INDEX_BYTES_MAX;
use crate::source::normalised_name;
use crate::{DataError, nearest};

/// Which forms of an index are asked for, the better first.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// A file of the wanted version.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// The file's name.
    pub name: String,
    /// Where it lies, with the credentials of its index if it lies on the same host.
    pub url: Url,
    /// The digest that the index promises.
    pub sha256: Option<Digest>,
    /// Whether its maintainers took it back.
    yanked: bool,
    kind: FileKind,
}

/// A link of an index page.
#[derive(Debug, Clone, PartialEq)]
struct Link {
    name: String,
    url: Url,
    sha256: Option<Digest>,
    yanked: bool,
}

/// What of the package is wanted.
pub(super) struct Wanted<'a> {
    /// The package as the source names it.
    pub name: &'a str,
    /// The version as the source names it.
    pub version: &'a str,
    /// The first path inside, if any.
    pub inner: Option<&'a str>,
    /// The digest of the file itself, if nothing inside is wanted.
    pub sha256: Option<Digest>,
}

/// The files of the version, the likeliest first.
///
/// # Errors
/// No index that answers; a package or a version that no index has (the nearest version is named).
pub(super) fn candidates(
    client: &Client<'_>,
    pip: &PipSettings,
    wanted: &Wanted<'_>,
) -> Result<Vec<Candidate>, DataError> {
    let mut versions = Vec::new();
    let mut asked = Vec::new();
    let indexes = pip.index_url.iter().chain(&pip.extra_index_urls);
    let places = pip
        .find_links
        .iter()
        .map(|place| (place.clone(), false))
        .chain(indexes.map(|index| (index.clone(), true)));
    for (place, is_index) in places {
        asked.push(shown(&place));
        let links = match is_index {
            true => index_links(client, &place, wanted.name)?,
            false => found_links(client, &place)?,
        };
        let mut found = of_version(links, wanted, &mut versions);
        if !found.is_empty() {
            sort(&mut found, wanted);
            return Ok(found);
        }
    }
    Err(missing(wanted, &versions, &asked))
}

fn missing(wanted: &Wanted<'_>, versions: &[String], asked: &[String]) -> DataError {
    let next = if versions.is_empty() {
        "check the name, and the index that pip is configured with".to_owned()
    } else {
        let hint = nearest::hint(wanted.version, versions.iter().map(String::as_str));
        format!("check the version{hint}")
    };
    DataError::Missing {
        what: format!("{}=={} (a wheel or an sdist)", wanted.name, wanted.version),
        place: if asked.is_empty() {
            "pip's configuration, which has `no-index` and no find-links".to_owned()
        } else {
            asked.join(", ")
        },
        next,
    }
}

/// The links of a package's page; none where the index does not have the package.
fn index_links(client: &Client<'_>, index: &str, name: &str) -> Result<Vec<Link>, DataError> {
    let text = format!("{}/{}/", index.trim_end_matches('/'), normalised_name(name));
    let url = Url::parse(&text).map_err(|error| not_an_index(index, &error.to_string()))?;
    match url.scheme() {
        "http" | "https" => page_links(client, &url),
        "file" => file_page_links(&url),
        other => Err(not_an_index(
            index,
            &format!("the scheme `{other}` is not asked"),
        )),
    }
}

/// The links of a find-links place: a folder, or a page.
fn found_links(client: &Client<'_>, place: &str) -> Result<Vec<Link>, DataError> {
    match Url::parse(place) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => page_links(client, &url),
        Ok(url) if url.scheme() == "file" => match url.to_file_path() {
            Ok(path) => Ok(folder_links(&path)),
            Err(()) => Err(not_an_index(place, "it is no path of this machine")),
        },
        _ => Ok(folder_links(Path::new(place))),
    }
}

fn page_links(client: &Client<'_>, url: &Url) -> Result<Vec<Link>, DataError> {
    let mut request = Request::new(url);
    request.headers.insert("accept", ACCEPT.to_owned());
    let about = |failed: Failed| failed.about(&request.url);
    let page = client.get_page(&request, INDEX_BYTES_MAX).map_err(about)?;
    match page.status {
        200 => {}
        404 => return Ok(Vec::new()),
        status => return Err(about(Failed::from_status(status))),
    }
    // Links are relative to where the page really came from; credentials stay with their host.
    let mut base = page.url;
    if base.origin() == url.origin() {
        let _same_host_takes_them = base.set_username(url.username());
        let _same_host_takes_them = base.set_password(url.password());
    }
    let links = match page.content_type.contains("json") {
        true => page::json_links(&page.bytes, &base),
        false => Ok(page::html_links(&page.bytes, &base)),
    };
    links.map_err(|reason| not_an_index(&shown(url.as_str()), &reason))
}

/// The page of an index that is a folder.
fn file_page_links(url: &Url) -> Result<Vec<Link>, DataError> {
    let path = url
        .to_file_path()
        .map_err(|()| not_an_index(url.as_str(), "it is no path of this machine"))?;
    let page = path.join("index.html");
    match std::fs::metadata(&page) {
        Ok(metadata) if metadata.len() <= INDEX_BYTES_MAX => {
            let bytes =
                std::fs::read(&page).map_err(|error| DataError::file("read", &page, error))?;
            Ok(page::html_links(&bytes, url))
        }
        _ => Ok(folder_links(&path)),
    }
}

/// The files of a folder; none where there is no folder, as pip has it.
fn folder_links(folder: &Path) -> Vec<Link> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| {
            Some(Link {
                name: file.file_name().into_string().ok()?,
                url: Url::from_file_path(std::path::absolute(file.path()).ok()?).ok()?,
                sha256: None,
                yanked: false,
            })
        })
        .collect()
}

fn not_an_index(index: &str, reason: &str) -> DataError {
    DataError::Network {
        url: shown(index),
        reason: format!(
            "it cannot be read as a package index ({reason}); check PIP_INDEX_URL and pip's configuration"
        ),
    }
}

/// The links that are files of the wanted version; the versions of the others are noted.
fn of_version(links: Vec<Link>, wanted: &Wanted<'_>, versions: &mut Vec<String>) -> Vec<Candidate> {
    let mut found = Vec::new();
    for link in links {
        let Some((kind, version)) = version::of_file(&link.name, wanted.name) else {
            continue;
        };
        if version::same(&version, wanted.version) {
            found.push(Candidate {
                name: link.name,
                url: link.url,
                sha256: link.sha256,
                yanked: link.yanked,
                kind,
            });
        } else if !versions.contains(&version) {
            versions.push(version);
        }
    }
    found
}

/// The likeliest first: the one whose digest is wanted; what was not taken back; sdists where the
/// path inside begins with an sdist's own folder, else wheels; wheels for any machine.
fn sort(candidates: &mut [Candidate], wanted: &Wanted<'_>) {
    let sdist_first = wanted
        .inner
        .and_then(|inner| inner.split_once('/'))
        .and_then(|(folder, _)| version::split_stem(folder, wanted.name))
        .is_some_and(|version| version::same(version, wanted.version));
    candidates.sort_by_key(|candidate| {
        let pinned = wanted.sha256.is_some() && candidate.sha256 == wanted.sha256;
        let is_sdist = candidate.kind == FileKind::Sdist;
        let any_machine = candidate.name.ends_with("-none-any.whl");
        (
            !pinned,
            candidate.yanked,
            is_sdist != sdist_first,
            !any_machine,
            candidate.name.clone(),
        )
    });
}

/// Reads outside bytes as index pages of both forms; for fuzzing.
pub(super) fn fuzz(bytes: &[u8]) {
    let base = Url::parse("https://index.invalid/simple/name/").expect("a fixed address");
    let _links_or_refused = page::json_links(bytes, &base);
    for link in page::html_links(bytes, &base) {
        let _version_or_none = version::of_file(&link.name, "name");
    }
}
