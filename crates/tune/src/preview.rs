//! Rows as people look at them: token by token, with what is learnt from which.
//!
//! What is shown are the very rows that a tuning step computes; their text is what the tokens stand
//! for, not a second rendering. Beside them stand the counts that tell a broken mask: records that
//! supervise nothing, rows over the cutoff, answers whose end is never learnt. Colours and pages
//! are made elsewhere.

use std::collections::BTreeSet;

use lathe_engine::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::pack::{Row, shared_prefix};
use crate::rows::Rows;
use crate::voice::Voice;

/// Rows that are shown, and what all of them amount to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preview {
    /// The rows of the first records.
    pub rows: Vec<Marked>,
    /// What was counted over.
    pub counts: Counts,
}

/// One row, token by token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Marked {
    /// The record's id.
    pub record: String,
    /// The record's leaf, in hexadecimal digits.
    pub leaf: String,
    /// All of it: the rendered template with the answers.
    pub text: String,
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// How many of them are supervised.
    pub supervised: usize,
    /// Whether it has more tokens than a row may have, so that it is kept out.
    pub over_cutoff: bool,
    /// Whether it supervises no answer, so that it is kept out.
    pub unsupervised: bool,
    /// Whether the record was withdrawn since; for whoever knows of that to say.
    #[serde(default)]
    pub withdrawn: bool,
}

/// One token of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Token {
    /// Its number.
    pub id: u32,
    /// What it stands for; bytes that are no text by themselves as `<0xE4>`.
    pub text: String,
    /// How much it counts in the loss; 0 for one that is only read.
    pub weight: f32,
    /// Whether it is a special token.
    pub special: bool,
    /// Whether it ends an answer.
    pub end: bool,
    /// Whether it belongs to what all rows begin with.
    pub shared: bool,
    /// What supervises it instead of itself: tokens with their shares.
    pub soft: Vec<Share>,
}

/// One of several tokens that supervise a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The token's number.
    pub id: u32,
    /// What it stands for.
    pub text: String,
    /// Its part of the target.
    pub share: f32,
}

/// Counts over rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records.
    pub records: u64,
    /// Their rows.
    pub rows: usize,
    /// Tokens of all rows.
    pub tokens: u64,
    /// Those of them that are supervised.
    pub supervised: u64,
    /// What all rows begin with, in tokens.
    pub shared_prefix: usize,
    /// The most tokens a row may have.
    pub tokens_max: usize,
    /// Rows over that.
    pub over_cutoff: Found,
    /// Rows without a supervised answer.
    pub unsupervised: Found,
    /// Rows that supervise an answer and no token that ends it.
    pub endless: Found,
}

/// Rows of a kind: how many, and the records of the first few.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many.
    pub rows: u64,
    /// Ids of their records, the first ones.
    pub first: Vec<String>,
}

impl Found {
    /// Records that are named.
    pub const NAMED_MAX: usize = 5;

    fn note(&mut self, id: &str) {
        self.rows += 1;
        if self.first.len() < Self::NAMED_MAX {
            self.first.push(id.to_owned());
        }
    }
}

impl Preview {
    /// Shows the rows of the first `records_max` records of `rows`, and counts over all of them;
    /// `tokens_max` is the cutoff of the run.
    pub fn of<'a>(
        rows: &Rows,
        model: impl Into<Voice<'a>>,
        tokens_max: usize,
        records_max: usize,
    ) -> Preview {
        let eye = Eye {
            voice: model.into(),
            shared: shared_prefix(rows),
            tokens_max,
        };
        let mut seen = BTreeSet::new();
        let is_shown = |at: &usize| {
            seen.insert(rows.record(*at));
            seen.len() <= records_max
        };
        let shown = (0..rows.len()).take_while(is_shown);
        Preview {
            rows: shown.map(|at| eye.mark(&rows.get(at))).collect(),
            counts: eye.count(rows),
        }
    }
}

/// What rows are looked at with.
struct Eye<'a> {
    voice: Voice<'a>,
    shared: usize,
    tokens_max: usize,
}

