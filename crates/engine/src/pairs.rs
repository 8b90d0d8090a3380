//! Pairs of answers to one prompt, as a batch.
//!
//! The prompt is a segment of its own that both answers continue, so it is computed once. What
//! predicts nothing is left out: an answer's last token is only ever a target.

use crate::batch::{Batch, Segment, Target};
use std::ops::Range;

/// Where a pair's answers lie among the targets of its batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Targets of the answer that was preferred.
    pub chosen: Range<usize>,
    /// Targets of the other answer.
    pub rejected: Range<usize>,
}

/// A batch whose targets are the answers of pairs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PairBatch {
    /// Prompts and answers; every target has the weight 1.
    pub batch: Batch,
    /// The pairs, in the order they came.
    pub pairs: Vec<Pair>,
}

impl PairBatch {
    /// Appends a pair.
    ///
    /// # Panics
    /// If the prompt or an answer has no token.
    pub fn push(&mut self, prompt: &[u32], chosen: &[u32], rejected: &[u32]) {
        assert!(!prompt.is_empty(), "a pair needs a prompt");
        let prefix = self.segment(prompt, None);
        let chosen = self.answer(prefix, chosen);
        let rejected = self.answer(prefix, rejected);
        self.pairs.push(Pair { chosen, rejected });
    }

    /// Rows that one more pair would take.
    pub fn rows_of(prompt: &[u32], chosen: &[u32], rejected: &[u32]) -> usize {
        let answers = [chosen, rejected].map(|answer| answer.len().saturating_sub(1));
        prompt.len() + answers.iter().sum::<usize>()
    }

    /// Appends the rows of an answer and what they predict; returns its targets.
    fn answer(&mut self, prefix: usize, answer: &[u32]) -> Range<usize> {
        let (last, rows) = answer.split_last().expect("an answer has a token");
        let prompt = &self.batch.segments[prefix];
        // The prompt's last row predicts the answer's first token.
        let before = prompt.start + prompt.len - 1;
        let start = self.batch.tokens.len();
        let places = std::iter::once(before).chain(start..start + rows.len());
        let first = self.batch.targets.len();
        let tokens = rows.iter().chain([last]);
        self.batch
            .targets
            .extend(places.zip(tokens).map(|(row, &token)| Target {
                row: row as u32,
                token,
                weight: 1.0,
            }));
        if !rows.is_empty() {
            self.segment(rows, Some(prefix));
        }
        first..first + answer.len()
    }

    fn segment(&mut self, tokens: &[u32], prefix: Option<usize>) -> usize {
        let (start, len) = (self.batch.tokens.len(), tokens.len());
        self.batch.tokens.extend_from_slice(tokens);
        self.batch.segments.push(Segment { start, len, prefix });
        self.batch.segments.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_answers_continue_the_one_prompt() {
        let mut pairs = PairBatch::default();
        pairs.push(&[1, 2, 3], &[4, 5, 6], &[7]);
        pairs.push(&[8], &[9], &[10, 11]);
        assert_eq!(pairs.batch.tokens, [1, 2, 3, 4, 5, 8, 10]);
        let segments: Vec<_> = pairs
            .batch
            .segments
            .iter()
            .map(|it| (it.start, it.len, it.prefix))
            .collect();
        assert_eq!(
            segments,
            [(0, 3, None), (3, 2, Some(0)), (5, 1, None), (6, 1, Some(2))]
        );
        let targets: Vec<_> = pairs
            .batch
            .targets
            .iter()
            .map(|it| (it.row, it.token))
            .collect();
        assert_eq!(
            targets,
            [(2, 4), (3, 5), (4, 6), (2, 7), (5, 9), (5, 10), (6, 11)]
        );
        assert_eq!(
            pairs.pairs[0],
            Pair {
                chosen: 0..3,
                rejected: 3..4
            }
        );
        assert_eq!(
            pairs.pairs[1],
            Pair {
                chosen: 4..5,
                rejected: 5..7
            }
        );
        let rows = PairBatch::rows_of(&[1, 2, 3], &[4, 5, 6], &[7]);
        assert_eq!(rows + PairBatch::rows_of(&[8], &[9], &[10, 11]), 7);
    }
}
