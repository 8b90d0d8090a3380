//! Any table: the columns that ask and the one that answers, as the caller names them.

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

use super::conversation::chat;
use super::message::said;
use super::value::{Fields, kind, required};
use super::{Role, Sample, TableColumns};

/// How many steps the template of a question may take; one that needs more is looping.
const TEMPLATE_STEPS_MAX: u64 = 1_000_000;

/// A table's columns with their template checked.
pub(super) struct Table {
    columns: TableColumns,
    templates: Environment<'static>,
}

impl Table {
    /// Checks what can be without a record; the error says which key cannot work, and why.
    pub(super) fn new(columns: &TableColumns) -> Result<Self, (&'static str, String)> {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_fuel(Some(TEMPLATE_STEPS_MAX));
        if columns.output.is_empty() {
            return Err(("output", "name the column that is the answer".to_owned()));
        }
        match &columns.prompt {
            Some(prompt) => {
                templates
                    .template_from_str(prompt)
                    .map_err(|error| ("prompt", format!("the template does not parse: {error}")))?;
            }
            None if columns.input.is_empty() => {
                return Err((
                    "input",
                    "name a column that asks, or give a `prompt`".to_owned(),
                ));
            }
            None => {}
        }
        Ok(Self {
            columns: columns.clone(),
            templates,
        })
    }

    /// The sample in a record.
    pub(super) fn sample(&self, fields: &Fields) -> Result<Sample, String> {
        let mut turns = Vec::with_capacity(3);
        if let Some(system) = &self.columns.system {
            turns.push(said(Role::System, system.as_str()));
        }
        turns.push(said(Role::User, self.question(fields)?));
        let answer = cell(fields, &self.columns.output)?;
        if answer.trim().is_empty() {
            return Err(format!("its `{}` is empty", self.columns.output));
        }
        turns.push(said(Role::Assistant, answer));
        chat(turns, None)
    }

    fn question(&self, fields: &Fields) -> Result<String, String> {
        let mut lines = Vec::new();
        for name in &self.columns.input {
            lines.push(cell(fields, name)?);
        }
        let question = match &self.columns.prompt {
            Some(prompt) => self
                .templates
                .render_str(
                    prompt,
                    minijinja::Value::from(minijinja::value::Serde(fields)),
                )
                .map_err(|error| format!("its question cannot be rendered: {error:#}"))?,
            None => lines.join("\n"),
        };
        match question.trim().is_empty() {
            true => Err("its question is empty".to_owned()),
            false => Ok(question),
        }
    }
}

/// A cell as text.
fn cell(fields: &Fields, name: &str) -> Result<String, String> {
    match required(fields, name)? {
        Value::String(text) => Ok(text.clone()),
        value @ (Value::Number(_) | Value::Bool(_)) => Ok(value.to_string()),
        other => Err(format!("its `{name}` is {} instead of a text", kind(other))),
    }
}
