//! jsonl and json: objects, one a line or in an array.

use serde_json::{Map, Value};

use super::text::Text;
use super::{Failure, ReaderSpec, Row, Rows};

/// The objects of a file that has one on each line.
pub(super) fn line_rows(bytes: &[u8], spec: &ReaderSpec) -> Result<Rows, Failure> {
    let text = Text::decode(bytes, spec)?;
    let lines = (1..).zip(text.text.lines());
    let rows = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| Row {
            line: number,
            fields: match text.damage(line) {
                Some(reason) => Err(reason),
                None => object_line(line),
            },
        });
    Ok(Rows {
        rows: rows.collect(),
        encoding: text.encoding,
    })
}

fn object_line(line: &str) -> Result<Map<String, Value>, String> {
    let value = serde_json::from_str(line).map_err(|error| format!("it is not JSON: {error}"))?;
    object(value)
}

/// The objects of the array at the specification's pointer; their lines are their places in it.
pub(super) fn array_rows(bytes: &[u8], spec: &ReaderSpec) -> Result<Rows, Failure> {
    let text = Text::decode(bytes, spec)?;
    if let Some(reason) = text.damage(&text.text) {
        return Err(Failure::Format(reason));
    }
    let mut value: Value = serde_json::from_str(&text.text)
        .map_err(|error| Failure::Format(format!("it is not JSON: {error}")))?;
    let pointer = spec.pointer.as_deref().unwrap_or_default();
    let items = match value.pointer_mut(pointer) {
        Some(Value::Array(items)) => std::mem::take(items),
        _ => {
            return Err(Failure::Spec {
                key: "pointer",
                reason: format!("there is no array at `{pointer}`{}", arrays(&value)),
            });
        }
    };
    let rows = (1..).zip(items).map(|(place, item)| Row {
        line: place,
        fields: object(item),
    });
    Ok(Rows {
        rows: rows.collect(),
        encoding: text.encoding,
    })
}

/// Where the arrays are, one level down.
fn arrays(value: &Value) -> String {
    let members = value.as_object().into_iter().flatten();
    let names: Vec<_> = members
        .filter(|(_, item)| item.is_array())
        .map(|(name, _)| format!("/{}", name.replace('~', "~0").replace('/', "~1")))
        .take(12)
        .collect();
    if names.is_empty() {
        "; write where the array of records is, such as /data".to_owned()
    } else {
        format!("; there are arrays at {}", names.join(", "))
    }
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(members) => Ok(members),
        other => Err(format!("it is {} instead of an object", kind(&other))),
    }
}

/// What a value is, for errors.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(rows: Result<Rows, Failure>) -> Vec<(u64, Result<String, String>)> {
        let rows = rows.unwrap_or_else(|failure| panic!("{failure:?}")).rows;
        rows.into_iter()
            .map(|row| {
                (
                    row.line,
                    row.fields.map(|fields| Value::from(fields).to_string()),
                )
            })
            .collect()
    }

    #[test]
    fn lines_are_objects_or_broken() {
        let text = b"{\"a\":1}\n\n[1]\n{\"a\":\n{\"a\":1.5e400}\n\xff\n{\"b\":\"x\"}\r\n";
        let rows = outcome(line_rows(text, &ReaderSpec::default()));
        let lines: Vec<_> = rows.iter().map(|row| row.0).collect();
        assert_eq!(lines, [1, 3, 4, 5, 6, 7]);
        assert_eq!(rows[0].1, Ok("{\"a\":1}".to_owned()));
        assert_eq!(
            rows[1].1,
            Err("it is a list instead of an object".to_owned())
        );
        for broken in &rows[2..4] {
            assert!(
                broken
                    .1
                    .as_ref()
                    .is_err_and(|e| e.starts_with("it is not JSON"))
            );
        }
        assert!(rows[4].1.as_ref().is_err_and(|e| e.contains("not UTF-8")));
        assert_eq!(rows[5].1, Ok("{\"b\":\"x\"}".to_owned()));
    }

    #[test]
    fn arrays_are_found_by_pointer_and_missing_ones_named() {
        let text = br#"{"rows": [{"a": 1}, 2], "n": 3}"#;
        let spec = ReaderSpec {
            pointer: Some("/rows".to_owned()),
            ..ReaderSpec::default()
        };
        let rows = outcome(array_rows(text, &spec));
        assert_eq!(rows[0], (1, Ok("{\"a\":1}".to_owned())));
        assert_eq!(
            rows[1],
            (2, Err("it is a number instead of an object".to_owned()))
        );
        let failure = array_rows(text, &ReaderSpec::default()).err().unwrap();
        assert!(format!("{failure:?}").contains("there are arrays at /rows"));
        let deep = [b'['; 100_000];
        assert!(array_rows(&deep, &ReaderSpec::default()).is_err());
    }
}
