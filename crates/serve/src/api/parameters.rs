//! Every parameter of a chat completion, and what becomes of it; tables of other paths' parameters stand
//! with these.
//!
//! It is read, ignored because it cannot change the answer, or refused unless it
//! asks for what happens anyway. One that is not in the table is refused by name:
//! an answer that silently means something else is worse than an error.

use serde_json::{Map, Value};

use super::error::ApiError;

/// What becomes of a parameter.
pub(super) enum Handling {
    /// Read by the request.
    Read,
    /// Cannot change the answer.
    Ignored,
    /// Accepted when the function says that nothing but the usual is asked for.
    Only(fn(&Value) -> bool, &'static str),
}

use Handling::{Ignored, Only, Read};

/// Known parameters, by name.
pub(super) type Table = [(&'static str, Handling)];

/// Every parameter of a chat completion.
const PARAMETERS: &Table = &[
    ("audio", Only(never, "this server answers with text")),
    ("frequency_penalty", Read),
    (
        "function_call",
        Only(is_none_or_auto, "'tool_choice' took its place"),
    ),
    ("functions", Only(is_empty, "'tools' took its place")),
    (
        "guided_choice",
        Only(never, "'structured_outputs' took its place"),
    ),
    (
        "guided_grammar",
        Only(never, "'structured_outputs' took its place"),
    ),
    (
        "guided_json",
        Only(never, "'structured_outputs' took its place"),
    ),
    (
        "guided_regex",
        Only(never, "'structured_outputs' took its place"),
    ),
    ("ignore_eos", Read),
    ("logit_bias", Read),
    ("logprobs", Read),
    ("max_completion_tokens", Read),
    ("max_tokens", Read),
    ("messages", Read),
    ("metadata", Ignored),
    (
        "modalities",
        Only(is_text_alone, "this server answers with text"),
    ),
    ("model", Read),
    (
        "moderation",
        Only(never, "the server calls no other service"),
    ),
    ("n", Read),
    ("parallel_tool_calls", Ignored),
    (
        "prediction",
        Only(never, "predicted outputs are not built yet"),
    ),
    ("presence_penalty", Read),
    ("priority", Read),
    ("prompt_cache_key", Ignored),
    ("prompt_cache_options", Ignored),
    ("prompt_cache_retention", Ignored),
    (
        "reasoning_effort",
        Only(never, "the model does not reason before it answers"),
    ),
    ("response_format", Read),
    ("safety_identifier", Ignored),
    ("seed", Read),
    ("service_tier", Ignored),
    ("stop", Read),
    ("store", Only(is_false, "answers are not stored")),
    ("stream", Read),
    ("stream_options", Read),
    ("structured_outputs", Read),
    ("temperature", Read),
    ("tool_choice", Read),
    ("tools", Read),
    ("top_k", Read),
    ("top_logprobs", Read),
    ("top_p", Read),
    ("user", Ignored),
    ("verbosity", Only(never, "the model has no such setting")),
    (
        "web_search_options",
        Only(never, "the server never goes to the network"),
    ),
];

pub(super) fn never(_: &Value) -> bool {
    false
}

fn is_false(value: &Value) -> bool {
    value == &Value::Bool(false)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

fn is_none_or_auto(value: &Value) -> bool {
    matches!(value.as_str(), Some("none" | "auto"))
}

fn is_text_alone(value: &Value) -> bool {
    value
        .as_array()
        .is_some_and(|kinds| kinds.iter().all(|kind| kind == "text"))
}

/// Refuses what is unknown or asks for something that is not built.
///
/// # Errors
/// 400 naming the first such parameter.
pub(crate) fn check(map: &Map<String, Value>) -> Result<(), ApiError> {
    check_by(PARAMETERS, map)
}

/// As [`check`], by another path's table.
///
/// # Errors
/// 400 naming the first such parameter.
pub(super) fn check_by(table: &Table, map: &Map<String, Value>) -> Result<(), ApiError> {
    for (name, value) in map {
        let Some((_, handling)) = table.iter().find(|(known, _)| known == name) else {
            let shown: String = name.chars().take(80).collect();
            let message = format!("Unrecognized request argument supplied: {shown}.");
            return Err(ApiError::invalid(Some(&shown), message).with_code("unknown_parameter"));
        };
        if let Only(usual, why) = handling
            && !value.is_null()
            && !usual(value)
        {
            return Err(ApiError::unsupported(name, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `param` and `code` of the refusal of a parameter, if it is refused.
    fn refusal(name: &str, value: Value) -> Option<(Value, Value)> {
        let map = Map::from_iter([(name.to_owned(), value)]);
        let error = check(&map).err()?.body()["error"].clone();
        Some((error["param"].clone(), error["code"].clone()))
    }

    #[test]
    fn accepts_what_asks_for_nothing_unusual() {
        for (name, value) in [
            ("n", json!(1)),
            ("logprobs", json!(false)),
            ("top_logprobs", json!(0)),
            ("store", json!(false)),
            ("tools", json!([])),
            ("functions", json!([])),
            ("tool_choice", json!("none")),
            ("logit_bias", json!({})),
            ("modalities", json!(["text"])),
            ("user", json!("u")),
            ("metadata", json!({"a": "b"})),
        ] {
            assert_eq!(refusal(name, value), None, "{name}");
        }
        for (name, _) in PARAMETERS {
            assert_eq!(refusal(name, Value::Null), None, "{name}");
        }
    }

    #[test]
    fn refuses_by_name_what_would_change_the_meaning() {
        for (name, value) in [
            ("functions", json!([{"name": "f"}])),
            ("guided_json", json!({"type": "object"})),
            ("modalities", json!(["text", "audio"])),
            ("audio", json!({})),
            ("store", json!(true)),
            ("reasoning_effort", json!("high")),
        ] {
            let expected = Some((json!(name), json!("unsupported_parameter")));
            assert_eq!(refusal(name, value), expected, "{name}");
        }
        let unknown = Some((json!("best_of"), json!("unknown_parameter")));
        assert_eq!(refusal("best_of", json!(2)), unknown);
    }

    #[test]
    fn the_guide_names_every_parameter() {
        let guide = include_str!("../../../../docs/guide/serving.md");
        for (name, _) in PARAMETERS {
            assert!(guide.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn the_table_is_sorted_and_names_nothing_twice() {
        assert!(PARAMETERS.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
