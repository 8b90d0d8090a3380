//! A SentencePiece vocabulary from GGUF metadata, as byte-pair encoding.
//!
//! Such a file has a score for every token and no merges: of all neighbours whose union is a token,
//! those with the best union are merged first. So the merges are all ways to split a token into two
//! tokens, in the order of the token's score. Spaces are marked; what no token spells is spelt in
//! bytes (`<0x0A>`). Scores learnt by the unigram method, which weighs whole texts, would be merged
//! otherwise; files with those name another kind of tokenizer.

use super::gguf::{NORMAL, added, broken, token_types, tokens, vocab};
use super::pieces::{Decoding, SPACE_MARK};
use super::{Parts, Tokenizer};
use crate::error::EngineError;
use crate::gguf::{Gguf, Value as Metadatum};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::HashSet;
use tokenizers::NormalizerWrapper;
use tokenizers::normalizers::{Prepend, Replace, Sequence};

/// Longest token that merges are looked for in, in bytes: a token of n bytes has n ways to be split.
/// Published vocabularies stay below 50.
const PIECE_BYTES_MAX: usize = 256;

/// A token whose merges are looked for.
struct Piece<'a> {
    token: &'a str,
    id: u32,
    score: f32,
}

/// Builds the tokenizer of a file whose `tokenizer.ggml.model` is `llama`.
pub(super) fn build(gguf: &Gguf) -> Result<Tokenizer, EngineError> {
    let tokens = tokens(gguf)?;
    let add_space = match gguf.get("tokenizer.ggml.add_space_prefix") {
        Some(Metadatum::Bool(add)) => *add,
        Some(_) => return Err(broken("add_space_prefix is no boolean".to_owned())),
        None => true,
    };
    let unknown = gguf.unsigned("tokenizer.ggml.unknown_token_id")?;
    let unknown = unknown.and_then(|id| tokens.get(usize::try_from(id).ok()?));
    let parts = Parts {
        merges: merges(&pieces(gguf, &tokens)?),
        added: added(gguf, &tokens)?,
        vocab: vocab(&tokens)?,
        unknown: unknown.map(|token| (*token).to_owned()),
        fuse_unknown: true,
        byte_fallback: true,
        ignore_merges: false,
        normalizer: Some(normalizer(add_space)),
        pre_tokenizer: None,
        decoding: Decoding::Marked {
            bytes: true,
            strip: add_space,
        },
    };
    parts.build().map_err(broken)
}

/// Marks spaces, after one has been put before the text where the model learnt it so.
fn normalizer(add_space: bool) -> NormalizerWrapper {
    let mark = Replace::new(" ", SPACE_MARK).expect("one space is a pattern");
    if !add_space {
        return mark.into();
    }
    let prepend = Prepend::new(SPACE_MARK.to_string());
    Sequence::new(vec![prepend.into(), mark.into()]).into()
}

/// Whether a tokenizer, as its JSON has it, is one of this kind: spaces are marked by a normalizer and
/// no word is cut, or only where a space was before there are none.
pub(super) fn is_said(json: &Value, add_space: bool) -> bool {
    let cut = &json["pre_tokenizer"];
    let cuts_nothing = cut.is_null() || (cut["type"] == "Split" && cut["pattern"]["String"] == " ");
    let ours = serde_json::to_value(normalizer(add_space)).unwrap_or_default();
    cuts_nothing && json["normalizer"] == ours
}

/// The tokens that text is made of; others are matched whole or stand for bytes.
fn pieces<'a>(gguf: &Gguf<'a>, tokens: &[&'a str]) -> Result<Vec<Piece<'a>>, EngineError> {
    let scores = gguf.array("tokenizer.ggml.scores")?;
    let scores =
        scores.ok_or_else(|| broken("the metadata lack tokenizer.ggml.scores".to_owned()))?;
    if scores.len() != tokens.len() {
        let (scores, tokens) = (scores.len(), tokens.len());
        return Err(broken(format!("{scores} scores for {tokens} tokens")));
    }
    let types = token_types(gguf, tokens)?;
    let mut pieces = Vec::new();
    for (index, (&token, score)) in tokens.iter().zip(scores.iter()).enumerate() {
        let is_text = types
            .as_ref()
            .is_none_or(|types| types[index] == Some(NORMAL));
        if !is_text {
            continue;
        }
        if token.len() > PIECE_BYTES_MAX {
            return Err(broken(format!(
                "token {index} has {} bytes, more than {PIECE_BYTES_MAX}",
                token.len()
            )));
        }
        let score = score.as_float().unwrap_or_default() as f32;
        pieces.push(Piece {
            token,
            id: index as u32,
            score,
        });
    }
    Ok(pieces)
}

/// All ways to split a piece into two, the best piece first; of the same piece, the longest left part
/// first, as `transformers` orders them.
fn merges(pieces: &[Piece<'_>]) -> Vec<(String, String)> {
    let known: HashSet<&str> = pieces.iter().map(|piece| piece.token).collect();
    let mut order: Vec<&Piece<'_>> = pieces.iter().collect();
    order.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
    let splits = |piece: &Piece<'_>| {
        let starts = piece.token.char_indices().skip(1).map(|(at, _)| at);
        let mut splits: Vec<(&str, &str)> = starts
            .map(|at| piece.token.split_at(at))
            .filter(|(left, right)| known.contains(left) && known.contains(right))
            .collect();
        splits.sort_by_key(|(left, _)| Reverse(left.len()));
        let owned = splits
            .into_iter()
            .map(|(a, b)| (a.to_owned(), b.to_owned()));
        owned.collect::<Vec<_>>()
    };
    order.into_iter().flat_map(splits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merges_come_in_the_order_of_scores() {
        let piece = |(id, (token, score)): (usize, &(&'static str, f32))| Piece {
            token,
            id: id as u32,
            score: *score,
        };
        let vocabulary = [
            ("a", -9.0),
            ("b", -8.0),
            ("▁", -7.0),
            ("abab", -3.0),
            ("ab", -1.0),
            ("ba", -2.0),
            ("aba", -2.5),
        ];
        let pieces: Vec<_> = vocabulary.iter().enumerate().map(piece).collect();
        let merges = merges(&pieces);
        let merges: Vec<_> = merges.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(
            merges,
            [
                ("a", "b"),
                ("b", "a"),
                ("ab", "a"),
                ("a", "ba"),
                ("aba", "b"),
                ("ab", "ab"),
            ]
        );
    }
}
