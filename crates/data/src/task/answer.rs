//! Writing the right answer as compact JSON, and whether an answer agrees with itself.

use serde_json::{Map, Value};

use super::{AnswerField, AnswerFields, refuse};
use crate::spec::Bin;
use crate::{DataError, nearest};

/// The most decimals a step may have.
const DECIMALS_MAX: usize = 9;

/// The answer's fields in order, each with its rule.
pub(super) struct AnswerRules(Vec<(String, Rule)>);

/// How a field of the answer is worked out.
enum Rule {
    /// The record's field as it is.
    Copy { field: String },
    /// The record's number, rounded.
    Number {
        field: String,
        step: f64,
        decimals: usize,
    },
    /// The name of the bin that holds the record's number.
    BinsFrom { field: String, bins: Vec<Bin> },
    /// The name of the bin that holds an earlier, rounded number of the answer itself.
    BinsOf { earlier: String, bins: Vec<Bin> },
    /// A template over the record's fields.
    Template(String),
}

impl AnswerRules {
    /// For answers in free words.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn new(fields: &AnswerFields) -> Result<Self, DataError> {
        let mut rules: Vec<(String, Rule)> = Vec::new();
        if fields.0.is_empty() {
            return Err(refuse("answer", "it has no field".to_owned()));
        }
        for (name, field) in &fields.0 {
            let rule = Rule::new(field, &rules)
                .map_err(|reason| refuse(&format!("answer.{name}"), reason))?;
            rules.push((name.clone(), rule));
        }
        Ok(Self(rules))
    }

    /// The right answer for a record's fields.
    pub(super) fn write(
        &self,
        fields: &Map<String, Value>,
        template: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<String, String> {
        let mut written = String::from("{");
        let mut numbers: Vec<(&str, f64)> = Vec::new();
        for (place, (name, rule)) in self.0.iter().enumerate() {
            let text = match rule {
                Rule::Copy { field: from } => field(fields, from)?.to_string(),
                Rule::Number {
                    field,
                    step,
                    decimals,
                } => {
                    let text = rounded(number(fields, field)?, *step, *decimals);
                    numbers.push((
                        name,
                        text.parse().map_err(|_| format!("`{text}` is no number"))?,
                    ));
                    text
                }
                Rule::BinsFrom { field, bins } => bin_name(bins, number(fields, field)?)?,
                Rule::BinsOf { earlier, bins } => {
                    let number = numbers.iter().find(|(name, _)| name == earlier);
                    // `Rule::new` saw to it that the number stands earlier.
                    bin_name(bins, number.map_or(f64::NAN, |(_, number)| *number))?
                }
                Rule::Template(text) => Value::from(template(text)?).to_string(),
            };
            let comma = if place > 0 { "," } else { "" };
            written.push_str(&format!("{comma}{}:{text}", Value::from(name.as_str())));
        }
        written.push('}');
        Ok(written)
    }

    /// Whether every field that names a number of the same answer names it rightly.
    pub(super) fn agrees(&self, answer: &Value) -> bool {
        self.0.iter().all(|(name, rule)| match rule {
            Rule::BinsOf { earlier, bins } => {
                let number = answer.get(earlier).and_then(Value::as_f64);
                let right = number.and_then(|number| Bin::name_of(bins, number));
                right.is_some() && answer.get(name).and_then(Value::as_str) == right
            }
            _ => true,
        })
    }

    /// The bins of the field at `pointer`, if it has any.
    pub(super) fn bins_at(&self, pointer: &str) -> Option<&[Bin]> {
        let wanted = pointer.strip_prefix('/')?;
        let (_, rule) = self.0.iter().find(|(name, _)| name == wanted)?;
        match rule {
            Rule::BinsOf { bins, .. } | Rule::BinsFrom { bins, .. } => Some(bins),
            _ => None,
        }
    }
}

