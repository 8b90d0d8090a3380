//! From an answer's tokens to the text that is given out.

use lathe_engine::StreamDecoder;

use super::stop::StopMatcher;

/// The text of one answer: whole characters, and nothing from a stop sequence on.
pub(crate) struct AnswerText {
    decoder: StreamDecoder,
    stop: StopMatcher,
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
        }
    }

    /// Takes the next token.
    pub(crate) fn push(&mut self, token: u32) -> Piece {
        self.stop.push(&self.decoder.push(token))
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
