//! Bounds on what an answer may be constrained by, checked before anything is compiled.
//!
//! They keep the compiler's time, memory and depth of recursion small. What a grammar may cost while an
//! answer is made stands in [`limits`]: it ends the answer with an error.

use std::collections::HashSet;

use llguidance::api::ParserLimits;
use serde_json::{Map, Value};

use super::Constraint;

/// Length of a JSON Schema, written without spaces.
const SCHEMA_BYTES_MAX: usize = 128 << 10;
/// Objects and lists within one another in a schema.
const SCHEMA_DEPTH_MAX: usize = 64;
/// Members that need not come, of one object or of all that may stand in its place. Each is a choice
/// that the parser keeps open in every step: 4 of its items, of which it takes 2,000 at a time.
const OPTIONAL_MEMBERS_MAX: usize = 400;
/// Length of a regular expression.
const REGEX_BYTES_MAX: usize = 4 << 10;
/// Texts to choose from.
const CHOICES_MAX: usize = 1000;
/// Length of a grammar, and of all texts to choose from together.
const GRAMMAR_BYTES_MAX: usize = 32 << 10;
/// Brackets within one another in a grammar.
const GRAMMAR_DEPTH_MAX: usize = 64;

/// The member of a schema by which llguidance takes options. They are the server's: one of them makes
/// it pass over what it does not support.
pub(super) const FORM_KEY: &str = "x-guidance";

