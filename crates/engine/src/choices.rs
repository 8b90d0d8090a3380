//! Answers that are one of a fixed set: every label is one token, and a model is asked how likely
//! it finds each.
//!
//! ```text
//! p(label) = exp(z[token of label]) / Σ over labels exp(z[token])      z: the logits after the prompt
//! ```
//! A label's token is one that its own text has and no other label's, where there is one; that is
//! where a language model already knows what it means. One forward pass over the prompt gives all
//! probabilities, which thresholds and conformal prediction need and a written answer hides.

use crate::error::EngineError;
use crate::generate::common_prefix;
use crate::infer::{Chunk, KvCache, Logits, Scratch, forward};
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use crate::tokenizer::Tokenizer;
use lathe_kernel::Pool;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Most labels of a set.
pub const LABELS_MAX: usize = 4096;
/// Prompt rows computed together.
const ROWS_MAX: usize = 512;

/// Labels with their tokens, in one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choices {
    /// The labels, as data and metrics name them.
    pub labels: Vec<String>,
    /// The token that stands for each; all different.
    pub tokens: Vec<u32>,
}

impl Choices {
    /// Finds a token for every label, the same ones for the same labels and tokenizer.
    ///
    /// # Errors
    /// [`EngineError::Request`] for fewer than two labels, two that are equal, or more than
    /// [`LABELS_MAX`] or the vocabulary has words for.
    pub fn new(tokenizer: &Tokenizer, labels: Vec<String>) -> Result<Self, EngineError> {
        let refuse = |reason: String| Err(EngineError::Request { reason });
        if labels.len() < 2 || labels.len() > LABELS_MAX {
            let found = labels.len();
            return refuse(format!("{found} labels were given, not 2 to {LABELS_MAX}"));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = labels.iter().find(|label| !seen.insert(label.as_str())) {
            return refuse(format!("the label {twice:?} was given twice"));
        }
        let texts: Vec<Vec<u32>> = labels.iter().map(|label| words(tokenizer, label)).collect();
        let mut uses: HashMap<u32, usize> = HashMap::new();
        for text in &texts {
            let once: HashSet<u32> = text.iter().copied().collect();
            once.into_iter()
                .for_each(|token| *uses.entry(token).or_default() += 1);
        }
        // Those with a token of their own first, so that nobody takes it from them.
        let own = |text: &Vec<u32>| text.iter().copied().find(|token| uses[token] == 1);
        let mut tokens: Vec<Option<u32>> = texts.iter().map(own).collect();
        let mut taken: HashSet<u32> = tokens.iter().flatten().copied().collect();
        let mut spare = spare_words(tokenizer);
        for (token, text) in tokens.iter_mut().zip(&texts) {
            if token.is_none() {
                let free = text.iter().copied().find(|token| !taken.contains(token));
                *token = free.or_else(|| spare.find(|token| !taken.contains(token)));
                taken.extend(*token);
            }
        }
        match tokens.into_iter().collect() {
            Some(tokens) => Ok(Self { labels, tokens }),
            None => refuse("the vocabulary has fewer words than there are labels".to_owned()),
        }
    }

    /// The place of a label.
    pub fn index(&self, label: &str) -> Option<usize> {
        self.labels.iter().position(|own| own == label)
    }

    /// How likely the model finds every label after each prompt: a row of the labels' number for
    /// each prompt, in order; a row sums to 1. `on_done` hears how many prompts are finished.
    ///
    /// # Panics
    /// If a prompt is empty, exceeds the context, or holds a token the model does not have.
    pub fn probabilities(
        &self,
        model: &Model,
        pool: &Pool,
        adapter: Option<&PackedAdapter>,
        prompts: &[Vec<u32>],
        on_done: &mut dyn FnMut(usize),
    ) -> Vec<Vec<f32>> {
        let mut reader = Reader {
            choices: self,
            model,
            pool,
            adapter,
            scratch: Scratch::default(),
        };
        let shared = common_prefix(prompts);
        let mut cache = KvCache::new(&model.config);
        if let (1.., Some(first)) = (shared, prompts.first()) {
            reader.read(&mut [(&mut cache, &first[..shared])], Logits::None);
        }
        let mut rows = Vec::with_capacity(prompts.len());
        let mut rest = prompts;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(fitting(rest, shared));
            let mut caches = vec![cache.clone(); now.len()];
            let own = now.iter().map(|prompt| &prompt[shared..]);
            let mut chunks: Vec<_> = caches.iter_mut().zip(own).collect();
            rows.extend(reader.read(&mut chunks, Logits::All));
            on_done(rows.len());
            rest = later;
        }
        rows
    }
}

