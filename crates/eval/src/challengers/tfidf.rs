//! Texts as sparse vectors of word and character n-grams, weighted by TF-IDF.
//!
//! The features are those of scikit-learn's `TfidfVectorizer` with `sublinear_tf`, two of them side
//! by side, each scaled to unit length: `\b\w+\b` words as 1- to 2-grams, and 2- to 5-grams of
//! characters inside words with a blank at both ends (`char_wb`). Lower case. n-grams that the
//! training texts did not have are dropped.

use std::collections::BTreeMap;
use std::collections::HashMap;

/// One text: (feature, weight), by feature.
pub type Sparse = Vec<(u32, f64)>;

/// Word n-grams and character n-grams as one space of features.
#[derive(Clone, Debug)]
pub struct Tfidf {
    words: Block,
    characters: Block,
}

impl Tfidf {
    /// Learns vocabulary and weights from the training texts.
    pub fn fit(texts: &[&str]) -> Self {
        let words = Block::fit(texts, word_ngrams, 0);
        let characters = Block::fit(texts, character_ngrams, words.features());
        Self { words, characters }
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.characters.first + self.characters.features()
    }

    /// The vector of a text.
    pub fn vector(&self, text: &str) -> Sparse {
        let mut vector = self.words.vector(text);
        vector.extend(self.characters.vector(text));
        vector
    }
}

/// One kind of n-gram.
#[derive(Clone, Debug)]
struct Block {
    ngrams: fn(&str) -> Vec<String>,
    /// n-gram → (feature, inverse document frequency)
    vocabulary: HashMap<String, (u32, f64)>,
    first: usize,
}

impl Block {
    fn fit(texts: &[&str], ngrams: fn(&str) -> Vec<String>, first: usize) -> Self {
        // Ordered, so that features are numbered alike on every run.
        let mut documents: BTreeMap<String, usize> = BTreeMap::new();
        for text in texts {
            let mut present = ngrams(text);
            present.sort_unstable();
            present.dedup();
            present
                .into_iter()
                .for_each(|ngram| *documents.entry(ngram).or_default() += 1);
        }
        let count = texts.len() as f64;
        let weigh = |(index, (ngram, documents)): (usize, (String, usize))| {
            let idf = ((1.0 + count) / (1.0 + documents as f64)).ln() + 1.0;
            (ngram, ((first + index) as u32, idf))
        };
        let vocabulary = documents.into_iter().enumerate().map(weigh).collect();
        Self {
            ngrams,
            vocabulary,
            first,
        }
    }

    fn features(&self) -> usize {
        self.vocabulary.len()
    }

    fn vector(&self, text: &str) -> Sparse {
        let mut counts: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for ngram in (self.ngrams)(text) {
            if let Some(&(feature, idf)) = self.vocabulary.get(&ngram) {
                counts.entry(feature).or_insert((0.0, idf)).0 += 1.0;
            }
        }
        let weight =
            |(feature, (count, idf)): (u32, (f64, f64))| (feature, (1.0 + count.ln()) * idf);
        let mut vector: Sparse = counts.into_iter().map(weight).collect();
        let norm = vector
            .iter()
            .map(|(_, weight)| weight * weight)
            .sum::<f64>()
            .sqrt();
        vector.iter_mut().for_each(|(_, weight)| *weight /= norm);
        vector
    }
}

/// Words and pairs of neighbouring words.
fn word_ngrams(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    let split = lower.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let words: Vec<&str> = split.filter(|word| !word.is_empty()).collect();
    let pairs = words.windows(2).map(|pair| pair.join(" "));
    words
        .iter()
        .map(|word| (*word).to_owned())
        .chain(pairs)
        .collect()
}

/// 2 to 5 neighbouring characters of each blank-separated word with a blank before and after it. A
/// word too short for a length counts once, whole.
fn character_ngrams(text: &str) -> Vec<String> {
    let mut ngrams = Vec::new();
    for word in text.to_lowercase().split_whitespace() {
        let padded: Vec<char> = [' '].into_iter().chain(word.chars()).chain([' ']).collect();
        for length in 2..=5 {
            if padded.len() <= length {
                ngrams.push(padded.iter().collect());
                break;
            }
            ngrams.extend(padded.windows(length).map(String::from_iter));
        }
    }
    ngrams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ngrams_by_hand() {
        assert_eq!(word_ngrams("It's OK."), ["it", "s", "ok", "it s", "s ok"]);
        let expected = [" o", "ok", "k ", " ok", "ok ", " ok "];
        assert_eq!(character_ngrams(" Ok\n"), expected);
        assert!(word_ngrams("…").is_empty());
        assert!(character_ngrams("").is_empty());
    }

    #[test]
    fn vectors_have_unit_blocks_and_ordered_features() {
        let tfidf = Tfidf::fit(&["a good thing", "a bad thing"]);
        let vector = tfidf.vector("a good good day");
        assert!(vector.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(
            vector
                .iter()
                .all(|(feature, _)| (*feature as usize) < tfidf.features())
        );
        let norm: f64 = vector.iter().map(|(_, weight)| weight * weight).sum();
        assert!((norm - 2.0).abs() < 1e-12, "{norm}");
        assert!(tfidf.vector("").is_empty());
    }
}
