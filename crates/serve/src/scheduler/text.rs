//! From an answer's tokens to the text that is given out.

use lathe_engine::{StreamDecoder, Tokenizer};

use super::stop::StopMatcher;

/// The last tokens of a prompt that an answer going on with it must know: a character's bytes are
/// spread over four at most.
const CONTINUED_TOKENS: usize = 8;

/// The text of one answer: whole characters, and nothing from a stop sequence on.
pub(crate) struct AnswerText {
    decoder: StreamDecoder,
    stop: StopMatcher,
    decoded_chars: usize,
}

/// The next piece of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// What may be given out now, perhaps nothing.
    pub text: String,
    /// Whether a stop sequence was found: the answer ends after `text`.
    pub stopped: bool,
}

impl AnswerText {
    /// An answer of which nothing is known yet.
    pub(crate) fn new(decoder: StreamDecoder, stop: Vec<String>) -> Self {
        AnswerText {
            decoder,
            stop: StopMatcher::new(stop),
            decoded_chars: 0,
        }
    }

    /// Takes the next token.
    pub(crate) fn push(&mut self, token: u32) -> Piece {
        let text = self.decoder.push(token);
        self.decoded_chars += text.chars().count();
        self.stop.push(&text)
    }

    /// Characters that the tokens so far stand for.
    pub(crate) fn decoded_chars(&self) -> usize {
        self.decoded_chars
    }

    /// The answer ended: what was held back. The bytes that never became a
    /// character may still complete a stop sequence.
    pub(crate) fn finish(mut self) -> Piece {
        let mut piece = self.stop.push(&self.decoder.finish());
        if !piece.stopped {
            piece.text.push_str(&self.stop.finish());
        }
        piece
    }
}

/// A decoder of what goes on with `prompt`: a space that begins it is kept, and bytes at the prompt's
/// end that are no character yet belong to it.
pub(crate) fn continuing(tokenizer: &Tokenizer, prompt: &[u32]) -> StreamDecoder {
    let mut decoder = tokenizer.stream(true);
    for token in &prompt[prompt.len().saturating_sub(CONTINUED_TOKENS)..] {
        decoder.push(*token);
    }
    decoder
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SentencePiece-like vocabulary, whose texts lose their first space.
    fn tokenizer() -> Tokenizer {
        let file = include_bytes!("../../../../tests/reference/marked-tokenizer.json");
        Tokenizer::from_json(file).expect("the reference is sound")
    }

    #[test]
    fn what_goes_on_with_a_text_keeps_its_space_and_its_characters_whole() {
        let tokenizer = tokenizer();
        let word = tokenizer.token_id("▁word").expect("it is a token");
        let prompt = tokenizer.encode("word");
        assert_eq!(tokenizer.stream(true).push(word), "word");
        assert_eq!(continuing(&tokenizer, &prompt).push(word), " word");
        // é is C3 A9, of which the prompt holds the first byte.
        let [first, second] =
            ["<0xC3>", "<0xA9>"].map(|it| tokenizer.token_id(it).expect("a byte"));
        let cut = [&prompt[..], &[first]].concat();
        assert_eq!(continuing(&tokenizer, &cut).push(second), "é");
    }

    #[test]
    fn characters_are_counted_as_they_become_whole() {
        let tokenizer = tokenizer();
        let mut text = AnswerText::new(tokenizer.stream(true), vec!["never said".to_owned()]);
        let mut counts = Vec::new();
        for token in tokenizer.encode("é to") {
            text.push(token);
            counts.push(text.decoded_chars());
        }
        assert_eq!(counts.last(), Some(&4), "{counts:?}");
        assert!(counts.is_sorted());
    }
}
