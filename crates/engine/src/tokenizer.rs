//! Text to token ids and back.
//!
//! A tokenizer is a byte-pair encoding over bytes or over SentencePiece's
//! characters, read from a `tokenizer.json` (`json`) or from GGUF metadata
//! (`gguf`). Encoding runs on the `tokenizers` crate; decoding is done here
//! (`pieces`), so that a stream of tokens and a finished answer give the same
//! text. Unigram and WordPiece vocabularies are refused by name. A prompt's special
//! tokens come from its template; those of a text without one are in `opening`.

mod gguf;
mod json;
pub(crate) mod opening;
mod pieces;
mod pre;
mod sentencepiece;
mod stream;

use crate::error::EngineError;
use pieces::{Decoding, Pieces};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper};

pub use stream::StreamDecoder;

/// A model's tokenizer. Cloning shares the vocabulary.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
    opening: Arc<[u32]>,
}

struct Inner {
    encoder: tokenizers::Tokenizer,
    pieces: Pieces,
    decoding: Decoding,
}

impl Tokenizer {
    /// Token ids of `text`. Special tokens written in the text are recognised;
    /// none is added.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        // The encoder fails only for an unknown token that is not in the
        // vocabulary, which `build` has refused.
        match self.inner.encoder.encode_fast(text, false) {
            Ok(encoding) => encoding.get_ids().to_vec(),
            Err(error) => {
                debug_assert!(false, "encoding failed: {error}");
                Vec::new()
            }
        }
    }

    /// The text of `ids`; bytes that are not UTF-8 become U+FFFD, ids that do not
    /// exist are left out. With `skip_special`, special tokens are left out too.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut stream = self.stream(skip_special);
        let mut text: String = ids.iter().map(|id| stream.push(*id)).collect();
        text.push_str(&stream.finish());
        text
    }

    /// Number of ids, special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.pieces.len()
    }

    /// The id of exactly this token, as the vocabulary spells it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.encoder.token_to_id(token)
    }

    /// Whether a token is special: one that stands for itself and is part of no word.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.pieces.is_special(id)
    }

    /// The bytes that a token stands for; none for an id that does not exist.
    pub fn bytes_of(&self, id: u32) -> &[u8] {
        self.inner.pieces.bytes_of(id, false)
    }

    /// All that encoding depends on, as the text of a `tokenizer.json`: equal for tokenizers that
    /// encode alike, whatever file they were read from.
    pub fn definition(&self) -> String {
        let text = self.inner.encoder.to_string(false);
        text.expect("a tokenizer is plain JSON")
    }

    /// The content of a `tokenizer.json` that is read as this tokenizer.
    ///
    /// # Errors
    /// [`EngineError::Tokenizer`] where the library that runs it cannot write it.
    pub fn to_json(&self) -> Result<Value, EngineError> {
        let broken = |reason: String| EngineError::Tokenizer {
            origin: "the model's own tokenizer".to_owned(),
            reason,
        };
        let text = self.inner.encoder.to_string(false);
        let text = text.map_err(|error| broken(error.to_string()))?;
        let mut file: Value =
            serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
        file["decoder"] = self.inner.decoding.to_json();
        Ok(file)
    }

    /// How a GGUF file says this tokenizer, whose content [`Tokenizer::to_json`] is `json`.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for one that it has no name for.
    pub(crate) fn gguf_kind(&self, json: &Value) -> Result<GgufKind, EngineError> {
        let refuse = |name: String, supported: String| EngineError::Unsupported {
            what: "tokenizer in GGUF",
            name,
            supported: format!("{supported}; write safetensors instead"),
        };
        match self.inner.decoding {
            Decoding::ByteLevel => match pre::name_of(json) {
                Ok(pre) => Ok(GgufKind::ByteLevel { pre }),
                Err(known) => Err(refuse(
                    format!("words cut by {}", json["pre_tokenizer"]),
                    format!("those called {known}"),
                )),
            },
            Decoding::Marked { bytes: true, strip } if sentencepiece::is_said(json, strip) => {
                Ok(GgufKind::SentencePiece { space_first: strip })
            }
            Decoding::Marked { .. } => Err(refuse(
                "this kind of marked spaces".to_owned(),
                "byte-level BPE, and SentencePiece BPE with bytes for what no token spells"
                    .to_owned(),
            )),
        }
    }

    /// The largest id there is.
    pub fn id_max(&self) -> u32 {
        self.inner.pieces.id_max()
    }

    /// A decoder for one answer that is made token by token. It owns what it needs,
    /// so that it can live as long as the answer does.
    pub fn stream(&self, skip_special: bool) -> StreamDecoder {
        StreamDecoder::new(self.clone(), skip_special)
    }
}

