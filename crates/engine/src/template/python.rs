//! What templates use of Python: string and dictionary methods, and JSON as `json.dumps` writes it.
//!
//! Only methods that published chat templates call are here; another one is an error that names it.

use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};
use std::io;

/// Called where a value has no such method of its own.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let found = match value.kind() {
        ValueKind::String => string_method(state, value.as_str().unwrap_or_default(), name, args)?,
        ValueKind::Map => map_method(value, name, args)?,
        _ => None,
    };
    found.ok_or_else(|| {
        let what = format!("a {} has no method {name}", value.kind());
        Error::new(ErrorKind::UnknownMethod, what)
    })
}

fn string_method(
    state: &State,
    text: &str,
    name: &str,
    args: &[Value],
) -> Result<Option<Value>, Error> {
    let value = match name {
        "strip" => Value::from(strip(text, args, true, true)?),
        "lstrip" => Value::from(strip(text, args, true, false)?),
        "rstrip" => Value::from(strip(text, args, false, true)?),
        "split" => split(text, args, false)?,
        "rsplit" => split(text, args, true)?,
        "splitlines" => {
            let () = from_args(args)?;
            text.lines().map(Value::from).collect()
        }
        "startswith" => Value::from(any_affix(args, |affix| text.starts_with(affix))?),
        "endswith" => Value::from(any_affix(args, |affix| text.ends_with(affix))?),
        "replace" => replace(state, text, args)?,
        "upper" => Value::from(text.to_uppercase()),
        "lower" => Value::from(text.to_lowercase()),
        "capitalize" => Value::from(capitalize(text)),
        "title" => Value::from(title(text)),
        "find" => {
            let (what,): (&str,) = from_args(args)?;
            let at = text
                .find(what)
                .map(|byte| text[..byte].chars().count() as i64);
            Value::from(at.unwrap_or(-1))
        }
        "count" => {
            let (what,): (&str,) = from_args(args)?;
            Value::from(if what.is_empty() {
                text.chars().count() + 1
            } else {
                text.matches(what).count()
            })
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn map_method(map: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let pairs = || -> Result<Vec<(Value, Value)>, Error> {
        map.try_iter()?
            .map(|key| Ok((key.clone(), map.get_item(&key)?)))
            .collect()
    };
    Ok(Some(match name {
        "get" => {
            let (key, default): (Value, Option<Value>) = from_args(args)?;
            let found = map.get_item(&key)?;
            if found.is_undefined() {
                default.unwrap_or(Value::from(()))
            } else {
                found
            }
        }
        "keys" => pairs()?.into_iter().map(|(key, _)| key).collect(),
        "values" => pairs()?.into_iter().map(|(_, value)| value).collect(),
        "items" => pairs()?
            .into_iter()
            .map(|(key, value)| Value::from(vec![key, value]))
            .collect(),
        _ => return Ok(None),
    }))
}

fn strip<'a>(text: &'a str, args: &[Value], left: bool, right: bool) -> Result<&'a str, Error> {
    let (set,): (Option<&str>,) = from_args(args)?;
    let strips = |character: char| match set {
        Some(set) => set.contains(character),
        None => is_space(character),
    };
    let text = if left {
        text.trim_start_matches(strips)
    } else {
        text
    };
    Ok(if right {
        text.trim_end_matches(strips)
    } else {
        text
    })
}

/// What Python strips: Unicode's white space and four separators of ASCII.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

fn split(text: &str, args: &[Value], from_right: bool) -> Result<Value, Error> {
    let (separator, limit): (Option<&str>, Option<i64>) = from_args(args)?;
    let parts_max = match limit {
        Some(limit) if limit >= 0 => limit as usize + 1,
        _ => usize::MAX,
    };
    let mut parts: Vec<&str> = match separator {
        Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
        Some(separator) if from_right => text.rsplitn(parts_max, separator).collect(),
        Some(separator) => text.splitn(parts_max, separator).collect(),
        None if parts_max == usize::MAX => text.split(is_space).filter(|p| !p.is_empty()).collect(),
        None => {
            let what = "split with a limit needs a separator";
            return Err(Error::new(ErrorKind::InvalidOperation, what));
        }
    };
    if from_right && separator.is_some() {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// One affix, or any of a tuple of them.
fn any_affix(args: &[Value], has: impl Fn(&str) -> bool) -> Result<bool, Error> {
    let (affix,): (Value,) = from_args(args)?;
    if let Some(affix) = affix.as_str() {
        return Ok(has(affix));
    }
    for one in affix.try_iter()? {
        match one.as_str() {
            Some(one) if has(one) => return Ok(true),
            Some(_) => {}
            None => {
                return Err(Error::new(
                    ErrorKind::InvalidOperation,
                    "an affix is a string",
                ));
            }
        }
    }
    Ok(false)
}

fn replace(state: &State, text: &str, args: &[Value]) -> Result<Value, Error> {
    let (from, to, count): (&str, &str, Option<i64>) = from_args(args)?;
    let count = count
        .and_then(|count| usize::try_from(count).ok())
        .unwrap_or(usize::MAX);
    let found = text.matches(from).count().min(count);
    // minijinja charges for the result only once it is there.
    state.consume_fuel(found.saturating_mul(to.len()) as u64 / 64)?;
    Ok(Value::from(text.replacen(from, to, count)))
}

fn capitalize(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => {
            first.to_uppercase().collect::<String>() + &characters.as_str().to_lowercase()
        }
        None => String::new(),
    }
}

fn title(text: &str) -> String {
    let mut inside = false;
    text.chars()
        .flat_map(|character| {
            let cased = if inside {
                character.to_lowercase().collect::<String>()
            } else {
                character.to_uppercase().collect()
            };
            inside = character.is_alphabetic();
            cased.chars().collect::<Vec<_>>()
        })
        .collect()
}

/// Jinja's test, for which nothing is none to go through; what is undefined is empty.
pub(super) fn is_iterable(value: &Value) -> bool {
    !value.is_none() && value.try_iter().is_ok()
}

/// `json.dumps` with its spaces after `,` and `:`, its floats, non-ASCII characters as they are, and
/// nothing escaped for HTML; takes `indent`, `ensure_ascii=false` and nothing else.
pub(super) fn to_json(value: Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let escapes: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    if escapes == Some(true) {
        let what = "tojson with ensure_ascii=true is not supported";
        return Err(Error::new(ErrorKind::InvalidOperation, what));
    }
    dumps(&value, indent)
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
}

/// `value` as Python's `json.dumps(value, ensure_ascii=False)` writes it.
pub fn json_text(value: &serde_json::Value) -> String {
    dumps(value, None).expect("a value of JSON can be written as JSON")
}

fn dumps(value: &impl Serialize, indent: Option<usize>) -> Result<String, serde_json::Error> {
    let mut out = Vec::new();
    let formatter = Python {
        indent: indent.map(|width| width.min(16)),
        depth: 0,
        filled: false,
    };
    value.serialize(&mut Serializer::with_formatter(&mut out, formatter))?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}

/// Python's separators and floats; with an indent each value on a line of its own.
struct Python {
    indent: Option<usize>,
    depth: usize,
    /// Whether something stands in the list or object that was written last.
    filled: bool,
}

impl Python {
    fn open<W: ?Sized + io::Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        out.write_all(bracket)
    }

    fn close<W: ?Sized + io::Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth -= 1;
        if self.filled {
            self.line(out)?;
        }
        self.filled = true;
        out.write_all(bracket)
    }

    fn separate<W: ?Sized + io::Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        match (first, self.indent) {
            (true, _) => {}
            (false, None) => out.write_all(b", ")?,
            (false, Some(_)) => out.write_all(b",")?,
        }
        self.line(out)
    }

    fn line<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        let Some(width) = self.indent else {
            return Ok(());
        };
        out.write_all(b"\n")?;
        out.write_all(" ".repeat(width * self.depth).as_bytes())
    }
}