impl Rule {
    fn new(field: &AnswerField, earlier: &[(String, Self)]) -> Result<Self, String> {
        match (&field.from, &field.of, &field.template, field.step, &field.bins) {
            (Some(from), None, None, None, None) => Ok(Self::Copy { field: from.clone() }),
            (Some(from), None, None, Some(step), None) => Ok(Self::Number {
                field: from.clone(),
                step,
                decimals: decimals(step)?,
            }),
            (Some(from), None, None, None, Some(bins)) => Ok(Self::BinsFrom {
                field: from.clone(),
                bins: bins.clone(),
            }),
            (None, Some(of), None, None, Some(bins)) => {
                check_earlier(of, earlier)?;
                Ok(Self::BinsOf {
                    earlier: of.clone(),
                    bins: bins.clone(),
                })
            }
            (None, None, Some(template), None, None) => Ok(Self::Template(template.clone())),
            _ => Err(
                "write `from`, `from` with `step`, `from` with `bins`, `of` with `bins`, or `template`"
                    .to_owned(),
            ),
        }
    }
}

fn check_earlier(of: &str, earlier: &[(String, Rule)]) -> Result<(), String> {
    let numbers: Vec<_> = earlier
        .iter()
        .filter(|(_, rule)| matches!(rule, Rule::Number { .. }))
        .map(|(name, _)| name.as_str())
        .collect();
    if numbers.contains(&of) {
        return Ok(());
    }
    Err(format!(
        "`of: {of}` names no earlier field of the answer that has a `step`{}",
        nearest::hint(of, numbers)
    ))
}

/// How many decimals it takes to write multiples of `step`.
fn decimals(step: f64) -> Result<usize, String> {
    let text = step.to_string();
    let decimals = text
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    if !(step.is_finite() && step > 0.0) || decimals > DECIMALS_MAX {
        return Err(format!(
            "the step {step} is no positive number of at most {DECIMALS_MAX} decimals"
        ));
    }
    Ok(decimals)
}

/// `number` rounded to a multiple of `step`, halves away from zero, with all its decimals.
fn rounded(number: f64, step: f64, decimals: usize) -> String {
    /// What binary fractions are off by (-0.55 / 0.1 = -5.500000000000001) must not decide a half.
    const NOISE: f64 = 1e9;
    let steps = (number / step * NOISE).round() / NOISE;
    let text = format!("{:.decimals$}", steps.round() * step);
    let is_zero = text.bytes().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    match text.strip_prefix('-') {
        Some(positive) if is_zero => positive.to_owned(),
        _ => text,
    }
}

fn bin_name(bins: &[Bin], number: f64) -> Result<String, String> {
    Bin::name_of(bins, number)
        .map(|name| Value::from(name).to_string())
        .ok_or_else(|| format!("no bin holds {number}"))
}

/// A field that must be there.
pub(super) fn field<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    match fields.get(name) {
        Some(Value::Null) => Err(format!("its field `{name}` is empty")),
        Some(value) => Ok(value),
        None => Err(format!(
            "it has no field `{name}`{}",
            nearest::hint(name, fields.keys().map(String::as_str))
        )),
    }
}

/// A field that must be a number.
pub(super) fn number(fields: &Map<String, Value>, name: &str) -> Result<f64, String> {
    field(fields, name)?.as_f64().ok_or_else(|| {
        format!(
            "its field `{name}` is not a number; write `types: {{{name}: number}}` in the reader"
        )
    })
}

/// One value as text, for classes.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_step_and_written_with_its_decimals() {
        let check = |number: f64, step: f64, text: &str| {
            assert_eq!(rounded(number, step, decimals(step).unwrap()), text);
        };
        check(-0.55, 0.1, "-0.6");
        check(0.25, 0.1, "0.3");
        check(-0.04, 0.1, "0.0");
        check(3.0, 0.1, "3.0");
        check(1.15, 0.05, "1.15");
        check(1.13, 0.25, "1.25");
        check(-2.5, 1.0, "-3");
        check(12.0, 5.0, "10");
    }

    #[test]
    fn steps_that_cannot_be_written_are_refused() {
        for step in [0.0, -0.1, f64::NAN, f64::INFINITY, 1e-12] {
            assert!(decimals(step).is_err(), "{step}");
        }
    }
}
