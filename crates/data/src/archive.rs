//! One file out of an archive: zip (and so wheels), tar, tar.gz and gz.
//!
//! Archives are hostile until proved harmless: what comes out is bounded by bytes, by ratio and by
//! entries, an archive with an absolute or climbing name is refused whole, links are never followed.
//! Nothing is ever unpacked to where an archive says; the one wanted file goes where the caller
//! says. Every archive is read to its end, so that a truncated one is not half-believed.

mod tar;
mod zip;

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::bounds::{
    ARCHIVE_ENTRIES_MAX, ARCHIVE_NAME_BYTES_MAX, ARCHIVE_RATIO_FREE_BYTES, ARCHIVE_RATIO_MAX,
    ARCHIVE_UNPACKED_BYTES_MAX,
};
use crate::{DataError, nearest};

/// What an archive may do.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    entries_max: u64,
    unpacked_bytes_max: u64,
    ratio_free_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            entries_max: ARCHIVE_ENTRIES_MAX,
            unpacked_bytes_max: ARCHIVE_UNPACKED_BYTES_MAX,
            ratio_free_bytes: ARCHIVE_RATIO_FREE_BYTES,
        }
    }
}

/// Why nothing came out.
#[derive(Debug)]
enum Failure {
    /// The archive is broken, hostile, or of no known kind.
    Refused(String),
    /// It has no such file; these are the names it has.
    Missing(Vec<String>),
    /// What came out could not be written.
    Write(io::Error),
}

/// Writes the file `inner` of the archive at `path` to `out`, giving its size in bytes.
///
/// `label` is what the archive is called towards the user, and its file name.
///
/// # Errors
/// An archive that is broken or hostile, a file that is not in it (the nearest is named), or
/// `out` that cannot be written.
pub(crate) fn extract(
    path: &Path,
    label: &str,
    inner: &str,
    out: &mut File,
    out_path: &Path,
) -> Result<u64, DataError> {
    let file = File::open(path).map_err(|error| DataError::file("read", path, error))?;
    let wanted = Wanted {
        inner,
        stem: gzip_stem(label),
        bounds: Bounds::default(),
    };
    extract_from(BufReader::new(file), &wanted, out).map_err(|failure| match failure {
        Failure::Refused(reason) => DataError::Archive {
            archive: label.to_owned(),
            reason,
        },
        Failure::Missing(names) => DataError::Missing {
            what: format!("`{inner}`"),
            place: label.to_owned(),
            next: format!(
                "correct the path after `#`{}",
                nearest::hint(inner, names.iter().map(String::as_str))
            ),
        },
        Failure::Write(error) => DataError::file("write", out_path, error),
    })
}

/// Which file is wanted, and within what bounds.
struct Wanted<'a> {
    inner: &'a str,
    /// What the one file of a plain gzip is called.
    stem: &'a str,
    bounds: Bounds,
}

/// `data.csv` for `…/data.csv.gz`.
fn gzip_stem(label: &str) -> &str {
    let name = label.rsplit(['/', '#']).next().unwrap_or(label);
    name.strip_suffix(".gz").unwrap_or(name)
}

fn extract_from(
    mut archive: impl Read + Seek,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
) -> Result<u64, Failure> {
    let packed_bytes = archive.seek(SeekFrom::End(0)).map_err(refused)?;
    archive.rewind().map_err(refused)?;
    let start = peek(&mut archive)?;
    archive.rewind().map_err(refused)?;
    if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        zip::extract(archive, packed_bytes, wanted, out)
    } else if start.starts_with(b"\x1f\x8b") {
        gzip(archive, packed_bytes, wanted, out)
    } else if tar::is_header(&start) {
        let counted = Counted::new(archive, packed_bytes, wanted.bounds);
        tar::extract(counted, wanted, out)
    } else {
        Err(Failure::Refused(format!(
            "it is {}; zip, wheel, tar, tar.gz and gz are unpacked",
            other_kind(&start)
        )))
    }
}

/// The first bytes, up to one tar block.
fn peek(reader: &mut impl Read) -> Result<Vec<u8>, Failure> {
    let mut start = Vec::with_capacity(tar::BLOCK_BYTES);
    reader
        .take(tar::BLOCK_BYTES as u64)
        .read_to_end(&mut start)
        .map_err(refused)?;
    Ok(start)
}

fn other_kind(start: &[u8]) -> &'static str {
    match start {
        [] => "empty",
        [b'B', b'Z', b'h', ..] => "a bzip2 file",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "an xz file",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "a zstd file",
        [b'7', b'z', 0xbc, 0xaf, ..] => "a 7z archive",
        [b'R', b'a', b'r', b'!', ..] => "a RAR archive",
        _ => "no archive",
    }
}

