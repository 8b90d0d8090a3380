//! Canonical bytes of JSON by RFC 8785, without floats.
//!
//! The same value gives the same bytes everywhere: no white space, members sorted by the UTF-16
//! code units of their names, the shortest escapes, UTF-8. Numbers are whole and within ±(2⁵³ − 1);
//! any other number is refused, because the shortest spelling of a float is what implementations
//! disagree about. A value that holds decimals goes through [`decimals_as_text`] first.
//!
//! Serialising only: canonical bytes are never parsed back to be compared; they are stored verbatim.

use serde_json::{Map, Value};

/// The largest whole number that every JSON reader keeps exactly: 2⁵³ − 1.
pub const WHOLE_MAX: i64 = 9_007_199_254_740_991;

/// How deep a value may nest.
pub const DEPTH_MAX: usize = 128;

/// The single member name under which [`decimals_as_text`] writes a decimal.
pub const DECIMAL_MEMBER: &str = "$decimal";

/// Why a value has no canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// A number with a fraction or an exponent.
    #[error(
        "{pointer} holds the float {number}, which canonical JSON leaves out; write it as text"
    )]
    Float {
        /// Where, as a JSON pointer (empty for the whole value).
        pointer: String,
        /// The number as JSON writes it.
        number: String,
    },
    /// A whole number beyond ±(2⁵³ − 1).
    #[error(
        "{pointer} holds {number}, beyond the ±9007199254740991 that every JSON reader keeps exactly; write it as text"
    )]
    Whole {
        /// Where, as a JSON pointer.
        pointer: String,
        /// The number as JSON writes it.
        number: String,
    },
    /// Nesting beyond [`DEPTH_MAX`].
    #[error("the value nests deeper than {DEPTH_MAX} levels; flatten it")]
    Depth,
}

/// The canonical bytes of `value`.
///
/// ```
/// let value = serde_json::json!({"b": 1, "a": [true, null, "é"]});
/// let bytes = lathe_evidence::canonical::to_bytes(&value)?;
/// assert_eq!(bytes, r#"{"a":[true,null,"é"],"b":1}"#.as_bytes());
/// # Ok::<(), lathe_evidence::canonical::CanonicalError>(())
/// ```
///
/// # Errors
/// A float, a whole number beyond ±(2⁵³ − 1), or nesting beyond [`DEPTH_MAX`].
pub fn to_bytes(value: &Value) -> Result<Vec<u8>, CanonicalError> {
    let mut writer = Writer {
        bytes: Vec::new(),
        path: Vec::new(),
    };
    writer.value(value)?;
    Ok(writer.bytes)
}

/// `value` with every number that [`to_bytes`] refuses replaced by `{"$decimal": "TEXT"}`, TEXT
/// being its shortest decimal spelling without an exponent.
///
/// Decimals in records (a mean of ratings) are thus hashed by their value, and a number never
/// hashes like the text that spells it.
pub fn decimals_as_text(value: &Value) -> Value {
    match value {
        Value::Number(number) if whole(number).is_none() => {
            let text = match number.as_f64() {
                Some(float) if number.is_f64() => format!("{float}"),
                _ => number.to_string(),
            };
            let member = (DECIMAL_MEMBER.to_owned(), Value::String(text));
            Value::Object(Map::from_iter([member]))
        }
        Value::Array(items) => items.iter().map(decimals_as_text).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, item)| (name.clone(), decimals_as_text(item)))
            .collect(),
        other => other.clone(),
    }
}

/// `value` with every `{"$decimal": "TEXT"}` read back as the number it spells: what
/// [`decimals_as_text`] wrote. `None` where a text spells no finite number.
pub fn text_as_decimals(value: &Value) -> Option<Value> {
    Some(match value {
        Value::Array(items) => {
            Value::Array(items.iter().map(text_as_decimals).collect::<Option<_>>()?)
        }
        Value::Object(members) => match members.get(DECIMAL_MEMBER) {
            Some(Value::String(text)) if members.len() == 1 => {
                let float: f64 = text.parse().ok()?;
                Value::Number(serde_json::Number::from_f64(float)?)
            }
            _ => {
                let read =
                    |(name, item): (&String, &Value)| Some((name.clone(), text_as_decimals(item)?));
                Value::Object(members.iter().map(read).collect::<Option<_>>()?)
            }
        },
        other => other.clone(),
    })
}

