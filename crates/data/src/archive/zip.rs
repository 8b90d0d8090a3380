//! zip, by its central directory. Only stored and deflated entries, without passwords.

use std::io::{self, Read, Seek, Write};

use zip::ZipArchive;
use zip::result::ZipError;

use super::{Bounds, Counted, Failure, Wanted, check_entries, check_name, copy, link, refused};

/// Writes the wanted file to `out`.
pub(super) fn extract(
    reader: impl Read + Seek,
    packed_bytes: u64,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
) -> Result<u64, Failure> {
    let (mut archive, names) = open(reader, wanted.bounds)?;
    let Some(index) = archive.index_for_name(wanted.inner) else {
        return Err(Failure::Missing(names));
    };
    let entry = archive
        .by_index(index)
        .map_err(|error| unreadable(wanted.inner, error))?;
    if entry.is_symlink() {
        return Err(link(wanted.inner));
    }
    if entry.is_dir() {
        return Err(Failure::Refused(format!(
            "its entry `{}` is a folder; name one file in it",
            wanted.inner
        )));
    }
    let size = entry.size();
    let copied = copy(Counted::new(entry, packed_bytes, wanted.bounds), out)?;
    if copied != size {
        return Err(refused(format!(
            "`{}` has {copied} bytes instead of {size}",
            wanted.inner
        )));
    }
    Ok(copied)
}

/// Unpacks everything into nothing, all entries together within the bounds.
pub(super) fn measure(
    reader: impl Read + Seek,
    packed_bytes: u64,
    bounds: Bounds,
) -> Result<(), Failure> {
    let (mut archive, _) = open(reader, bounds)?;
    let mut unpacked_bytes = 0;
    for index in 0..archive.len() {
        let entry = archive
            .by_index(index)
            .map_err(|error| unreadable("one of its entries", error))?;
        let mut counted = Counted::new(entry, packed_bytes, bounds);
        counted.unpacked_bytes = unpacked_bytes;
        io::copy(&mut counted, &mut io::sink()).map_err(refused)?;
        unpacked_bytes = counted.unpacked_bytes;
    }
    Ok(())
}

/// Opens the archive and checks every name in it; gives the files' names.
fn open<R: Read + Seek>(
    reader: R,
    bounds: Bounds,
) -> Result<(ZipArchive<R>, Vec<String>), Failure> {
    let archive = ZipArchive::new(reader).map_err(refused)?;
    check_entries(archive.len() as u64, bounds)?;
    if archive.has_duplicate_names() {
        return Err(Failure::Refused(
            "it holds two entries of the same name; such an archive is not trusted".to_owned(),
        ));
    }
    let mut names = Vec::new();
    for name in archive.file_names() {
        let name = name.map_err(refused)?;
        check_name(&name)?;
        if !name.ends_with('/') {
            names.push(name.into_owned());
        }
    }
    Ok((archive, names))
}

fn unreadable(name: &str, error: ZipError) -> Failure {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => Failure::Refused(format!(
            "`{name}` is encrypted; unpack it with its password and point the source at the file"
        )),
        ZipError::CompressionMethodNotSupported(method) => Failure::Refused(format!(
            "`{name}` is packed by method {method}; stored and deflated entries are unpacked, pack it again"
        )),
        ZipError::UnsupportedArchive(what) => Failure::Refused(format!(
            "`{name}` cannot be unpacked ({what}); pack it again as a plain zip"
        )),
        other => refused(other),
    }
}
