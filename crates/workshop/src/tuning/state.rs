//! What a job is called as its order goes on, and what happened in it.

use super::JobView;
use crate::error::WorkshopError;
use crate::order::{CurvePoint, Ending, OrderState, StepError, StepName, StepState, StepView};
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
        self.order.ending() == Some(Ending::Cancelled)
    }

    fn prepares(&self) -> bool {
        let prepared = self.step(StepName::Prepare).map(|step| step.state);
        !matches!(prepared, Some(StepState::Done | StepState::Reused))
    }
}

/// What is told of a job: an event, or the place of the points of its loss curve.
enum Told {
    Event(Event),
    /// All of them have this moment.
    Curve(i64),
}

impl Told {
    fn at_s(&self) -> i64 {
        match self {
            Told::Event(event) => event.at_s,
            Told::Curve(at_s) => *at_s,
        }
    }
}

impl Workshop {
    /// What happened in a job, the newest first: at most `limit` events after the one called `after`, from
    /// the newest on where that is absent; none where there is no such event.
    ///
    /// # Errors
    /// The store's.
    pub async fn job_events(
        &self,
        job: &JobView,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Event>, WorkshopError> {
        let mut page: Vec<Event> = Vec::new();
        let mut passed = after.is_none();
        for told in self.told(job).await? {
            let left = limit - page.len();
            match told {
                _ if left == 0 => break,
                Told::Event(event) if passed => page.push(event),
                Told::Event(event) => passed = after == Some(event.id.as_str()),
                Told::Curve(at_s) if passed => {
                    page.extend(self.points(job, u64::MAX, left).await?.map(of_point(at_s)));
                }
                Told::Curve(at_s) => {
                    let Some(step) = after.and_then(step_of) else {
                        continue;
                    };
                    let mut points = self.points(job, step, left + 1).await?;
                    passed = points.next().is_some_and(|point| point.step == step);
                    if passed {
                        page.extend(points.map(of_point(at_s)));
                    }
                }
            }
        }
        Ok(page)
    }

    /// All that is told of a job, the newest first. There may be very many points of its curve, so they
    /// are read as they are asked for.
    async fn told(&self, job: &JobView) -> Result<Vec<Told>, WorkshopError> {
        let order = &job.order;
        let mut all: Vec<Told> = Vec::new();
        for (place, step) in order.steps.iter().enumerate() {
            all.extend(begun(place, step).map(Told::Event));
            if job.tuning().is_some_and(|tuning| tuning.name == step.name) {
                let at_ms = step.started_ms.unwrap_or(order.created_ms);
                all.push(Told::Curve(at_ms / 1000));
            }
            all.extend(ended(place, step).map(Told::Event));
        }
        for line in self.log_tail(&order.id, LOG_LINES_MAX).await? {
            all.push(Told::Event(Event {
                id: format!("l{}", line.seq),
                at_s: line.at_ms / 1000,
                text: format!("{}: {}", line.step, line.text),
                failed: false,
                point: None,
            }));
        }
        // Stable: what happened in one second stays in the order of the steps.
        all.sort_by_key(Told::at_s);
        all.reverse();
        Ok(all)
    }

    async fn points(
        &self,
        job: &JobView,
        last_step: u64,
        limit: usize,
    ) -> Result<std::vec::IntoIter<CurvePoint>, WorkshopError> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let points = self.store().curve_back(&job.order.id, last_step, limit);
        Ok(points.await?.into_iter())
    }
}

