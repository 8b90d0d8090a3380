//! What a model is asked and what it should answer: the `task` section of a pack, put to work.
//!
//! A record renders to a prompt and the right answer, compact JSON; what a model puts out is read
//! back, and counts only if it is wholly JSON, satisfies the schema, and agrees with itself. Asking
//! a model and scoring it are other crates' work.

mod answer;
mod chat;
mod spec;

use jsonschema::Validator;
use lathe_evidence::Digest;
use minijinja::Environment;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use spec::{AnswerField, AnswerFields, ChatForm, ClassTarget, NumberTarget, Targets, TaskSpec};

use self::answer::AnswerRules;
use crate::prepare::Sealed;
use crate::reader::Record;
use crate::{DataError, nearest, template};

/// A task whose templates and schema have been checked.
pub struct Task {
    spec: TaskSpec,
    templates: Environment<'static>,
    schema: Validator,
    answer: AnswerRules,
}

/// What the model is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The system message.
    pub system: Option<String>,
    /// The user's message.
    pub prompt: String,
}

/// A record rendered for tuning or evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The record's leaf.
    pub leaf: Digest,
    /// The record's id.
    pub id: String,
    /// The record's group.
    pub group: String,
    /// The system message.
    pub system: Option<String>,
    /// The user's message.
    pub prompt: String,
    /// The right answer: compact JSON.
    pub answer: String,
}

/// What an answer says, or what a record's truth is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The number target's value, where the task has one.
    pub number: Option<f64>,
    /// The class target's value, where the task has one.
    pub class: Option<String>,
}

impl Task {
    /// Checks `spec` and puts it to work.
    ///
    /// # Errors
    /// A template or schema that cannot work, a field of the answer that does not fit the others,
    /// a target that points nowhere.
    pub fn new(spec: TaskSpec) -> Result<Self, DataError> {
        if spec.chat.is_some() {
            return Self::of_chat(spec);
        }
        check_written(&spec)?;
        let templates = template::environment();
        check_template(&templates, "prompt", &spec.prompt)?;
        for (name, field) in &spec.answer.0 {
            if let Some(template) = &field.template {
                check_template(&templates, &format!("answer.{name}.template"), template)?;
            }
        }
        let schema = jsonschema::validator_for(&spec.schema)
            .map_err(|error| refuse("schema", format!("it is no JSON Schema: {error}")))?;
        let task = Self {
            answer: AnswerRules::new(&spec.answer)?,
            templates,
            schema,
            spec,
        };
        task.check_targets()?;
        Ok(task)
    }

    /// The specification it was made from.
    pub fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    /// The prompt and the right answer of a record.
    ///
    /// # Errors
    /// A field the record lacks or of another type; an answer that the schema refuses.
    pub fn render(&self, sealed: &Sealed) -> Result<Example, DataError> {
        if let Some(sample) = self.sample(sealed)? {
            return Ok(chat::example(sealed, &sample));
        }
        let record = &sealed.record;
        let fail = |reason| DataError::Render {
            id: record.id.clone(),
            reason,
        };
        let prompt = self
            .template(&self.spec.prompt, &record.fields)
            .map_err(|reason| fail(format!("the prompt: {reason}")))?;
        let answer = self
            .answer
            .write(&record.fields, &|template| {
                self.template(template, &record.fields)
            })
            .map_err(fail)?;
        self.check_answer(&answer).map_err(fail)?;
        Ok(Example {
            leaf: sealed.leaf,
            id: record.id.clone(),
            group: record.group.clone(),
            system: self.spec.system.clone(),
            prompt,
            answer,
        })
    }

    /// The prompt for one free-form input, such as a customer's sentence.
    ///
    /// # Errors
    /// A prompt that needs more fields than the input.
    pub fn prompt_for(&self, input: &str) -> Result<Prompt, DataError> {
        let fields = Map::from_iter([(self.spec.input.clone(), Value::from(input))]);
        let prompt = self
            .template(&self.spec.prompt, &fields)
            .map_err(|reason| {
                refuse(
                    "prompt",
                    format!(
                        "it cannot be filled from `{}` alone: {reason}",
                        self.spec.input
                    ),
                )
            })?;
        Ok(Prompt {
            system: self.spec.system.clone(),
            prompt,
        })
    }

    /// What `output` says, or `None` where it is not wholly JSON, not in the schema, or its class
    /// and number disagree; of a conversation only whether it says anything.
    pub fn read_answer(&self, output: &str) -> Option<Answer> {
        if self.spec.chat.is_some() {
            return chat::read_answer(output);
        }
        let value: Value = serde_json::from_str(output).ok()?;
        if !self.schema.is_valid(&value) || !self.answer.agrees(&value) {
            return None;
        }
        let number = match &self.spec.targets.number {
            Some(target) => Some(value.pointer(&target.pointer)?.as_f64()?),
            None => None,
        };
        let class = match &self.spec.targets.class {
            Some(target) => Some(answer::text(value.pointer(&target.pointer)?)?),
            None => None,
        };
        Some(Answer { number, class })
    }

