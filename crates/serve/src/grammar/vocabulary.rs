//! The tokens of a base model as grammars see them: the bytes of each, in a trie.
//!
//! The bytes are those that the answer's decoder gives out, so that what the grammar accepts is what
//! the caller reads. Special tokens have none: they are never text, whatever a grammar asks for. The
//! model's end tokens are allowed where the grammar may end.

use std::sync::Arc;

use lathe_engine::Tokenizer;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{
    ApproximateTokEnv, INVALID_TOKEN, SimpleVob, TokEnv, TokRxInfo, TokTrie,
};
use llguidance::{Matcher, ParserFactory};

use super::{bounds, brief};
use crate::scheduler::Grammar;

/// Longest token that a grammar uses; the trie holds no more than twice as long ones.
const TOKEN_BYTES_MAX: usize = 512;
/// Bytes of all tokens together; the trie holds no more than four million nodes.
const ALL_BYTES_MAX: usize = 4_000_000;
/// Tokens there may be; the trie numbers them with 24 bits.
const TOKENS_MAX: usize = 1 << 23;
/// The trie marks special tokens by it. No text has this byte.
const NEVER_TEXT: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
/// Tokens in a word of a set.
pub(crate) const WORD_TOKENS: usize = u32::BITS as usize;

/// A vocabulary that grammars can be compiled for.
pub(super) struct Vocabulary {
    factory: ParserFactory,
    tokens: Arc<Tokens>,
}

impl Vocabulary {
    /// The vocabulary of a model whose logits are `vocab` long and whose answers end with one of `eos`.
    ///
    /// # Errors
    /// More or longer tokens than there can be.
    pub(super) fn new(tokenizer: &Tokenizer, vocab: usize, eos: &[u32]) -> Result<Self, String> {
        if vocab > TOKENS_MAX {
            return Err(format!("it has {vocab} tokens, more than {TOKENS_MAX}"));
        }
        let words: Vec<Vec<u8>> = (0..vocab as u32)
            .map(|id| word(tokenizer, eos, id).to_vec())
            .collect();
        let bytes: usize = words.iter().map(Vec::len).sum();
        if bytes > ALL_BYTES_MAX {
            return Err(format!(
                "its tokens have {bytes} bytes, more than {ALL_BYTES_MAX}"
            ));
        }
        let tokens = Tokens::new(&words, eos);
        let info = TokRxInfo::new(vocab as u32, tokens.end.unwrap_or(INVALID_TOKEN));
        // "Approximate" only in how it would cut a text into tokens, which is never asked of it: the model
        // chooses the cut.
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(TokTrie::from(&info, &words)));
        let mut factory = ParserFactory::new_simple(&env).map_err(|error| brief(&error))?;
        factory.quiet();
        *factory.limits_mut() = bounds::limits();
        Ok(Vocabulary {
            factory,
            tokens: Arc::new(tokens),
        })
    }

    /// Compiles a grammar.
    ///
    /// # Errors
    /// What is wrong with it, or that it is too large.
    pub(super) fn grammar(&self, source: TopLevelGrammar) -> Result<Grammar, String> {
        let parser = self.factory.create_parser(source);
        let parser = parser.map_err(|error| brief(&error))?;
        Ok(Grammar::new(Matcher::new(Ok(parser)), self.tokens.clone()))
    }
}

/// The bytes that a token adds to an answer; none where it is not text.
fn word<'a>(tokenizer: &'a Tokenizer, eos: &[u32], id: u32) -> &'a [u8] {
    let bytes = tokenizer.bytes_of(id);
    let special = tokenizer.is_special(id) || eos.contains(&id);
    let marked = bytes.len() > 1 && bytes[0] == NEVER_TEXT;
    if special || marked || bytes.len() > TOKEN_BYTES_MAX {
        return &[];
    }
    bytes
}

/// Which tokens are text and which end an answer, as sets of bits.
pub(crate) struct Tokens {
    text: Vec<u32>,
    ends: Vec<u32>,
    /// One of those that end an answer, by which llguidance says that it may.
    end: Option<u32>,
}

