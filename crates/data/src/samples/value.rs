//! Looking into a record: a column as a text, a list, a yes or no, each refusal naming the column.

use std::borrow::Cow;

use serde_json::{Map, Value};

use crate::nearest;
pub(super) use crate::reader::json::kind;

/// One record's columns.
pub(super) type Fields = Map<String, Value>;

/// A column's value; nothing where it is absent or null.
pub(super) fn given<'a>(fields: &'a Fields, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

/// A column's value, which must be there.
pub(super) fn required<'a>(fields: &'a Fields, name: &str) -> Result<&'a Value, String> {
    given(fields, name).ok_or_else(|| match fields.contains_key(name) {
        true => format!("its `{name}` is null"),
        false => format!(
            "it has no `{name}`{}",
            nearest::hint(name, fields.keys().map(String::as_str))
        ),
    })
}

/// An optional column of text; nothing where it is empty too.
pub(super) fn optional_text<'a>(
    fields: &'a Fields,
    name: Option<&str>,
) -> Result<Option<&'a str>, String> {
    let Some((name, value)) = name.and_then(|name| Some((name, given(fields, name)?))) else {
        return Ok(None);
    };
    Ok(Some(as_text(value, name)?).filter(|text| !text.is_empty()))
}

/// A column of text that must say something.
pub(super) fn text<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, String> {
    let text = as_text(required(fields, name)?, name)?;
    if text.trim().is_empty() {
        return Err(format!("its `{name}` is empty"));
    }
    Ok(text)
}

fn as_text<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    value
        .as_str()
        .ok_or_else(|| format!("its `{name}` is {} instead of a text", kind(value)))
}

/// `value` as a list: itself, or the JSON that a cell of a table spells.
pub(super) fn as_list<'a>(value: &'a Value, name: &str) -> Result<Cow<'a, [Value]>, String> {
    match value {
        Value::Array(items) => Ok(Cow::Borrowed(items)),
        Value::String(text) if text.trim_start().starts_with('[') => serde_json::from_str(text)
            .map(Cow::Owned)
            .map_err(|error| format!("its `{name}` is not a list in JSON: {error}")),
        other => Err(format!("its `{name}` is {} instead of a list", kind(other))),
    }
}

/// A column of yes or no, which cells of a table spell as text or number.
pub(super) fn flag(fields: &Fields, name: &str) -> Result<bool, String> {
    let value = required(fields, name)?;
    as_flag(value)
        .ok_or_else(|| format!("its `{name}` is {} instead of true or false", kind(value)))
}

/// `value` as yes or no, if it is one.
pub(super) fn as_flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
