//! Tasks whose records are whole conversations, with answers in free words: OpenAI's fine-tuning
//! files.
//!
//! There is no form to check an answer by, so nothing is scored by what is said; how likely a model
//! holds the answers of held-out records is measured elsewhere. A record as a prompt and an answer is
//! its last question and the answer to it, for pages, spans and questions at the end of an order; what
//! is learnt and measured is the whole.

use jsonschema::Validator;
use serde_json::{Value, json};

use super::{Answer, AnswerFields, ChatForm, Example, Targets, Task, TaskSpec, refuse};
use crate::DataError;
use crate::prepare::Sealed;
use crate::samples::{Role, Sample, Turn, open_ai};
use crate::template;

impl Task {
    /// A task of conversations.
    pub(super) fn of_chat(spec: TaskSpec) -> Result<Self, DataError> {
        let written = [
            ("system", spec.system.is_some()),
            ("prompt", !spec.prompt.is_empty()),
            ("input", !spec.input.is_empty()),
            ("answer", spec.answer != AnswerFields::default()),
            ("schema", !spec.schema.is_null()),
            ("targets", spec.targets != Targets::default()),
        ];
        if let Some((key, _)) = written.into_iter().find(|(_, written)| *written) {
            let reason = "it does not go with `chat`: the conversations say all of it; remove it";
            return Err(refuse(key, reason.to_owned()));
        }
        Ok(Self {
            answer: super::AnswerRules::none(),
            templates: template::environment(),
            schema: anything()?,
            spec,
        })
    }

    /// The conversation or the pair of a record; nothing where records are no conversations.
    ///
    /// # Errors
    /// A record that is none.
    pub fn sample(&self, sealed: &Sealed) -> Result<Option<Sample>, DataError> {
        let fields = &sealed.record.fields;
        let sample = match self.spec.chat {
            None => return Ok(None),
            Some(ChatForm::Messages) => open_ai::conversation(fields),
            Some(ChatForm::Preference) => open_ai::preference(fields),
        };
        sample.map(Some).map_err(|reason| DataError::Render {
            id: sealed.record.id.clone(),
            reason,
        })
    }

    /// What is asked for a record's answer, as messages of the API; of conversations with tools only
    /// the last question.
    ///
    /// # Errors
    /// As [`Task::render`].
    pub fn question(&self, sealed: &Sealed) -> Result<Vec<Value>, DataError> {
        let message = |role: &str, content: &str| json!({"role": role, "content": content});
        if let Some(sample) = self.sample(sealed)? {
            let turns = asked(&sample);
            if turns.iter().all(is_words) {
                let messages = turns.iter().map(|it| message(role(it), it.text()));
                return Ok(messages.collect());
            }
        }
        let example = self.render(sealed)?;
        let system = example.system.iter().map(|text| message("system", text));
        Ok(system.chain([message("user", &example.prompt)]).collect())
    }
}

fn anything() -> Result<Validator, DataError> {
    jsonschema::validator_for(&Value::Bool(true))
        .map_err(|error| refuse("schema", error.to_string()))
}

/// The record's last question and the answer to it.
pub(super) fn example(sealed: &Sealed, sample: &Sample) -> Example {
    let turns = asked(sample);
    let last = |role: Role| turns.iter().rev().find(|turn| turn.role == role);
    let answer = match sample {
        Sample::Chat { turns, .. } => turns.last(),
        Sample::Pair { chosen, .. } => Some(chosen),
        Sample::Judged { answer, .. } => Some(answer),
        Sample::Text(_) => None,
    };
    let text = |turn: Option<&Turn>| turn.map(Turn::text).unwrap_or_default().to_owned();
    Example {
        leaf: sealed.leaf,
        id: sealed.record.id.clone(),
        group: sealed.record.group.clone(),
        system: last(Role::System).map(|turn| turn.text().to_owned()),
        prompt: text(last(Role::User)),
        answer: text(answer),
    }
}

/// Any words are an answer.
pub(super) fn read_answer(output: &str) -> Option<Answer> {
    let says = !output.trim().is_empty();
    says.then_some(Answer {
        number: None,
        class: None,
    })
}

/// The turns before the answer.
fn asked(sample: &Sample) -> &[Turn] {
    match sample {
        Sample::Chat { turns, .. } => &turns[..turns.len().saturating_sub(1)],
        Sample::Pair { turns, .. } | Sample::Judged { turns, .. } => turns,
        Sample::Text(_) => &[],
    }
}

fn is_words(turn: &Turn) -> bool {
    turn.role != Role::Tool && turn.tool_calls.is_none()
}

fn role(turn: &Turn) -> &'static str {
    match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn sealed(fields: Value) -> Sealed {
        fixture::sealed("3", "3", fields)
    }

    fn task(yaml: &str) -> Result<Task, DataError> {
        Task::new(serde_saphyr::from_str(yaml).expect("a section that reads"))
    }

    #[test]
    fn a_conversation_is_its_last_question_and_the_answer_to_it() {
        let task = task("chat: messages").expect("a task");
        let sealed = sealed(json!({"messages": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Hello?"},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "Well?"},
            {"role": "assistant", "content": "Very well."},
        ]}));
        let example = task.render(&sealed).expect("renders");
        assert_eq!(example.system.as_deref(), Some("Be kind."));
        assert_eq!(
            (&example.prompt[..], &example.answer[..]),
            ("Well?", "Very well.")
        );
        let question = task.question(&sealed).expect("asks");
        assert_eq!(question.len(), 4, "all that stands before the answer");
        assert_eq!(question[3], json!({"role": "user", "content": "Well?"}));
        assert!(task.read_answer("Anything.").is_some() && task.read_answer(" ").is_none());
    }

    #[test]
    fn a_preference_answers_with_what_is_preferred() {
        let task = task("chat: preference").expect("a task");
        let pair = sealed(json!({
            "input": {"messages": [{"role": "user", "content": "Well?"}]},
            "preferred_output": [{"role": "assistant", "content": "Very well."}],
            "non_preferred_output": [{"role": "assistant", "content": "No."}],
        }));
        assert_eq!(task.render(&pair).expect("renders").answer, "Very well.");
        let error = task.render(&sealed(json!({"messages": []}))).unwrap_err();
        assert!(error.to_string().contains("no `input`"), "{error}");
    }

    #[test]
    fn a_task_is_of_one_kind_and_whole() {
        let both = task("{chat: messages, prompt: '{{ text }}'}")
            .err()
            .expect("both");
        assert!(
            both.to_string().contains("does not go with `chat`"),
            "{both}"
        );
        let neither = task("{input: text, answer: {a: {from: a}}, schema: {}, targets: {}}");
        let neither = neither.err().expect("neither");
        assert!(neither.to_string().contains("task.prompt"), "{neither}");
    }
}
