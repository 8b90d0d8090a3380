//! Signed notes: a text and lines of signatures under it (C2SP signed-note).
//!
//! Lines of keys nobody here knows are kept as they came: they are other people's (a witness's).
//! What a text must say is not asked here; see the checkpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lathe_evidence::Digest;

use crate::keys::{PublicKey, SIGNATURE_BYTES, SigningKey};

/// The most bytes a note may have.
pub const NOTE_BYTES_MAX: usize = 1 << 16;

/// The most signature lines a note may have; the specification asks for at least 16.
pub const LINES_MAX: usize = 64;

/// The most bytes a key's name may have.
pub const NAME_BYTES_MAX: usize = 200;

/// The type byte of a plain Ed25519 signature.
const ED25519: u8 = 0x01;
/// The type byte of a timestamped Ed25519 cosignature of a checkpoint (C2SP tlog-cosignature).
pub(crate) const COSIGNATURE: u8 = 0x04;

/// What a signature line begins with.
const DASH: &str = "\u{2014} ";

/// A text with signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    lines: Vec<Line>,
}

/// A line of signature.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    name: String,
    /// The 4 bytes of the key id and the signature.
    bytes: Vec<u8>,
}

/// Why bytes are not a note, or it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not of the layout.
    #[error("this is not a signed note: {0}")]
    Layout(&'static str),
    /// A name that no key can have.
    #[error(
        "{0:?} is no name of a key: it has 1 to {NAME_BYTES_MAX} bytes, without white space, `+` and control characters"
    )]
    Name(String),
    /// No line of this key.
    #[error("the note has no signature of {name} by key {key}")]
    NotSigned {
        /// The name looked for.
        name: String,
        /// The id of the key.
        key: Digest,
    },
    /// A line of this key does not hold.
    #[error("the note's signature of {name} by key {key} does not hold over its text")]
    Signature {
        /// The name on the line.
        name: String,
        /// The id of the key.
        key: Digest,
    },
}

impl Note {
    /// A text without signatures; it ends with a line's end.
    pub fn new(text: String) -> Self {
        debug_assert!(text.ends_with('\n'));
        Self {
            text,
            lines: Vec::new(),
        }
    }

