//! The model's chat template.
//!
//! Hugging Face templates are Jinja with Python's string methods and a few
//! functions of `transformers`; here they run on minijinja, with the same
//! whitespace rules, and give the same text (compared with `transformers` in
//! `tests/chat_templates.rs`). One difference on purpose: `strftime_now` does
//! not exist, because a prompt must not depend on the day; templates that ask
//! whether it is defined fall back to their fixed date.
//!
//! A template is bounded in size, and a rendering in steps and in the bytes it
//! makes (minijinja's fuel counts both).

mod calls;
mod generation;
mod message;
mod python;
mod skills;

pub use self::calls::CallForm;
pub use self::message::Message;
pub use self::python::json_text;
pub use self::skills::{Arguments, Skills};

use self::message::Handed;
use crate::error::EngineError;
use crate::tokenizer::Tokenizer;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value, context};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Longest template believed.
pub const TEMPLATE_BYTES_MAX: usize = 256 << 10;
/// What one rendering may use: an instruction is one unit, and so are 64 bytes made; thus at most
/// 128 MiB, and about a tenth of a second.
const FUEL_MAX: u64 = 2 << 20;
/// The only template of an environment.
const NAME: &str = "chat";

/// The special tokens a template may name, by `bos_token`, `eos_token` and so on.
pub type SpecialTokens = BTreeMap<String, String>;

/// A compiled chat template with the special tokens it may name. Cloning shares it.
#[derive(Clone)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    source: Arc<str>,
    special: Arc<SpecialTokens>,
}

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`EngineError::Template`] where it is too long or not understood.
    pub fn new(source: &str, special: SpecialTokens) -> Result<Self, EngineError> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(EngineError::TooLarge {
                what: "the chat template in bytes".to_owned(),
                found: source.len() as u64,
                limit: TEMPLATE_BYTES_MAX as u64,
            });
        }
        let mut environment = Environment::new();
        environment.set_syntax(syntax());
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_unknown_method_callback(python::method);
        environment.set_fuel(Some(FUEL_MAX));
        environment.add_filter("tojson", python::to_json);
        environment.add_test("iterable", python::is_iterable);
        environment.add_function("raise_exception", raise);
        environment
            .add_template_owned(NAME, generation::unmark(source))
            .map_err(|error| failed("compile", describe(&error)))?;
        Ok(Self {
            environment: Arc::new(environment),
            source: source.into(),
            special: Arc::new(special),
        })
    }

    /// The conversation as the model's prompt; with `add_generation_prompt` the
    /// assistant's turn is opened.
    ///
    /// # Errors
    /// [`EngineError::Template`] when the template raises, fails or does not end.
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, EngineError> {
        self.render_with_tools(messages, None, add_generation_prompt)
    }

    /// The same with tools that may be called: a list in OpenAI's form, which the template gets as
    /// `transformers` would hand it over. Whether it writes them, [`ChatTemplate::skills`] tells.
    ///
    /// # Errors
    /// As [`ChatTemplate::render`].
    pub fn render_with_tools(
        &self,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        add_generation_prompt: bool,
    ) -> Result<String, EngineError> {
        let handed: Vec<Handed<'_>> = messages.iter().map(Handed::from).collect();
        let render = || -> Result<String, Error> {
            let context = context! {
                messages => Value::from(Serde(&handed)),
                add_generation_prompt,
                tools => tools.map_or(Value::from(()), |tools| Value::from(Serde(tools))),
                documents => Value::from(()),
                ..Value::from(Serde(&*self.special))
            };
            self.environment.get_template(NAME)?.render(context)
        };
        render().map_err(|error| failed("render", describe(&error)))
    }

    /// The special token that the template writes right after an assistant's message; `None` where it
    /// writes something else there.
    ///
    /// # Errors
    /// [`EngineError::Template`] when the template raises, fails or does not end.
    pub fn end_of_turn(&self, tokenizer: &Tokenizer) -> Result<Option<u32>, EngineError> {
        const ANSWER: &str = "answer";
        let turns = [
            Message::new("user", "question"),
            Message::new("assistant", ANSWER),
        ];
        let whole = self.render(&turns, false)?;
        let after = whole
            .rfind(ANSWER)
            .map_or("", |at| &whole[at + ANSWER.len()..]);
        let first = tokenizer.encode(after).into_iter().next();
        Ok(first.filter(|token| tokenizer.decode(&[*token], true).is_empty()))
    }

    /// The special tokens that the template may name.
    pub(crate) fn special(&self) -> &SpecialTokens {
        &self.special
    }

    /// The template's source text.
    pub fn source(&self) -> &str {
        &self.source
    }
}

impl fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("source", &self.source)
            .field("special", &self.special)
            .finish_non_exhaustive()
    }
}

/// The whitespace rules under which `transformers` compiles templates.
fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()
        .expect("the delimiters are the default ones")
}

/// What templates call to refuse a conversation.
fn raise(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// The error with its line and the errors beneath it.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        text.push_str(": ");
        text.push_str(&below.to_string());
        cause = below.source();
    }
    text
}

fn failed(action: &'static str, reason: String) -> EngineError {
    EngineError::Template { action, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str) -> Result<String, EngineError> {
        let special = SpecialTokens::from([("bos_token".to_owned(), "<s>".to_owned())]);
        let user = Message::new("user", " Hi <b>\"you\"</b> ");
        ChatTemplate::new(source, special)?.render(&[user], true)
    }

    fn check(source: &str, expected: &str) {
        assert_eq!(render(source).expect("renders"), expected, "{source}");
    }

    fn refused(source: &str, reason: &str) {
        let error = render(source).expect_err("is refused").to_string();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn a_prompt_is_text_and_not_html() {
        check(
            "{{ bos_token }}{{ messages[0].content }}",
            "<s> Hi <b>\"you\"</b> ",
        );
        check(
            "{{ messages[0]['content'] | trim | tojson }}",
            r#""Hi <b>\"you\"</b>""#,
        );
    }

    #[test]
    fn what_is_absent_is_falsy_and_prints_nothing() {
        check(
            "{{ messages[0].tool_calls }}{% if not tools %}none{% endif %}",
            "none",
        );
        check("{{ strftime_now is defined }}", "False");
        check(
            "{{ none is iterable }} {{ tools is iterable }} {{ absent is iterable }} {{ 'a' is iterable }}",
            "False False True True",
        );
    }

    #[test]
    fn a_template_can_refuse_a_conversation() {
        refused(
            "{{ raise_exception('roles must alternate') }}",
            "roles must alternate",
        );
    }

    #[test]
    fn errors_name_the_line() {
        refused("one\ntwo {{ messages[0].content.frobnicate() }}", "chat:2");
        refused("{% if %}", "cannot compile the chat template");
    }

    #[test]
    fn a_template_that_does_not_end_is_stopped() {
        let nested = "{% for a in range(9999) %}{% for b in range(9999) %}{% set c = a %}{% endfor %}{% endfor %}";
        refused(nested, "fuel");
    }

    #[test]
    fn a_string_that_grows_without_end_is_stopped() {
        let doubled = "{% set n = namespace(s='xxxxxxxx') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}";
        refused(doubled, "fuel");
        refused("{{ 'x' * 999999999 }}", "fuel");
        let long = "x".repeat(99_999);
        refused(
            &format!("{{{{ '{long}'.replace('x', '{long}') }}}}"),
            "fuel",
        );
    }
}
