//! Verbatim spans: which passages of an answer, or of the question before it, also stand word for
//! word in records.
//!
//! A text is a row of tokens: words, ideographs and kana one by one, and the gaps between them,
//! each byte for byte. The records' tokens lie in one row with a suffix array over it, so that the
//! longest passage that begins at a word of a text is found exactly, by bisection (Liu et al.,
//! OLMoTrace, arXiv 2504.07096). A passage counts from three words or eight ideographs on, where
//! no longer one holds it, and where it does not stand in so many records that it is their form.
//!
//! That a record says the same is evidence of where words may come from. It is no proof that the
//! record made the model say them, and nothing here estimates that.

use std::cmp::Reverse;
use std::collections::HashMap;

use lathe_evidence::Digest;
use lathe_evidence::receipt::{Part, SPANS_MAX, Span};

use crate::tokens::{Kind, Token, tokens};

/// The most tokens of records an index holds, about 40 MB of text; what comes after is left out.
pub const INDEX_TOKENS_MAX: usize = 16 << 20;

/// The longest passage that is found in one piece, in tokens, gaps among them.
pub const PASSAGE_TOKENS_MAX: usize = 512;

/// How much of a text is looked at, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// What a passage has to weigh: three words, or eight ideographs.
const WEIGHT_MIN: u32 = 24;

/// How many records are named for one passage.
const RECORDS_PER_PASSAGE_MAX: usize = 4;

/// What stands in more places than this is form, too; comparing so many would take too long.
const PLACES_MAX: usize = 4096;

/// Fewer records than this are all looked at, however common a passage is among them.
const COMMON_RECORDS_MIN: usize = 16;

/// Stands after each text of a record; no text holds it.
const END: u32 = 0;

/// A token that no record holds.
const UNKNOWN: u32 = u32::MAX;

/// An index over the texts of records.
#[derive(Debug, Default)]
pub struct SpanIndex {
    /// Tokens by their bytes, numbered from 1.
    ids: HashMap<Box<str>, u32>,
    /// The texts' tokens, an [`END`] after each text.
    row: Vec<u32>,
    /// Places in `row` where a passage can begin, in the order of what follows them.
    suffixes: Vec<u32>,
    /// The place where each text begins.
    starts: Vec<u32>,
    /// The record each text belongs to.
    owners: Vec<u32>,
    /// The records' leaves.
    leaves: Vec<Digest>,
    /// Records that found no room.
    left_out: usize,
}

/// A passage of a text that stands in records.
struct Passage {
    part: Part,
    start: usize,
    end: usize,
    /// The records, each once, in their order.
    records: Vec<u32>,
}

impl SpanIndex {
    /// The index over records, each with its leaf and its texts.
    pub fn new<T: AsRef<str>>(records: impl IntoIterator<Item = (Digest, Vec<T>)>) -> Self {
        Self::bounded(records, INDEX_TOKENS_MAX)
    }

    fn bounded<T: AsRef<str>>(
        records: impl IntoIterator<Item = (Digest, Vec<T>)>,
        tokens_max: usize,
    ) -> Self {
        let mut index = Self::default();
        for (leaf, texts) in records {
            index.add(leaf, &texts, tokens_max);
        }
        let row = std::mem::take(&mut index.row);
        index.suffixes.sort_unstable_by(|a, b| {
            let order = following(&row, *a).cmp(following(&row, *b));
            order.then(a.cmp(b))
        });
        index.row = row;
        index
    }

    /// Records that found no room in the index.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Records in the index.
    pub fn records(&self) -> usize {
        self.leaves.len()
    }

    /// The passages of both sides that records hold too, longest first, each with the records that
    /// have most in common with both sides together; at most [`SPANS_MAX`].
    pub fn find(&self, prompt: &str, answer: &str) -> Vec<Span> {
        let sides = [(Part::Prompt, prompt), (Part::Answer, answer)].map(|(part, text)| {
            let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
            (part, text)
        });
        let mut passages = Vec::new();
        for (part, text) in sides {
            passages.extend(self.passages(part, text));
        }
        let in_common = in_common(&passages);
        passages.sort_by_key(|it| (Reverse(it.end - it.start), it.part, it.start));
        let mut spans = Vec::new();
        for mut passage in passages {
            passage
                .records
                .sort_by_key(|record| (Reverse(in_common[record]), *record));
            passage.records.truncate(RECORDS_PER_PASSAGE_MAX);
            let (_, text) = sides[usize::from(passage.part == Part::Answer)];
            let said = Digest::of(&text.as_bytes()[passage.start..passage.end]);
            spans.extend(passage.records.iter().map(|record| Span {
                leaf: self.leaves[*record as usize],
                part: passage.part,
                start: passage.start as u64,
                bytes: (passage.end - passage.start) as u64,
                text: said,
            }));
        }
        spans.truncate(SPANS_MAX);
        spans
    }