impl Formatter for Python {
    fn write_f64<W: ?Sized + io::Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        out.write_all(float(value).as_bytes())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.separate(out, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.separate(out, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }
}

/// A float as Python's `repr` writes it: the fewest digits that mean it, with an exponent of two
/// digits below 1e-4 and from 1e16 on.
fn float(value: f64) -> String {
    let scientific = format!("{value:e}");
    let parts = scientific.split_once('e');
    let exponent = parts.and_then(|(_, exponent)| exponent.parse::<i32>().ok());
    match (parts, exponent) {
        (Some((digits, _)), Some(exponent)) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => {
            let plain = value.to_string();
            let dot = if plain.contains('.') { "" } else { ".0" };
            plain + dot
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        // python -c 'print([0.1, 1.0, -0.0, 1e-4, 1e-5, 1.5e-7, 1e15, 1e16, 1.25e300, 5e-324])'
        let values = [
            0.1, 1.0, -0.0, 1e-4, 1e-5, 1.5e-7, 1e15, 1e16, 1.25e300, 5e-324,
        ];
        let expected = "[0.1, 1.0, -0.0, 0.0001, 1e-05, 1.5e-07, 1000000000000000.0, 1e+16, 1.25e+300, 5e-324]";
        assert_eq!(json_text(&serde_json::json!(values)), expected);
    }

    #[test]
    fn empty_lists_and_objects_stay_on_their_line() {
        let value = serde_json::json!({"a": [], "b": {}, "c": [[], {"d": 1}]});
        let written = dumps(&value, Some(2)).expect("JSON");
        let expected = "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    [],\n    {\n      \"d\": 1\n    }\n  ]\n}";
        assert_eq!(written, expected);
    }
}
