//! Soft targets for a number in the answer: what is nearly right counts nearly as much.
//!
//! With hard targets −0.9 and −1.0 are as different as −0.9 and 4.0, and greedy decoding yields the
//! mode of a ragged distribution. Here the probability of the next token, along the right answer,
//! is spread over all numbers by their distance from it:
//!
//! ```text
//! p(token | path) ∝ Σ over numbers v whose answer begins with path, token:  exp(−½ ((v − right) / spread)²)
//! ```
//!
//! The trained distribution is then smooth with its peak near the mean of what people said, and
//! greedy decoding finds it. Tokens after the number, and those that all numbers share, keep hard
//! targets. Fields that follow from the number must therefore come after it in the answer.

use std::collections::HashMap;

use lathe_engine::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most numbers that a range may hold.
pub const NUMBERS_MAX: usize = 10_000;
/// Probabilities below this are dropped.
const PROBABILITY_MIN: f64 = 1e-3;

/// Which number is softened, and how far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftNumber {
    /// Where the number stands in the answer, as a JSON pointer.
    pub pointer: String,
    /// Standard deviation of the spread, in the number's unit.
    pub spread: f64,
    /// Smallest number.
    pub min: f64,
    /// Largest number.
    pub max: f64,
    /// Distance between numbers.
    pub step: f64,
}

/// Tokens that may come at one place of a row, with their probabilities; they sum to 1.
pub type Soft = Vec<(u32, f32)>;

impl SoftNumber {
    /// Whether the values make sense together.
    pub(crate) fn is_sound(&self) -> bool {
        let finite = [self.spread, self.min, self.max, self.step]
            .iter()
            .all(|it| it.is_finite());
        finite
            && self.spread > 0.0
            && self.step > 0.0
            && self.min < self.max
            && (self.max - self.min) / self.step < NUMBERS_MAX as f64
    }

    /// All numbers of the range.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = f64> {
        let count = ((self.max - self.min) / self.step + 0.5).floor() as usize;
        (0..=count).map(|index| self.min + index as f64 * self.step)
    }
}

/// Makes soft targets, and remembers how answers are tokenised.
pub(crate) struct Softener<'a> {
    spec: &'a SoftNumber,
    tokenizer: &'a Tokenizer,
    tokens: HashMap<String, Vec<u32>>,
}

impl<'a> Softener<'a> {
    pub fn new(spec: &'a SoftNumber, tokenizer: &'a Tokenizer) -> Self {
        Self {
            spec,
            tokenizer,
            tokens: HashMap::new(),
        }
    }

    /// The soft targets of an answer by place in `path`, its tokens in the row. Empty when the
    /// answer has no such number or is tokenised differently on its own.
    pub fn soften(&mut self, answer: &str, path: &[u32]) -> Vec<(usize, Soft)> {
        let Some(around) = Around::find(answer, &self.spec.pointer) else {
            return Vec::new();
        };
        if self.encode(answer.to_owned()) != path {
            return Vec::new();
        }
        let mut near = Vec::new();
        for number in self.spec.numbers() {
            let distance = (number - around.number) / self.spec.spread;
            let weight = (-0.5 * distance * distance).exp();
            near.push((self.encode(around.with(number)).to_vec(), weight));
        }
        (0..path.len())
            .filter_map(|at| Some((at, next_tokens(&near, path, at)?)))
            .collect()
    }

    fn encode(&mut self, answer: String) -> &[u32] {
        let tokenizer = self.tokenizer;
        self.tokens
            .entry(answer)
            .or_insert_with_key(|answer| tokenizer.encode(answer))
    }
}

/// The distribution of the token at `at` over the answers that agree with `path` before it; `None`
/// where they all go on alike.
fn next_tokens(near: &[(Vec<u32>, f64)], path: &[u32], at: usize) -> Option<Soft> {
    let mut mass: Vec<(u32, f64)> = Vec::new();
    for (tokens, weight) in near {
        let Some(&token) = tokens.get(at).filter(|_| tokens[..at] == path[..at]) else {
            continue;
        };
        match mass.iter_mut().find(|(known, _)| *known == token) {
            Some((_, sum)) => *sum += weight,
            None => mass.push((token, *weight)),
        }
    }
    let total: f64 = mass.iter().map(|(_, weight)| weight).sum();
    mass.retain(|(_, weight)| *weight >= PROBABILITY_MIN * total);
    let total: f64 = mass.iter().map(|(_, weight)| weight).sum();
    (mass.len() > 1).then(|| {
        mass.into_iter()
            .map(|(token, weight)| (token, (weight / total) as f32))
            .collect()
    })
}

