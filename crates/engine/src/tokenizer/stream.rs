//! Decoding token by token.

use super::Tokenizer;

/// Turns tokens into text as they come, yielding only whole UTF-8 characters.
///
/// A character's bytes may be spread over several tokens; up to three bytes are held back until it
/// is whole. What is put together from all pieces equals [`Tokenizer::decode`].
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    skip_special: bool,
    /// Whether one leading space is still to be dropped.
    strip: bool,
    /// Bytes that do not form a character yet.
    held: Vec<u8>,
}

impl StreamDecoder {
    pub(super) fn new(tokenizer: Tokenizer, skip_special: bool) -> Self {
        let strip = tokenizer.inner.pieces.strip();
        Self {
            tokenizer,
            skip_special,
            strip,
            held: Vec::new(),
        }
    }

    /// Keeps the space that a text of this tokenizer otherwise loses at its beginning: what comes out are
    /// then exactly the bytes of the tokens.
    pub fn with_first_space(mut self) -> Self {
        self.strip = false;
        self
    }

    /// Takes one token; returns the text that became whole by it, perhaps none.
    pub fn push(&mut self, id: u32) -> String {
        let mut bytes = self.tokenizer.inner.pieces.bytes_of(id, self.skip_special);
        if self.strip && !bytes.is_empty() {
            self.strip = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.held.extend_from_slice(bytes);
        drain_whole(&mut self.held)
    }

    /// Ends the answer; bytes that never became a character come out as U+FFFD.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.held).into_owned()
    }
}

/// Takes everything but an unfinished character from `held`; invalid bytes become U+FFFD by the
/// same rule as in [`String::from_utf8_lossy`].
fn drain_whole(held: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        match std::str::from_utf8(held) {
            Ok(whole) => {
                text.push_str(whole);
                held.clear();
                return text;
            }
            Err(error) => {
                let valid = error.valid_up_to();
                text.push_str(&String::from_utf8_lossy(&held[..valid]));
                let Some(invalid) = error.error_len() else {
                    held.drain(..valid);
                    return text;
                };
                text.push(char::REPLACEMENT_CHARACTER);
                held.drain(..valid + invalid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn pieces_cut_anywhere_make_the_same_text() {
        let mut random = Random::new(3);
        let texts = ["naïve 你好 👩‍🚀 end", "\u{feff}a\u{10ffff}"];
        for round in 0..2000 {
            let mut bytes = texts[round % texts.len()].as_bytes().to_vec();
            if round % 4 == 0 {
                let at = random.next_u64() as usize % bytes.len();
                bytes[at] = random.next_u64() as u8;
            }
            let (mut held, mut text) = (Vec::new(), String::new());
            for byte in &bytes {
                held.push(*byte);
                if random.next_u64().is_multiple_of(2) {
                    text.push_str(&drain_whole(&mut held));
                    assert!(held.len() <= 3, "more held back than a character can be");
                }
            }
            text.push_str(&String::from_utf8_lossy(&held));
            assert_eq!(text, String::from_utf8_lossy(&bytes));
        }
    }
}
