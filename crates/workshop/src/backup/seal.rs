//! The signature over a backup's list: who made it, held by the ledger that is in it.
//!
//! `backup.dsse` follows the list: an envelope over the list's SHA-256 in hexadecimal, signed by the key that
//! continues the ledger. Whether that key may is told by the ledger of the archive, once its store is laid
//! out; so a signature shows that nobody without the workshop's key changed the list, and that is all as
//! long as no key is named that has to stand behind the ledger.

use std::path::Path;

use lathe_evidence::Digest;
use lathe_evidence::statement::Role;
use lathe_ledger::history::{History, Trust};
use lathe_ledger::{Envelope, SigningKey};

use super::card::{Card, STORE};
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::store::Store;

/// The name of the signature in the archive.
pub(super) const NAME: &str = "backup.dsse";
/// The longest signature: one is a few hundred bytes.
pub(super) const BYTES_MAX: u64 = 4096;
/// The media type of what it holds: the SHA-256 of `backup.json` in hexadecimal.
const TYPE: &str = "application/vnd.lathe.backup-list-digest";

/// Signs a list.
///
/// # Errors
/// A sentence that says why not.
pub(super) fn seal(list: &[u8], key: &SigningKey) -> Result<Vec<u8>, String> {
    let digest = Digest::of(list).to_string().into_bytes();
    let envelope = Envelope::seal_bytes(TYPE, digest, &[key]);
    envelope
        .map(Envelope::into_bytes)
        .map_err(|error| error.to_string())
}

/// Reads a signature that has to be over this list. Nothing is verified yet.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn read(bytes: &[u8], list: &[u8]) -> Result<Envelope, String> {
    let envelope = Envelope::parse(bytes).map_err(|error| format!("{NAME}: {error}"))?;
    if envelope.payload_type() != TYPE {
        return Err(format!("{NAME}: it holds a {}", envelope.payload_type()));
    }
    let found = Digest::of(list).to_string();
    if envelope.payload() != found.as_bytes() {
        return Err(format!(
            "its list is altered: it hashes to {found}, which nobody signed"
        ));
    }
    Ok(envelope)
}

/// Holds a signature against the ledger that was laid out in `scratch`, and that against the keys that
/// have to stand behind it.
///
/// # Errors
/// The store cannot be read; inside, a sentence that says what does not hold.
pub(super) fn verify(
    scratch: &Path,
    card: &Card,
    envelope: Option<&Envelope>,
    keys: &[Digest],
) -> Result<Result<(), String>, WorkshopError> {
    let Some(envelope) = envelope else {
        return Ok(if keys.is_empty() {
            Ok(())
        } else {
            Err("nobody signed its list, and a key is named that has to stand behind it".to_owned())
        });
    };
    let trust = Trust {
        roots: keys.to_vec(),
        minimum: None,
    };
    let history = history(&scratch.join(STORE), &trust)?;
    Ok(history.and_then(|history| held(&history, card, envelope)))
}

/// The verified ledger of a store.
fn history(store: &Path, trust: &Trust) -> Result<Result<History, String>, WorkshopError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| io_error("begin to read", store, &error))?;
    runtime.block_on(async {
        let store = Store::open_read_only(store).await?;
        let verified = store.verify_ledger(trust).await;
        store.close().await;
        Ok(match verified? {
            None => Err("its list is signed, and there is no ledger in it".to_owned()),
            Some(Ok(history)) => Ok(history),
            Some(Err(problems)) => {
                let first = problems.first().map(ToString::to_string);
                Err(format!(
                    "its list is signed, and its ledger does not hold: {}",
                    first.unwrap_or_default()
                ))
            }
        })
    })
}

fn held(history: &History, card: &Card, envelope: &Envelope) -> Result<(), String> {
    let signer = card.signer.ok_or("its list names nobody who signed it")?;
    let key = history
        .key(&signer)
        .filter(|key| key.stands() && key.has(Role::Root))
        .ok_or_else(|| format!("{signer} signed its list, which is no root key of its ledger"))?;
    envelope
        .verify(key.public())
        .map_err(|error| format!("{NAME}: {error}"))
}
