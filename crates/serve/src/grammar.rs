//! Constrained answers: from the shape that a caller asks for to an automaton over tokens.
//!
//! The automaton is llguidance's: derivatives of regular expressions under an Earley parser, walked
//! beside a trie of the vocabulary. Here stands what surrounds it: the vocabulary of a base model
//! ([`vocabulary`]), made once for all adapters over it; the bounds on what is asked ([`bounds`]); and
//! the compiling on a thread of its own, with a bound on its time, so that nobody's grammar stops
//! the scheduler. What an answer then does with it is `scheduler::grammar`.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use lathe_engine::Model;
use lathe_workshop::people::reach;
use llguidance::api::TopLevelGrammar;
use serde_json::{Map, Value, json};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::scheduler::Grammar;
use vocabulary::Vocabulary;

mod bounds;
mod vocabulary;

pub(crate) use vocabulary::{Tokens, WORD_TOKENS};

/// Grammars compiled at once over one base model.
const COMPILED_AT_ONCE_MAX: usize = 2;
/// Stack of a thread that compiles: it follows the nesting of what was asked, which is bounded by
/// [`bounds`]. Only what is used of it is taken from memory, and given back at the end.
const STACK_BYTES: usize = 256 << 20;
/// What llguidance says where no token may come.
const NOTHING_FITS: &str = "NoExtensionBias";
/// Length of a library's reason that is handed on.
const REASON_CHARS_MAX: usize = 400;

/// The shape that an answer must have.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Constraint {
    /// JSON that a JSON Schema (2020-12) accepts.
    Schema(Map<String, Value>),
    /// Text that a regular expression matches from end to end.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// Text of a context-free grammar in llguidance's dialect of Lark.
    Lark(String),
    /// A call of one of these tools, its arguments accepted by the schema beside its name.
    Call(Vec<(String, Map<String, Value>)>),
}

/// Why there is no grammar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unprepared {
    /// What was asked for is wrong, too large or not supported, for the reason given.
    Unusable(String),
    /// It is not ready after the time that there is.
    TooLong,
    /// Others are being prepared.
    Busy,
}

/// What the grammars over one base model share.
pub(crate) struct Grammars {
    /// Made for the first of them.
    vocabulary: OnceLock<Result<Arc<Vocabulary>, String>>,
    places: Arc<Semaphore>,
}

impl Default for Grammars {
    fn default() -> Self {
        Grammars {
            vocabulary: OnceLock::new(),
            places: Arc::new(Semaphore::new(COMPILED_AT_ONCE_MAX)),
        }
    }
}

impl Grammars {
    /// Compiles `constraint` for an answer of `model`, in at most `ms_max` milliseconds once it has its turn,
    /// for which it waits as long. The vocabulary's trie, at the first call, is not counted.
    ///
    /// # Errors
    /// [`Unprepared`]. A grammar that takes too long keeps its place until it is done: its work is
    /// bounded, but cannot be interrupted.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        model: &Arc<Model>,
        constraint: Constraint,
        ms_max: u64,
    ) -> Result<Grammar, Unprepared> {
        bounds::check(&constraint).map_err(Unprepared::Unusable)?;
        let vocabulary = self.vocabulary(model).await?;
        let longest = Duration::from_millis(ms_max);
        let place = timeout(longest, self.places.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Unprepared::Busy);
        };
        let (sender, made) = oneshot::channel();
        let work = move || {
            // Nobody listens any more after the time is over.
            let _ = sender.send(compile(&vocabulary, constraint));
            drop(place);
        };
        thread::Builder::new()
            .name("lathe-grammar".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(work)
            .map_err(|_| Unprepared::Busy)?;
        match timeout(longest, made).await {
            Ok(Ok(made)) => made.map_err(Unprepared::Unusable),
            Ok(Err(_)) => Err(Unprepared::Unusable("it cannot be compiled".to_owned())),
            Err(_) => Err(Unprepared::TooLong),
        }
    }

    /// The vocabulary; the first caller makes it, away from the threads that move bytes.
    async fn vocabulary(
        self: &Arc<Self>,
        model: &Arc<Model>,
    ) -> Result<Arc<Vocabulary>, Unprepared> {
        let made = match self.vocabulary.get() {
            Some(made) => made.clone(),
            None => {
                let (own, model) = (self.clone(), model.clone());
                let make = move || {
                    let made = own.vocabulary.get_or_init(|| {
                        let config = &model.config;
                        let made = Vocabulary::new(&model.tokenizer, config.vocab, &config.eos);
                        made.map(Arc::new)
                    });
                    made.clone()
                };
                let made = reach::spawn_blocking(make).await;
                made.unwrap_or_else(|panic| Err(panic.to_string()))
            }
        };
        made.map_err(|reason| {
            let reason = format!("answers of this model cannot be constrained: {reason}");
            Unprepared::Unusable(reason)
        })
    }
}

