//! The shape of an answer: OpenAI's `response_format`, and `structured_outputs` for what it has no
//! words for.
//!
//! The second is vLLM's, whose clients send it beside OpenAI's own parameters. Here a constraint is only
//! read; whether it can be used shows when it is compiled.

use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::fields::is_absent;
use crate::door::Inner;
use crate::grammar::{Constraint, Unprepared};
use crate::scheduler::Grammar;
use crate::served::Served;

const FORMAT: &str = "response_format";
const OUTPUTS: &str = "structured_outputs";

/// A constraint, and the parameter that asks for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    /// The parameter's name.
    pub param: &'static str,
    /// What it asks for.
    pub constraint: Constraint,
}

impl Shape {
    /// Compiles it for an answer of `served`.
    ///
    /// # Errors
    /// 400 where it is wrong, not supported or beyond a bound; 503 while others are being compiled.
    pub(crate) async fn prepare(
        shape: Option<Shape>,
        door: &Inner,
        served: &Served,
    ) -> Result<Option<Grammar>, ApiError> {
        let Some(Shape { param, constraint }) = shape else {
            return Ok(None);
        };
        let ms_max = door.limits.grammar_ms_max;
        let prepared = served
            .grammars()
            .prepare(served.model(), constraint, ms_max);
        prepared.await.map(Some).map_err(|refused| match refused {
            Unprepared::Unusable(reason) => {
                refuse(param, &format!("'{param}' cannot be used: {reason}."))
            }
            Unprepared::TooLong => refuse(
                param,
                &format!("'{param}' is not ready after {ms_max} ms. Ask for something simpler."),
            ),
            Unprepared::Busy => {
                let message = format!("'{param}' of others is being prepared. Try again shortly.");
                ApiError::unavailable(message)
            }
        })
    }
}

/// Reads both members; none where the answer is free.
///
/// # Errors
/// 400 naming the member that is wrong, or that two say something.
pub(crate) fn read(map: &Map<String, Value>) -> Result<Option<Shape>, ApiError> {
    let format = read_format(map.get(FORMAT))?;
    let outputs = read_outputs(map.get(OUTPUTS))?;
    let shape = |param| move |constraint| Shape { param, constraint };
    let shape = match (format, outputs) {
        (Some(_), Some(_)) => {
            let message = format!("'{FORMAT}' and '{OUTPUTS}' both say something. Send one.");
            return Err(refuse(OUTPUTS, &message));
        }
        (format, outputs) => format
            .map(shape(FORMAT))
            .or_else(|| outputs.map(shape(OUTPUTS))),
    };
    match shape {
        Some(shape) if map.get("ignore_eos") == Some(&Value::Bool(true)) => {
            let message = format!("'ignore_eos' cannot go with '{}'.", shape.param);
            Err(refuse("ignore_eos", &message))
        }
        shape => Ok(shape),
    }
}

fn refuse(param: &str, message: &str) -> ApiError {
    ApiError::invalid(Some(param), message)
}

/// `{"type": "text"}`, `json_object` (with a `schema`, as other servers take it) or `json_schema`.
fn read_format(value: Option<&Value>) -> Result<Option<Constraint>, ApiError> {
    let format = match value {
        value if is_absent(value) => return Ok(None),
        Some(Value::Object(format)) => format,
        _ => return Err(refuse(FORMAT, "'response_format' must be an object.")),
    };
    let constraint = match format.get("type").and_then(Value::as_str) {
        Some("text") => {
            only(format, FORMAT, &["type"])?;
            return Ok(None);
        }
        Some("json_object") => {
            only(format, FORMAT, &["type", "schema"])?;
            match format.get("schema") {
                schema if is_absent(schema) => any_object(),
                schema => read_schema(schema, "response_format.schema")?,
            }
        }
        Some("json_schema") => {
            only(format, FORMAT, &["type", "json_schema"])?;
            read_named(format.get("json_schema"))?
        }
        _ => {
            let why = "its type must be 'text', 'json_object' or 'json_schema'; regular expressions \
                       and grammars go into 'structured_outputs'";
            return Err(ApiError::unsupported(FORMAT, why));
        }
    };
    Ok(Some(constraint))
}