    /// What an invalid answer counts as.
    pub fn invalid_answer(&self) -> Answer {
        let targets = &self.spec.targets;
        Answer {
            number: targets.number.as_ref().map(|target| target.invalid),
            class: targets.class.as_ref().map(|target| target.invalid.clone()),
        }
    }

    /// The truth of a record: the unrounded number, and its class by the bins that the answer uses.
    ///
    /// # Errors
    /// A field the record lacks or of another type.
    pub fn truth(&self, record: &Record) -> Result<Answer, DataError> {
        let targets = &self.spec.targets;
        let fail = |reason| DataError::Render {
            id: record.id.clone(),
            reason,
        };
        let number = match &targets.number {
            Some(target) => Some(answer::number(&record.fields, &target.truth).map_err(fail)?),
            None => None,
        };
        let class = match &targets.class {
            Some(target) => Some(self.true_class(record, target).map_err(fail)?),
            None => None,
        };
        Ok(Answer { number, class })
    }

    /// Every class, in the order of the answer's bins, else of the schema's `enum`; empty where
    /// neither lists them or there is no class target.
    pub fn classes(&self) -> Vec<String> {
        let Some(target) = &self.spec.targets.class else {
            return Vec::new();
        };
        if let Some(bins) = self.answer.bins_at(&target.pointer) {
            return bins.iter().map(|bin| bin.name.clone()).collect();
        }
        let in_schema = format!("{}/enum", target.pointer.replace('/', "/properties/"));
        let listed = self
            .spec
            .schema
            .pointer(&in_schema)
            .and_then(Value::as_array);
        listed
            .into_iter()
            .flatten()
            .filter_map(answer::text)
            .collect()
    }

    fn true_class(&self, record: &Record, target: &ClassTarget) -> Result<String, String> {
        let value = answer::field(&record.fields, &target.truth)?;
        match (self.answer.bins_at(&target.pointer), value.as_f64()) {
            (Some(bins), Some(number)) => crate::spec::Bin::name_of(bins, number)
                .map(str::to_owned)
                .ok_or_else(|| format!("no bin holds `{}` = {number}", target.truth)),
            _ => answer::text(value)
                .ok_or_else(|| format!("`{}` is a list or an object, not a class", target.truth)),
        }
    }

    fn check_targets(&self) -> Result<(), DataError> {
        let targets = &self.spec.targets;
        let pointers = [
            (
                "number",
                targets.number.as_ref().map(|target| &target.pointer),
            ),
            (
                "class",
                targets.class.as_ref().map(|target| &target.pointer),
            ),
        ];
        for (key, pointer) in pointers {
            if let Some(pointer) = pointer {
                self.check_pointer(key, pointer)?;
            }
        }
        if targets.number.is_none() && targets.class.is_none() {
            return Err(refuse(
                "targets",
                "nothing is scored; name a `number`, a `class` or both".to_owned(),
            ));
        }
        let classes = self.classes();
        let invalid = targets.class.as_ref().map(|target| &target.invalid);
        match invalid {
            Some(invalid) if !classes.is_empty() && !classes.contains(invalid) => Err(refuse(
                "targets.class.invalid",
                format!(
                    "there is no class `{invalid}`{}",
                    nearest::hint(invalid, classes.iter().map(String::as_str))
                ),
            )),
            _ => Ok(()),
        }
    }

    fn check_pointer(&self, key: &str, pointer: &str) -> Result<(), DataError> {
        let names = || self.spec.answer.0.iter().map(|(name, _)| name.as_str());
        let field = pointer.strip_prefix('/').unwrap_or_default();
        if names().any(|name| name == field) {
            return Ok(());
        }
        Err(refuse(
            &format!("targets.{key}.pointer"),
            format!(
                "`{pointer}` points at no field of the answer; write `/` and its name{}",
                nearest::hint(field, names())
            ),
        ))
    }

    fn check_answer(&self, answer: &str) -> Result<(), String> {
        let value: Value = serde_json::from_str(answer)
            .map_err(|error| format!("the answer `{answer}` is not JSON: {error}"))?;
        self.schema
            .validate(&value)
            .map_err(|error| format!("the schema refuses the right answer `{answer}`: {error}"))
    }

    fn template(&self, template: &str, fields: &Map<String, Value>) -> Result<String, String> {
        template::render(&self.templates, template, fields)
    }
}

/// Refuses a task without what the other kind of task does not have.
fn check_written(spec: &TaskSpec) -> Result<(), DataError> {
    let absent = [
        ("prompt", spec.prompt.is_empty()),
        ("input", spec.input.is_empty()),
        ("schema", spec.schema.is_null()),
    ];
    match absent.into_iter().find(|(_, absent)| *absent) {
        Some((key, _)) => {
            let reason = "it is missing; write it, or `chat` where records are conversations";
            Err(refuse(key, reason.to_owned()))
        }
        None => Ok(()),
    }
}

fn check_template(
    templates: &Environment<'static>,
    key: &str,
    template: &str,
) -> Result<(), DataError> {
    templates
        .template_from_named_str(key, template)
        .map(drop)
        .map_err(|error| refuse(key, format!("it is no template: {error}")))
}

fn refuse(key: &str, reason: String) -> DataError {
    DataError::Spec {
        key: format!("task.{key}"),
        reason,
    }
}

#[cfg(test)]
mod tests;