/// The number as a whole one within the bound, if it is one. `1.0` is a float: how it was written
/// counts, not what it equals.
fn whole(number: &serde_json::Number) -> Option<i64> {
    number
        .as_i64()
        .filter(|whole| (-WHOLE_MAX..=WHOLE_MAX).contains(whole))
}

struct Writer {
    bytes: Vec<u8>,
    /// Names and indices from the root to the value being written, for errors and the depth bound.
    path: Vec<String>,
}

impl Writer {
    fn value(&mut self, value: &Value) -> Result<(), CanonicalError> {
        match value {
            Value::Null => self.bytes.extend_from_slice(b"null"),
            Value::Bool(true) => self.bytes.extend_from_slice(b"true"),
            Value::Bool(false) => self.bytes.extend_from_slice(b"false"),
            Value::Number(number) => self.number(number)?,
            Value::String(text) => self.string(text),
            Value::Array(items) => self.array(items)?,
            Value::Object(members) => self.object(members)?,
        }
        Ok(())
    }

    fn number(&mut self, number: &serde_json::Number) -> Result<(), CanonicalError> {
        if let Some(whole) = whole(number) {
            self.bytes.extend_from_slice(whole.to_string().as_bytes());
            return Ok(());
        }
        let pointer = self.pointer();
        let number_text = number.to_string();
        Err(if number.is_f64() {
            CanonicalError::Float {
                pointer,
                number: number_text,
            }
        } else {
            CanonicalError::Whole {
                pointer,
                number: number_text,
            }
        })
    }

