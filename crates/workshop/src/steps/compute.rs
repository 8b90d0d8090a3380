//! What the computing steps share: the loaded model with its pool, and the
//! prepared records as rendered examples.

use lathe_data::dataset::Dataset;
use lathe_data::prepare::Sealed;
use lathe_data::task::{ChatForm, Example, Task};
use lathe_engine::Model;
use lathe_engine::model::LoadOptions;
use lathe_engine::packed_adapter::PackedAdapter;
use lathe_eval::answers::{Answerer, answers};
use lathe_kernel::{Isa, Pool, default_threads};
use serde_json::{Value, json};

use crate::order::{StepError, StepName};
use crate::worker::{Emit, Job};

/// What the bits of a result depend on beside its inputs.
pub fn kind() -> Value {
    json!({
        "engine": engine(),
        "instructions": instructions(),
    })
}

/// The engine's version.
pub fn engine() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// The instructions it computes with.
pub fn instructions() -> String {
    Isa::detect().to_string()
}

/// What the bits of an answer depend on beside its inputs: docs/decisions/0007.
pub fn answering_kind() -> Value {
    let mut kind = kind();
    kind["weights"] = json!("as stored");
    kind
}

/// A model in memory and the threads to compute with.
pub struct Machine {
    /// The base model.
    pub model: Model,
    /// This worker's one pool.
    pub pool: Pool,
}

impl Machine {
    /// Loads the base model of this order.
    ///
    /// # Errors
    /// The engine's.
    pub fn load(job: &Job, trainable: bool) -> Result<Machine, StepError> {
        let path = super::model::weights(&job.artifact(StepName::Model)?)?;
        let options = if trainable {
            LoadOptions::for_tuning()
        } else {
            LoadOptions::for_answers()
        };
        Ok(Machine {
            model: Model::load(&path, options)?,
            pool: Pool::new(default_threads()),
        })
    }
}

/// The base model's name, as the model step found it.
///
/// # Errors
/// `job-incomplete`.
pub fn model_name(job: &Job) -> Result<String, StepError> {
    let name = job.made(StepName::Model)?.output.facts.get("name");
    Ok(name.and_then(Value::as_str).unwrap_or("model").to_owned())
}

/// The prepared records and the task they are rendered by.
pub struct Records {
    /// The dataset, its leaves and root checked.
    pub dataset: Dataset,
    /// The compiled task.
    pub task: Task,
}

impl Records {
    /// Loads the dataset that this order prepared.
    ///
    /// # Errors
    /// The data crate's.
    pub fn load(job: &Job) -> Result<Records, StepError> {
        Ok(Records {
            dataset: Dataset::load(&job.artifact(StepName::Prepare)?)?,
            task: Task::new(job.pack.task.clone())?,
        })
    }

    /// Whether records are whole conversations, or pairs of answers to them.
    pub fn is_chat(&self) -> bool {
        self.task.spec().chat.is_some()
    }

    /// Whether records are pairs of answers.
    pub fn is_of_pairs(&self) -> bool {
        self.task.spec().chat == Some(ChatForm::Preference)
    }

    /// The training records, rendered.
    ///
    /// # Errors
    /// A record that does not render.
    pub fn train(&self) -> Result<Vec<Example>, StepError> {
        let train = self.dataset.prepared.train.iter();
        train.map(|record| Ok(self.task.render(record)?)).collect()
    }
}

/// The model's greedy answers to `records`, telling progress.
///
/// # Errors
/// The eval crate's.
pub fn answer(
    job: &Job,
    machine: &Machine,
    adapter: Option<&PackedAdapter>,
    task: &Task,
    records: &[Sealed],
    emit: &mut Emit<'_>,
) -> Result<Vec<String>, StepError> {
    let answerer = Answerer {
        model: &machine.model,
        pool: &machine.pool,
        adapter,
        task,
        spec: &job.pack.evaluate,
    };
    emit.restart();
    let all = records.len() as u64;
    let outputs = answers(&answerer, records, &mut |done| {
        emit.progress(done as u64, all, "unit.records");
    })?;
    Ok(outputs)
}

/// `wanted` indices out of `0..all`, evenly spread, the first always among them.
pub fn spread(all: usize, wanted: usize) -> Vec<usize> {
    let wanted = wanted.min(all);
    (0..wanted).map(|index| index * all / wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_even_and_within_bounds() {
        assert_eq!(spread(10, 5), [0, 2, 4, 6, 8]);
        assert_eq!(spread(3, 5), [0, 1, 2]);
        assert_eq!(spread(0, 5), Vec::<usize>::new());
        assert_eq!(spread(7, 0), Vec::<usize>::new());
    }
}
