//! Counts over a prepared dataset, for people to look at before they tune on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Sealed;

/// How many bars a number field's histogram has.
const HISTOGRAM_BARS: usize = 16;

/// How many different values make a field a category.
const CATEGORIES_MAX: usize = 100;

/// Counts over a prepared dataset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Rows of the file, broken ones included.
    pub rows: u64,
    /// Records kept.
    pub records: u64,
    /// Records to tune on.
    pub train: u64,
    /// Records held out.
    pub test: u64,
    /// Groups on both sides.
    pub groups: u64,
    /// Rows kept out as broken.
    pub broken: u64,
    /// Records left out as duplicates.
    pub duplicates: u64,
    /// Records left out because only some were asked for.
    pub left_out: u64,
    /// Records left out because they were withdrawn.
    #[serde(default, skip_serializing_if = "is_none")]
    pub withdrawn: u64,
    /// By field, over the records kept. Fields that hold lists or objects are left out.
    pub fields: BTreeMap<String, FieldStatistics>,
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Counts over one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum FieldStatistics {
    /// A number field.
    Number {
        /// The smallest.
        min: f64,
        /// The arithmetic mean.
        mean: f64,
        /// The largest.
        max: f64,
        /// Counts in bars of equal width from `min` to `max`.
        histogram: Vec<u64>,
    },
    /// A field with few different values, each used more than once on average.
    Category {
        /// Counts by value, the most frequent first, then by name.
        counts: Vec<(String, u64)>,
    },
    /// A text field.
    Text {
        /// Lengths in characters.
        characters: Lengths,
        /// Lengths in words between white space.
        words: Lengths,
    },
}

/// The spread of lengths.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lengths {
    /// The shortest.
    pub min: u64,
    /// The arithmetic mean.
    pub mean: f64,
    /// The longest.
    pub max: u64,
}

impl Statistics {
    /// Counts over records kept; what was left out is for the caller to add.
    pub(super) fn of(train: &[Sealed], test: &[Sealed]) -> Self {
        let records = || train.iter().chain(test).map(|sealed| &sealed.record);
        let groups: BTreeSet<_> = records().map(|record| &record.group).collect();
        let mut values: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for (name, value) in records().flat_map(|record| &record.fields) {
            if !value.is_null() {
                values.entry(name).or_default().push(value);
            }
        }
        let fields = values
            .into_iter()
            .filter_map(|(name, values)| Some((name.to_owned(), FieldStatistics::of(&values)?)));
        Self {
            records: (train.len() + test.len()) as u64,
            train: train.len() as u64,
            test: test.len() as u64,
            groups: groups.len() as u64,
            fields: fields.collect(),
            ..Self::default()
        }
    }
}

impl FieldStatistics {
    fn of(values: &[&Value]) -> Option<Self> {
        let numbers: Vec<f64> = values.iter().filter_map(|value| value.as_f64()).collect();
        if !numbers.is_empty() && numbers.len() == values.len() {
            return Some(Self::of_numbers(&numbers));
        }
        let texts: Option<Vec<String>> = values
            .iter()
            .map(|value| match value {
                Value::String(text) => Some(text.clone()),
                Value::Array(_) | Value::Object(_) => None,
                other => Some(other.to_string()),
            })
            .collect();
        let texts = texts?;
        Some(Self::categories(&texts).unwrap_or_else(|| Self::of_texts(&texts)))
    }

    fn of_numbers(numbers: &[f64]) -> Self {
        let min = numbers.iter().copied().fold(f64::INFINITY, f64::min);
        let max = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut histogram = vec![0; HISTOGRAM_BARS];
        for number in numbers {
            let place = (number - min) / (max - min) * HISTOGRAM_BARS as f64;
            // Where all are equal the place is NaN, which becomes bar 0.
            histogram[(place as usize).min(HISTOGRAM_BARS - 1)] += 1;
        }
        Self::Number {
            min,
            mean: numbers.iter().sum::<f64>() / numbers.len() as f64,
            max,
            histogram,
        }
    }

    fn categories(texts: &[String]) -> Option<Self> {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for text in texts {
            *counts.entry(text).or_default() += 1;
            if counts.len() > CATEGORIES_MAX {
                return None;
            }
        }
        if counts.len() * 2 > texts.len() {
            return None;
        }
        let mut counts: Vec<_> = counts
            .into_iter()
            .map(|(text, count)| (text.to_owned(), count))
            .collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Some(Self::Category { counts })
    }

    fn of_texts(texts: &[String]) -> Self {
        Self::Text {
            characters: Lengths::of(texts.iter().map(|text| text.chars().count())),
            words: Lengths::of(texts.iter().map(|text| text.split_whitespace().count())),
        }
    }
}

impl Lengths {
    fn of(lengths: impl Iterator<Item = usize>) -> Self {
        let lengths: Vec<_> = lengths.map(|length| length as u64).collect();
        let sum: u64 = lengths.iter().sum();
        Self {
            min: lengths.iter().copied().min().unwrap_or(0),
            mean: sum as f64 / lengths.len().max(1) as f64,
            max: lengths.iter().copied().max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(values: &[Value], expected: Value) {
        let values: Vec<_> = values.iter().collect();
        let statistics = FieldStatistics::of(&values);
        assert_eq!(serde_json::to_value(statistics).unwrap(), expected);
    }

    #[test]
    fn numbers_texts_and_categories() {
        let mut histogram = vec![0; HISTOGRAM_BARS];
        (
            histogram[0],
            histogram[HISTOGRAM_BARS / 2],
            histogram[HISTOGRAM_BARS - 1],
        ) = (1, 1, 2);
        check(
            &[json!(-4), json!(0), json!(4.0), json!(4)],
            json!({"kind": "number", "min": -4.0, "mean": 1.0, "max": 4.0, "histogram": histogram}),
        );
        check(
            &[json!("b"), json!("a"), json!("b"), json!("a"), json!("b")],
            json!({"kind": "category", "counts": [["b", 3], ["a", 2]]}),
        );
        check(
            &[json!("one two"), json!("三")],
            json!({"kind": "text", "characters": {"min": 1, "mean": 4.0, "max": 7},
                   "words": {"min": 1, "mean": 1.5, "max": 2}}),
        );
        check(&[json!([1])], Value::Null);
    }

    #[test]
    fn equal_numbers_fill_one_bar() {
        let value = json!(2);
        let FieldStatistics::Number { histogram, .. } =
            FieldStatistics::of(&[&value, &value]).unwrap()
        else {
            panic!("numbers");
        };
        assert_eq!(histogram.iter().sum::<u64>(), 2);
    }
}