/// OpenAI's member: a schema with a name. `strict` changes nothing, since every schema is kept to.
fn read_named(value: Option<&Value>) -> Result<Constraint, ApiError> {
    let Some(Value::Object(named)) = value else {
        return Err(refuse(
            FORMAT,
            "'response_format.json_schema' must be {\"name\": …, \"schema\": …}.",
        ));
    };
    only(named, FORMAT, &["name", "description", "schema", "strict"])?;
    for name in ["name", "description", "strict"] {
        let fits = |value: &Value| match name {
            "strict" => value.is_boolean(),
            _ => value.is_string(),
        };
        let value = named.get(name);
        if !is_absent(value) && !value.is_some_and(fits) {
            let message = format!("'response_format.json_schema.{name}' is of the wrong kind.");
            return Err(refuse(FORMAT, &message));
        }
    }
    read_schema(named.get("schema"), "response_format.json_schema.schema")
}

fn read_schema(value: Option<&Value>, name: &str) -> Result<Constraint, ApiError> {
    match value {
        Some(Value::Object(schema)) => Ok(Constraint::Schema(schema.clone())),
        _ => {
            let message = format!("'{name}' must be a JSON Schema, an object.");
            Err(refuse(FORMAT, &message))
        }
    }
}

fn any_object() -> Constraint {
    let schema = json!({"type": "object"});
    Constraint::Schema(schema.as_object().cloned().unwrap_or_default())
}

/// vLLM's member: exactly one of `json`, `json_object`, `regex`, `choice` and `grammar`.
fn read_outputs(value: Option<&Value>) -> Result<Option<Constraint>, ApiError> {
    let outputs = match value {
        value if is_absent(value) => return Ok(None),
        Some(Value::Object(outputs)) => outputs,
        _ => return Err(refuse(OUTPUTS, "'structured_outputs' must be an object.")),
    };
    only(
        outputs,
        OUTPUTS,
        &["json", "json_object", "regex", "choice", "grammar"],
    )?;
    let mut given = outputs.iter().filter(|(_, value)| !value.is_null());
    let (Some((name, value)), None) = (given.next(), given.next()) else {
        let message = "'structured_outputs' must name one of 'json', 'json_object', 'regex', \
                       'choice' and 'grammar'.";
        return Err(refuse(OUTPUTS, message));
    };
    read_output(name, value).map(Some).ok_or_else(|| {
        let message = format!("'structured_outputs.{name}' is of the wrong kind.");
        refuse(OUTPUTS, &message)
    })
}

