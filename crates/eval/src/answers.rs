//! Lets a model answer records as it will answer requests: its own chat template, greedy,
//! unconstrained, through the forward pass that serves.

use lathe_data::prepare::Sealed;
use lathe_data::task::Task;
use lathe_engine::generate::generate_greedy;
use lathe_engine::packed_adapter::PackedAdapter;
use lathe_engine::{GenerateSpec, Message, Model};
use lathe_evidence::Digest;
use lathe_kernel::Pool;

use crate::{EvalError, EvaluateSpec};

/// What [`answers`] works with.
#[derive(Clone, Copy)]
pub struct Answerer<'a> {
    /// The base model.
    pub model: &'a Model,
    /// The threads to compute on.
    pub pool: &'a Pool,
    /// The adapter, for a tuned model.
    pub adapter: Option<&'a PackedAdapter>,
    /// What is asked.
    pub task: &'a Task,
    /// Bounds of an answer.
    pub spec: &'a EvaluateSpec,
}

/// The answers to `records`, in their order; `on_done` hears how many are finished.
///
/// # Errors
/// A record that cannot be rendered, a model without template, a prompt that leaves no room.
pub fn answers(
    answerer: &Answerer<'_>,
    records: &[Sealed],
    on_done: &mut dyn FnMut(usize),
) -> Result<Vec<String>, EvalError> {
    let Answerer {
        model,
        pool,
        adapter,
        spec,
        ..
    } = *answerer;
    let prompts: Vec<Vec<u32>> = records
        .iter()
        .map(|sealed| prompt(answerer, sealed))
        .collect::<Result<_, _>>()?;
    let generate = GenerateSpec {
        tokens_max: spec.tokens_max,
        stop: model.config.eos.clone(),
        batch_max: spec.batch_max,
    };
    let answers = generate_greedy(model, pool, adapter, &prompts, &generate, on_done);
    Ok(answers
        .iter()
        .map(|tokens| model.tokenizer.decode(tokens, true))
        .collect())
}

/// The tokens a client's request for this record becomes.
fn prompt(answerer: &Answerer<'_>, sealed: &Sealed) -> Result<Vec<u32>, EvalError> {
    let model = answerer.model;
    let example = answerer.task.render(sealed)?;
    let system = example.system.map(|text| Message::new("system", text));
    let messages: Vec<Message> = system
        .into_iter()
        .chain([Message::new("user", example.prompt)])
        .collect();
    let template = model.template.as_ref().ok_or(EvalError::NoTemplate)?;
    let tokens = model.tokenizer.encode(&template.render(&messages, true)?);
    let context = model.config.context;
    if tokens.len() + answerer.spec.tokens_max > context {
        return Err(EvalError::PromptTooLong {
            id: example.id,
            tokens: tokens.len(),
            context,
        });
    }
    Ok(tokens)
}

/// The fixed subset that a base model answers: the `count` records whose ids have the smallest
/// SHA-256, in their own order. A random choice that stays the same for the same data everywhere;
/// leaves would not do, since their salts differ from home to home.
pub fn base_subset(records: &[Sealed], count: usize) -> Vec<Sealed> {
    let rank = |sealed: &Sealed| Digest::of(sealed.record.id.as_bytes());
    let mut ranks: Vec<Digest> = records.iter().map(rank).collect();
    ranks.sort_unstable();
    match ranks.get(count) {
        None => records.to_vec(),
        Some(first_out) => {
            let inside = |sealed: &&Sealed| rank(sealed) < *first_out;
            records.iter().filter(inside).cloned().collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_subset_is_fixed_and_ordered() {
        let records = testing::records(30);
        let subset = base_subset(&records, 10);
        assert_eq!(subset.len(), 10);
        let place = |sealed: &Sealed| records.iter().position(|other| other == sealed);
        let places: Vec<_> = subset.iter().map(place).collect();
        assert!(places.is_sorted() && places[0].is_some());
        let mut reversed = records.clone();
        reversed.reverse();
        let mut again = base_subset(&reversed, 10);
        again.reverse();
        assert_eq!(again, subset, "whatever the order of the records");
        assert_eq!(base_subset(&records, 100).len(), 30);
    }

    #[test]
    fn a_model_answers_every_record() {
        let model = testing::model();
        let (task, spec) = (testing::task(), EvaluateSpec::default());
        let pool = Pool::new(2);
        let answerer = Answerer {
            model: &model,
            pool: &pool,
            adapter: None,
            task: &task,
            spec: &spec,
        };
        let records = testing::records(5);
        let mut done = 0;
        let outputs =
            answers(&answerer, &records, &mut |finished| done = finished).expect("answers");
        assert_eq!((outputs.len(), done), (5, 5));
        let alone = answers(&answerer, &records[3..4], &mut |_| {}).expect("answers");
        assert_eq!(alone[0], outputs[3], "whatever is asked beside it");
    }
}
