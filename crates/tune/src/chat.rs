//! Records that are whole conversations or pairs of answers, as tokens: what a pack's stages learn of
//! a task of conversations, and what its models are measured by.
//!
//! The rows are [`crate::dialogue`]'s, committed to by the records' leaves; ids are the records' own.
//! What is too long for a model is left to who uses the rows.

use lathe_data::DataError;
use lathe_data::prepare::Sealed;
use lathe_data::samples::{Sample, Turn};
use lathe_data::task::Task;
use lathe_engine::Tokenizer;

use crate::TuneError;
use crate::dialogue::{Dialogues, Masking};
use crate::dpo::DpoPair;
use crate::pack::Row;
use crate::voice::Voice;

/// Writes the records of a task of conversations in a model's own way.
pub struct Conversations<'a> {
    task: &'a Task,
    tokenizer: &'a Tokenizer,
    dialogues: Dialogues<'a>,
}

impl<'a> Conversations<'a> {
    /// For a model.
    ///
    /// # Errors
    /// A model without an end token, or whose template ends no turn with one.
    pub fn new(model: impl Into<Voice<'a>>, task: &'a Task) -> Result<Self, TuneError> {
        let voice = model.into();
        Ok(Self {
            task,
            tokenizer: voice.tokenizer,
            dialogues: Dialogues::new(voice, Masking::default())?,
        })
    }

    /// The rows of a conversation: mostly one. Every answer of it is supervised by its weight.
    ///
    /// # Errors
    /// A record that is no conversation, or that the template cannot express.
    pub fn rows(&self, sealed: &Sealed) -> Result<Vec<Row>, TuneError> {
        let sample = self.sample(sealed)?;
        let mut rows = self.dialogues.rows(sealed.record.line, &sample)?;
        for row in &mut rows {
            row.id.clone_from(&sealed.record.id);
            row.leaf = sealed.leaf;
        }
        Ok(rows)
    }

    /// The pair of a record.
    ///
    /// # Errors
    /// A record that is no pair, or that the template cannot express.
    pub fn pair(&self, sealed: &Sealed) -> Result<DpoPair, TuneError> {
        let id = &sealed.record.id;
        let pair = pair(&self.dialogues, self.tokenizer, id, &self.sample(sealed)?)?;
        Ok(DpoPair {
            leaf: sealed.leaf,
            ..pair
        })
    }

    fn sample(&self, sealed: &Sealed) -> Result<Sample, TuneError> {
        self.task.sample(sealed)?.ok_or_else(|| {
            let id = sealed.record.id.clone();
            let reason = "the task's records are no conversations".to_owned();
            TuneError::from(DataError::Render { id, reason })
        })
    }
}

/// A pair of answers as tokens.
///
/// # Errors
/// A sample that is no pair, or that the template cannot express.
pub(crate) fn pair(
    dialogues: &Dialogues<'_>,
    tokenizer: &Tokenizer,
    id: &str,
    sample: &Sample,
) -> Result<DpoPair, TuneError> {
    let Sample::Pair {
        turns,
        chosen,
        rejected,
    } = sample
    else {
        return Err(TuneError::Sample {
            id: id.to_owned(),
            reason: "it is no pair of answers".to_owned(),
        });
    };
    let prompt = dialogues.prompt(id, turns)?;
    let answers = [plain(id, chosen)?, plain(id, rejected)?];
    DpoPair::encode(tokenizer, dialogues.end(), id, &prompt, answers)
}

/// Why an answer cannot be one of a pair, where it cannot.
pub fn not_compared(answer: &Turn) -> Option<&'static str> {
    let plain = answer.tool_calls.is_none() && answer.reasoning.is_none();
    (!plain).then_some("an answer that calls tools or shows its reasoning is not compared yet")
}

/// An answer's text.
pub(crate) fn plain<'a>(id: &str, answer: &'a Turn) -> Result<&'a str, TuneError> {
    match not_compared(answer) {
        None => Ok(answer.text()),
        Some(reason) => Err(TuneError::Sample {
            id: id.to_owned(),
            reason: reason.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use lathe_data::fixture;
    use lathe_evidence::Digest;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    fn sealed(fields: Value) -> Sealed {
        fixture::sealed("7", "7", fields)
    }

    fn task(chat: &str) -> Task {
        let spec = serde_json::from_value(json!({ "chat": chat })).expect("a section");
        Task::new(spec).expect("a task")
    }

    #[test]
    fn answers_are_supervised_by_their_weights_and_committed_to_by_the_leaf() {
        let (model, task) = (testing::model(), task("messages"));
        let conversations = Conversations::new(&model, &task).expect("a template");
        let rows = conversations.rows(&sealed(json!({"messages": [
            {"role": "user", "content": "Is it good?"},
            {"role": "assistant", "content": "Perhaps.", "weight": 0},
            {"role": "user", "content": "Well?"},
            {"role": "assistant", "content": "Yes."},
        ]})));
        let rows = rows.expect("rows");
        let [row] = &rows[..] else { panic!("one row") };
        assert_eq!((&row.id[..], row.leaf), ("7", Digest::of(b"leaf")));
        let learnt: Vec<u32> = row
            .tokens
            .iter()
            .zip(&row.weights)
            .filter_map(|(token, weight)| (*weight > 0.0).then_some(*token))
            .collect();
        assert_eq!(model.tokenizer.decode(&learnt, true).trim(), "Yes.");
    }

    #[test]
    fn a_pair_has_one_prompt_and_two_answers() {
        let (model, task) = (testing::model(), task("preference"));
        let conversations = Conversations::new(&model, &task).expect("a template");
        let record = sealed(json!({
            "input": {"messages": [{"role": "user", "content": "Is it good?"}]},
            "preferred_output": [{"role": "assistant", "content": "Yes."}],
            "non_preferred_output": [{"role": "assistant", "content": "No!"}],
        }));
        let pair = conversations.pair(&record).expect("a pair");
        assert_eq!(pair.leaf, Digest::of(b"leaf"));
        let said = |tokens: &[u32]| model.tokenizer.decode(tokens, true).trim().to_owned();
        assert_eq!([said(&pair.chosen), said(&pair.rejected)], ["Yes.", "No!"]);
        let error = conversations.rows(&record).expect_err("no conversation");
        assert!(error.to_string().contains("pair of answers"), "{error}");
    }
}