impl Eye<'_> {
    fn mark(&self, row: &Row) -> Marked {
        let tokenizer = self.voice.tokenizer;
        let mut soft = row.soft.iter().peekable();
        let token = |(at, (&id, &weight)): (usize, (&u32, &f32))| {
            let here = soft.next_if(|(place, _)| *place == at);
            // All of the target on the token that stands there is no soft target.
            let shares = match here.map(|(_, shares)| &shares[..]) {
                None => &[][..],
                Some([(only, _)]) if *only == id => &[],
                Some(shares) => shares,
            };
            let share = |&(id, share): &(u32, f32)| Share {
                id,
                text: piece(tokenizer, id),
                share,
            };
            Token {
                id,
                text: piece(tokenizer, id),
                weight,
                special: tokenizer.is_special(id),
                end: self.voice.ends.contains(&id),
                shared: at < self.shared,
                soft: shares.iter().map(share).collect(),
            }
        };
        let tokens = row.tokens.iter().zip(&row.weights).enumerate();
        Marked {
            record: row.id.clone(),
            leaf: row.leaf.to_string(),
            text: tokenizer.decode(&row.tokens, false),
            tokens: tokens.map(token).collect(),
            supervised: row.weights.iter().filter(|&&weight| weight > 0.0).count(),
            over_cutoff: row.tokens.len() > self.tokens_max,
            unsupervised: !row.answers(),
            withdrawn: false,
        }
    }

    fn count(&self, rows: &Rows) -> Counts {
        let mut counts = Counts {
            rows: rows.len(),
            shared_prefix: self.shared,
            tokens_max: self.tokens_max,
            ..Counts::default()
        };
        let mut last = None;
        for (at, row) in rows.iter().enumerate() {
            let record = Some(rows.record(at));
            counts.records += u64::from(record != last);
            last = record;
            counts.tokens += row.tokens.len() as u64;
            counts.supervised += rows.supervised_len(at) as u64;
            if row.tokens.len() > self.tokens_max {
                counts.over_cutoff.note(&row.id);
            }
            if !row.answers() {
                counts.unsupervised.note(&row.id);
            } else if !self.ends(&row) {
                counts.endless.note(&row.id);
            }
        }
        counts
    }

    /// Whether a token that ends answers is supervised.
    fn ends(&self, row: &Row) -> bool {
        let mut tokens = row.tokens.iter().zip(&row.weights);
        tokens.any(|(token, &weight)| weight > 0.0 && self.voice.ends.contains(token))
    }
}

/// What a token stands for by itself.
fn piece(tokenizer: &Tokenizer, id: u32) -> String {
    let bytes = tokenizer.bytes_of(id);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| format!("<0x{byte:02X}>")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::rows;
    use crate::spec::SftSpec;
    use crate::testing;
    use lathe_evidence::Digest;

    #[test]
    fn what_is_shown_is_the_row() {
        let model = testing::model();
        let rows = rows(&model, &testing::examples(6), &SftSpec::default()).expect("rows");
        let preview = Preview::of(&rows, &model, 1000, 2);
        assert_eq!(preview.rows.len(), 2);
        for (marked, row) in preview.rows.iter().zip(&rows) {
            let (ids, weights): (Vec<u32>, Vec<f32>) =
                marked.tokens.iter().map(|it| (it.id, it.weight)).unzip();
            assert_eq!((&ids, &weights), (&row.tokens, &row.weights));
            let pieces: String = marked.tokens.iter().map(|it| &it.text[..]).collect();
            assert_eq!(pieces, marked.text, "this tokenizer's pieces are text");
            let last = marked.tokens.last().expect("tokens");
            assert!(last.special && last.end && last.weight == 1.0);
            assert_eq!(marked.supervised, row.tokens.len() - row.answer_start());
        }
        let counts = &preview.counts;
        assert_eq!(
            (counts.records, counts.rows),
            (6, 6),
            "over all, shown or not"
        );
        let shared = preview.rows[0].tokens.iter().filter(|it| it.shared).count();
        assert!(shared > 0 && shared == counts.shared_prefix);
        assert_eq!(counts.endless, Found::default());
    }

    #[test]
    fn broken_masks_are_counted_and_named() {
        let model = testing::model();
        let end = model.config.eos[0];
        let row = |id: &str, tokens: Vec<u32>, start: usize| {
            Row::answering(id.to_owned(), Digest::of(id.as_bytes()), tokens, start)
        };
        let rows = Rows::from(vec![
            row("sound", vec![5, 6, 7, end], 2),
            row("never stops", vec![5, 6, 7, 8], 2),
            row("nothing", vec![5, 6, 7, end], 4),
            row("long", [vec![9; 10], vec![end]].concat(), 2),
        ]);
        let Preview { rows, counts } = Preview::of(&rows, &model, 10, 4);
        let found = |ids: &[&str]| Found {
            rows: ids.len() as u64,
            first: ids.iter().map(|&id| id.to_owned()).collect(),
        };
        assert_eq!(counts.endless, found(&["never stops"]));
        assert_eq!(counts.unsupervised, found(&["nothing"]));
        assert_eq!(counts.over_cutoff, found(&["long"]));
        assert_eq!((counts.tokens, counts.supervised), (23, 2 + 2 + 9));
        assert!(rows[2].unsupervised && rows[3].over_cutoff);
    }

    #[test]
    fn a_byte_that_is_no_text_is_written_as_a_byte() {
        let model = testing::model();
        let tokenizer = &model.tokenizer;
        let pieces: Vec<String> = tokenizer
            .encode("名")
            .into_iter()
            .map(|id| piece(tokenizer, id))
            .collect();
        let bytes: String = "名".bytes().map(|byte| format!("<0x{byte:02X}>")).collect();
        assert!(
            pieces.concat() == bytes || pieces.concat() == "名",
            "{pieces:?}"
        );
    }
}
