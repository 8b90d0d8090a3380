//! The `task` section of a pack, as it is written.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::spec::Bin;

/// The `task` section of a pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// The system message, the same for every record; plain text.
    #[serde(default)]
    pub system: Option<String>,
    /// The user's message, a minijinja template over the record's fields.
    #[serde(default)]
    pub prompt: String,
    /// The field that a free-form input fills.
    #[serde(default)]
    pub input: String,
    /// The answer's fields, in the order they are written out.
    #[serde(default)]
    pub answer: AnswerFields,
    /// The JSON Schema an answer must satisfy.
    #[serde(default)]
    pub schema: Value,
    /// What is scored.
    #[serde(default)]
    pub targets: Targets,
    /// Records are whole conversations, in place of all of the above: answers are free words, and how
    /// likely the model holds them is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<ChatForm>,
}

/// How a record holds a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChatForm {
    /// `messages`, whose answers are learnt.
    Messages,
    /// `input`, `preferred_output` and `non_preferred_output`.
    Preference,
}

/// How one field of the answer is worked out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerField {
    /// The record's field it is taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// An earlier number field of the answer that `bins` name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// A minijinja template over the record's fields, giving text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// What a number is rounded to; its decimals are written out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<f64>,
    /// Names for ranges of the number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bins: Option<Vec<Bin>>,
}

/// What is scored of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Targets {
    /// A number to correlate.
    pub number: Option<NumberTarget>,
    /// A class to classify.
    pub class: Option<ClassTarget>,
}

/// Where the number stands and what it is held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberTarget {
    /// Where it stands in the answer, as a JSON pointer.
    pub pointer: String,
    /// The record's field with the truth.
    pub truth: String,
    /// What an invalid answer counts as.
    pub invalid: f64,
}

/// Where the class stands and what it is held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassTarget {
    /// Where it stands in the answer, as a JSON pointer.
    pub pointer: String,
    /// The record's field with the truth: a text, or a number that the answer field's bins name.
    pub truth: String,
    /// What an invalid answer counts as.
    pub invalid: String,
}

/// The answer's fields by name; a map that keeps the order in which it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AnswerFields(pub Vec<(String, AnswerField)>);

impl Serialize for AnswerFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, field)| (name, field)))
    }
}

impl<'de> Deserialize<'de> for AnswerFields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = AnswerFields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the answer's fields by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AnswerFields, A::Error> {
                let mut fields: Vec<(String, AnswerField)> = Vec::new();
                while let Some((name, field)) = map.next_entry::<String, AnswerField>()? {
                    if fields.iter().any(|(earlier, _)| *earlier == name) {
                        let text = format!("the answer's field `{name}` is written twice");
                        return Err(serde::de::Error::custom(text));
                    }
                    fields.push((name, field));
                }
                Ok(AnswerFields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_fields_keep_their_order() {
        let yaml = "{zebra: {from: a}, apple: {of: zebra, bins: [{name: all}]}}";
        let fields: AnswerFields = serde_saphyr::from_str(yaml).unwrap();
        let names: Vec<_> = fields.0.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["zebra", "apple"]);
        let json = serde_json::to_string(&fields).unwrap();
        assert_eq!(serde_json::from_str::<AnswerFields>(&json).unwrap(), fields);
        let twice =
            serde_json::from_str::<AnswerFields>(r#"{"a": {"from": "x"}, "a": {"from": "y"}}"#);
        assert!(
            twice
                .unwrap_err()
                .to_string()
                .contains("`a` is written twice")
        );
    }
}
