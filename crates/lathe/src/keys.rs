//! The keys a daemon asks for when it listens beyond loopback: one a line in a
//! file of the operator's own; empty lines and lines that begin with # are not.

use std::net::SocketAddr;
use std::path::Path;

use lathe_evidence::Digest;
use lathe_web::Access;

use crate::fail::Failure;

/// Shortest key accepted.
const KEY_CHARS_MIN: usize = 16;

/// Who may ask.
#[derive(Debug)]
pub struct Keys {
    /// For the guard.
    pub access: Access,
    /// No file was given, so that one of the workshop's own keys is needed.
    pub needs_token: bool,
}

/// Reads what `listen` requires: nothing on loopback; beyond it a key file, or keys that were issued.
pub fn read(listen: SocketAddr, file: Option<&Path>) -> Result<Keys, Failure> {
    match file {
        Some(file) => read_file(file),
        None if listen.ip().is_loopback() => Ok(Keys {
            access: Access::Loopback,
            needs_token: false,
        }),
        None => Ok(Keys {
            access: Access::Keys(Vec::new().into()),
            needs_token: true,
        }),
    }
}

/// There is no key at all, and `listen` requires one.
pub fn none(listen: SocketAddr) -> Failure {
    Failure::new(
        "key-file-missing",
        format!(
            "cannot listen on {listen}: anyone who reaches this machine could then use it, \
             and no key was issued and no key file given"
        ),
        "issue a key with `lathe token create --name NAME`, let people in with `lathe people add`, \
         pass --key-file FILE, or listen on 127.0.0.1",
    )
}

fn read_file(file: &Path) -> Result<Keys, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(
            "key-file",
            format!("cannot read the key file {}: {error}", file.display()),
            "name a file that holds one key a line",
        )
    })?;
    let keys: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let short = keys.iter().any(|key| key.chars().count() < KEY_CHARS_MIN);
    if keys.is_empty() || short {
        return Err(Failure::new(
            "key-file",
            format!(
                "the key file {} holds no key, or one of fewer than {KEY_CHARS_MIN} characters",
                file.display()
            ),
            "make one, for instance with `openssl rand -hex 24`",
        ));
    }
    let digests: Vec<_> = keys
        .iter()
        .map(|key| Digest::of(key.as_bytes()).0)
        .collect();
    Ok(Keys {
        access: Access::Keys(digests.into()),
        needs_token: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_a_key_is_required() {
        let open = "0.0.0.0:7878".parse().unwrap();
        assert!(read(open, None).unwrap().needs_token);
        let own = "127.0.0.1:7878".parse().unwrap();
        assert!(matches!(read(own, None).unwrap().access, Access::Loopback));
    }

    #[test]
    fn short_keys_are_refused() {
        let file = std::env::temp_dir().join(format!("lathe-keys-{}", std::process::id()));
        let listen = "0.0.0.0:7878".parse().unwrap();
        std::fs::write(&file, "# ours\nshort\n").unwrap();
        assert!(read(listen, Some(&file)).is_err());
        std::fs::write(&file, "# ours\n0123456789abcdef\n").unwrap();
        let keys = read(listen, Some(&file)).unwrap();
        std::fs::remove_file(&file).unwrap();
        let expected = Digest::of(b"0123456789abcdef").0;
        assert!(matches!(keys.access, Access::Keys(all) if *all == [expected]));
        assert!(!keys.needs_token);
    }
}