fn read_output(name: &str, value: &Value) -> Option<Constraint> {
    Some(match (name, value) {
        ("json", Value::Object(schema)) => Constraint::Schema(schema.clone()),
        ("json", Value::String(text)) => Constraint::Schema(serde_json::from_str(text).ok()?),
        ("json_object", Value::Bool(true)) => any_object(),
        ("regex", Value::String(pattern)) => Constraint::Regex(pattern.clone()),
        ("grammar", Value::String(grammar)) => Constraint::Lark(grammar.clone()),
        ("choice", Value::Array(texts)) => {
            let texts = texts.iter().map(|text| text.as_str().map(str::to_owned));
            Constraint::Choice(texts.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// Refuses members that are not known: they would be left out silently.
fn only(map: &Map<String, Value>, param: &str, known: &[&str]) -> Result<(), ApiError> {
    let unknown =
        |(name, value): &(&String, &Value)| !value.is_null() && !known.contains(&name.as_str());
    match map.iter().find(unknown) {
        None => Ok(()),
        Some((name, _)) => {
            let shown: String = name.chars().take(80).collect();
            let why = format!("its member '{shown}' is not known here");
            Err(ApiError::unsupported(param, &why))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(value: Value) -> Result<Option<Shape>, ApiError> {
        read(value.as_object().expect("an object"))
    }

    #[test]
    fn shapes_are_read_from_either_parameter() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer"}}});
        let as_schema =
            |value: &Value| Constraint::Schema(value.as_object().expect("an object").clone());
        let named = json!({"name": "n", "strict": true, "schema": schema});
        let object = as_schema(&json!({"type": "object"}));
        let text = |text: &str| text.to_owned();
        for (request, param, constraint) in [
            (
                json!({"response_format": {"type": "json_schema", "json_schema": named}}),
                FORMAT,
                as_schema(&schema),
            ),
            (
                json!({"response_format": {"type": "json_object", "schema": schema}}),
                FORMAT,
                as_schema(&schema),
            ),
            (
                json!({"response_format": {"type": "json_object"}}),
                FORMAT,
                object.clone(),
            ),
            (
                json!({"structured_outputs": {"json": schema, "regex": null}}),
                OUTPUTS,
                as_schema(&schema),
            ),
            (
                json!({"structured_outputs": {"json": schema.to_string()}}),
                OUTPUTS,
                as_schema(&schema),
            ),
            (
                json!({"structured_outputs": {"json_object": true}}),
                OUTPUTS,
                object,
            ),
            (
                json!({"response_format": null, "structured_outputs": {"regex": "a+"}}),
                OUTPUTS,
                Constraint::Regex(text("a+")),
            ),
            (
                json!({"structured_outputs": {"choice": ["是", "否"]}}),
                OUTPUTS,
                Constraint::Choice(vec![text("是"), text("否")]),
            ),
            (
                json!({"structured_outputs": {"grammar": "start: \"a\""}}),
                OUTPUTS,
                Constraint::Lark(text("start: \"a\"")),
            ),
        ] {
            let shape = read_from(request.clone()).expect("a shape");
            assert_eq!(shape, Some(Shape { param, constraint }), "{request}");
        }
        for free in [
            json!({}),
            json!({"response_format": {"type": "text"}}),
            json!({"response_format": null, "structured_outputs": null}),
        ] {
            assert_eq!(read_from(free.clone()).expect("free"), None, "{free}");
        }
    }

    #[test]
    fn what_says_nothing_or_too_much_is_named() {
        let schema = json!({"type": "object"});
        for (request, param) in [
            (json!({"response_format": "text"}), FORMAT),
            (json!({"response_format": {}}), FORMAT),
            (json!({"response_format": {"type": "grammar"}}), FORMAT),
            (json!({"response_format": {"type": "json_schema"}}), FORMAT),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}),
                FORMAT,
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"name": 1, "schema": schema}}}),
                FORMAT,
            ),
            (
                json!({"response_format": {"type": "json_schema", "json_schema": {"schema": schema, "style": 1}}}),
                FORMAT,
            ),
            (
                json!({"response_format": {"type": "json_object", "schema": true}}),
                FORMAT,
            ),
            (json!({"structured_outputs": "a"}), OUTPUTS),
            (json!({"structured_outputs": {}}), OUTPUTS),
            (
                json!({"structured_outputs": {"regex": "a", "choice": ["a"]}}),
                OUTPUTS,
            ),
            (json!({"structured_outputs": {"choice": ["a", 1]}}), OUTPUTS),
            (json!({"structured_outputs": {"json": "{"}}), OUTPUTS),
            (
                json!({"structured_outputs": {"structural_tag": "x"}}),
                OUTPUTS,
            ),
            (
                json!({"response_format": {"type": "json_object"}, "structured_outputs": {"regex": "a"}}),
                OUTPUTS,
            ),
            (
                json!({"response_format": {"type": "json_object"}, "ignore_eos": true}),
                "ignore_eos",
            ),
        ] {
            let error = read_from(request.clone()).expect_err("refused").body();
            assert_eq!(error["error"]["param"], param, "{request}");
        }
    }
}