impl Tokens {
    fn new(words: &[Vec<u8>], eos: &[u32]) -> Self {
        let ends: Vec<u32> = eos
            .iter()
            .copied()
            .filter(|id| (*id as usize) < words.len())
            .collect();
        let text = (0..words.len() as u32).filter(|id| !words[*id as usize].is_empty());
        Tokens {
            text: set(words.len(), text),
            end: ends.first().copied(),
            ends: set(words.len(), ends.into_iter()),
        }
    }

    /// What llguidance allows, in words of [`WORD_TOKENS`] tokens: text, and every end where one is
    /// allowed. There is a word for each token of the model.
    pub(crate) fn allowed<'a>(&'a self, mask: &'a SimpleVob) -> impl Iterator<Item = u32> + 'a {
        let ends = self.end.is_some_and(|end| mask.is_allowed(end));
        let own = self.text.iter().zip(&self.ends).enumerate();
        own.map(move |(at, (text, end))| {
            let said = mask.as_slice().get(at).copied().unwrap_or(0);
            (said & text) | if ends { *end } else { 0 }
        })
    }
}

fn set(len: usize, ids: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut words = vec![0; len.div_ceil(WORD_TOKENS)];
    for id in ids {
        words[id as usize / WORD_TOKENS] |= 1 << (id as usize % WORD_TOKENS);
    }
    words
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lathe_engine::{LoadOptions, Model};

    use super::*;

    fn fixture(name: &str) -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        Model::load(&folder.join(name), LoadOptions::default()).expect("the fixture loads")
    }

    /// Bytes of GPT-2's alphabet, and SentencePiece's with `<0x0A>` for a byte.
    #[test]
    fn the_bytes_of_a_text_are_those_of_its_tokens() {
        for name in ["tiny-model", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3"] {
            let model = fixture(name);
            let (tokenizer, eos) = (&model.tokenizer, &model.config.eos);
            let text = "The camera {\"a\": 1}\n坏了 🔋\u{0}é";
            let tokens = tokenizer.encode(text);
            let bytes: Vec<u8> = tokens
                .iter()
                .flat_map(|id| word(tokenizer, eos, *id).to_vec())
                .collect();
            assert_eq!(String::from_utf8_lossy(&bytes), text, "{name}");
        }
    }

    #[test]
    fn special_tokens_and_ends_are_no_text() {
        for name in ["tiny-model", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3"] {
            let model = fixture(name);
            let (tokenizer, config) = (&model.tokenizer, &model.config);
            let ids = 0..config.vocab as u32;
            let special: Vec<u32> = ids.filter(|id| tokenizer.is_special(*id)).collect();
            assert!(!special.is_empty() && !config.eos.is_empty(), "{name}");
            for id in special.iter().chain(&config.eos) {
                assert!(!tokenizer.bytes_of(*id).is_empty(), "{name} has {id}");
                assert!(word(tokenizer, &config.eos, *id).is_empty(), "{name}: {id}");
            }
            let absent = tokenizer.id_max() + 1;
            assert!(word(tokenizer, &config.eos, absent).is_empty());
        }
    }

    #[test]
    fn ends_are_allowed_all_or_none_and_never_what_is_no_text() {
        let words: Vec<Vec<u8>> = (0..70u8).map(|id| vec![id; usize::from(id != 3)]).collect();
        let tokens = Tokens::new(&words, &[40, 69, 700]);
        let mut mask = SimpleVob::alloc(70);
        mask.allow_token(3);
        mask.allow_token(33);
        let allowed: Vec<u32> = tokens.allowed(&mask).collect();
        assert_eq!(allowed, [0, 1 << 1, 0]);
        mask.allow_token(40);
        let allowed: Vec<u32> = tokens.allowed(&mask).collect();
        assert_eq!(allowed, [0, (1 << 1) | (1 << 8), 1 << 5]);
    }
}
