//! A file on its way out: whole or one part of it, read from the disk piece by piece.
//!
//! It is hashed before its first byte (`lathe_workshop::shelf`); what only asks for its size and digest
//! costs no reading. Several parts in one answer are not built: whoever asks for them gets the whole, as
//! RFC 9110, 14.2, allows.

use std::io::{self, Seek as _, SeekFrom};
use std::path::Path;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_RANGE, RANGE, RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use lathe_workshop::WorkshopError;
use lathe_workshop::home::io_error;
use lathe_workshop::shelf::ShelfFile;
use tokio::io::AsyncReadExt as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::AppState;

/// Read at a time, for one that downloads.
const PIECE_BYTES: u64 = 256 * 1024;
/// When to ask again where too many download.
const RETRY_AFTER_S: u32 = 5;

/// What is asked for of a file.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Whole,
    /// From one byte up to and without another; never empty.
    Between(u64, u64),
    /// None of its bytes are meant.
    Beyond,
}

/// The file as an answer; 429 where too many are under way.
///
/// # Errors
/// `object-altered`; the home's.
pub(super) async fn answer(
    state: &AppState,
    method: &Method,
    asked: &HeaderMap,
    file: &ShelfFile,
) -> Result<Response, WorkshopError> {
    let tag = format!("\"{}\"", file.sha256);
    let of_this = |value: &HeaderValue| value.as_bytes() == tag.as_bytes();
    let range = asked.get(RANGE).and_then(|value| value.to_str().ok());
    // A part is of use only to who has the rest of this content.
    let range = range.filter(|_| asked.get(IF_RANGE).is_none_or(of_this));
    let (status, from, to) = match range.map_or(Part::Whole, |text| part(text, file.size)) {
        Part::Whole => (StatusCode::OK, 0, file.size),
        Part::Between(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Part::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    let body = match (status, method) {
        (StatusCode::RANGE_NOT_SATISFIABLE, _) | (_, &Method::HEAD) => Body::empty(),
        _ => {
            let Ok(permit) = state.downloads.clone().try_acquire_owned() else {
                return Ok(too_many());
            };
            let mut opened = state.desk.shelf_open(file).await?;
            opened
                .seek(SeekFrom::Start(from))
                .map_err(|error| io_error("read", Path::new(&file.within), &error))?;
            body(tokio::fs::File::from_std(opened), to - from, permit)
        }
    };
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let mut put = |name, text: String| {
        let value = HeaderValue::try_from(text).expect("digits and words are a header's value");
        headers.insert(name, value);
    };
    put(ETAG, tag);
    put(ACCEPT_RANGES, "bytes".to_owned());
    put(CONTENT_TYPE, "application/octet-stream".to_owned());
    put(CONTENT_LENGTH, (to - from).to_string());
    match status {
        StatusCode::PARTIAL_CONTENT => {
            put(
                CONTENT_RANGE,
                format!("bytes {from}-{}/{}", to - 1, file.size),
            );
        }
        StatusCode::RANGE_NOT_SATISFIABLE => put(CONTENT_RANGE, format!("bytes */{}", file.size)),
        _ => {}
    }
    Ok(response)
}

/// MLflow's client and `huggingface_hub` both wait and ask again.
pub(crate) fn too_many() -> Response {
    let wait = [(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S))];
    (
        StatusCode::TOO_MANY_REQUESTS,
        wait,
        "too many downloads are under way",
    )
        .into_response()
}

/// What a `Range` asks for. One that cannot be read is as if it were not there (RFC 9110, 14.2).
fn part(range: &str, size: u64) -> Part {
    let Some((first, last)) = range
        .strip_prefix("bytes=")
        .and_then(|text| text.trim().split_once('-'))
    else {
        return Part::Whole;
    };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        // One too large for a number is beyond every file.
        is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => between(first, last.saturating_add(1), size),
        (Some(first), None) if last.is_empty() => between(first, size, size),
        (None, Some(count)) if first.is_empty() => between(size.saturating_sub(count), size, size),
        _ => Part::Whole,
    }
}

fn between(from: u64, to: u64, size: u64) -> Part {
    let to = to.min(size);
    match from < to {
        true => Part::Between(from, to),
        false => Part::Beyond,
    }
}

/// So many bytes, read as they are taken. A file that ends early breaks the answer off.
pub(crate) fn body(file: tokio::fs::File, bytes: u64, permit: OwnedSemaphorePermit) -> Body {
    let begun = (file, bytes, permit);
    Body::from_stream(stream::try_unfold(
        begun,
        |(mut file, left, permit)| async move {
            if left == 0 {
                return Ok(None);
            }
            let wanted = usize::try_from(left.min(PIECE_BYTES)).expect("a piece fits in memory");
            let mut piece = vec![0; wanted];
            let read = file.read(&mut piece).await?;
            if read == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            }
            piece.truncate(read);
            let rest = (file, left - read as u64, permit);
            Ok(Some((Bytes::from(piece), rest)))
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_what_rfc_9110_says() {
        for (range, expected) in [
            ("bytes=0-0", Part::Between(0, 1)),
            ("bytes=2-4", Part::Between(2, 5)),
            ("bytes=2-", Part::Between(2, 10)),
            ("bytes=2-99", Part::Between(2, 10)),
            ("bytes=-3", Part::Between(7, 10)),
            ("bytes=-99", Part::Between(0, 10)),
            ("bytes=9-99999999999999999999999", Part::Between(9, 10)),
            ("bytes=10-", Part::Beyond),
            ("bytes=99999999999999999999999-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=4-2", Part::Whole),
            ("bytes=0-1,4-5", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes", Part::Whole),
            ("lines=1-2", Part::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Part::Beyond);
        assert_eq!(part("bytes=-5", 0), Part::Beyond);
    }
}
