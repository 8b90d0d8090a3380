//! The key that a daemon and the commands of its own home present: made anew at each start, readable
//! by the home's user alone, gone when the daemon ends.
//!
//! Whoever can read it can read the keys that sign, too, and is the workshop's owner. Without it
//! `lathe order list` would need a key from the moment the first one is issued, and an owner who lost
//! all of them could issue no other.

use std::fs;
use std::path::PathBuf;

use crate::error::WorkshopError;
use crate::home::Home;

/// Longest file that is read as a key.
const KEY_BYTES_MAX: u64 = 256;

fn file(home: &Home) -> PathBuf {
    home.root().join("daemon.key")
}

/// Makes the key of a daemon that starts.
///
/// # Errors
/// `home-io`.
pub fn issue_own(home: &Home) -> Result<String, WorkshopError> {
    let (key, _) = super::new_key()?;
    home.write_secret(&file(home), key.as_bytes())?;
    Ok(key)
}

/// The key of the daemon that runs, where this user may read it.
pub fn own_of(home: &Home) -> Option<String> {
    let path = file(home);
    // None where there is none, where it is another user's, and while a daemon starts: whoever asks
    // is told by the daemon that a key is missing.
    let size = fs::metadata(&path).ok()?.len();
    let key = (size <= KEY_BYTES_MAX).then(|| fs::read_to_string(&path).ok());
    key.flatten()
}

/// Takes the key away; the daemon ends.
pub fn withdraw_own(home: &Home) {
    // It opens nothing any more, so one that stays behind harms nobody.
    let _ = fs::remove_file(file(home));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_for_this_user_alone_and_for_as_long_as_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("home"))).unwrap();
        home.create().unwrap();
        assert_eq!(own_of(&home), None);
        let key = issue_own(&home).unwrap();
        assert_eq!(own_of(&home), Some(key.clone()));
        let mode = fs::metadata(file(&home)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(issue_own(&home).unwrap(), key);
        withdraw_own(&home);
        assert_eq!(own_of(&home), None);
    }
}
