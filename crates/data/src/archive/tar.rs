//! tar, in its old, POSIX, pax and GNU forms, as a stream.
//!
//! Long names are read here rather than by the tar crate, which would hold a name of any length in
//! memory.

use std::io::{self, Read, Write};

use tar::{Archive, Entry, EntryType, Header, PaxExtensions};

use super::{Failure, Wanted, check_entries, check_name, copy, link, refused};
use crate::bounds::ARCHIVE_NAME_BYTES_MAX;

/// The size of a tar's header block.
pub(super) const BLOCK_BYTES: usize = 512;

/// The longest pax header that is looked into; it holds a name, times and owners.
const PAX_BYTES_MAX: u64 = 64 << 10;

/// How many names are kept to name the nearest from.
const NAMES_KEPT_MAX: usize = 10_000;

/// Whether `block` is a tar header: its checksum says so in every form.
pub(super) fn is_header(block: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK_BYTES]>::try_from(block) else {
        return false;
    };
    let sum: u32 = (0..BLOCK_BYTES)
        .map(|at| {
            let in_checksum = (148..156).contains(&at);
            u32::from(if in_checksum { b' ' } else { block[at] })
        })
        .sum();
    let header = Header::from_byte_slice(block);
    header.cksum().is_ok_and(|claimed| claimed == sum)
}

/// Writes the wanted file to `out` and reads the archive to its end.
pub(super) fn extract(
    mut reader: impl Read,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
) -> Result<u64, Failure> {
    let mut archive = Archive::new(&mut reader);
    let mut names = Vec::new();
    let mut found = None;
    let mut long_name = None;
    for (count, entry) in (1..).zip(archive.entries().map_err(refused)?.raw(true)) {
        check_entries(count, wanted.bounds)?;
        let mut entry = entry.map_err(refused)?;
        if is_about_the_next(&entry) {
            long_name = next_name(&mut entry)?.or(long_name);
            continue;
        }
        let name = match long_name.take() {
            Some(name) => name,
            None => text(&entry.header().path_bytes()),
        };
        check_name(&name)?;
        let name = name.strip_prefix("./").unwrap_or(&name);
        if name != wanted.inner {
            if entry.header().entry_type().is_file() && names.len() < NAMES_KEPT_MAX {
                names.push(name.to_owned());
            }
            continue;
        }
        if found.is_some() {
            return Err(Failure::Refused(format!("it holds `{name}` twice")));
        }
        found = Some(take(&mut entry, name, out)?);
    }
    // What follows the tar's end is read too: a gzip keeps its checksum there.
    io::copy(&mut reader, &mut io::sink()).map_err(refused)?;
    found.ok_or(Failure::Missing(names))
}

/// Writes one entry to `out`, if it is a plain file.
fn take<R: Read>(
    entry: &mut Entry<'_, R>,
    name: &str,
    out: &mut dyn Write,
) -> Result<u64, Failure> {
    match entry.header().entry_type() {
        EntryType::Regular | EntryType::Continuous => {}
        EntryType::Link | EntryType::Symlink => return Err(link(name)),
        EntryType::Directory => {
            return Err(Failure::Refused(format!(
                "its entry `{name}` is a folder; name one file in it"
            )));
        }
        _ => {
            return Err(Failure::Refused(format!(
                "its entry `{name}` is no plain file"
            )));
        }
    }
    let size = entry.header().entry_size().map_err(refused)?;
    let copied = copy(entry, out)?;
    if copied != size {
        return Err(refused(format!("`{name}` has {copied} of {size} bytes")));
    }
    Ok(copied)
}

/// Whether the entry only says something about the one after it.
fn is_about_the_next<R: Read>(entry: &Entry<'_, R>) -> bool {
    let kind = entry.header().entry_type();
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

/// The name that a GNU or pax entry gives to the one after it.
fn next_name<R: Read>(entry: &mut Entry<'_, R>) -> Result<Option<String>, Failure> {
    let kind = entry.header().entry_type();
    if kind.is_gnu_longname() {
        let name = bounded(entry, ARCHIVE_NAME_BYTES_MAX + 1)?;
        let end = name.iter().position(|byte| *byte == 0);
        return Ok(Some(text(&name[..end.unwrap_or(name.len())])));
    }
    if !kind.is_pax_local_extensions() {
        return Ok(None);
    }
    let records = bounded(entry, PAX_BYTES_MAX)?;
    let mut name = None;
    for record in PaxExtensions::new(&records) {
        let record = record.map_err(refused)?;
        match record.key_bytes() {
            b"path" => name = Some(text(record.value_bytes())),
            // Readers disagree on a size given twice, and archives that look different to
            // different readers are a way to hide things.
            b"size" | b"GNU.sparse.realsize" => {
                return Err(Failure::Refused(
                    "a pax header overrules a file's size; pack it again as a plain tar".to_owned(),
                ));
            }
            _ => {}
        }
    }
    Ok(name)
}

fn bounded<R: Read>(entry: &mut Entry<'_, R>, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let size = entry.header().entry_size().map_err(refused)?;
    if size > bytes_max {
        return Err(Failure::Refused(format!(
            "a header of {size} bytes is longer than {bytes_max}"
        )));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 != size {
        return Err(refused("a header is cut short"));
    }
    Ok(bytes)
}

/// A name as text; what is not UTF-8 can never be the wanted file.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
