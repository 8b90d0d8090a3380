//! What every record must satisfy before anything is made of it.

use serde_json::Value;

use super::{check_field, keep_or_report};
use crate::DataError;
use crate::reader::{Read, Record};
use crate::spec::{CheckSpec, Range};

/// Reports and keeps out the records that lack a required field or whose number is out of range.
pub(super) fn check(read: &mut Read, spec: &CheckSpec) -> Result<(), DataError> {
    for field in &spec.required {
        check_field(read, "check.required", field)?;
    }
    for field in spec.ranges.keys() {
        check_field(read, "check.ranges", field)?;
    }
    keep_or_report(read, |record| {
        spec.required
            .iter()
            .try_for_each(|field| required(record, field))?;
        spec.ranges
            .iter()
            .try_for_each(|(field, range)| in_range(record, field, range))
    });
    Ok(())
}

fn required(record: &Record, field: &str) -> Result<(), String> {
    match record.fields.get(field) {
        None | Some(Value::Null) => Err(format!("`{field}` is missing")),
        Some(Value::String(text)) if text.trim().is_empty() => Err(format!("`{field}` is empty")),
        Some(_) => Ok(()),
    }
}

/// An absent number is in every range: whether it may be absent is for `required` to say.
fn in_range(record: &Record, field: &str, range: &Range) -> Result<(), String> {
    let number = match record.fields.get(field) {
        None | Some(Value::Null) => return Ok(()),
        Some(value) => value.as_f64().ok_or_else(|| {
            format!("`{field}` is not a number; give it a type in `reader.types`")
        })?,
    };
    if range.min.is_some_and(|min| number < min) {
        return Err(format!(
            "`{field}` is {number}, below {}",
            range.min.unwrap_or(number)
        ));
    }
    if range.max.is_some_and(|max| number > max) {
        return Err(format!(
            "`{field}` is {number}, above {}",
            range.max.unwrap_or(number)
        ));
    }
    Ok(())
}
