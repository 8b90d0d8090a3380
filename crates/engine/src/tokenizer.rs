//! Text to token ids and back.

/// A model's tokenizer.
#[derive(Clone)]
pub struct Tokenizer {}

impl Tokenizer {
    /// Token ids of `text`. Special tokens written in the text are recognised;
    /// none is added.
    pub fn encode(&self, _text: &str) -> Vec<u32> {
        todo!()
    }

    /// The text of `ids`; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, _ids: &[u32], _skip_special: bool) -> String {
        todo!()
    }

    /// Number of ids, special tokens included.
    pub fn vocab_size(&self) -> usize {
        todo!()
    }

    /// The id of exactly this token.
    pub fn token_id(&self, _token: &str) -> Option<u32> {
        todo!()
    }

    /// A decoder for one answer that is made token by token. It owns what it needs,
    /// so that it can live as long as the answer does.
    pub fn stream(&self, _skip_special: bool) -> StreamDecoder {
        todo!()
    }
}

/// Turns tokens into text as they come, yielding only whole UTF-8 characters.
pub struct StreamDecoder {
    _tokenizer: Tokenizer,
}

impl StreamDecoder {
    /// Takes one token; returns the text that became whole by it, perhaps none.
    pub fn push(&mut self, _id: u32) -> String {
        todo!()
    }

    /// Ends the answer; bytes that never became a character come out as U+FFFD.
    pub fn finish(self) -> String {
        todo!()
    }
}