    /// Adds a record, wholly or not at all.
    fn add<T: AsRef<str>>(&mut self, leaf: Digest, texts: &[T], tokens_max: usize) {
        let texts: Vec<Vec<Token<'_>>> = texts.iter().map(|it| tokens(it.as_ref())).collect();
        let more: usize = texts.iter().map(|text| text.len() + 1).sum();
        if self.row.len() + more > tokens_max {
            self.left_out += 1;
            return;
        }
        let record = self.leaves.len() as u32;
        self.leaves.push(leaf);
        for text in texts {
            self.starts.push(self.row.len() as u32);
            self.owners.push(record);
            for token in text {
                if token.kind != Kind::Gap {
                    self.suffixes.push(self.row.len() as u32);
                }
                let next = self.ids.len() as u32 + 1;
                let id = *self.ids.entry(token.text.into()).or_insert(next);
                self.row.push(id);
            }
            self.row.push(END);
        }
    }

    /// The passages of one text that no longer one holds.
    fn passages(&self, part: Part, text: &str) -> Vec<Passage> {
        let tokens = tokens(text);
        let ids: Vec<u32> = tokens
            .iter()
            .map(|token| self.ids.get(token.text).copied().unwrap_or(UNKNOWN))
            .collect();
        let mut found = Vec::new();
        let mut reached = 0;
        for begin in (0..tokens.len()).filter(|at| tokens[*at].kind != Kind::Gap) {
            let end = begin + self.longest(&tokens[begin..], &ids[begin..]);
            // What ends where an earlier one ended is a part of it.
            if end <= reached {
                continue;
            }
            reached = end;
            let weight: u32 = tokens[begin..end].iter().map(|it| it.kind.weight()).sum();
            if weight < WEIGHT_MIN {
                continue;
            }
            if let Some(records) = self.holders(&ids[begin..end]) {
                found.push(Passage {
                    part,
                    start: tokens[begin].start,
                    end: tokens[end - 1].start + tokens[end - 1].text.len(),
                    records,
                });
            }
        }
        found
    }

    /// How many tokens at the beginning of `ids` stand in a record in this order; a gap at the
    /// end is not counted.
    fn longest(&self, tokens: &[Token<'_>], ids: &[u32]) -> usize {
        let ids = &ids[..ids.len().min(PASSAGE_TOKENS_MAX)];
        let at = self
            .suffixes
            .partition_point(|it| following(&self.row, *it) < ids);
        let before = at.checked_sub(1).and_then(|at| self.suffixes.get(at));
        let common = before.into_iter().chain(self.suffixes.get(at)).map(|it| {
            let pairs = following(&self.row, *it).iter().zip(ids);
            pairs.take_while(|(a, b)| a == b).count()
        });
        let longest = common.max().unwrap_or(0);
        match longest.checked_sub(1) {
            Some(last) if tokens[last].kind == Kind::Gap => last,
            _ => longest,
        }
    }

    /// The records that hold a passage; none where it is the form of many.
    fn holders(&self, passage: &[u32]) -> Option<Vec<u32>> {
        let beginning = |at: &u32| {
            let after = following(&self.row, *at);
            &after[..after.len().min(passage.len())]
        };
        let first = self.suffixes.partition_point(|at| beginning(at) < passage);
        let count = self.suffixes[first..].partition_point(|at| beginning(at) == passage);
        if count > PLACES_MAX {
            return None;
        }
        let places = &self.suffixes[first..first + count];
        let mut records: Vec<u32> = places.iter().map(|at| self.owner(*at)).collect();
        records.sort_unstable();
        records.dedup();
        let whole = self.leaves.len();
        let common = whole >= COMMON_RECORDS_MIN && records.len() * 2 > whole;
        (!common).then_some(records)
    }

    /// The record that holds a place of the row.
    fn owner(&self, at: u32) -> u32 {
        self.owners[self.starts.partition_point(|start| *start <= at) - 1]
    }
}

/// The passage of a span in a text of its record: the text itself is not in the receipt, but the
/// record tells it to whoever may read the record.
pub fn passage_in<'a>(text: &'a str, span: &Span) -> Option<&'a str> {
    let bytes = usize::try_from(span.bytes).ok()?;
    tokens(text)
        .iter()
        .filter_map(|token| text.get(token.start..token.start.checked_add(bytes)?))
        .find(|passage| Digest::of(passage.as_bytes()) == span.text)
}

/// What follows a place, as far as a passage can reach. It may run into the next text: no passage
/// does, since none holds an [`END`].
fn following(row: &[u32], at: u32) -> &[u32] {
    let at = at as usize;
    &row[at..row.len().min(at + PASSAGE_TOKENS_MAX)]
}

/// By record, how many bytes it has in common with the texts.
fn in_common(passages: &[Passage]) -> HashMap<u32, usize> {
    let mut bytes = HashMap::new();
    for passage in passages {
        for record in &passage.records {
            *bytes.entry(*record).or_default() += passage.end - passage.start;
        }
    }
    bytes
}

#[cfg(test)]
mod tests;
