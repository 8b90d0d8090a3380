//! Values as the types that a pack gives to columns.

use serde_json::Value;

use super::FieldType;

/// `value` as `kind`. Nothing (an empty cell, null) stays nothing, except that text keeps its
/// emptiness; a required field is checked for later.
pub(crate) fn typed(value: &Value, kind: FieldType) -> Result<Value, String> {
    let text = match value {
        Value::Null => return Ok(Value::Null),
        Value::Array(_) | Value::Object(_) => {
            return Err("holds a list or an object instead of one value".to_owned());
        }
        Value::String(text) if kind == FieldType::Text => return Ok(Value::String(text.clone())),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let shown = || text.chars().take(40).collect::<String>();
    match kind {
        FieldType::Text => Ok(Value::String(text)),
        FieldType::Integer => text
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| format!("is `{}` instead of a whole number", shown())),
        FieldType::Number => {
            number(&text).ok_or_else(|| format!("is `{}` instead of a number", shown()))
        }
        FieldType::Boolean => match text.to_lowercase().as_str() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(format!("is `{}` instead of true or false", shown())),
        },
    }
}

/// The finite number that `text` spells. Whole numbers stay whole, so that a table that writes
/// `2` and one that writes `2.0` keep what they wrote.
fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::from(whole));
    }
    // Rust also reads "inf" and "nan", which no table means as a number.
    text.parse::<f64>()
        .ok()
        .filter(|float| float.is_finite())
        .map(Value::from)
}
