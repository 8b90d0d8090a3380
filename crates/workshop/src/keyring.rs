//! The workshop's private keys, as they lie in the home: one file a key, readable by its user alone.
//!
//! The first is `workshop.key`; a rotation adds files and removes none, so that a process killed in
//! the middle finds both keys. Which of them signs is for the ledger to say. Approvers' keys are
//! never here.

use std::fs;
use std::path::Path;

use lathe_evidence::Digest;
use lathe_ledger::SigningKey;

use crate::error::WorkshopError;
use crate::home::{Home, io_error, random_bytes};
use crate::objects;

/// The file of the first key.
const FIRST: &str = "workshop.key";

/// Largest key file that is read.
const KEY_BYTES_MAX: u64 = 4096;

/// The most keys a home holds.
const KEYS_MAX: usize = 1000;

/// The private keys of a home.
#[derive(Debug, Clone)]
pub(crate) struct Keyring {
    keys: Vec<SigningKey>,
}

impl Keyring {
    /// Reads all keys of the home. None is no error here.
    ///
    /// # Errors
    /// A file that cannot be read or is no key.
    pub(crate) fn load(home: &Home) -> Result<Keyring, WorkshopError> {
        let folder = home.keys();
        if !folder.is_dir() {
            return Ok(Keyring { keys: Vec::new() });
        }
        let files = objects::entries(&folder)?
            .into_iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "key"))
            .take(KEYS_MAX);
        let keys = files.map(|path| read(&path)).collect::<Result<_, _>>()?;
        Ok(Keyring { keys })
    }

    /// The key of this id.
    pub(crate) fn find(&self, id: &Digest) -> Option<&SigningKey> {
        self.keys.iter().find(|key| key.id() == *id)
    }

    /// Makes a key and keeps it: the first under its fixed name, another under its id.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn make(home: &Home) -> Result<SigningKey, WorkshopError> {
        let key = new()?;
        let folder = home.keys();
        fs::create_dir_all(&folder)
            .map_err(|error| io_error("create the folder", &folder, &error))?;
        let first = folder.join(FIRST);
        let path = if first.exists() {
            home.keys().join(format!("{}.key", key.id().short()))
        } else {
            first
        };
        home.write_secret(&path, key.to_pem().as_bytes())?;
        Ok(key)
    }

    /// The only key of a home whose ledger has not begun, made where there is none.
    ///
    /// # Errors
    /// When it can be neither read nor written.
    pub(crate) fn first(home: &Home) -> Result<SigningKey, WorkshopError> {
        match Keyring::load(home)?.keys.into_iter().next() {
            Some(key) => Ok(key),
            None => Keyring::make(home),
        }
    }
}

/// A new key, made of the system's randomness and kept nowhere.
///
/// # Errors
/// When the system gives none.
pub fn new() -> Result<SigningKey, WorkshopError> {
    Ok(SigningKey::from_seed(&random_bytes()?))
}

/// Reads a private key from a file.
///
/// # Errors
/// When it cannot be read or is no key.
pub fn read(path: &Path) -> Result<SigningKey, WorkshopError> {
    let size = fs::metadata(path)
        .map_err(|error| io_error("read", path, &error))?
        .len();
    let refuse = |reason: String| {
        WorkshopError::new(
            "key-unreadable",
            format!("{} is no private key: {reason}", path.display()),
            "name a file that `lathe keys new FILE` wrote",
        )
    };
    if size > KEY_BYTES_MAX {
        return Err(refuse(format!("it has {size} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| io_error("read", path, &error))?;
    SigningKey::from_pem(&text).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_key_is_made_once_for_this_user_alone() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("home"))).unwrap();
        home.create().unwrap();
        let first = Keyring::first(&home).unwrap();
        assert_eq!(Keyring::first(&home).unwrap().id(), first.id());
        let mode = fs::metadata(home.keys().join(FIRST)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let second = Keyring::make(&home).unwrap();
        assert_ne!(second.id(), first.id());
        let ring = Keyring::load(&home).unwrap();
        assert!(ring.find(&first.id()).is_some() && ring.find(&second.id()).is_some());
    }

    #[test]
    fn a_damaged_key_is_said_to_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.key");
        fs::write(&path, "no key").unwrap();
        assert_eq!(read(&path).unwrap_err().code(), "key-unreadable");
    }
}