/// An answer's text around its number.
struct Around {
    before: String,
    after: String,
    decimals: usize,
    number: f64,
}

impl Around {
    fn find(answer: &str, pointer: &str) -> Option<Self> {
        const MARK: &str = "\u{1}";
        let mut value: Value = serde_json::from_str(answer).ok()?;
        let place = value.pointer_mut(pointer)?;
        let number = place.as_f64()?;
        *place = Value::String(MARK.to_owned());
        let marked = value.to_string();
        let mark = Value::String(MARK.to_owned()).to_string();
        let (before, after) = marked.split_once(&mark)?;
        let text = answer.strip_prefix(before)?.strip_suffix(after)?;
        let decimals = text
            .split_once('.')
            .map_or(0, |(_, decimals)| decimals.len());
        Some(Self {
            before: before.into(),
            after: after.into(),
            decimals,
            number,
        })
    }

    /// The same answer with another number, written with as many decimals.
    fn with(&self, number: f64) -> String {
        let Self {
            before,
            after,
            decimals,
            ..
        } = self;
        let text = format!("{number:.decimals$}");
        let zero = text
            .trim_start_matches('-')
            .chars()
            .all(|c| c == '0' || c == '.');
        let text = if zero {
            text.trim_start_matches('-')
        } else {
            &text
        };
        format!("{before}{text}{after}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn spec() -> SoftNumber {
        SoftNumber {
            pointer: "/feeling".into(),
            spread: 0.5,
            min: -4.0,
            max: 4.0,
            step: 0.1,
        }
    }

    #[test]
    fn the_text_around_a_number() {
        let answer = r#"{"feeling":-0.9,"class":"negative"}"#;
        let around = Around::find(answer, "/feeling").expect("a number");
        assert_eq!(around.with(-0.9), answer);
        assert_eq!(around.with(-0.04), r#"{"feeling":0.0,"class":"negative"}"#);
        assert!(Around::find(answer, "/class").is_none());
        assert!(Around::find("nothing", "/feeling").is_none());
    }

    #[test]
    fn numbers_cover_the_range() {
        let numbers: Vec<f64> = spec().numbers().collect();
        assert_eq!(numbers.len(), 81);
        assert!((numbers[80] - 4.0).abs() < 1e-9);
        assert!(
            spec().is_sound()
                && !SoftNumber {
                    spread: 0.0,
                    ..spec()
                }
                .is_sound()
        );
    }

    #[test]
    fn probabilities_follow_distance_and_path() {
        // Answers 10, 11, 20 and their weights; the path is 1 1.
        let near = [(vec![1, 0], 1.0), (vec![1, 1], 2.0), (vec![2, 0], 1.0)];
        assert_eq!(
            next_tokens(&near, &[1, 1], 0),
            Some(vec![(1, 0.75), (2, 0.25)])
        );
        let second = next_tokens(&near, &[1, 1], 1).expect("two ways");
        assert_eq!(
            second.iter().map(|(token, _)| *token).collect::<Vec<_>>(),
            [0, 1]
        );
        assert!((second[1].1 - 2.0 / 3.0).abs() < 1e-6);
        assert_eq!(next_tokens(&near, &[2, 0], 1), None, "no choice is left");
    }

    #[test]
    fn only_the_number_is_softened() {
        let (model, spec) = (testing::model(), spec());
        let mut softener = Softener::new(&spec, &model.tokenizer);
        let answer = r#"{"feeling":2.5,"class":"positive"}"#;
        let path = model.tokenizer.encode(answer);
        let soft = softener.soften(answer, &path);
        assert!(!soft.is_empty());
        for (at, tokens) in &soft {
            let text = model.tokenizer.decode(&path[..*at], false);
            assert!(
                text.starts_with(r#"{"feeling""#) && !text.contains("class"),
                "{text}"
            );
            let sum: f32 = tokens.iter().map(|(_, probability)| probability).sum();
            assert!((sum - 1.0).abs() < 1e-5);
            let right = tokens.iter().find(|(token, _)| *token == path[*at]);
            assert!(right.is_some(), "the right token is among them");
        }
        assert!(
            softener
                .soften("no number", &model.tokenizer.encode("no number"))
                .is_empty()
        );
    }
}
