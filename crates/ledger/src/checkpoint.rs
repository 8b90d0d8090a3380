//! The head of the ledger: origin, size and root, in a signed note (C2SP tlog-checkpoint).
//!
//! Kept outside the home it is what a rewritten or shortened ledger is caught with. The note's key
//! name is the origin. Extension lines, of which the specification advises against, are refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lathe_evidence::Digest;

use crate::keys::{PublicKey, SigningKey};
use crate::note::{Note, NoteError, check_name};

/// What a ledger was at a size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's own name, unique to its workshop.
    pub origin: String,
    /// The number of entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// Why a note is not a checkpoint, or does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note itself.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text is another.
    #[error("this is not a checkpoint: {0}")]
    Layout(&'static str),
    /// Of another ledger.
    #[error("the checkpoint is of {found:?}, not of {expected:?}")]
    Origin {
        /// As it says.
        found: String,
        /// As asked for.
        expected: String,
    },
}

impl Checkpoint {
    /// The note, signed by `key` under the origin's name.
    ///
    /// # Errors
    /// An origin that is no name.
    pub fn sign(&self, key: &SigningKey) -> Result<String, CheckpointError> {
        let mut note = Note::new(self.to_text());
        note.sign(&self.origin, key)?;
        Ok(note.to_string())
    }

    /// The checkpoint that a note holds. Nothing is verified by reading it.
    ///
    /// # Errors
    /// No note, or another text in it.
    pub fn parse(note: &str) -> Result<Self, CheckpointError> {
        Self::of_text(Note::parse(note)?.text())
    }

    /// The checkpoint that a note holds, if `key` signed it for the ledger of `origin`.
    ///
    /// # Errors
    /// No checkpoint, of another ledger, or not signed by this key.
    pub fn verify(note: &str, origin: &str, key: &PublicKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Self::of_text(note.text())?;
        if checkpoint.origin != origin {
            return Err(CheckpointError::Origin {
                found: checkpoint.origin,
                expected: origin.to_owned(),
            });
        }
        note.verify(origin, key)?;
        Ok(checkpoint)
    }

    fn to_text(&self) -> String {
        let root = BASE64.encode(self.root.0);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    fn of_text(text: &str) -> Result<Self, CheckpointError> {
        let lines: Vec<_> = text.split('\n').collect();
        let [origin, size_text, root, ""] = lines[..] else {
            return Err(CheckpointError::Layout("its text does not have 3 lines"));
        };
        check_name(origin)?;
        let size = size_text
            .parse::<u64>()
            .ok()
            .filter(|size| size.to_string() == size_text)
            .ok_or(CheckpointError::Layout("its size is no whole number"))?;
        let root = BASE64
            .decode(root)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(CheckpointError::Layout(
                "its root is not the base64 of 32 bytes",
            ))?;
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root: Digest(root),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C2SP tlog-cosignature's example: a checkpoint with its log's signature and a witness's.
    const NOTE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n";

    #[test]
    fn the_published_checkpoint_is_read() {
        let checkpoint = Checkpoint::parse(NOTE).unwrap();
        assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(
            BASE64.encode(checkpoint.root.0),
            "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
        );
        assert_eq!(Note::parse(NOTE).unwrap().to_string(), NOTE);
        // Another implementation reads the same.
        let text = Note::parse(NOTE).unwrap().text().to_owned();
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
        assert_eq!(theirs.origin(), checkpoint.origin);
        assert_eq!(theirs.size(), checkpoint.size);
        assert_eq!(theirs.hash().0, checkpoint.root.0);
        assert_eq!(checkpoint.to_text().into_bytes(), theirs.to_bytes());
    }

    #[test]
    fn what_is_signed_verifies_for_its_origin_and_key_alone() {
        let key = SigningKey::from_seed(&[1; 32]);
        let checkpoint = Checkpoint {
            origin: "lathe/1".to_owned(),
            size: 7,
            root: Digest::of(b"root"),
        };
        let note = checkpoint.sign(&key).unwrap();
        let verify = |note: &str, origin: &str| Checkpoint::verify(note, origin, &key.public());
        assert_eq!(verify(&note, "lathe/1"), Ok(checkpoint));
        assert!(matches!(
            verify(&note, "lathe/2"),
            Err(CheckpointError::Origin { .. })
        ));
        assert!(verify(&note.replace("\n7\n", "\n8\n"), "lathe/1").is_err());
        let other = SigningKey::from_seed(&[2; 32]).public();
        assert!(Checkpoint::verify(&note, "lathe/1", &other).is_err());
    }

    #[test]
    fn odd_texts_are_refused() {
        let refuse = |from: &str, to: &str| {
            let changed = NOTE.replacen(from, to, 1);
            assert_ne!(changed, NOTE);
            assert!(Checkpoint::parse(&changed).is_err(), "{to:?}");
        };
        refuse("20852163", "020852163");
        refuse("20852163", "+20852163");
        refuse("20852163", "-1");
        refuse("20852163", "99999999999999999999");
        refuse("CsUY", "CsU");
        refuse("q2I=\n", "q2I=\nextension\n");
        refuse("example.com/behind", "example com/behind");
        refuse("20852163\n", "");
    }
}