/// How many prompts are read together, at least one.
fn fitting(prompts: &[Vec<u32>], shared: usize) -> usize {
    let mut room = ROWS_MAX;
    let fits = |prompt: &&Vec<u32>| {
        let own = prompt.len() - shared;
        let fits = own <= room;
        room = room.saturating_sub(own);
        fits
    };
    prompts.iter().take_while(fits).count().max(1)
}

/// A label's tokens, read as words.
fn words(tokenizer: &Tokenizer, label: &str) -> Vec<u32> {
    let text = label.replace('_', " ");
    tokenizer.encode(&format!(" {}", text.trim()))
}

/// Tokens that are plain words, for labels without one of their own.
fn spare_words(tokenizer: &Tokenizer) -> impl Iterator<Item = u32> + '_ {
    (0..tokenizer.vocab_size() as u32).filter(|&token| {
        let text = tokenizer.decode(&[token], true);
        let word = text.trim_start();
        word.len() > 1 && word.bytes().all(|byte| byte.is_ascii_alphabetic())
    })
}

struct Reader<'a> {
    choices: &'a Choices,
    model: &'a Model,
    pool: &'a Pool,
    adapter: Option<&'a PackedAdapter>,
    scratch: Scratch,
}

impl Reader<'_> {
    fn read(&mut self, chunks: &mut [(&mut KvCache, &[u32])], logits: Logits) -> Vec<Vec<f32>> {
        let mut chunks: Vec<Chunk<'_>> = chunks
            .iter_mut()
            .map(|(cache, tokens)| Chunk {
                cache,
                tokens,
                logits,
            })
            .collect();
        let logits = forward(
            self.model,
            self.pool,
            self.adapter,
            &mut chunks,
            &mut self.scratch,
        );
        let rows = logits.chunks_exact(self.model.config.vocab);
        rows.map(|row| softmax_of(row, &self.choices.tokens))
            .collect()
    }
}

/// The softmax over some of the logits.
fn softmax_of(logits: &[f32], tokens: &[u32]) -> Vec<f32> {
    let chosen: Vec<f32> = tokens.iter().map(|&token| logits[token as usize]).collect();
    let top = chosen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut row: Vec<f32> = chosen.iter().map(|logit| (logit - top).exp()).collect();
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|value| *value /= sum);
    row
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::LoadOptions;
    use std::path::Path;

    fn model() -> Model {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
        Model::load(&path, LoadOptions::default()).expect("the fixture loads")
    }

    fn labels(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn every_label_has_a_token_of_its_own() {
        let model = model();
        let given = labels(&["card_arrival", "card_linking", "card", "arrival", "linking"]);
        let choices = Choices::new(&model.tokenizer, given).expect("five labels");
        let different: HashSet<u32> = choices.tokens.iter().copied().collect();
        assert_eq!(different.len(), 5);
        let again = Choices::new(&model.tokenizer, choices.labels.clone()).expect("the same");
        assert_eq!(again, choices);
        assert_eq!(choices.index("arrival"), Some(3));
        assert_eq!(choices.index("nothing"), None);
    }

    #[test]
    fn too_few_and_equal_labels_are_refused() {
        let model = model();
        for (given, why) in [
            (labels(&["a"]), "1 labels"),
            (labels(&["a", "b", "a"]), "twice"),
        ] {
            let error = Choices::new(&model.tokenizer, given).expect_err(why);
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn probabilities_sum_to_one_whatever_is_asked_beside() {
        let (model, pool) = (model(), Pool::new(2));
        let choices = Choices::new(&model.tokenizer, labels(&["good", "bad", "neither"]));
        let choices = choices.expect("three labels");
        let encode = |text: &str| model.tokenizer.encode(text);
        let texts = [
            "The camera is great",
            "The camera broke",
            "The menu is slow, I think",
        ];
        let prompts: Vec<Vec<u32>> = texts.iter().map(|text| encode(text)).collect();
        let mut done = 0;
        let rows = choices.probabilities(&model, &pool, None, &prompts, &mut |n| done = n);
        assert_eq!((rows.len(), done), (3, 3));
        for (row, prompt) in rows.iter().zip(&prompts) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5);
            let alone = std::slice::from_ref(prompt);
            let alone = choices.probabilities(&model, &pool, None, alone, &mut |_| {});
            assert_eq!(&alone[0], row);
        }
    }
}