/// The step of the point that an event is.
fn step_of(event: &str) -> Option<u64> {
    event.strip_prefix('p')?.parse().ok()
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

fn of_point(at_s: i64) -> impl Fn(CurvePoint) -> Event {
    move |point| {
        let (step, steps, loss) = (point.step, point.steps, point.loss);
        Event {
            id: format!("p{step}"),
            at_s,
            text: format!("Step {step}/{steps}: training loss={loss:.4}"),
            failed: false,
            point: Some(point),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::order::{OrderId, Output};
    use crate::store::Change;
    use crate::store::change::Finished;
    use crate::testing;
    use crate::tuning::{Asked, Hyperparameters, Method};

    const POINTS: u64 = 25;

    /// A job of pairs alone that tuned, or took over what another tuned.
    async fn job(shop: &Workshop, reuses: bool) -> JobView {
        let (id, step, input) = (OrderId::new(), StepName::Preference, "aa".to_owned());
        let mut placed = testing::placed(&id);
        if let Change::Placed { order, .. } = &mut placed {
            let tune = json!({"preference_only": true, "preference": {"method": "dpo"}});
            order.spec = json!({ "tune": tune }).to_string();
        }
        let asked = Asked {
            model: "m".to_owned(),
            training_file: "file-1".to_owned(),
            validation_file: None,
            method: Method::Dpo,
            hyperparameters: Hyperparameters::default(),
            suffix: None,
            seed: 0,
            metadata: Map::new(),
            owner: "local".to_owned(),
        };
        let mut changes = vec![
            placed,
            Change::JobPlaced {
                order: id.clone(),
                asked: Box::new(asked),
            },
        ];
        let (order, at_ms) = (id.clone(), 5000);
        if reuses {
            changes.push(Change::StepReuses {
                order,
                step,
                input,
                at_ms,
            });
        } else {
            let finished = Finished {
                order: id.clone(),
                step,
                input: input.clone(),
                output: Output::default(),
                artifact: None,
                registers: Vec::new(),
            };
            changes.push(Change::StepBegins {
                order,
                step,
                input,
                at_ms,
            });
            changes.extend((1..=POINTS).map(|step| point(&id, step)));
            changes.push(Change::Log {
                order: id.clone(),
                step: StepName::Preference,
                text: "it learns".to_owned(),
                at_ms,
            });
            changes.push(Change::StepDone {
                finished: Box::new(finished),
                at_ms: 9000,
            });
        }
        shop.apply(&changes).await.expect("entered");
        shop.job(&id).await.expect("a job")
    }

    fn point(order: &OrderId, step: u64) -> Change {
        Change::Point {
            order: order.clone(),
            point: CurvePoint {
                step,
                steps: POINTS,
                loss: 1.0 / step as f64,
                learning_rate: 1e-4,
                tokens_per_s: 1.0,
                eta_s: 1.0,
                ..CurvePoint::default()
            },
        }
    }

    fn ids(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.id.as_str()).collect()
    }

    #[tokio::test]
    async fn pages_of_events_follow_one_another_through_the_points_of_the_curve() {
        let (_folder, shop) = testing::shop().await;
        let job = job(&shop, false).await;
        let whole = shop.job_events(&job, None, 1000).await.expect("events");
        let all = ids(&whole);
        // The line of the log was written in the second in which the stage began.
        assert_eq!(all.len(), POINTS as usize + 3);
        assert!(
            all[0].starts_with('e') && all[1].starts_with('l'),
            "{all:?}"
        );
        assert_eq!((all[2], all[26]), ("p25", "p1"));
        for limit in 1..8 {
            let mut seen: Vec<Event> = Vec::new();
            loop {
                let last = seen.last().map(|event| event.id.clone());
                let page = shop.job_events(&job, last.as_deref(), limit).await;
                let page = page.expect("events");
                assert!(page.len() <= limit);
                if page.is_empty() {
                    break;
                }
                seen.extend(page);
            }
            assert_eq!(seen, whole, "pages of {limit}");
        }
        for nobody in ["p26", "p0", "x", ""] {
            let page = shop.job_events(&job, Some(nobody), 10).await;
            assert_eq!(page.expect("events"), [], "{nobody}");
        }
    }

    #[tokio::test]
    async fn a_stage_that_is_taken_over_has_the_losses_of_the_order_that_ran_it() {
        let (_folder, shop) = testing::shop().await;
        job(&shop, false).await;
        let again = job(&shop, true).await;
        let curve = shop.curve(&again.order.id, 0).await.expect("a curve");
        assert_eq!(curve.len(), POINTS as usize);
    }
}
