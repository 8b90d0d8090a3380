//! The bytes that each token stands for.

use super::Added;
use serde_json::{Value, json};
use std::collections::HashMap;

/// SentencePiece's mark of a space.
pub(super) const SPACE_MARK: char = '▁';

/// How a token's name in the vocabulary becomes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoding {
    /// GPT-2's alphabet: one printable character per byte.
    ByteLevel,
    /// SentencePiece: U+2581 is a space, `<0x0A>` a byte where `bytes` says so, and one
    /// leading space of the whole text is dropped where `strip` says so.
    Marked { bytes: bool, strip: bool },
}

impl Decoding {
    /// The decoder of a `tokenizer.json` that does the same.
    pub(super) fn to_json(self) -> Value {
        let Self::Marked { bytes, strip } = self else {
            let flags = [
                ("add_prefix_space", false),
                ("trim_offsets", true),
                ("use_regex", true),
            ];
            let mut decoder = json!({ "type": "ByteLevel" });
            flags
                .iter()
                .for_each(|(name, flag)| decoder[*name] = json!(flag));
            return decoder;
        };
        let mark = json!({ "String": SPACE_MARK.to_string() });
        let mut steps = vec![json!({ "type": "Replace", "pattern": mark, "content": " " })];
        if bytes {
            steps.push(json!({ "type": "ByteFallback" }));
        }
        steps.push(json!({ "type": "Fuse" }));
        if strip {
            steps.push(json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 }));
        }
        json!({ "type": "Sequence", "decoders": steps })
    }
}

/// One token's bytes inside [`Pieces::bytes`].
#[derive(Debug, Clone, Copy)]
struct Piece {
    start: usize,
    end: usize,
    special: bool,
}

/// The bytes of all tokens by id. A map, because a hostile file may name any id.
pub(super) struct Pieces {
    pieces: HashMap<u32, Piece>,
    bytes: Vec<u8>,
    id_max: u32,
    strip: bool,
}

impl Pieces {
    pub(super) fn new(
        vocab: &HashMap<String, u32>,
        added: &[Added],
        decoding: &Decoding,
    ) -> Result<Self, String> {
        let strip = matches!(decoding, Decoding::Marked { strip: true, .. });
        let mut all = Self {
            pieces: HashMap::new(),
            bytes: Vec::new(),
            id_max: 0,
            strip,
        };
        for (token, id) in vocab {
            all.insert(*id, token, decoding, false);
        }
        for Added { id, token } in added {
            all.insert(*id, &token.content, decoding, token.special);
        }
        if all.pieces.is_empty() {
            return Err("the vocabulary is empty".to_owned());
        }
        Ok(all)
    }

    fn insert(&mut self, id: u32, token: &str, decoding: &Decoding, special: bool) {
        let start = self.bytes.len();
        match decoding {
            Decoding::ByteLevel => push_byte_level(token, &mut self.bytes),
            Decoding::Marked { bytes, .. } => push_marked(token, *bytes, &mut self.bytes),
        }
        self.pieces.insert(
            id,
            Piece {
                start,
                end: self.bytes.len(),
                special,
            },
        );
        self.id_max = self.id_max.max(id);
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn id_max(&self) -> u32 {
        self.id_max
    }

    /// Whether one leading space of a text is dropped.
    pub(super) fn strip(&self) -> bool {
        self.strip
    }

    /// Whether the token of that id is special.
    pub(super) fn is_special(&self, id: u32) -> bool {
        self.pieces.get(&id).is_some_and(|piece| piece.special)
    }

    /// A token's bytes; none for an id that does not exist, or a special one to be skipped.
    pub(super) fn bytes_of(&self, id: u32, skip_special: bool) -> &[u8] {
        match self.pieces.get(&id) {
            Some(piece) if !(skip_special && piece.special) => &self.bytes[piece.start..piece.end],
            _ => &[],
        }
    }
}

/// A token that has a character outside the alphabet was added as plain text.
fn push_byte_level(token: &str, out: &mut Vec<u8>) {
    let start = out.len();
    for character in token.chars() {
        match byte_of(character) {
            Some(byte) => out.push(byte),
            None => {
                out.truncate(start);
                out.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

/// The byte that a character of GPT-2's alphabet stands for: printable Latin-1 characters stand for
/// themselves, the 68 other bytes, in order, are U+0100 and up.
fn byte_of(character: char) -> Option<u8> {
    match character as u32 {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(code as u8),
        code @ 0x100..=0x120 => Some((code - 0x100) as u8),
        code @ 0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

fn push_marked(token: &str, bytes: bool, out: &mut Vec<u8>) {
    if let Some(byte) = bytes.then(|| hexadecimal(token)).flatten() {
        out.push(byte);
        return;
    }
    for character in token.chars() {
        let character = if character == SPACE_MARK {
            ' '
        } else {
            character
        };
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// The byte of `<0x0A>`.
fn hexadecimal(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    // `from_str_radix` alone would take a sign for a digit.
    if digits.len() != 2 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokenizers::pre_tokenizers::byte_level::ByteLevel;

    #[test]
    fn every_byte_has_one_character_of_the_alphabet() {
        let mut seen = [false; 256];
        for character in ByteLevel::alphabet() {
            seen[byte_of(character).expect("in the alphabet") as usize] = true;
        }
        assert!(seen.iter().all(|seen| *seen));
        let all = (0..0x300).filter_map(char::from_u32);
        assert_eq!(
            all.filter(|character| byte_of(*character).is_some())
                .count(),
            256
        );
    }

    #[test]
    fn the_alphabet_agrees_with_the_encoder() {
        use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};
        for code in (1..0x800).chain([0x4f60, 0x1f600]) {
            let text = char::from_u32(code).expect("a character").to_string();
            let mut split = PreTokenizedString::from(text.as_str());
            ByteLevel::new(false, false, false)
                .pre_tokenize(&mut split)
                .expect("splits");
            let mut bytes = Vec::new();
            for (piece, ..) in split.get_splits(OffsetReferential::Original, OffsetType::Byte) {
                push_byte_level(piece, &mut bytes);
            }
            assert_eq!(bytes, text.as_bytes(), "{code:x}");
        }
    }

    #[test]
    fn marked_tokens_become_spaces_and_bytes() {
        let check = |token: &str, bytes: bool, expected: &[u8]| {
            let mut out = Vec::new();
            push_marked(token, bytes, &mut out);
            assert_eq!(out, expected, "{token}");
        };
        check("▁the▁", true, b" the ");
        check("<0x0A>", true, b"\n");
        check("<0x0A>", false, b"<0x0A>");
        check("<0xGG>", true, b"<0xGG>");
        check("<0x+A>", true, b"<0x+A>");
    }
}