    /// Reads a note. Nothing is verified yet.
    ///
    /// # Errors
    /// Not of the layout, or too long.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_BYTES_MAX {
            return Err(NoteError::Layout("it has more than 65,536 bytes"));
        }
        if note.chars().any(|char| char < ' ' && char != '\n') {
            return Err(NoteError::Layout("it holds a control character"));
        }
        let (text, rest) = note
            .rfind("\n\n")
            .map(|at| (&note[..=at], &note[at + 2..]))
            .ok_or(NoteError::Layout("no empty line ends its text"))?;
        let body = rest
            .strip_suffix('\n')
            .ok_or(NoteError::Layout("its last line has no end"))?;
        let lines = body
            .split('\n')
            .map(Line::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if lines.len() > LINES_MAX {
            return Err(NoteError::Layout("it has more than 64 signatures"));
        }
        Ok(Self {
            text: text.to_owned(),
            lines,
        })
    }

    /// The text, its last line's end with it.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The names on its signature lines, in their order. Nothing is verified by reading them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|line| line.name.as_str())
    }

    /// Adds a line: the plain signature of `key` under `name`.
    ///
    /// # Errors
    /// A name that no key can have.
    pub fn sign(&mut self, name: &str, key: &SigningKey) -> Result<(), NoteError> {
        let signature = key.sign(self.text.as_bytes());
        let id = key_id(name, ED25519, &key.public());
        self.add(name, [&id[..], &signature].concat())
    }

    /// Adds a line: the cosignature of `key` under `name`, as a witness gives it, at `at_s` seconds
    /// since 1970.
    ///
    /// # Errors
    /// A name that no key can have.
    pub fn cosign(&mut self, name: &str, key: &SigningKey, at_s: u64) -> Result<(), NoteError> {
        let signature = key.sign(&self.cosigned(at_s));
        let id = key_id(name, COSIGNATURE, &key.public());
        self.add(name, [&id[..], &at_s.to_be_bytes(), &signature].concat())
    }

    /// Whether `key` signed the text under `name`.
    ///
    /// # Errors
    /// No line of this key, or one that does not hold.
    pub fn verify(&self, name: &str, key: &PublicKey) -> Result<(), NoteError> {
        let wrong = || NoteError::Signature {
            name: name.to_owned(),
            key: key.id(),
        };
        for bytes in self.of_key(name, ED25519, key)? {
            let signature = bytes.try_into().map_err(|_| wrong())?;
            key.verify(self.text.as_bytes(), signature)
                .map_err(|_| wrong())?;
        }
        Ok(())
    }

    /// When `key` cosigned the text under `name`, in seconds since 1970; the latest of several.
    ///
    /// # Errors
    /// No line of this key, or one that does not hold.
    pub fn verify_cosignature(&self, name: &str, key: &PublicKey) -> Result<u64, NoteError> {
        let wrong = || NoteError::Signature {
            name: name.to_owned(),
            key: key.id(),
        };
        let mut latest_s = 0;
        for bytes in self.of_key(name, COSIGNATURE, key)? {
            let (at, signature): (&[u8; 8], &[u8; SIGNATURE_BYTES]) = bytes
                .split_first_chunk()
                .and_then(|(at, rest)| Some((at, rest.try_into().ok()?)))
                .ok_or_else(wrong)?;
            let at_s = u64::from_be_bytes(*at);
            key.verify(&self.cosigned(at_s), signature)
                .map_err(|_| wrong())?;
            latest_s = latest_s.max(at_s);
        }
        Ok(latest_s)
    }

    /// What the lines of this key hold after its id; at least one.
    fn of_key(&self, name: &str, kind: u8, key: &PublicKey) -> Result<Vec<&[u8]>, NoteError> {
        let id = key_id(name, kind, key);
        let found: Vec<_> = self
            .lines
            .iter()
            .filter(|line| line.name == name)
            .filter_map(|line| line.bytes.strip_prefix(&id[..]))
            .collect();
        if found.is_empty() {
            return Err(NoteError::NotSigned {
                name: name.to_owned(),
                key: key.id(),
            });
        }
        Ok(found)
    }

    fn add(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), NoteError> {
        check_name(name)?;
        if self.lines.len() == LINES_MAX {
            return Err(NoteError::Layout("it has 64 signatures already"));
        }
        self.lines.push(Line {
            name: name.to_owned(),
            bytes,
        });
        Ok(())
    }

    fn cosigned(&self, at_s: u64) -> Vec<u8> {
        format!("cosignature/v1\ntime {at_s}\n{}", self.text).into_bytes()
    }
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.lines {
            writeln!(f, "{DASH}{} {}", line.name, BASE64.encode(&line.bytes))?;
        }
        Ok(())
    }
}

impl Line {
    fn parse(line: &str) -> Result<Self, NoteError> {
        let (name, base64) = line
            .strip_prefix(DASH)
            .and_then(|rest| rest.split_once(' '))
            .ok_or(NoteError::Layout(
                "a line under its text is not a signature",
            ))?;
        check_name(name)?;
        let bytes = BASE64
            .decode(base64)
            .map_err(|_| NoteError::Layout("a signature is not base64"))?;
        if bytes.len() < 5 {
            return Err(NoteError::Layout("a signature is too short"));
        }
        Ok(Self {
            name: name.to_owned(),
            bytes,
        })
    }
}

/// Whether a key, and so a ledger, can have this name.
///
/// # Errors
/// It cannot.
pub fn check_name(name: &str) -> Result<(), NoteError> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
        && !name.contains(|char: char| char.is_whitespace() || char.is_control() || char == '+');
    if fits {
        return Ok(());
    }
    Err(NoteError::Name(name.chars().take(NAME_BYTES_MAX).collect()))
}

