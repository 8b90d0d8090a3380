//! The curves of an order: loss, learning rate, tokens per second and memory, with the figures of the last
//! step.

use lathe_workshop::{CurvePoint, Memory, StepName, StepView};

use super::steps;
use crate::chart::{self, Panel, Tick};
use crate::format;
use crate::lang::Say;

/// Decimals of a loss beside its axis, where its step needs no more.
const LOSS_PLACES_MIN: usize = 2;

/// The tuning section of the order page.
pub(super) struct Curve {
    /// Optimizer steps of the whole run: where the drawings end.
    pub steps: u64,
    /// The loss; beside it that on held-out records, where it was measured.
    pub loss: Panel,
    /// The lower drawings, from top to bottom.
    pub below: Vec<Small>,
    /// What stands below the drawings, from left to right.
    pub step_ticks: Vec<Tick>,
    /// Names and values of the last step's figures.
    pub now: Vec<(String, String)>,
    /// What the drawing of the loss shows, for those who do not see it.
    pub loss_summary: String,
}

/// A drawing a third as high as that of the loss.
pub(super) struct Small {
    pub class: &'static str,
    pub name: String,
    pub panel: Panel,
    pub summary: String,
    /// Decimals of a value under the pointer, where they are not those of a loss.
    pub digits: Option<u8>,
}

/// What is known of the stage that tunes, or has, beside its points.
#[derive(Clone, Copy, Default)]
pub(super) struct Course {
    /// Whether it runs: only then there is time left.
    pub is_tuning: bool,
    /// What its process holds.
    pub memory: Option<Memory>,
    /// The mean loss over the last tenth of the steps, which its step tells once it is done.
    pub mean_loss: Option<f64>,
}

/// The figure of a stage's step that is its mean loss over the last tenth.
pub(super) const MEAN_LOSS: &str = "final_loss";

/// The mean loss that the step tells whose losses are the order's curve: the supervised one, where there is one.
pub(super) fn mean_loss(steps: &[StepView]) -> Option<f64> {
    let of = |name| steps.iter().find(|step| step.name == name);
    let step = of(StepName::Tune).or_else(|| of(StepName::Preference))?;
    step.figures.get(MEAN_LOSS)?.as_f64()
}

impl Curve {
    /// Draws `points`; nothing before the first step.
    pub fn new(say: Say, points: &[CurvePoint], course: Course) -> Option<Curve> {
        let last = points.last()?;
        let steps = last.steps.max(last.step);
        let losses = along(points, |point| Some(point.loss));
        let held = along(points, |point| point.held_out_loss);
        let label = |value, places: usize| format::decimals(value, places.max(LOSS_PLACES_MIN));
        let loss = chart::loss_panel((&losses, &held), steps as f64, label)?;
        Some(Curve {
            steps,
            loss,
            below: below(say, points, steps),
            step_ticks: chart::step_ticks(steps),
            now: now(say, points, last, course),
            loss_summary: loss_summary(say, points, last),
        })
    }
}

/// The values that points have of a figure, each at its step.
fn along(points: &[CurvePoint], figure: fn(&CurvePoint) -> Option<f64>) -> Vec<(f64, f64)> {
    let placed = |point: &CurvePoint| Some((point.step as f64, figure(point)?));
    points.iter().filter_map(placed).collect()
}

/// What a step's tokens took: of points that do not say it, the mean since their process began.
fn speed(point: &CurvePoint) -> Option<f64> {
    Some(point.step_tokens_per_s.unwrap_or(point.tokens_per_s))
}

fn mebibytes(point: &CurvePoint) -> Option<f64> {
    Some(point.memory_bytes? as f64 / f64::from(1 << 20))
}

/// A value beside its axis, with so many decimals.
type Label = dyn Fn(f64, usize) -> String;
/// A value by itself.
type Said = dyn Fn(f64) -> String;

fn below(say: Say, points: &[CurvePoint], steps: u64) -> Vec<Small> {
    type Figure = fn(&CurvePoint) -> Option<f64>;
    let rate: Figure = |point| Some(point.learning_rate);
    let whole = |value: f64, places: usize| match places {
        0 => format::count(value.max(0.0).round() as u64),
        places => format::decimals(value, places),
    };
    let drawn = |class: &'static str, figure: Figure, label: &Label, said: &Said, digits| {
        let values = along(points, figure);
        let last = values.last()?.1;
        Some(Small {
            class,
            name: say.it_of("web.curve.drawn", class),
            panel: chart::panel(&values, steps as f64, label)?,
            summary: say.of(&format!("web.curve.drawn.{class}.summary"), said(last)),
            digits,
        })
    };
    let rounded = move |value: f64| whole(value, 0);
    let all = [
        drawn("rate", rate, &format::short, &format::small, None),
        drawn("speed", speed, &whole, &rounded, Some(0)),
        drawn("memory", mebibytes, &whole, &rounded, Some(0)),
    ];
    all.into_iter().flatten().collect()
}

fn loss_summary(say: Say, points: &[CurvePoint], last: &CurvePoint) -> String {
    let (step, loss) = (last.step.to_string(), format::decimals(last.loss, 3));
    let summary = say.with(
        "web.curve.loss.summary",
        &[("step", &step), ("loss", &loss)],
    );
    match held_out(points) {
        None => summary,
        Some((step, loss)) => {
            let (step, loss) = (step.to_string(), format::decimals(loss, 3));
            let at = [("step", step.as_str()), ("loss", loss.as_str())];
            summary + &say.with("web.curve.held.summary", &at)
        }
    }
}

