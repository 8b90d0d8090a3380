//! Jobs, their events and their checkpoints in OpenAI's shapes, and their ids.

use lathe_workshop::tuning::{Event, Hyperparameters, JobState, JobView, Method};
use lathe_workshop::{OrderId, StepName};
use serde_json::{Value, json};

const JOB: &str = "ftjob-";

/// The order that a job's id names.
pub(super) fn order_of(id: &str) -> Option<OrderId> {
    let hex = id.strip_prefix(JOB)?;
    uuid::Uuid::try_parse(hex)
        .ok()
        .map(|uuid| OrderId(uuid.to_string()))
}

/// The id of the job that an order is.
pub(super) fn id_of(order: &OrderId) -> String {
    format!("{JOB}{}", order.0.replace('-', ""))
}

/// A job.
pub(super) fn job(job: &JobView) -> Value {
    let (asked, order, state) = (&job.asked, &job.order, job.state());
    let (kind, inner) = match asked.method {
        Method::Supervised => ("supervised", "supervised"),
        Method::Dpo => ("dpo", "dpo"),
    };
    let hyperparameters = chosen(&asked.hyperparameters);
    json!({
        "id": id_of(&order.id),
        "object": "fine_tuning.job",
        "model": asked.model,
        "created_at": order.created_ms / 1000,
        "finished_at": order.ended_ms.map(|at| at / 1000),
        "fine_tuned_model": job.model(),
        "organization_id": asked.owner,
        "status": word(state),
        "error": error(job, state),
        "training_file": asked.training_file,
        "validation_file": asked.validation_file,
        "result_files": [],
        "trained_tokens": trained_tokens(job, state),
        "hyperparameters": hyperparameters,
        "method": {"type": kind, inner: {"hyperparameters": hyperparameters}},
        "seed": asked.seed,
        "user_provided_suffix": asked.suffix,
        "estimated_finish": estimated_finish(job),
        "integrations": [],
        "metadata": asked.metadata,
        "lathe": {"order": order.id, "name": order.pack, "page": order.url},
    })
}

fn word(state: JobState) -> &'static str {
    match state {
        JobState::ValidatingFiles => "validating_files",
        JobState::Queued => "queued",
        JobState::Running => "running",
        JobState::Paused => "paused",
        JobState::Succeeded => "succeeded",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
    }
}

/// What was chosen where nothing was asked, and what was asked.
fn chosen(all: &Hyperparameters) -> Value {
    let mut told = json!({
        "n_epochs": all.n_epochs,
        "batch_size": all.batch_size,
        "learning_rate_multiplier": all.learning_rate_multiplier,
    });
    if let Some(beta) = all.beta {
        told["beta"] = json!(beta);
    }
    told
}

/// The order's own error; of the steps that read the file, about the file.
fn error(job: &JobView, state: JobState) -> Value {
    match job.error().filter(|_| state == JobState::Failed) {
        None => Value::Null,
        Some((step, error)) => json!({
            "code": error.code,
            "message": format!("{}; {}", error.text, error.next),
            "param": matches!(step, StepName::Data | StepName::Prepare).then_some("training_file"),
        }),
    }
}

fn trained_tokens(job: &JobView, state: JobState) -> Value {
    let tokens = job.tuning().and_then(|step| step.figures.get("tokens"));
    let done = state == JobState::Succeeded;
    tokens.filter(|_| done).cloned().unwrap_or_default()
}

/// When the step that runs will end, the least that is known.
fn estimated_finish(job: &JobView) -> Option<i64> {
    let eta_s = job
        .order
        .steps
        .iter()
        .find_map(|step| step.progress.as_ref()?.eta_s)?;
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    i64::try_from(now.as_secs())
        .ok()
        .map(|now| now + eta_s.ceil() as i64)
}

/// How the ids of a job's events begin.
fn event_prefix(order: &OrderId) -> String {
    format!("ftevent-{}-", order.0.replace('-', ""))
}

/// Which of the job's events an id names.
pub(super) fn event_of<'i>(order: &OrderId, id: &'i str) -> Option<&'i str> {
    id.strip_prefix(event_prefix(order).as_str())
}

/// An event.
pub(super) fn event(order: &OrderId, event: &Event) -> Value {
    let mut told = json!({
        "id": format!("{}{}", event_prefix(order), event.id),
        "object": "fine_tuning.job.event",
        "created_at": event.at_s,
        "level": if event.failed { "error" } else { "info" },
        "message": event.text,
        "type": "message",
        "data": {},
    });
    if let Some(point) = &event.point {
        told["type"] = json!("metrics");
        told["data"] = json!({
            "step": point.step,
            "total_steps": point.steps,
            "train_loss": point.loss,
            "learning_rate": point.learning_rate,
        });
    }
    told
}

/// The checkpoints that answer: the last, once its model was admitted.
pub(super) fn checkpoints(job: &JobView) -> Vec<Value> {
    let (Some(model), Some(tuned)) = (job.model(), job.tuning()) else {
        return Vec::new();
    };
    let figure = |name: &str| tuned.figures.get(name).cloned().unwrap_or_default();
    let held_out = job
        .step(StepName::Evaluate)
        .and_then(|step| step.figures.get("subjects"))
        .and_then(|subjects| subjects.pointer("/tuned/answer_logprob/value"))
        .and_then(Value::as_f64);
    let steps = figure("steps");
    vec![json!({
        "id": format!("ftckpt-{}", job.order.id.0.replace('-', "")),
        "object": "fine_tuning.job.checkpoint",
        "created_at": tuned.ended_ms.unwrap_or(job.order.created_ms) / 1000,
        "fine_tuning_job_id": id_of(&job.order.id),
        "fine_tuned_model_checkpoint": model,
        "step_number": steps,
        "metrics": {
            "step": steps,
            "train_loss": figure("final_loss"),
            "full_valid_loss": held_out.map(|log_prob| -log_prob),
        },
    })]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_jobs_are_those_of_orders() {
        let order = OrderId::new();
        assert_eq!(order_of(&id_of(&order)), Some(order));
        for bad in ["", "ftjob-", "ftjob-1", "ftjob-../x", "ft-0193"] {
            assert_eq!(order_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_of_events_are_those_of_their_job() {
        let (order, other) = (OrderId::new(), OrderId::new());
        let told = event(
            &order,
            &Event {
                id: "p7".to_owned(),
                at_s: 1,
                text: String::new(),
                failed: false,
                point: None,
            },
        );
        let id = told["id"].as_str().expect("an id");
        assert_eq!(event_of(&order, id), Some("p7"));
        assert_eq!(event_of(&other, id), None);
    }
}