/// A gzip holds a tar or a single file.
fn gzip(
    archive: impl Read,
    packed_bytes: u64,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
) -> Result<u64, Failure> {
    let decoder = MultiGzDecoder::new(BufReader::new(archive));
    let mut counted = Counted::new(decoder, packed_bytes, wanted.bounds);
    let start = peek(&mut counted)?;
    let is_tar = tar::is_header(&start);
    let whole = Cursor::new(start).chain(counted);
    if is_tar {
        return tar::extract(whole, wanted, out);
    }
    if wanted.inner != wanted.stem {
        return Err(Failure::Missing(vec![wanted.stem.to_owned()]));
    }
    copy(whole, out)
}

/// Copies everything, telling a broken archive from a full disk.
fn copy(mut reader: impl Read, out: &mut dyn Write) -> Result<u64, Failure> {
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(count) => {
                out.write_all(&buffer[..count]).map_err(Failure::Write)?;
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(refused(error)),
        }
    }
}

/// Why an archive's own failure refuses it.
fn refused(error: impl fmt::Display) -> Failure {
    Failure::Refused(format!(
        "it is damaged or cut short ({error}); fetch or pack it again"
    ))
}

/// Refuses names that mean a place outside the archive, and endless ones.
fn check_name(name: &str) -> Result<(), Failure> {
    let shown = || name.chars().take(100).collect::<String>();
    if name.len() as u64 > ARCHIVE_NAME_BYTES_MAX {
        return Err(Failure::Refused(format!(
            "the name `{}…` is longer than {ARCHIVE_NAME_BYTES_MAX} bytes",
            shown()
        )));
    }
    let drive = name.as_bytes().get(1) == Some(&b':');
    if name.starts_with(['/', '\\']) || drive {
        return Err(Failure::Refused(format!(
            "its entry `{}` has an absolute path; such an archive is not trusted",
            shown()
        )));
    }
    if name.split(['/', '\\']).any(|part| part == "..") {
        return Err(Failure::Refused(format!(
            "its entry `{}` climbs out by `..`; such an archive is not trusted",
            shown()
        )));
    }
    Ok(())
}

fn check_entries(entries: u64, bounds: Bounds) -> Result<(), Failure> {
    if entries > bounds.entries_max {
        return Err(Failure::Refused(format!(
            "it has more than {} entries",
            bounds.entries_max
        )));
    }
    Ok(())
}

fn link(inner: &str) -> Failure {
    Failure::Refused(format!(
        "its entry `{inner}` is a link, and links are not followed; name the file it points to"
    ))
}

/// A reader that counts what comes out and stops at the bounds.
struct Counted<R> {
    inner: R,
    packed_bytes: u64,
    bounds: Bounds,
    unpacked_bytes: u64,
}

impl<R> Counted<R> {
    fn new(inner: R, packed_bytes: u64, bounds: Bounds) -> Self {
        Self {
            inner,
            packed_bytes,
            bounds,
            unpacked_bytes: 0,
        }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.unpacked_bytes = self.unpacked_bytes.saturating_add(count as u64);
        let bounds = self.bounds;
        if self.unpacked_bytes > bounds.unpacked_bytes_max {
            return Err(io::Error::other(format!(
                "it unpacks to more than {} bytes",
                bounds.unpacked_bytes_max
            )));
        }
        let ratio_bytes_max = self.packed_bytes.saturating_mul(ARCHIVE_RATIO_MAX);
        if self.unpacked_bytes > bounds.ratio_free_bytes && self.unpacked_bytes > ratio_bytes_max {
            return Err(io::Error::other(format!(
                "it unpacks to more than {ARCHIVE_RATIO_MAX} times its size, as only bombs do"
            )));
        }
        Ok(count)
    }
}

/// Checks that the zip in `bytes` unpacks wholly within the bounds and `unpacked_bytes_max`, for
/// parsers that unpack by themselves.
///
/// # Errors
/// Why it does not, as a sentence.
pub(crate) fn measure_zip(bytes: &[u8], unpacked_bytes_max: u64) -> Result<(), String> {
    let bounds = Bounds {
        unpacked_bytes_max,
        ..Bounds::default()
    };
    zip::measure(Cursor::new(bytes), bytes.len() as u64, bounds).map_err(|failure| match failure {
        Failure::Refused(reason) => reason,
        Failure::Missing(_) | Failure::Write(_) => "it cannot be measured".to_owned(),
    })
}

/// Takes every file out of outside bytes, whatever archive they are; for fuzzing.
pub fn fuzz(bytes: &[u8]) {
    let bounds = Bounds {
        entries_max: 100,
        unpacked_bytes_max: 1 << 20,
        ratio_free_bytes: 64 << 10,
    };
    let take = |inner: &str| {
        let wanted = Wanted {
            inner,
            stem: "fuzz",
            bounds,
        };
        let mut out = Vec::new();
        let outcome = extract_from(Cursor::new(bytes), &wanted, &mut out);
        assert!(out.len() as u64 <= bounds.unpacked_bytes_max);
        outcome
    };
    if let Err(Failure::Missing(names)) = take("no such file") {
        for name in names.iter().take(10) {
            let _taken_or_refused = take(name);
        }
    }
}

#[cfg(test)]
mod tests;
