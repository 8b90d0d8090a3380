//! What the reader brings: pinned keys and an older checkpoint.

use std::path::Path;

use lathe_evidence::Digest;
use lathe_ledger::history::Trust;
use lathe_ledger::{Checkpoint, PublicKey};

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
