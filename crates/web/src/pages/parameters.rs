//! What the playground's form says beside the question: how the answer is chosen, and its shape.
//!
//! A field left empty is not sent, so that the server's own choice holds. Only what is no number, or no JSON,
//! is refused here; what a number may be is for `/v1` to say.

use serde::Deserialize;
use serde_json::{Map, Number, Value, json};

use crate::lang::Say;

/// The fields as they were typed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Parameters {
    pub temperature: String,
    pub top_p: String,
    pub max_tokens: String,
    pub seed: String,
    /// The JSON Schema of the answer.
    pub schema: String,
}

impl Default for Parameters {
    /// Greedy, as the gate measured it.
    fn default() -> Parameters {
        Parameters {
            temperature: "0".to_owned(),
            top_p: String::new(),
            max_tokens: String::new(),
            seed: String::new(),
            schema: String::new(),
        }
    }
}

impl Parameters {
    /// Whether something is other than at first, so that it is shown.
    pub fn changed(&self) -> bool {
        *self != Parameters::default()
    }

    /// As members of a request.
    ///
    /// # Errors
    /// What is wrong with a field, for people.
    pub fn read(&self, say: Say) -> Result<Map<String, Value>, String> {
        let refuse = |key: &str, value: &str| {
            say.with("web.try.not", &[("name", &say.it(key)), ("value", value)])
        };
        let mut members = Map::new();
        for (name, key, text, whole) in [
            (
                "temperature",
                "web.try.temperature",
                &self.temperature,
                false,
            ),
            ("top_p", "web.try.top_p", &self.top_p, false),
            ("max_tokens", "web.try.max_tokens", &self.max_tokens, true),
            ("seed", "web.try.seed", &self.seed, true),
        ] {
            let text = text.trim();
            if !text.is_empty() {
                let number = number(text, whole).ok_or_else(|| refuse(key, text))?;
                members.insert(name.to_owned(), Value::Number(number));
            }
        }
        let schema = self.schema.trim();
        if !schema.is_empty() {
            let schema: Value = serde_json::from_str(schema)
                .map_err(|error| refuse("web.try.schema", &error.to_string()))?;
            let named = json!({ "name": "answer", "schema": schema });
            let format = json!({ "type": "json_schema", "json_schema": named });
            members.insert("response_format".to_owned(), format);
        }
        Ok(members)
    }
}

/// A decimal, or a whole number, as JSON has it.
fn number(text: &str, whole: bool) -> Option<Number> {
    if whole {
        return text.parse::<i64>().ok().map(Number::from);
    }
    Number::from_f64(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    fn read(parameters: &Parameters) -> Result<Value, String> {
        parameters.read(Say::new(Lang::En)).map(Value::Object)
    }

    #[test]
    fn what_is_left_empty_is_not_sent() {
        let first = Parameters::default();
        assert_eq!(read(&first), Ok(json!({"temperature": 0.0})));
        assert!(!first.changed());
        let all = Parameters {
            temperature: " 0.7 ".to_owned(),
            top_p: "0.9".to_owned(),
            max_tokens: "64".to_owned(),
            seed: "-3".to_owned(),
            schema: "{\"type\": \"object\"}".to_owned(),
        };
        let format = json!({
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}},
        });
        let sent = json!({
            "temperature": 0.7, "top_p": 0.9, "max_tokens": 64, "seed": -3, "response_format": format,
        });
        assert_eq!(read(&all), Ok(sent));
        assert!(all.changed());
    }

    #[test]
    fn what_is_no_number_and_no_json_is_named() {
        let with = |change: fn(&mut Parameters)| {
            let mut parameters = Parameters::default();
            change(&mut parameters);
            read(&parameters).expect_err("it is refused")
        };
        let warm = with(|it| it.temperature = "warm".to_owned());
        assert_eq!(warm, "Temperature is not what it has to be: warm");
        assert!(with(|it| it.top_p = "NaN".to_owned()).contains("NaN"));
        assert!(with(|it| it.seed = "1.5".to_owned()).starts_with("Seed"));
        assert!(with(|it| it.schema = "{".to_owned()).starts_with("JSON Schema"));
    }
}
