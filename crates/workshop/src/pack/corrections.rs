//! The `tune.corrections` section of a pack: what people said the right answers would have been, learnt
//! after all other stages.
//!
//! Nobody writes it by hand: `lathe feedback tune` puts it into the pack of the order that made the
//! deployment, over the records of a dataset version of reviewed corrections (`feedback`). The records
//! are conversations, whatever the pack's own records are.

use lathe_data::DataSpec;
use lathe_data::task::{AnswerFields, ChatForm, Targets, TaskSpec};
use lathe_tune::TuneError;
use lathe_tune::sft::SftSpec;
use lathe_tune::stages::LearnSpec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Corrections, and how they are learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrectionsSpec {
    /// The conversations, each with the corrected answer at its end.
    pub data: DataSpec,
    /// How they are learnt.
    #[serde(default)]
    pub learn: LearnSpec,
}

impl CorrectionsSpec {
    /// Refuses what no run can use.
    ///
    /// # Errors
    /// [`TuneError::Spec`] that names the first bad key.
    pub fn check(&self) -> Result<(), TuneError> {
        let checked = self.learn.over(&SftSpec::default()).check();
        checked.map_err(|error| match error {
            TuneError::Spec { key, reason, .. } => TuneError::Spec {
                stage: "corrections.learn",
                key,
                reason,
            },
            other => other,
        })
    }

    /// What the records are.
    pub fn task() -> TaskSpec {
        TaskSpec {
            system: None,
            prompt: String::new(),
            input: String::new(),
            answer: AnswerFields::default(),
            schema: Value::Null,
            targets: Targets::default(),
            chat: Some(ChatForm::Messages),
        }
    }
}

#[cfg(test)]
mod tests {
    use lathe_data::task::Task;
    use serde_json::json;

    use super::*;

    fn spec(learn: Value) -> CorrectionsSpec {
        let data = json!({"name": "c", "source": "file:c.jsonl", "licence": "MIT", "owner": "us"});
        serde_json::from_value(json!({"data": data, "learn": learn})).expect("a section")
    }

    #[test]
    fn what_no_run_can_use_is_refused_by_its_name() {
        spec(json!({})).check().expect("the usual");
        let error = spec(json!({"epochs": 0})).check().expect_err("no epochs");
        let text = error.to_string();
        assert!(text.contains("corrections.learn"), "{text}");
    }

    #[test]
    fn the_records_are_a_task_of_conversations() {
        assert!(Task::new(CorrectionsSpec::task()).is_ok());
    }
}
