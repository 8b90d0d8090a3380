//! A witness: somebody else's key that cosigns checkpoints, so that the workshop cannot show two
//! histories of one size (C2SP tlog-cosignature, `cosignature/v1`).
//!
//! It is pinned as the specification writes a verifier key: `NAME+ID+KEY`, the key of type 4. Asking
//! a witness for its cosignature is not here.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lathe_evidence::digest::{from_hex, to_hex};

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::keys::PublicKey;
use crate::note::{COSIGNATURE, Note, check_name, key_id};

/// A witness that a reader trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    name: String,
    key: PublicKey,
}

/// Why a text is no witness's key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no witness's key: {0}; it is written NAME+ID+KEY (C2SP signed-note), the key of type 4"
)]
pub struct WitnessError(&'static str);

impl Witness {
    /// The witness of this name and key.
    ///
    /// # Errors
    /// A name that no key can have.
    pub fn new(name: &str, key: PublicKey) -> Result<Self, WitnessError> {
        check_name(name).map_err(|_| WitnessError("its name is none"))?;
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }

    /// Reads `NAME+ID+KEY`.
    ///
    /// # Errors
    /// Another layout, another type of key, or an id that is not the key's.
    pub fn parse(text: &str) -> Result<Self, WitnessError> {
        // The base64 of the key may hold a `+` itself.
        let parts: Vec<_> = text.trim().splitn(3, '+').collect();
        let [name, id, key] = parts[..] else {
            return Err(WitnessError("it does not have three parts"));
        };
        let bytes = BASE64
            .decode(key)
            .map_err(|_| WitnessError("its key is not base64"))?;
        let key = match bytes.split_first() {
            Some((&COSIGNATURE, key)) => key,
            Some(_) => return Err(WitnessError("its key is of another type")),
            None => return Err(WitnessError("it has no key")),
        };
        let key = <&[u8; 32]>::try_from(key).ok();
        let key = key.and_then(|key| PublicKey::from_bytes(key).ok());
        let witness = Self::new(name, key.ok_or(WitnessError("its key is no Ed25519 key"))?)?;
        let expected = key_id(name, COSIGNATURE, &witness.key);
        if from_hex(id).is_some_and(|it| it == expected) {
            Ok(witness)
        } else {
            Err(WitnessError("its id is not that of its name and key"))
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The checkpoint in `note`, and when this witness cosigned it, in seconds since 1970.
    ///
    /// # Errors
    /// No checkpoint, no cosignature of this witness on it, or one that does not hold.
    pub fn verify(&self, note: &str) -> Result<(Checkpoint, u64), CheckpointError> {
        let at_s = Note::parse(note)?.verify_cosignature(&self.name, &self.key)?;
        Ok((Checkpoint::parse(note)?, at_s))
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = to_hex(&key_id(&self.name, COSIGNATURE, &self.key));
        let key = [&[COSIGNATURE][..], &self.key.to_bytes()].concat();
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::SigningKey;
    use lathe_evidence::Digest;

    fn witness(seed: u8) -> Witness {
        let key = SigningKey::from_seed(&[seed; 32]).public();
        Witness::new("witness.example.com/w1", key).unwrap()
    }

    #[test]
    fn it_is_read_as_it_is_written_and_nothing_else_is() {
        let text = witness(2).to_string();
        assert_eq!(Witness::parse(&text), Ok(witness(2)));
        assert_eq!(Witness::parse(&format!("{text}\n")), Ok(witness(2)));
        // The published key of C2SP signed-note's example is of type 1: it signs, it does not cosign.
        let ed25519 = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        let refuse = |text: &str, why: &str| {
            let error = Witness::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        refuse(ed25519, "another type");
        refuse("w1", "three parts");
        refuse(&text.replace("w1+", "w2+"), "its id");
        refuse(&text[..text.len() - 8], "no Ed25519 key");
        refuse(&format!("{text}!"), "not base64");
    }

    #[test]
    fn its_cosignature_holds_over_that_checkpoint_alone() {
        let checkpoint = Checkpoint {
            origin: "lathe/1".to_owned(),
            size: 7,
            root: Digest::of(b"root"),
        };
        let ours = SigningKey::from_seed(&[1; 32]);
        let plain = checkpoint.sign(&ours).unwrap();
        assert!(witness(2).verify(&plain).is_err());
        let mut note = Note::parse(&plain).unwrap();
        let theirs = SigningKey::from_seed(&[2; 32]);
        note.cosign("witness.example.com/w1", &theirs, 1_679_315_147)
            .unwrap();
        let note = note.to_string();
        assert_eq!(witness(2).verify(&note), Ok((checkpoint, 1_679_315_147)));
        assert!(witness(3).verify(&note).is_err());
        assert!(witness(2).verify(&note.replace("\n7\n", "\n8\n")).is_err());
    }
}