/// What llguidance may spend. Units are its own; the figures beside them are what it says of them.
pub(super) fn limits() -> ParserLimits {
    ParserLimits {
        // 20 ms.
        initial_lexer_fuel: 1_000_000,
        // 7 ms in a step.
        step_lexer_fuel: 100_000,
        // 2.5 ms in a step.
        step_max_items: 50_000,
        // 1 to 2 kB each.
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        // The errors go to callers, whom a dump of the parser's state tells nothing.
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Refuses what is beyond the bounds.
///
/// # Errors
/// What is too long, too deep or empty.
pub(super) fn check(constraint: &Constraint) -> Result<(), String> {
    match constraint {
        Constraint::Schema(schema) => check_schema(schema).map(drop),
        Constraint::Call(tools) => {
            let mut bytes = 0;
            for (name, schema) in tools {
                bytes += name.len() + check_schema(schema)?;
            }
            at_most("all tools together", bytes, SCHEMA_BYTES_MAX)
        }
        Constraint::Regex(pattern) => {
            not_empty("the regular expression", pattern)?;
            at_most("the regular expression", pattern.len(), REGEX_BYTES_MAX)
        }
        Constraint::Choice(texts) => {
            if !(1..=CHOICES_MAX).contains(&texts.len()) {
                return Err(format!("there must be 1 to {CHOICES_MAX} choices"));
            }
            for text in texts {
                not_empty("each choice", text)?;
            }
            let bytes = texts.iter().map(String::len).sum();
            at_most("all choices together", bytes, GRAMMAR_BYTES_MAX)
        }
        Constraint::Lark(grammar) => {
            not_empty("the grammar", grammar)?;
            at_most("the grammar", grammar.len(), GRAMMAR_BYTES_MAX)?;
            nested("the grammar", brackets(grammar), GRAMMAR_DEPTH_MAX)
        }
    }
}

/// The length of a schema that is within its bounds.
fn check_schema(schema: &Map<String, Value>) -> Result<usize, String> {
    if schema.contains_key(FORM_KEY) {
        return Err(format!("the schema's member '{FORM_KEY}' is not taken"));
    }
    let schema = Value::Object(schema.clone());
    let bytes = schema.to_string().len();
    at_most("the schema", bytes, SCHEMA_BYTES_MAX)?;
    nested("the schema", depth(&schema), SCHEMA_DEPTH_MAX)?;
    match most_optional(&schema) {
        0..=OPTIONAL_MEMBERS_MAX => Ok(bytes),
        members => Err(format!(
            "an object of the schema may have {OPTIONAL_MEMBERS_MAX} members that need not come, not \
             {members}: name in 'required' those that always do"
        )),
    }
}

fn not_empty(what: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() {
        return Err(format!("{what} must say something"));
    }
    Ok(())
}

fn at_most(what: &str, bytes: usize, bytes_max: usize) -> Result<(), String> {
    if bytes > bytes_max {
        return Err(format!("{what} may have {bytes_max} bytes, not {bytes}"));
    }
    Ok(())
}

fn nested(what: &str, depth: usize, depth_max: usize) -> Result<(), String> {
    if depth > depth_max {
        return Err(format!(
            "{what} may be nested {depth_max} deep, not {depth}"
        ));
    }
    Ok(())
}

/// Objects and lists within one another; what JSON was read from is no deeper than its reader allows.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// The most members that need not come of one object anywhere in a schema.
fn most_optional(schema: &Value) -> usize {
    let within = match schema {
        Value::Array(items) => items.iter().map(most_optional).max(),
        Value::Object(members) => members.values().map(most_optional).max(),
        _ => None,
    };
    within.unwrap_or(0).max(optional_of(schema))
}

/// Members that need not come of an object that `schema` accepts; of alternatives all together.
fn optional_of(schema: &Value) -> usize {
    let members = schema.get("properties").and_then(Value::as_object);
    let required = schema.get("required").and_then(Value::as_array);
    let required: HashSet<&str> = required
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let own = members.map_or(0, |members| {
        let names = members.keys();
        names
            .filter(|name| !required.contains(name.as_str()))
            .count()
    });
    let others = ["anyOf", "oneOf", "allOf"].into_iter();
    let others = others.filter_map(|name| schema.get(name)?.as_array());
    own + others.flatten().map(optional_of).sum::<usize>()
}

/// The deepest nesting of brackets, those in texts counted too.
fn brackets(grammar: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in grammar.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(value: Value) -> Constraint {
        Constraint::Schema(value.as_object().expect("an object").clone())
    }

    fn deep(levels: usize) -> Value {
        (0..levels).fold(json!({}), |inner, _| json!({"items": inner}))
    }

    #[test]
    fn what_is_within_the_bounds_passes_and_the_next_is_named() {
        let texts = |count: usize| Constraint::Choice(vec!["a".to_owned(); count]);
        let lark = |depth: usize| {
            let grammar = format!("start: {}\"a\"{}", "(".repeat(depth), ")".repeat(depth));
            Constraint::Lark(grammar)
        };
        let enumeration = |count: usize| schema(json!({"enum": vec!["aaaaaaa"; count]}));
        for (within, beyond, named) in [
            (schema(deep(63)), schema(deep(64)), "64 deep"),
            (enumeration(13_000), enumeration(14_000), "131072 bytes"),
            (
                Constraint::Regex("a".repeat(REGEX_BYTES_MAX)),
                Constraint::Regex("a".repeat(REGEX_BYTES_MAX + 1)),
                "4096 bytes",
            ),
            (texts(1000), texts(1001), "1000 choices"),
            (lark(64), lark(65), "64 deep"),
            (
                Constraint::Lark("start: \"a\"".to_owned()),
                Constraint::Lark(" \n".to_owned()),
                "the grammar",
            ),
        ] {
            assert_eq!(check(&within), Ok(()), "{named}");
            let reason = check(&beyond).expect_err("beyond the bound");
            assert!(reason.contains(named), "{reason}");
        }
    }

    #[test]
    fn members_that_need_not_come_are_counted_where_they_may_stand_together() {
        let members = |count: usize| {
            let names = (0..count).map(|at| (format!("m{at}"), json!({"type": "null"})));
            Value::Object(names.collect())
        };
        let object = |count: usize| json!({"type": "object", "properties": members(count)});
        let required: Vec<String> = (0..3000).map(|at| format!("m{at}")).collect();
        let apart: Vec<Value> = vec![object(400); 3];
        for within in [
            object(400),
            json!({"properties": members(3000), "required": required}),
            json!({"type": "array", "prefixItems": apart}),
        ] {
            assert_eq!(check(&schema(within)), Ok(()));
        }
        for beyond in [
            object(401),
            json!({"type": "array", "items": object(401)}),
            json!({"anyOf": [object(201), object(200)]}),
            json!({"properties": {"deep": {"allOf": [object(401)]}}}),
        ] {
            let reason = check(&schema(beyond)).expect_err("beyond the bound");
            assert!(
                reason.contains("400 members") && reason.contains("401"),
                "{reason}"
            );
        }
    }

    #[test]
    fn options_of_the_library_are_not_the_callers() {
        let reason = check(&schema(json!({"x-guidance": {"lenient": true}})));
        assert!(reason.expect_err("refused").contains("x-guidance"));
        assert_eq!(
            check(&schema(json!({"properties": {"x-guidance": {}}}))),
            Ok(())
        );
    }
}
