//! What the reader brings: pinned keys, an older checkpoint, and witnesses.

use std::path::Path;

use lathe_evidence::Digest;
use lathe_ledger::history::Trust;
use lathe_ledger::{Checkpoint, PublicKey, Witness};

use crate::{Request, VerifyError};

/// The most bytes such a file may have.
const FILE_BYTES_MAX: u64 = 1 << 16;

/// Reads what the request names.
pub fn read(request: &Request) -> Result<Trust, VerifyError> {
    let roots = request.keys.iter().map(|it| key(it));
    let minimum = request.checkpoint.as_deref().map(checkpoint);
    Ok(Trust {
        roots: roots.collect::<Result<_, _>>()?,
        minimum: minimum.transpose()?,
    })
}

/// The witnesses that the request names.
pub fn witnesses(request: &Request) -> Result<Vec<Witness>, VerifyError> {
    let read = |given: &String| {
        // A key holds a `+`; a text without one can only be a file.
        let key = match given.contains('+') && !Path::new(given).exists() {
            true => given.clone(),
            false => text(Path::new(given))?,
        };
        Witness::parse(&key).map_err(|error| refused(given, &error))
    };
    request.witnesses.iter().map(read).collect()
}

/// The checkpoint's note as it was kept, with whatever others signed under it.
pub fn kept(request: &Request) -> Result<Option<String>, VerifyError> {
    request.checkpoint.as_deref().map(text).transpose()
}

/// An id, or a file with a public key.
fn key(given: &str) -> Result<Digest, VerifyError> {
    if let Ok(id) = given.parse() {
        return Ok(id);
    }
    let text = text(Path::new(given))?;
    PublicKey::from_text(&text)
        .map(|key| key.id())
        .map_err(|error| refused(given, &error))
}

fn checkpoint(path: &Path) -> Result<Checkpoint, VerifyError> {
    let text = text(path)?;
    Checkpoint::parse(&text).map_err(|error| refused(&path.to_string_lossy(), &error))
}

fn text(path: &Path) -> Result<String, VerifyError> {
    let length = std::fs::metadata(path)
        .map_err(VerifyError::io(path))?
        .len();
    if length > FILE_BYTES_MAX {
        let why = format!("it has more than {FILE_BYTES_MAX} bytes");
        return Err(refused(&path.to_string_lossy(), &why));
    }
    std::fs::read_to_string(path).map_err(VerifyError::io(path))
}

fn refused(given: &str, why: &dyn std::fmt::Display) -> VerifyError {
    VerifyError::Given {
        given: given.to_owned(),
        why: why.to_string(),
    }
}