/// How a GGUF file says a tokenizer.
pub(crate) enum GgufKind {
    /// Merges over bytes, and the name of the way that words are cut.
    ByteLevel { pre: &'static str },
    /// Scores over characters; whether a space comes first.
    SentencePiece { space_first: bool },
}

/// A token that is matched in the text before anything else.
struct Added {
    id: u32,
    token: AddedToken,
}

/// What both kinds of file are reduced to.
struct Parts {
    vocab: HashMap<String, u32>,
    merges: Merges,
    added: Vec<Added>,
    unknown: Option<String>,
    fuse_unknown: bool,
    byte_fallback: bool,
    ignore_merges: bool,
    normalizer: Option<NormalizerWrapper>,
    pre_tokenizer: Option<PreTokenizerWrapper>,
    decoding: Decoding,
}

impl Parts {
    /// Checks what the encoder takes for granted, then builds it.
    fn build(mut self) -> Result<Tokenizer, String> {
        self.check_merges()?;
        self.check_ids()?;
        if let Some(unknown) = self
            .unknown
            .as_ref()
            .filter(|name| !self.vocab.contains_key(*name))
        {
            return Err(format!(
                "the unknown token {unknown:?} is not in the vocabulary"
            ));
        }
        self.added.sort_by_key(|added| added.id);
        let pieces = Pieces::new(&self.vocab, &self.added, &self.decoding)?;
        let mut encoder = tokenizers::Tokenizer::new(self.model()?);
        encoder
            .with_normalizer(self.normalizer.take())
            .map_err(|error| error.to_string())?
            .with_pre_tokenizer(self.pre_tokenizer.take());
        encoder
            .add_tokens(self.added.iter().map(|added| added.token.clone()))
            .map_err(|error| error.to_string())?;
        for Added { id, token } in &self.added {
            let found = encoder.token_to_id(&token.content);
            if found != Some(*id) {
                return Err(format!(
                    "the added token {:?} should have id {id}, but the vocabulary gives it {found:?}",
                    token.content
                ));
            }
        }
        Ok(Tokenizer {
            inner: Arc::new(Inner {
                encoder,
                pieces,
                decoding: self.decoding,
            }),
            opening: Arc::default(),
        })
    }

    fn model(&mut self) -> Result<BPE, String> {
        let vocab: Vocab = std::mem::take(&mut self.vocab).into_iter().collect();
        let mut builder = BPE::builder()
            .vocab_and_merges(vocab, std::mem::take(&mut self.merges))
            .fuse_unk(self.fuse_unknown)
            .byte_fallback(self.byte_fallback)
            .ignore_merges(self.ignore_merges);
        if let Some(unknown) = self.unknown.take() {
            builder = builder.unk_token(unknown);
        }
        builder.build().map_err(|error| error.to_string())
    }

    /// The encoder would index out of bounds over a merge whose result is no token.
    fn check_merges(&self) -> Result<(), String> {
        let mut whole = String::new();
        for (left, right) in &self.merges {
            whole.clear();
            whole.push_str(left);
            whole.push_str(right);
            for token in [left, right, &whole] {
                if !self.vocab.contains_key(token) {
                    return Err(format!(
                        "the merge of {left:?} and {right:?} needs {token:?}, which is not in the vocabulary"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Two tokens with one id could not be decoded, and the tokens that are added
    /// are numbered on from the vocabulary's size.
    fn check_ids(&self) -> Result<(), String> {
        let mut tokens = HashMap::with_capacity(self.vocab.len());
        let added = self
            .added
            .iter()
            .map(|added| (&added.token.content, added.id));
        for (token, id) in self
            .vocab
            .iter()
            .map(|(token, id)| (token, *id))
            .chain(added)
        {
            match tokens.insert(id, token) {
                Some(other) if other != token => {
                    return Err(format!("tokens {other:?} and {token:?} share the id {id}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}