/// The first four bytes of SHA-256(name ‖ newline ‖ type ‖ key).
pub(crate) fn key_id(name: &str, kind: u8, key: &PublicKey) -> [u8; 4] {
    let hashed = [name.as_bytes(), &[b'\n', kind], &key.to_bytes()].concat();
    let digest = Digest::of(&hashed).0;
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C2SP signed-note, "Example": the verifier key and the note it verifies.
    const VKEY: &str = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
    const NOTE: &str = "This is an example message.\n\n\u{2014} example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";

    /// C2SP signed-note's first note: its key is not published, its text has an empty line.
    const POEM: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u{e8} subito sera.\n\n\u{2014} quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

    fn published_key() -> (&'static str, [u8; 4], PublicKey) {
        let parts: Vec<_> = VKEY.splitn(3, '+').collect();
        let id = lathe_evidence::digest::from_hex(parts[1]).unwrap();
        let bytes = BASE64.decode(parts[2]).unwrap();
        assert_eq!(bytes[0], ED25519);
        let key = PublicKey::from_bytes(bytes[1..].try_into().unwrap()).unwrap();
        (parts[0], id.try_into().unwrap(), key)
    }

    #[test]
    fn the_published_note_verifies() {
        let (name, id, key) = published_key();
        assert_eq!(key_id(name, ED25519, &key), id);
        let note = Note::parse(NOTE).unwrap();
        assert_eq!(note.to_string(), NOTE);
        assert_eq!(note.text(), "This is an example message.\n");
        note.verify(name, &key).unwrap();
        let changed = Note::parse(&NOTE.replace("an example", "no example")).unwrap();
        assert!(matches!(
            changed.verify(name, &key),
            Err(NoteError::Signature { .. })
        ));
        let renamed = Note::parse(&NOTE.replace("com/foo", "com/bar")).unwrap();
        assert!(matches!(
            renamed.verify(name, &key),
            Err(NoteError::NotSigned { .. })
        ));
    }

    #[test]
    fn a_text_may_have_empty_lines() {
        let note = Note::parse(POEM).unwrap();
        assert!(note.text().contains(":\n\ned"));
        assert_eq!(note.to_string(), POEM);
    }

    #[test]
    fn lines_of_others_are_kept_and_cosignatures_hold() {
        let ours = SigningKey::from_seed(&[1; 32]);
        let witness = SigningKey::from_seed(&[2; 32]);
        let mut note = Note::new("origin\n1\n".to_owned());
        note.sign("ours", &ours).unwrap();
        note.cosign("w", &witness, 1_679_315_147).unwrap();
        note.cosign("w", &witness, 5).unwrap();
        let note = Note::parse(&note.to_string()).unwrap();
        note.verify("ours", &ours.public()).unwrap();
        assert_eq!(
            note.verify_cosignature("w", &witness.public()),
            Ok(1_679_315_147)
        );
        // A cosignature is no signature and the other way round, even of one key.
        assert!(note.verify("w", &witness.public()).is_err());
        assert!(note.verify_cosignature("ours", &ours.public()).is_err());
        assert_eq!(note.names().collect::<Vec<_>>(), ["ours", "w", "w"]);
    }

    /// C2SP tlog-cosignature: the message of its example.
    #[test]
    fn the_cosigned_message_is_the_specifications() {
        let text =
            "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(
            String::from_utf8(Note::new(text.to_owned()).cosigned(1_679_315_147)).unwrap(),
            format!("cosignature/v1\ntime 1679315147\n{text}")
        );
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let refuse = |note: &str| assert!(Note::parse(note).is_err(), "{note:?}");
        refuse("");
        refuse("text\n");
        refuse("text\n\n");
        refuse("text\n\n\n");
        refuse(NOTE.trim_end());
        refuse(&NOTE.replace("\u{2014} ", "- "));
        refuse(&NOTE.replace("message", "mes\tsage"));
        refuse(&NOTE.replace("com/foo", "com+foo"));
        refuse(&NOTE.replace("IneyaQM=", "IneyaQM"));
        refuse(&"x".repeat(NOTE_BYTES_MAX + 1));
        let line = &NOTE[NOTE.find('\u{2014}').unwrap()..];
        let many = |count: usize| format!("t\n\n{}", line.repeat(count));
        assert!(Note::parse(&many(LINES_MAX)).is_ok());
        refuse(&many(LINES_MAX + 1));
        let key = SigningKey::from_seed(&[1; 32]);
        for name in ["", "a b", "a+b", "a\u{a0}b", &"n".repeat(201)] {
            assert!(Note::new("t\n".to_owned()).sign(name, &key).is_err());
        }
    }
}
