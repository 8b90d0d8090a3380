//! The receipt of one answer (应答凭证): what a caller can hold against the workshop.
//!
//! Texts are never in it, only their digests; where a retention is set, the texts are kept beside.
//! Its id is the ProduceID of GB 45438. Receipts are the leaves of batches whose roots enter the
//! ledger; opening, closing and batching are the door's work.

use serde::{Deserialize, Serialize};

use crate::statement::{BreakerState, Link};
use crate::{Digest, canonical, merkle};

/// The most spans a receipt names.
pub const SPANS_MAX: usize = 32;

/// The record of one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Its id, a UUIDv7; the answer carries it.
    pub id: String,
    /// The name that answered.
    pub name: String,
    /// The statement of the deployment that answered, or of the upstream.
    pub deployment: Link,
    /// The digest of the model: the adapter's manifest, or the base model's. Of an upstream's nobody
    /// knows it, and the subject of its statement stands here.
    pub model: Digest,
    /// The digest of the policy it was admitted by. An upstream is held against none, and the subject
    /// of its statement stands here too.
    pub policy: Digest,
    /// The digest of the prompt: the request's messages as canonical JSON. A text without a conversation
    /// is a message of the role `prompt`, or `input` where it was embedded.
    pub prompt: Digest,
    /// The digest of the answer's text, UTF-8; of what was sent, where it was broken off. Of embeddings
    /// it is the vectors in base64, a line each. Of an upstream's answer that is more than one plain
    /// text (several choices, calls of tools, reasoning) it is those as canonical JSON.
    pub answer: Digest,
    /// How it ended.
    pub ended: Ended,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub answer_tokens: u64,
    /// The breaker's state when it began.
    pub breaker: BreakerState,
    /// The size of the ledger when it began: the checkpoint the chain was verified at.
    pub ledger_size: u64,
    /// Where prompt and answer say word for word what a training record says; longest first.
    pub spans: Vec<Span>,
    /// When it was opened, milliseconds since 1970.
    pub opened_ms: i64,
    /// When it was closed, milliseconds since 1970.
    pub closed_ms: i64,
    /// There where another server answered: what is known of it, which is not its weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Relayed>,
}

/// What a receipt says of an answer that another server gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Relayed {
    /// What was seen of the weights.
    pub weights: Weights,
    /// What the server called its model in the answer; absent where it said nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Where the numbers of tokens come from.
    pub counted: Counted,
}

/// What was seen of the weights that answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Weights {
    /// Nothing: they lie elsewhere.
    #[default]
    NotVerified,
}

/// Who counted an answer's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// The server that answered.
    Upstream,
    /// Nobody: the pieces of a stream are taken for tokens, and four bytes of what came in one piece.
    #[default]
    Pieces,
}

impl Relayed {
    /// An answer of which nothing is known.
    pub fn unknown() -> Relayed {
        Relayed {
            weights: Weights::default(),
            model: None,
            counted: Counted::default(),
        }
    }
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Ended {
    /// The model ended it.
    Stop,
    /// It reached the tokens it was allowed.
    Length,
    /// The caller went away.
    Cancelled,
    /// It failed, or the process died.
    Aborted,
}

/// A passage that also stands in a training record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The record, by its leaf.
    pub leaf: Digest,
    /// Where the passage stands.
    pub part: Part,
    /// Its first byte in that part.
    pub start: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The digest of the passage.
    pub text: Digest,
}

/// The two sides of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The last message of the prompt.
    Prompt,
    /// The answer.
    Answer,
}

impl Receipt {
    /// The canonical bytes, which are kept.
    ///
    /// # Errors
    /// A whole number beyond ±(2⁵³ − 1).
    pub fn to_bytes(&self) -> Result<Vec<u8>, canonical::CanonicalError> {
        let value = serde_json::to_value(self).expect("a receipt is texts and whole numbers");
        canonical::to_bytes(&value)
    }

    /// The RFC 6962 leaf hash of a receipt's bytes.
    pub fn leaf(bytes: &[u8]) -> Digest {
        merkle::leaf_hash(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_are_canonical() {
        let receipt = Receipt {
            id: "0190".to_owned(),
            name: "m".to_owned(),
            deployment: Digest::of(b"d"),
            model: Digest::of(b"m"),
            policy: Digest::of(b"p"),
            prompt: Digest::of(b"q"),
            answer: Digest::of(b"a"),
            ended: Ended::Stop,
            prompt_tokens: 3,
            answer_tokens: 2,
            breaker: BreakerState::Closed,
            ledger_size: 9,
            spans: vec![Span {
                leaf: Digest::of(b"l"),
                part: Part::Prompt,
                start: 0,
                bytes: 5,
                text: Digest::of(b"hello"),
            }],
            opened_ms: 1,
            closed_ms: 2,
            upstream: None,
        };
        let bytes = receipt.to_bytes().unwrap();
        assert!(bytes.starts_with(br#"{"answer":""#));
        assert_eq!(serde_json::from_slice::<Receipt>(&bytes).unwrap(), receipt);
        assert_eq!(Receipt::leaf(&bytes), merkle::leaf_hash(&bytes));
        // Receipts of models have the bytes that they had before there were upstreams.
        assert!(!String::from_utf8(bytes).unwrap().contains("upstream"));
        let relayed = Receipt {
            upstream: Some(Relayed::unknown()),
            ..receipt
        };
        let bytes = relayed.to_bytes().unwrap();
        let said = br#","upstream":{"counted":"pieces","weights":"not-verified"}}"#;
        assert!(bytes.ends_with(said));
        assert_eq!(serde_json::from_slice::<Receipt>(&bytes).unwrap(), relayed);
    }
}
