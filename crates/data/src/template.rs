//! A text filled from a record's fields, as minijinja writes templates.
//!
//! Strict: a field that the record lacks is an error, not an empty text. A template that takes too
//! many steps is stopped.

use minijinja::{Environment, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::DataError;
use crate::reader::Record;

/// How many steps a template may take; one that needs more is looping.
const STEPS_MAX: u64 = 1_000_000;

/// A template that was checked.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    key: &'static str,
    text: String,
}

impl Template {
    /// Checks `text`, which stands under `key` in the pack.
    ///
    /// # Errors
    /// [`DataError::Spec`] when it is no template.
    pub fn new(key: &'static str, text: &str) -> Result<Self, DataError> {
        let environment = environment();
        let checked = environment.template_from_named_str(key, text).map(drop);
        checked.map_err(|error| DataError::Spec {
            key: key.to_owned(),
            reason: format!("it is no template: {error}"),
        })?;
        Ok(Self {
            environment,
            key,
            text: text.to_owned(),
        })
    }

    /// The text for a record.
    ///
    /// # Errors
    /// [`DataError::Render`] for a field that the record lacks or that cannot be written.
    pub fn fill(&self, record: &Record) -> Result<String, DataError> {
        let filled = render(&self.environment, &self.text, &record.fields);
        filled.map_err(|reason| DataError::Render {
            id: record.id.clone(),
            reason: format!("{}: {reason}", self.key),
        })
    }
}

/// Where templates are rendered.
pub(crate) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(STEPS_MAX));
    environment
}

/// Fills `text` from `fields`; the error is for people.
pub(crate) fn render(
    environment: &Environment<'static>,
    text: &str,
    fields: &Map<String, Value>,
) -> Result<String, String> {
    let fields = minijinja::Value::from(minijinja::value::Serde(fields));
    let rendered = environment.render_str(text, fields);
    rendered.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: Value) -> Record {
        Record {
            id: "7".to_owned(),
            group: "7".to_owned(),
            line: 7,
            fields: fields.as_object().cloned().expect("an object"),
        }
    }

    #[test]
    fn it_is_filled_from_the_fields_and_names_what_is_missing() {
        let template = Template::new("tune.preference.chosen", "{{ a }} and {{ b }}");
        let template = template.expect("a template");
        let full = template.fill(&record(serde_json::json!({"a": "x", "b": 2})));
        assert_eq!(full.expect("fills"), "x and 2");
        let error = template.fill(&record(serde_json::json!({"a": "x"})));
        let error = error.expect_err("b is missing").to_string();
        assert!(
            error.contains("record 7") && error.contains("tune.preference.chosen"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_template_is_refused_by_its_key() {
        let error = Template::new("tune.pretrain.text", "{{ a ").expect_err("it is cut");
        assert_eq!(error.code(), "data-spec");
        assert!(error.to_string().contains("tune.pretrain.text"), "{error}");
    }

    #[test]
    fn a_loop_ends() {
        let endless =
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
        let template = Template::new("tune.pretrain.text", endless).expect("a template");
        assert!(template.fill(&record(serde_json::json!({}))).is_err());
    }
}
