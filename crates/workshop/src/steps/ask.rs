//! Step `ask`: ask the served model a few held-out questions through the real
//! door, `POST /v1/chat/completions` on this daemon's own address.
//!
//! Asked anew by every order, since what it shows is that the model answers now.

use std::time::Duration;

use lathe_data::dataset::Dataset;
use lathe_data::task::Task;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Context;
use super::compute::spread;
use super::figures::{figure, members};
use crate::error::WorkshopError;
use crate::key::digest_of;
use crate::order::{Output, Progress, StepError, StepName};
use crate::people::reach;
use crate::queue::Halt;
use crate::store::change::Finished;
use crate::worker::Made;

/// Longest wait for one answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(120);

/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// One question with its answer, as stored and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The record's id.
    pub id: String,
    /// The user's message.
    pub question: String,
    /// What the model answered.
    pub answer: String,
    /// What the record says.
    pub expected: String,
    /// Whether the answer is valid for the task.
    pub valid: bool,
}

/// Asks and stores the answers.
pub(crate) async fn run(context: &Context) -> Result<Made, Halt> {
    let name = super::deploy::name_of(context);
    let input = digest_of(&json!({
        "step": StepName::Ask,
        "order": context.order.id,
        "deployment": name,
        "records": context.pack.ask.records,
    }))
    .to_string();
    context.begin(StepName::Ask, &input).await?;
    crate::pause::at(context.shop.home().root(), StepName::Ask, "begun");
    let (asking, folder) = (context.clone(), context.folder(StepName::Prepare)?);
    let asked = reach::spawn_blocking(move || {
        let dataset = Dataset::load(&folder)?;
        ask_all(&asking, &name, &dataset)
    })
    .await
    .map_err(|error| WorkshopError::new("daemon-crashed", error.to_string(), ""))??;
    let output = output_of(context, &asked);
    context
        .done(
            Finished {
                order: context.order.id.clone(),
                step: StepName::Ask,
                input,
                output: output.clone(),
                artifact: None,
                registers: Vec::new(),
            },
            None,
        )
        .await?;
    crate::pause::at(context.shop.home().root(), StepName::Ask, "stored");
    Ok(Made {
        artifact: None,
        output,
    })
}

fn ask_all(context: &Context, name: &str, dataset: &Dataset) -> Result<Vec<Asked>, StepError> {
    let task = Task::new(context.pack.task.clone())?;
    let test = &dataset.prepared.test;
    let chosen = spread(test.len(), context.pack.ask.records);
    let mut asked = Vec::new();
    for index in &chosen {
        let example = task.render(&test[*index])?;
        let answer = ask(context, name, &task.question(&test[*index])?)?;
        asked.push(Asked {
            valid: task.read_answer(&answer).is_some(),
            id: example.id,
            question: example.prompt,
            answer,
            expected: example.answer,
        });
        let progress = Progress {
            done: asked.len() as u64,
            total: chosen.len() as u64,
            unit: "unit.questions".to_owned(),
            eta_s: None,
            memory: None,
        };
        context
            .shop
            .note_progress(&context.order.id, StepName::Ask, progress);
    }
    Ok(asked)
}

/// One request, as any client would make it.
fn ask(context: &Context, name: &str, messages: &[Value]) -> Result<String, StepError> {
    let url = format!("{}/v1/chat/completions", context.shop.url());
    let body = json!({
        "model": name,
        "messages": messages,
        "temperature": 0,
        "max_tokens": context.pack.evaluate.tokens_max,
    });
    let failed = |reason: String| StepError {
        code: "ask".to_owned(),
        text: format!("cannot ask {name} at {url}: {reason}"),
        next: "look at the daemon's log, then run the same command".to_owned(),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WAIT_MAX))
        .http_status_as_error(false)
        // Our own address is never behind a proxy.
        .proxy(None)
        .build()
        .into();
    let key = context.shop.key().unwrap_or("loopback");
    let mut response = agent
        .post(&url)
        .header("authorization", format!("Bearer {key}"))
        .send_json(&body)
        .map_err(|error| failed(error.to_string()))?;
    let status = response.status();
    let text = response
        .body_mut()
        .with_config()
        .limit(ANSWER_BYTES_MAX)
        .read_to_string()
        .map_err(|error| failed(error.to_string()))?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    answer
        .pointer("/choices/0/message/content")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| failed(format!("{status}: {text}")))
}

fn output_of(context: &Context, asked: &[Asked]) -> Output {
    let valid = asked.iter().filter(|one| one.valid).count();
    Output {
        figure: figure(
            "figure.ask",
            &[
                ("asked", &asked.len().to_string()),
                ("valid", &valid.to_string()),
            ],
        ),
        figures: members(json!({
            "asked": asked.len(),
            "valid": valid,
            "system": context.pack.task.system,
            "answers": asked,
        })),
        facts: serde_json::Map::new(),
    }
}