    fn array(&mut self, items: &[Value]) -> Result<(), CanonicalError> {
        self.bytes.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.bytes.push(b',');
            }
            self.enter(index.to_string())?;
            self.value(item)?;
            self.path.pop();
        }
        self.bytes.push(b']');
        Ok(())
    }

    fn object(&mut self, members: &Map<String, Value>) -> Result<(), CanonicalError> {
        let mut sorted: Vec<_> = members.iter().collect();
        // RFC 8785, 3.2.3: by UTF-16 code units, which differs from code points beyond U+FFFF.
        sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
        self.bytes.push(b'{');
        for (index, (name, item)) in sorted.into_iter().enumerate() {
            if index > 0 {
                self.bytes.push(b',');
            }
            self.string(name);
            self.bytes.push(b':');
            self.enter(name.clone())?;
            self.value(item)?;
            self.path.pop();
        }
        self.bytes.push(b'}');
        Ok(())
    }

    /// RFC 8785, 3.2.2.2: two-character escapes where JSON has them, `\u00xx` for the other control
    /// characters, everything else as it is.
    fn string(&mut self, text: &str) {
        self.bytes.push(b'"');
        for byte in text.bytes() {
            match byte {
                b'"' => self.bytes.extend_from_slice(b"\\\""),
                b'\\' => self.bytes.extend_from_slice(b"\\\\"),
                0x08 => self.bytes.extend_from_slice(b"\\b"),
                0x09 => self.bytes.extend_from_slice(b"\\t"),
                0x0a => self.bytes.extend_from_slice(b"\\n"),
                0x0c => self.bytes.extend_from_slice(b"\\f"),
                0x0d => self.bytes.extend_from_slice(b"\\r"),
                0x00..=0x1f => self
                    .bytes
                    .extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.bytes.push(byte),
            }
        }
        self.bytes.push(b'"');
    }

    fn enter(&mut self, step: String) -> Result<(), CanonicalError> {
        if self.path.len() == DEPTH_MAX {
            return Err(CanonicalError::Depth);
        }
        self.path.push(step);
        Ok(())
    }

    fn pointer(&self) -> String {
        let steps = self
            .path
            .iter()
            .map(|step| format!("/{}", step.replace('~', "~0").replace('/', "~1")));
        let pointer: String = steps.collect();
        if pointer.is_empty() {
            "the value".to_owned()
        } else {
            pointer
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(input: &str, canonical: &str) {
        let value: Value = serde_json::from_str(input).unwrap();
        let bytes = to_bytes(&value).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), canonical);
    }

    /// RFC 8785, 3.2.3: the sorting example, with its expected order.
    #[test]
    fn members_sort_by_utf16_as_in_the_rfc() {
        let input = r#"{"\u20ac": "Euro Sign", "\r": "Carriage Return",
            "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis"}"#;
        let value: Value = serde_json::from_str(input).unwrap();
        let text = String::from_utf8(to_bytes(&value).unwrap()).unwrap();
        let sorted: Value = serde_json::from_str(&text).unwrap();
        let order: Vec<_> = sorted.as_object().unwrap().values().collect();
        assert_eq!(
            order,
            [
                "Carriage Return",
                "One",
                "Control",
                "Latin Small Letter O With Diaeresis",
                "Euro Sign",
                "Emoji: Grinning Face",
                "Hebrew Letter Dalet With Dagesh"
            ]
        );
    }

    /// RFC 8785, 3.2.2: the example's string and literals (its numbers are floats and left out),
    /// the expected bytes from 3.2.4.
    #[test]
    fn strings_and_literals_are_the_rfcs() {
        check(
            r#"{"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
            "{\"literals\":[null,true,false],\"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}",
        );
    }

    /// The published test data "french", "structures", "unicode" and "weird" of the RFC's author
    /// (cyberphone/json-canonicalization, testdata/input and output); its one float, 56.0, is
    /// written 56 here.
    #[test]
    fn published_test_data() {
        check(
            r#"{"peach": "This sorting order", "péché": "is wrong according to French", "pêche": "but canonicalization MUST", "sin":   "ingnore locale"}"#,
            r#"{"peach":"This sorting order","péché":"is wrong according to French","pêche":"but canonicalization MUST","sin":"ingnore locale"}"#,
        );
        check(
            r#"{"1": {"f": {"f": "hi","F": 5} ,"\n": 56}, "10": { }, "": "empty", "a": { }, "111": [ { } ], "A": { }}"#,
            r#"{"":"empty","1":{"\n":56,"f":{"F":5,"f":"hi"}},"10":{},"111":[{}],"A":{},"a":{}}"#,
        );
        check(
            r#"{"Unnormalized Unicode":"\u1e0d\u0307"}"#,
            "{\"Unnormalized Unicode\":\"\u{1e0d}\u{307}\"}",
        );
        check(
            r#"{"\u20ac": "Euro Sign", "1": "One", "\u0080": "Control\u007f", "\ud83d\ude02": "Smiley", "\u00f6": "Latin Small Letter O With Diaeresis", "\ufb33": "Hebrew Letter Dalet With Dagesh", "</script>": "Browser Challenge"}"#,
            "{\"1\":\"One\",\"</script>\":\"Browser Challenge\",\"\u{80}\":\"Control\u{7f}\",\"ö\":\"Latin Small Letter O With Diaeresis\",\"€\":\"Euro Sign\",\"😂\":\"Smiley\",\"\u{fb33}\":\"Hebrew Letter Dalet With Dagesh\"}",
        );
    }

    #[test]
    fn what_is_not_canonical_is_refused_with_its_place() {
        let place = |value: Value| to_bytes(&value).unwrap_err().to_string();
        assert!(place(json!({"a/b": [1, 0.5]})).starts_with("/a~1b/1 holds the float 0.5"));
        assert!(place(json!(1.0)).starts_with("the value holds the float 1.0"));
        assert!(place(json!([WHOLE_MAX + 1])).starts_with("/0 holds 9007199254740992"));
        assert!(place(json!(u64::MAX)).contains("18446744073709551615"));
        assert_eq!(to_bytes(&json!(-WHOLE_MAX)).unwrap(), b"-9007199254740991");
    }

    #[test]
    fn nesting_is_bounded() {
        let nest = |levels: usize| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(to_bytes(&nest(DEPTH_MAX)).is_ok());
        assert_eq!(to_bytes(&nest(DEPTH_MAX + 1)), Err(CanonicalError::Depth));
    }

    #[test]
    fn decimals_become_marked_text_that_no_text_equals() {
        let value = json!({"mean": -0.95, "n": 3, "big": 1e21, "deep": [{"x": 2.0}]});
        assert_eq!(
            decimals_as_text(&value),
            json!({"mean": {"$decimal": "-0.95"}, "n": 3,
                   "big": {"$decimal": "1000000000000000000000"}, "deep": [{"x": {"$decimal": "2"}}]})
        );
        assert!(to_bytes(&decimals_as_text(&value)).is_ok());
        assert_eq!(text_as_decimals(&decimals_as_text(&value)), Some(value));
        assert_eq!(text_as_decimals(&json!([{"$decimal": "inf"}])), None);
    }
}
