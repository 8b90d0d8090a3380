//! Bringing one file over the network: into a part file that a cut connection or a killed process
//! leaves behind and the next attempt goes on with, then hashed, then moved into the cache.
//!
//! A part goes on only under the server's own validator (`If-Range`) or a digest known beforehand;
//! without either it starts over. A part that is full, refused or of the wrong digest is removed.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use lathe_evidence::Digest;
use serde::{Deserialize, Serialize};
use ureq::http::HeaderMap;

use super::FetchProgress;
use super::cache::{Entry, Locked, hash_file};
use super::http::{Answer, Client, Failed, Request, shown};
use crate::DataError;
use crate::bounds::DOWNLOAD_BYTES_MAX;
use crate::error::Promise;

/// How many attempts in a row may bring nothing.
const FRUITLESS_ATTEMPTS_MAX: u32 = 5;

/// A file to bring.
pub(super) struct Download<'a> {
    /// How to ask for it.
    pub request: &'a Request,
    /// What it is to be called.
    pub name: &'a str,
    /// The digest that is promised.
    pub expected: Option<Digest>,
    /// Who promises it.
    pub promised_by: Promise,
}

/// What it takes to go on with a part: kept beside it.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Validator {
    if_range: Option<String>,
}

/// Why an attempt ended.
enum Attempt {
    /// The server, or the way to it.
    Failed(Failed),
    /// This machine's disk.
    Disk(DataError),
}

