//! A model's answer as people read it: numbers on their scale, words as labels.
//!
//! The scale of a number comes from the answer's JSON Schema (`minimum`, `maximum`). An answer that
//! is no JSON object has only its text; one that the schema refuses is marked as that. Not here: whether
//! its class agrees with its number, which the evaluation measures.

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
    /// Why it is no answer that the model's schema allows; empty where it is one, or there is no schema.
    pub invalid: String,
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
        let parsed = serde_json::from_str::<Value>(text.trim()).ok();
        let invalid = schema.and_then(|schema| invalid(&text, parsed.as_ref(), schema));
        let parsed = parsed.unwrap_or_default();
        let mut view = AnswerView {
            text,
            invalid: invalid.map(|key| say.it(key)).unwrap_or_default(),
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

/// The catalogue's key of why an answer does not fit; none where it does, or nothing is answered yet.
fn invalid(text: &str, parsed: Option<&Value>, schema: &Value) -> Option<&'static str> {
    if text.is_empty() || schema.is_null() {
        return None;
    }
    let Some(value) = parsed else {
        return Some("web.try.invalid.json");
    };
    // The pack's schema was compiled when its order was placed.
    let schema = jsonschema::validator_for(schema).ok()?;
    (!schema.is_valid(value)).then_some("web.try.invalid.schema")
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
    fn what_the_schema_refuses_is_marked_in_both_languages() {
        let schema = json!({ "required": ["label"], "properties": {
            "label": { "enum": ["complaint", "praise"] } } });
        let told = |lang, text: &str| {
            AnswerView::read(Say::new(lang), text.to_owned(), Some(&schema)).invalid
        };
        for lang in [Lang::En, Lang::Zh] {
            let (other, words) = (told(lang, r#"{"label": "x"}"#), told(lang, "A complaint."));
            assert!(!other.is_empty() && !words.is_empty() && other != words);
            assert!(!other.contains("web.") && !words.contains("web."));
            assert_eq!(told(lang, "{\"label\": \"praise\"}"), "");
            assert_eq!(told(lang, ""), "", "before anything is answered");
        }
        let free = AnswerView::read(Say::new(Lang::En), "Hello.".to_owned(), None);
        assert_eq!(free.invalid, "", "of one without a schema nothing is asked");
    }

    #[test]
    fn a_number_without_ends_has_no_scale() {
        assert_eq!(read(r#"{"other": 3}"#).gauges[0].scale, None);
    }
}
