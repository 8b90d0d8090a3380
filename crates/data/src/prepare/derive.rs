//! Fields worked out from others: the review's number out of an id, the product out of that.

use regex::Regex;
use serde_json::Value;

use super::{check_field, keep_or_report};
use crate::DataError;
use crate::reader::{FieldType, Read, Record, typed};
use crate::spec::{Bin, Count, DeriveSpec};

/// Adds the derived fields in order; a record that has no value for one is reported and kept out.
pub(super) fn derive(read: &mut Read, specs: &[DeriveSpec]) -> Result<(), DataError> {
    for spec in specs {
        let rule = Rule::new(spec)?;
        check_field(read, "derive.from", &spec.from)?;
        if read
            .records
            .iter()
            .any(|record| record.fields.contains_key(&spec.field))
        {
            return Err(refuse(
                spec,
                "the records have this field already; name the new one differently",
            ));
        }
        keep_or_report(read, |record| {
            let value = rule.value(record, &spec.from)?;
            record.fields.insert(spec.field.clone(), value);
            Ok(())
        });
    }
    Ok(())
}

enum Rule<'a> {
    Pattern(Regex, FieldType),
    Bins(&'a [Bin]),
    Count(Count),
}

impl<'a> Rule<'a> {
    fn new(spec: &'a DeriveSpec) -> Result<Self, DataError> {
        match (&spec.pattern, &spec.bins, spec.count) {
            (Some(pattern), None, None) => {
                let regex = Regex::new(pattern).map_err(|error| {
                    refuse(
                        spec,
                        &format!("the pattern is no regular expression: {error}"),
                    )
                })?;
                Ok(Self::Pattern(regex, spec.kind.unwrap_or(FieldType::Text)))
            }
            (_, _, _) if spec.kind.is_some() => Err(refuse(
                spec,
                "`type` goes with `pattern` only; leave it out",
            )),
            (None, Some(bins), None) => Ok(Self::Bins(bins)),
            (None, None, Some(count)) => Ok(Self::Count(count)),
            _ => Err(refuse(
                spec,
                "write exactly one of `pattern`, `bins` and `count`",
            )),
        }
    }

    fn value(&self, record: &Record, from: &str) -> Result<Value, String> {
        let value = match record.fields.get(from) {
            None | Some(Value::Null) => return Err(format!("`{from}` is missing")),
            Some(value) => value,
        };
        match self {
            Self::Pattern(regex, kind) => {
                let text = text(value);
                let captures = regex
                    .captures(&text)
                    .ok_or_else(|| format!("`{from}` does not match `{regex}`"))?;
                let found = captures.get(1).or_else(|| captures.get(0));
                let found = Value::from(found.map_or("", |found| found.as_str()));
                typed(&found, *kind)
                    .map_err(|reason| format!("what `{regex}` finds in `{from}` {reason}"))
            }
            Self::Bins(bins) => {
                let number = value
                    .as_f64()
                    .ok_or_else(|| format!("`{from}` is not a number"))?;
                Bin::name_of(bins, number)
                    .map(Value::from)
                    .ok_or_else(|| format!("no bin holds `{from}` = {number}"))
            }
            Self::Count(Count::Words) => Ok(Value::from(text(value).split_whitespace().count())),
            Self::Count(Count::Characters) => Ok(Value::from(text(value).chars().count())),
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn refuse(spec: &DeriveSpec, reason: &str) -> DataError {
    DataError::Spec {
        key: format!("data.derive ({})", spec.field),
        reason: reason.to_owned(),
    }
}