impl From<Failed> for Attempt {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

/// Brings the file into the cache.
pub(super) fn download(
    client: &Client<'_>,
    cache: &Locked<'_>,
    download: &Download<'_>,
    retry_ms: u64,
    on: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<Entry, DataError> {
    let url = &download.request.url;
    let part = cache.part_path(url.as_str());
    let went_on = part_bytes(&part) > 0;
    bring(client, download, &part, retry_ms, on)?;
    let (found, _) = hash_file(&part).map_err(|error| DataError::file("read", &part, error))?;
    if went_on && download.expected.is_some_and(|expected| expected != found) {
        // What an earlier run left may have been of another file: once more, from the start.
        remove(&part);
        bring(client, download, &part, retry_ms, on)?;
    }
    finish(cache, download, &part)
}

/// Checks the whole part and moves it into the cache.
fn finish(cache: &Locked<'_>, download: &Download<'_>, part: &Path) -> Result<Entry, DataError> {
    let (found, _) = hash_file(part).map_err(|error| DataError::file("read", part, error))?;
    if let Some(expected) = download.expected.filter(|expected| *expected != found) {
        remove(part);
        return Err(DataError::Mismatch {
            what: shown(download.request.url.as_str()),
            promised_by: download.promised_by,
            expected,
            found,
        });
    }
    let entry = cache.keep(part, found, download.name)?;
    remove(part);
    Ok(entry)
}

/// Attempts until the part is whole.
fn bring(
    client: &Client<'_>,
    download: &Download<'_>,
    part: &Path,
    retry_ms: u64,
    on: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), DataError> {
    let mut fruitless = 0;
    loop {
        let before = part_bytes(part);
        let failed = match attempt(client, download, part, on) {
            Ok(()) => return Ok(()),
            Err(Attempt::Disk(error)) => {
                remove(part);
                return Err(error);
            }
            Err(Attempt::Failed(failed)) => failed,
        };
        fruitless = if part_bytes(part) > before {
            1
        } else {
            fruitless + 1
        };
        if !failed.again || fruitless >= FRUITLESS_ATTEMPTS_MAX {
            if part_bytes(part) == 0 {
                remove(part);
            }
            return Err(failed.about(&download.request.url));
        }
        std::thread::sleep(Duration::from_millis(retry_ms << (fruitless - 1)));
    }
}

/// One request, its body written behind what is there.
fn attempt(
    client: &Client<'_>,
    download: &Download<'_>,
    part: &Path,
    on: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), Attempt> {
    let have = part_bytes(part);
    let validator = read_validator(part);
    let mut request = download.request.clone();
    // Ranges and digests are of the bytes as they are stored, not as they might be packed.
    request
        .headers
        .insert("accept-encoding", "identity".to_owned());
    let resumable = have > 0 && (validator.if_range.is_some() || download.expected.is_some());
    if resumable {
        request.headers.insert("range", format!("bytes={have}-"));
        if let Some(if_range) = validator.if_range {
            request.headers.insert("if-range", if_range);
        }
    }
    let answer = client.get(&request)?;
    let start = match answer.response.status().as_u16() {
        206 if resumable && range_start(answer.response.headers()) == Some(have) => have,
        200 => 0,
        206 | 416 => {
            // The server's idea of the rest is not ours.
            remove(part);
            return Err(Attempt::Failed(Failed {
                reason:
                    "the server cannot go on where the download stopped; run the same command again"
                        .to_owned(),
                again: true,
            }));
        }
        status => return Err(Failed::from_status(status).into()),
    };
    if start == 0 {
        write_validator(part, &if_range(answer.response.headers())).map_err(Attempt::Disk)?;
    }
    receive(answer, part, start, download.name, on)
}

fn receive(
    answer: Answer,
    part: &Path,
    start: u64,
    name: &str,
    on: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<(), Attempt> {
    let disk = |error| Attempt::Disk(DataError::file("write", part, error));
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true);
    let mut file = match start {
        0 => options.truncate(true).open(part),
        _ => options.append(true).open(part),
    }
    .map_err(disk)?;
    let total = answer
        .response
        .body()
        .content_length()
        .map(|rest| start + rest);
    let too_long = |bytes: u64| bytes > DOWNLOAD_BYTES_MAX;
    if total.is_some_and(too_long) {
        return Err(too_large().into());
    }
    let mut reader = answer.response.into_body().into_reader();
    let mut buffer = vec![0; 256 << 10];
    let mut done = start;
    on(FetchProgress {
        done,
        total,
        what: name,
    });
    loop {
        let count = reader
            .read(&mut buffer)
            .map_err(|error| Failed::from_io(&error))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(disk)?;
        done += count as u64;
        if too_long(done) {
            return Err(too_large().into());
        }
        on(FetchProgress {
            done,
            total,
            what: name,
        });
    }
    file.sync_all().map_err(disk)?;
    if total.is_some_and(|total| total != done) {
        return Err(Failed::from_io(&std::io::ErrorKind::UnexpectedEof.into()).into());
    }
    Ok(())
}

fn too_large() -> Failed {
    Failed::final_(format!(
        "it is larger than {DOWNLOAD_BYTES_MAX} bytes; bring it by other means and use a file: source"
    ))
}

/// The value for `If-Range`: a strong entity tag, else the time of the last change.
fn if_range(headers: &HeaderMap) -> Validator {
    let text = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned)
    };
    let strong = text("etag").filter(|tag| !tag.starts_with("W/"));
    Validator {
        if_range: strong.or_else(|| text("last-modified")),
    }
}

/// The first byte of a partial answer: `Content-Range: bytes 7-9/10`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get("content-range")?.to_str().ok()?;
    let (start, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}

fn part_bytes(part: &Path) -> u64 {
    fs::metadata(part).map_or(0, |metadata| metadata.len())
}

fn read_validator(part: &Path) -> Validator {
    fs::read_to_string(validator_path(part))
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

fn write_validator(part: &Path, validator: &Validator) -> Result<(), DataError> {
    let path = validator_path(part);
    let fail = |error| DataError::file("write", &path, error);
    let text = serde_json::to_string(validator).expect("a validator is one text");
    File::create(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(fail)
}

fn validator_path(part: &Path) -> std::path::PathBuf {
    part.with_extension("json")
}

/// Removes a part and its validator; what is not there needs no removing.
fn remove(part: &Path) {
    for path in [part.to_owned(), validator_path(part)] {
        if let Err(error) = fs::remove_file(&path) {
            debug_assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
}
