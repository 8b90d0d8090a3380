//! What a job is called as its order goes on, and what happened in it.

use super::JobView;
use crate::error::WorkshopError;
use crate::ops::CANCELLED;
use crate::order::{CurvePoint, OrderState, StepError, StepName, StepState, StepView};
use crate::workshop::Workshop;

/// The newest lines of an order's log that are told.
const LOG_LINES_MAX: u32 = 2000;

/// OpenAI's states of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// Its turn has come; model and data are fetched and prepared.
    ValidatingFiles,
    /// It waits for its turn.
    Queued,
    /// It is measured, tuned, or waits for an approval.
    Running,
    /// Somebody set it aside.
    Paused,
    /// Its model answers.
    Succeeded,
    /// A step failed, or the gate refused.
    Failed,
    /// Somebody gave it up.
    Cancelled,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What tells it from the job's others.
    pub id: String,
    /// Seconds since 1970. A point of the loss curve has the moment at which its stage began.
    pub at_s: i64,
    /// What happened, in words.
    pub text: String,
    /// Whether it went wrong.
    pub failed: bool,
    /// The point of the loss curve that it is.
    pub point: Option<CurvePoint>,
}

impl JobView {
    /// What it is called now.
    pub fn state(&self) -> JobState {
        match self.order.state {
            OrderState::Queued => JobState::Queued,
            OrderState::Paused => JobState::Paused,
            OrderState::Done => JobState::Succeeded,
            OrderState::Failed if self.is_cancelled() => JobState::Cancelled,
            OrderState::Failed => JobState::Failed,
            OrderState::Waiting => JobState::Running,
            OrderState::Running if self.prepares() => JobState::ValidatingFiles,
            OrderState::Running => JobState::Running,
        }
    }

    /// The name that its model answers under, once it does.
    pub fn model(&self) -> Option<&str> {
        let is_done = self.order.state == OrderState::Done;
        self.order.deployment.as_deref().filter(|_| is_done)
    }

    /// Why it failed, and in which step.
    pub fn error(&self) -> Option<(StepName, &StepError)> {
        let found = self.order.steps.iter();
        let mut found = found.filter_map(|step| Some((step.name, step.error.as_ref()?)));
        found.find(|_| self.order.state == OrderState::Failed)
    }

    /// A step of it.
    pub fn step(&self, name: StepName) -> Option<&StepView> {
        self.order.steps.iter().find(|step| step.name == name)
    }

    /// The step that tunes.
    pub fn tuning(&self) -> Option<&StepView> {
        self.step(StepName::Tune)
            .or_else(|| self.step(StepName::Preference))
    }

    fn is_cancelled(&self) -> bool {
        self.error()
            .is_some_and(|(_, error)| error.code == CANCELLED)
    }

    fn prepares(&self) -> bool {
        let prepared = self.step(StepName::Prepare).map(|step| step.state);
        !matches!(prepared, Some(StepState::Done | StepState::Reused))
    }
}

impl Workshop {
    /// What happened in a job, the newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn job_events(&self, job: &JobView) -> Result<Vec<Event>, WorkshopError> {
        let order = &job.order;
        let mut events: Vec<Event> = Vec::new();
        for (place, step) in order.steps.iter().enumerate() {
            events.extend(begun(place, step));
            if job.tuning().is_some_and(|tuning| tuning.name == step.name) {
                let at_s = step.started_ms.map_or(order.created_ms, |at| at) / 1000;
                let curve = self.curve(&order.id, 0).await?;
                events.extend(curve.into_iter().map(|point| of_point(point, at_s)));
            }
            events.extend(ended(place, step));
        }
        for line in self.log_tail(&order.id, LOG_LINES_MAX).await? {
            events.push(Event {
                id: format!("l{}", line.seq),
                at_s: line.at_ms / 1000,
                text: format!("{}: {}", line.step, line.text),
                failed: false,
                point: None,
            });
        }
        // Stable: what happened in one second stays in the order of the steps.
        events.sort_by_key(|event| event.at_s);
        events.reverse();
        Ok(events)
    }
}

fn begun(place: usize, step: &StepView) -> Option<Event> {
    Some(Event {
        id: format!("b{place}"),
        at_s: step.started_ms? / 1000,
        text: format!("Step {} began", step.name),
        failed: false,
        point: None,
    })
}

fn ended(place: usize, step: &StepView) -> Option<Event> {
    let at_s = step.ended_ms? / 1000;
    let (text, failed) = match (&step.error, &step.figure) {
        (Some(error), _) => (format!("{}; {}", error.text, error.next), true),
        (None, Some(figure)) => (format!("Step {} ended: {}", step.name, figure.en), false),
        (None, None) => return None,
    };
    Some(Event {
        id: format!("e{place}"),
        at_s,
        text,
        failed,
        point: None,
    })
}

fn of_point(point: CurvePoint, at_s: i64) -> Event {
    let (step, steps, loss) = (point.step, point.steps, point.loss);
    Event {
        id: format!("p{step}"),
        at_s,
        text: format!("Step {step}/{steps}: training loss={loss:.4}"),
        failed: false,
        point: Some(point),
    }
}
