//! What steps do of a task of conversations: rows and pairs to learn, and how likely a model holds
//! the answers of the held-out records.
//!
//! Nothing is generated here, and nothing can be invalid: a conversation has no form of answer. What
//! the gate is given instead is measured on the weights and by the forward pass that serve.

use lathe_data::prepare::Sealed;
use lathe_data::task::{ChatForm, Task};
use lathe_engine::packed_adapter::PackedAdapter;
use lathe_eval::likelihood::{Likelihood, Weighed, likelihood};
use lathe_eval::{EvalError, Predictions, likely};
use lathe_evidence::report::Role;
use lathe_tune::chat::Conversations;
use lathe_tune::pack::{Packed, Row};
use lathe_tune::sft::SftSpec;
use lathe_tune::voice::Voice;
use lathe_tune::{DpoPair, TuneError};

use super::compute::{Machine, Records};
use crate::order::StepError;
use crate::worker::Emit;

/// The spec with a cutoff that a model's context holds.
pub(super) fn within(spec: &SftSpec, context: usize) -> SftSpec {
    SftSpec {
        tokens_max: spec.tokens_max.min(context),
        ..spec.clone()
    }
}

/// The training conversations as rows; those over the cutoff or the context are kept out and named.
pub(super) fn packed(
    machine: &Machine,
    records: &Records,
    spec: &SftSpec,
) -> Result<Packed, StepError> {
    let train = records.dataset.prepared.train.iter();
    packed_of(machine, records, train, spec)
}

/// These conversations as rows, as [`packed`] makes them.
pub(super) fn packed_of<'a>(
    machine: &Machine,
    records: &Records,
    learnt: impl Iterator<Item = &'a Sealed>,
    spec: &SftSpec,
) -> Result<Packed, StepError> {
    let conversations = Conversations::new(&machine.model, &records.task)?;
    let mut rows: Vec<Row> = Vec::new();
    for sealed in learnt {
        rows.extend(conversations.rows(sealed)?);
    }
    let spec = within(spec, machine.model.config.context);
    Ok(Packed::of(rows, &spec)?)
}

/// Training pairs.
pub(super) fn pairs<'a>(
    machine: &Machine,
    records: &Records,
    learnt: impl Iterator<Item = &'a Sealed>,
) -> Result<Vec<DpoPair>, StepError> {
    let conversations = Conversations::new(&machine.model, &records.task)?;
    learnt
        .map(|sealed| Ok(conversations.pair(sealed)?))
        .collect()
}

/// How likely a model, or the adapter over it, holds what each held-out record answers.
pub(super) fn predict(
    (machine, adapter): (&Machine, Option<&PackedAdapter>),
    records: &Records,
    (role, name, note): (Role, &str, &str),
    emit: &mut Emit<'_>,
) -> Result<Predictions, StepError> {
    let test = &records.dataset.prepared.test;
    let conversations = Conversations::new(&machine.model, &records.task)?;
    let meter = Meter { machine, adapter };
    let mut found = Vec::with_capacity(test.len());
    emit.restart();
    for sealed in test {
        found.push(match records.is_of_pairs() {
            true => meter.pair(&conversations, sealed)?,
            false => meter.conversation(&conversations, sealed)?,
        });
        emit.progress(found.len() as u64, test.len() as u64, "unit.records");
    }
    Ok(likely(test, &found, role, name, note))
}

/// The first training records token by token, for people.
///
/// # Errors
/// A record that the model's template cannot express.
pub(crate) fn preview<'a>(
    voice: impl Into<Voice<'a>>,
    task: &'a Task,
    first: &[Sealed],
) -> Result<Vec<Row>, TuneError> {
    let conversations = Conversations::new(voice, task)?;
    let mut rows = Vec::new();
    for sealed in first {
        match task.spec().chat {
            Some(ChatForm::Preference) => {
                let [chosen, _] = answers(&conversations.pair(sealed)?, sealed);
                rows.push(chosen);
            }
            _ => rows.extend(conversations.rows(sealed)?),
        }
    }
    Ok(rows)
}

/// Measures one model.
struct Meter<'a> {
    machine: &'a Machine,
    adapter: Option<&'a PackedAdapter>,
}

impl Meter<'_> {
    /// Of a conversation that has several rows, the answers of all of them.
    fn conversation(
        &self,
        conversations: &Conversations<'_>,
        sealed: &Sealed,
    ) -> Result<Likelihood, StepError> {
        let mut sum = Likelihood {
            log_prob: 0.0,
            tokens: 0.0,
            margin: None,
        };
        for row in conversations.rows(sealed)? {
            let found = self.row(&row)?;
            sum.log_prob += found.log_prob;
            sum.tokens += found.tokens;
        }
        Ok(sum)
    }

    fn pair(
        &self,
        conversations: &Conversations<'_>,
        sealed: &Sealed,
    ) -> Result<Likelihood, StepError> {
        let [chosen, rejected] = answers(&conversations.pair(sealed)?, sealed);
        Ok(Likelihood::of_pair(
            self.row(&chosen)?,
            self.row(&rejected)?,
        ))
    }

    fn row(&self, row: &Row) -> Result<Likelihood, StepError> {
        let Machine { model, pool } = self.machine;
        let (tokens, context) = (row.tokens.len(), model.config.context);
        if tokens > context {
            return Err(EvalError::PromptTooLong {
                id: row.id.clone(),
                tokens,
                context,
            }
            .into());
        }
        let weighed = Weighed {
            tokens: &row.tokens,
            weights: &row.weights,
        };
        Ok(likelihood((model, pool, self.adapter), weighed))
    }
}

/// A pair's two answers, each after the prompt.
fn answers(pair: &DpoPair, sealed: &Sealed) -> [Row; 2] {
    [&pair.chosen, &pair.rejected].map(|answer| {
        let tokens = [&pair.prompt[..], answer].concat();
        Row::answering(pair.id.clone(), sealed.leaf, tokens, pair.prompt.len())
    })
}