/// The automaton, and its first step as a trial.
fn compile(vocabulary: &Vocabulary, constraint: Constraint) -> Result<Grammar, String> {
    let mut grammar = vocabulary.grammar(source(constraint))?;
    grammar.try_first()?;
    Ok(grammar)
}

/// The constraint in llguidance's words.
fn source(constraint: Constraint) -> TopLevelGrammar {
    match constraint {
        Constraint::Schema(schema) => TopLevelGrammar::from_json_schema(formed(schema)),
        Constraint::Regex(pattern) => TopLevelGrammar::from_regex(unanchored(&pattern)),
        Constraint::Choice(texts) => {
            let texts = texts
                .into_iter()
                .map(|text| Value::String(text).to_string());
            let texts: Vec<String> = texts.collect();
            TopLevelGrammar::from_lark(format!("start: CHOICE\nCHOICE: {}", texts.join(" | ")))
        }
        Constraint::Lark(grammar) => TopLevelGrammar::from_lark(grammar),
        Constraint::Call(tools) => TopLevelGrammar::from_lark(any_call(tools)),
    }
}

/// The schema, and how JSON is written: as `json.dumps` does, or without spaces. Free white space would
/// let a model write nothing but line ends up to its longest answer.
fn formed(mut schema: Map<String, Value>) -> Value {
    let form = json!({
        "whitespace_flexible": false,
        "item_separator": ", ?",
        "key_separator": ": ?",
    });
    schema.insert(bounds::FORM_KEY.to_owned(), form);
    Value::Object(schema)
}

/// What the text of a call begins with: all but its arguments and the brace at its end.
pub(crate) fn call_head(name: &str) -> String {
    let name = Value::from(name);
    format!("{{\"name\": {name}, \"arguments\": ")
}

/// The grammar of a call of one of the tools. Each schema is the root of its own references.
fn any_call(tools: Vec<(String, Map<String, Value>)>) -> String {
    let names: Vec<String> = (0..tools.len()).map(|at| format!("call_{at}")).collect();
    let mut grammar = format!("start: {}\n", names.join(" | "));
    for (at, (name, schema)) in tools.into_iter().enumerate() {
        let (head, schema) = (Value::from(call_head(&name)), formed(schema));
        grammar.push_str(&format!(
            "call_{at}: {head} arguments_{at} \"}}\"\narguments_{at}: %json {schema}\n"
        ));
    }
    grammar
}

/// The pattern without anchors at its ends: it is matched from end to end anyway.
fn unanchored(pattern: &str) -> &str {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    let Some(rest) = pattern.strip_suffix('$') else {
        return pattern;
    };
    let escapes = rest.bytes().rev().take_while(|byte| *byte == b'\\').count();
    if escapes % 2 == 0 { rest } else { pattern }
}

/// A library's reason on one line, without its full stop.
pub(crate) fn brief(error: &impl Display) -> String {
    // In place of the dump that `bounds` turns off.
    let text = format!("{error:#}").replace("<non-verbose/>", "");
    if text.trim() == NOTHING_FITS {
        return "nothing fits".to_owned();
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let mut brief: String = line.chars().take(REASON_CHARS_MAX).collect();
    if brief.len() < line.len() {
        brief.push('…');
    }
    brief.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_at_the_ends_say_nothing() {
        for (pattern, expected) in [
            ("^a$", "a"),
            ("a", "a"),
            (r"a\$", r"a\$"),
            (r"a\\$", r"a\\"),
            ("^", ""),
            ("$", ""),
        ] {
            assert_eq!(unanchored(pattern), expected, "{pattern}");
        }
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(
            brief(&"at 1(2):\n  no such rule.\n"),
            "at 1(2): no such rule"
        );
        let long = brief(&"字".repeat(1000));
        assert_eq!(long.chars().count(), REASON_CHARS_MAX + 1);
    }
}
