//! Answers to prompts, as a batch: pairs of a better and a worse one, or single ones.
//!
//! What is shared is computed once: either each prompt, which all its answers continue, or what all
//! prompts of the batch begin with; the second pays where that is most of a prompt. What predicts
//! nothing is left out: an answer's last token is only ever a target.

use crate::batch::{Batch, Segment, Target};
use std::ops::Range;

/// A batch whose targets are answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnswerBatch {
    /// Prompts and answers; every target has the weight 1.
    pub batch: Batch,
    /// Where each answer's targets lie, in the order they came.
    pub answers: Vec<Range<usize>>,
    /// Tokens of the first segment, where all prompts begin with it.
    common: usize,
}

impl AnswerBatch {
    /// An empty batch of prompts that all begin with `common`; with no token in it, each prompt is
    /// shared by its own answers.
    pub fn after(common: &[u32]) -> Self {
        let mut batch = Self {
            common: common.len(),
            ..Self::default()
        };
        if !common.is_empty() {
            batch.segment(common, None);
        }
        batch
    }

    /// Appends a prompt and answers to it.
    ///
    /// # Panics
    /// If the prompt has no token besides the batch's common ones, or an answer has none.
    pub fn push(&mut self, prompt: &[u32], answers: &[&[u32]]) {
        let (common, own) = prompt.split_at(self.common);
        assert!(!own.is_empty(), "answers need a prompt of their own");
        debug_assert!(
            self.batch.tokens.starts_with(common),
            "the prompt begins otherwise"
        );
        let shared = if self.common > 0 {
            None
        } else {
            Some(self.segment(own, None))
        };
        for answer in answers {
            let targets = self.answer(shared, own, answer);
            self.answers.push(targets);
        }
    }

    /// Rows that a prompt and its answers take in a batch after `common` tokens.
    pub fn rows_of(common: usize, prompt: &[u32], answers: &[&[u32]]) -> usize {
        let copies = if common > 0 { answers.len() } else { 1 };
        let own = answers.iter().map(|answer| answer.len().saturating_sub(1));
        copies * (prompt.len() - common) + own.sum::<usize>()
    }

    /// Appends the rows of an answer, after its prompt's where that is not `shared`, and what they
    /// predict; returns the targets.
    fn answer(&mut self, shared: Option<usize>, own: &[u32], answer: &[u32]) -> Range<usize> {
        let (last, rows) = answer.split_last().expect("an answer has a token");
        let start = self.batch.tokens.len();
        // The prompt's last row predicts the answer's first token.
        let (before, start) = match shared {
            Some(prompt) => {
                let prompt = &self.batch.segments[prompt];
                (prompt.start + prompt.len - 1, start)
            }
            None => (start + own.len() - 1, start + own.len()),
        };
        let places = std::iter::once(before).chain(start..start + rows.len());
        let first = self.batch.targets.len();
        let tokens = rows.iter().chain([last]);
        let targets = places.zip(tokens).map(|(row, &token)| Target {
            row: row as u32,
            token,
            weight: 1.0,
        });
        self.batch.targets.extend(targets);
        match shared {
            Some(_) if rows.is_empty() => {}
            Some(_) => {
                self.segment(rows, shared);
            }
            None => {
                self.segment(&[own, rows].concat(), Some(0));
            }
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
        let mut pairs = AnswerBatch::default();
        pairs.push(&[1, 2, 3], &[&[4, 5, 6], &[7]]);
        pairs.push(&[8], &[&[9], &[10, 11]]);
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
        assert_eq!(pairs.answers, [0..3, 3..4, 4..5, 5..7]);
        let rows = AnswerBatch::rows_of(0, &[1, 2, 3], &[&[4, 5, 6], &[7]]);
        assert_eq!(rows + AnswerBatch::rows_of(0, &[8], &[&[9], &[10, 11]]), 7);
    }

    #[test]
    fn what_all_prompts_begin_with_can_be_the_shared_part() {
        let mut pairs = AnswerBatch::after(&[1, 2]);
        pairs.push(&[1, 2, 3], &[&[4, 5, 6], &[7]]);
        assert_eq!(pairs.batch.tokens, [1, 2, 3, 4, 5, 3]);
        let segments: Vec<_> = pairs
            .batch
            .segments
            .iter()
            .map(|it| (it.start, it.len, it.prefix))
            .collect();
        assert_eq!(segments, [(0, 2, None), (2, 3, Some(0)), (5, 1, Some(0))]);
        let targets: Vec<_> = pairs
            .batch
            .targets
            .iter()
            .map(|it| (it.row, it.token))
            .collect();
        assert_eq!(targets, [(2, 4), (3, 5), (4, 6), (5, 7)]);
        let rows = AnswerBatch::rows_of(2, &[1, 2, 3], &[&[4, 5, 6], &[7]]);
        assert_eq!(2 + rows, pairs.batch.tokens.len());
    }
}