/// The last measurement on held-out records, and its step.
fn held_out(points: &[CurvePoint]) -> Option<(u64, f64)> {
    let mut points = points.iter().rev();
    points.find_map(|point| Some((point.step, point.held_out_loss?)))
}

fn now(
    say: Say,
    points: &[CurvePoint],
    last: &CurvePoint,
    course: Course,
) -> Vec<(String, String)> {
    let step = format!(
        "{} / {}",
        format::count(last.step),
        format::count(last.steps)
    );
    let speed = say.of("web.curve.tokens", format::whole(last.tokens_per_s));
    let mut now = vec![
        (say.it("web.curve.step"), step),
        (
            say.it("web.curve.loss.last"),
            format::decimals(last.loss, 3),
        ),
    ];
    if let Some(loss) = course.mean_loss {
        now.push((say.it("web.curve.loss.mean"), format::decimals(loss, 3)));
    }
    if let Some((_, loss)) = held_out(points) {
        now.push((say.it("web.curve.held"), format::decimals(loss, 3)));
    }
    now.push((say.it("web.curve.rate"), format::small(last.learning_rate)));
    now.push((say.it("web.curve.speed"), speed));
    if let Some(memory) = course.memory {
        let text = steps::memory(say, "web.curve.memory.value", memory);
        now.push((say.it("web.curve.memory"), text));
    }
    if course.is_tuning && last.step < last.steps && last.eta_s.is_finite() {
        let left_ms = (last.eta_s.max(0.0) * 1000.0) as u64;
        now.push((say.it("web.curve.left"), format::duration(say, left_ms)));
    }
    now
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    fn point(step: u64) -> CurvePoint {
        CurvePoint {
            step,
            steps: 4,
            loss: 1.0 / step as f64,
            learning_rate: 1e-4,
            tokens_per_s: 100.0,
            eta_s: 60.0,
            ..CurvePoint::default()
        }
    }

    #[test]
    fn points_of_earlier_versions_draw_what_they_have() {
        let say = Say::new(Lang::En);
        let curve = Curve::new(say, &[point(1), point(2)], Course::default()).expect("a curve");
        let classes: Vec<_> = curve.below.iter().map(|it| it.class).collect();
        assert_eq!(classes, ["rate", "speed"]);
        assert_eq!(curve.loss.beside, "");
        assert!(curve.loss_summary.ends_with("0.500 at step 2"));
        let rates = curve.below[0].panel.ticks.iter();
        let rates: Vec<_> = rates.map(|it| it.label.as_str()).collect();
        assert_eq!(rates, ["1e-4", "5e-5", "0"]);
        assert!(curve.below[0].summary.ends_with("last 1.0e-4"));
        assert!(Curve::new(say, &[], Course::default()).is_none());
    }

    /// A step's own loss and the mean that the tuning step tells are two figures, and called so.
    #[test]
    fn the_last_loss_and_the_mean_of_the_last_ones_are_told_apart() {
        let view = |name: StepName, mean: f64| {
            let view = serde_json::json!({
                "name": name, "state": "done", "progress": null, "figure": null, "artifact": null,
                "figures": {"final_loss": mean}, "error": null, "started_ms": null, "ended_ms": null,
            });
            serde_json::from_value::<StepView>(view).expect("a step")
        };
        let steps = [
            view(StepName::Tune, 0.75),
            view(StepName::Preference, 0.693),
        ];
        assert_eq!(mean_loss(&steps), Some(0.75));
        assert_eq!(mean_loss(&steps[1..]), Some(0.693));
        assert_eq!(mean_loss(&[]), None);
        let course = Course {
            mean_loss: mean_loss(&steps),
            ..Course::default()
        };
        for (lang, last, mean) in [
            (
                Lang::En,
                "Loss of the last step",
                "Mean loss of the last 10 % of the steps",
            ),
            (Lang::Zh, "最后一步的损失", "最后 10% 训练步的平均损失"),
        ] {
            let say = Say::new(lang);
            let curve = Curve::new(say, &[point(1), point(2)], course).expect("a curve");
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            assert_eq!(curve.now[1..3], [pair(last, "0.500"), pair(mean, "0.750")]);
        }
    }

    #[test]
    fn what_is_measured_on_the_way_is_drawn_and_said() {
        let say = Say::new(Lang::En);
        let measured = CurvePoint {
            step_tokens_per_s: Some(300.0),
            held_out_loss: Some(0.75),
            memory_bytes: Some(512 << 20),
            ..point(2)
        };
        let memory = Memory {
            now_bytes: 512 << 20,
            peak_bytes: 1 << 30,
        };
        let points = [point(1), measured, point(3)];
        let course = Course {
            is_tuning: true,
            memory: Some(memory),
            mean_loss: None,
        };
        let curve = Curve::new(say, &points, course).expect("a curve");
        let classes: Vec<_> = curve.below.iter().map(|it| it.class).collect();
        assert_eq!(classes, ["rate", "speed", "memory"]);
        assert_eq!(curve.loss.beside.matches(',').count(), 1);
        assert_eq!(curve.below[2].summary, "Memory by step; last 512 MiB");
        assert!(curve.loss_summary.contains("0.750 at step 2"));
        let said: Vec<_> = curve.now.iter().map(|(name, _)| name.as_str()).collect();
        let all = [
            "Step",
            "Loss of the last step",
            "Held-out loss",
            "Learning rate",
            "Speed",
            "Memory",
            "Left",
        ];
        assert_eq!(said, all);
        assert_eq!(curve.now[5].1, "512.0 MiB, at most 1.0 GiB");
    }
}
