//! The keys a daemon asks for when it listens beyond loopback: one a line in a
//! file of the operator's own; empty lines and lines that begin with # are not.

use std::net::SocketAddr;
use std::path::Path;

use lathe_evidence::Digest;
use lathe_web::Access;

use crate::fail::Failure;

/// Shortest key accepted.
const KEY_CHARS_MIN: usize = 16;

/// Who may ask, and the key the daemon itself presents.
#[derive(Debug)]
pub struct Keys {
    /// For the guard.
    pub access: Access,
    /// The first key of the file.
    pub own: Option<String>,
}

/// Reads what `listen` requires: nothing on loopback, a key file beyond it.
pub fn read(listen: SocketAddr, file: Option<&Path>) -> Result<Keys, Failure> {
    match file {
        Some(file) => read_file(file),
        None if listen.ip().is_loopback() => Ok(Keys {
            access: Access::Loopback,
            own: None,
        }),
        None => Err(Failure::new(
            "key-file-missing",
            format!(
                "cannot listen on {listen}: anyone who reaches this machine could then use it, \
                 and no key file was given"
            ),
            "write a long random key into a file and pass --key-file FILE, or listen on 127.0.0.1",
        )),
    }
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
        own: keys.first().map(|key| (*key).to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_loopback_a_key_is_required() {
        let open = "0.0.0.0:7878".parse().unwrap();
        let error = read(open, None).unwrap_err().to_string();
        assert!(error.contains("no key file"), "{error}");
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
        assert_eq!(keys.own.as_deref(), Some("0123456789abcdef"));
    }
}
