//! A model's answer as people read it: numbers on their scale, words as labels.
//!
//! The scale of a number comes from the answer's JSON Schema (`minimum`, `maximum`). An answer that
//! is no JSON object has only its text. Not here: whether the answer satisfies the schema, which
//! the evaluation measures.

use serde_json::Value;

use crate::chart::{self, Bar};
use crate::format;
use crate::lang::Say;

/// An answer and what was read from it.
#[derive(Default)]
pub(super) struct AnswerView {
    pub text: String,
    pub usage: String,
    /// The id of its receipt; empty before there is one.
    pub receipt: String,
    pub error: Option<String>,
    pub gauges: Vec<Gauge>,
    pub words: Vec<Word>,
}

/// One number of the answer.
#[derive(Debug, PartialEq)]
pub(super) struct Gauge {
    pub name: String,
    pub text: String,
    pub scale: Option<Scale>,
}

/// Where a number lies between the ends its schema gives it.
#[derive(Debug, PartialEq)]
pub(super) struct Scale {
    pub low: String,
    pub high: String,
    pub bar: Bar,
}

/// One string of the answer.
#[derive(Debug, PartialEq)]
pub(super) struct Word {
    pub name: String,
    pub text: String,
    pub class: &'static str,
}

impl AnswerView {
    /// In the place of an answer why there is none.
    pub fn refused(reason: String) -> AnswerView {
        AnswerView {
            error: Some(reason),
            ..AnswerView::default()
        }
    }

    /// Reads `text` by `schema`.
    pub fn read(say: Say, text: String, schema: Option<&Value>) -> AnswerView {
        let parsed = serde_json::from_str::<Value>(text.trim()).unwrap_or_default();
        let mut view = AnswerView {
            text,
            ..AnswerView::default()
        };
        for (name, value) in parsed.as_object().into_iter().flatten() {
            let label = say.name_of("web.field", name);
            if let Some(number) = value.as_f64() {
                let scale = schema.and_then(|schema| scale(number, schema, name));
                view.gauges.push(Gauge {
                    name: label,
                    text: format::signed(number, 1),
                    scale,
                });
            } else if let Some(word) = value.as_str() {
                let text = say.name_of("web.word", word);
                view.words.push(Word {
                    name: label,
                    text,
                    class: class(word),
                });
            }
        }
        view
    }
}

/// A bar from zero (or the low end, where zero is outside) to the number.
fn scale(number: f64, schema: &Value, name: &str) -> Option<Scale> {
    let property = schema.get("properties")?.get(name)?;
    let low = property.get("minimum")?.as_f64()?;
    let high = property.get("maximum")?.as_f64()?;
    if low >= high {
        return None;
    }
    let from = 0f64.clamp(low, high);
    let bar = chart::bar(
        number,
        Some((number.min(from), number.max(from))),
        (low, high),
    );
    Some(Scale {
        low: format::signed(low, 0),
        high: format::signed(high, 0),
        bar,
    })
}

/// The colour of a word that speaks for itself.
fn class(word: &str) -> &'static str {
    match word {
        "positive" | "yes" | "pass" => "good",
        "negative" | "no" | "fail" => "bad",
        _ => "plain",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;
    use serde_json::json;

    fn read(text: &str) -> AnswerView {
        let schema = json!({ "properties": { "score": { "minimum": -4, "maximum": 4 } } });
        AnswerView::read(Say::new(Lang::En), text.to_owned(), Some(&schema))
    }

    #[test]
    fn a_number_lies_on_its_scale_and_a_word_has_its_colour() {
        let view = read(r#"{"score": -2, "label": "negative"}"#);
        let scale = view.gauges[0].scale.as_ref().expect("a scale");
        assert_eq!(view.gauges[0].text, "−2.0");
        assert_eq!((scale.low.as_str(), scale.high.as_str()), ("−4", "+4"));
        assert_eq!(
            (scale.bar.low, scale.bar.high, scale.bar.value),
            (250.0, 500.0, 250.0)
        );
        assert_eq!(view.words[0].class, "bad");
    }

    #[test]
    fn what_is_no_object_has_only_its_text() {
        for text in ["", "I cannot say.", "[1, 2]", "3", r#"{"score": "#] {
            let view = read(text);
            assert!(view.gauges.is_empty() && view.words.is_empty(), "{text}");
            assert_eq!(view.text, text);
        }
    }

    #[test]
    fn a_number_without_ends_has_no_scale() {
        assert_eq!(read(r#"{"other": 3}"#).gauges[0].scale, None);
    }
}
