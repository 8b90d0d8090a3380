//! The loss and learning-rate curves of an order, with the figures of the last step.

use lathe_workshop::CurvePoint;

use crate::chart::{self, Panel};
use crate::format;
use crate::lang::Say;

/// The tuning section of the order page.
pub(super) struct Curve {
    /// Optimizer steps of the whole run: where the drawings end.
    pub steps: u64,
    pub loss: Panel,
    pub rate: Panel,
    pub step_labels: Vec<String>,
    /// Names and values of the last step's figures.
    pub now: Vec<(String, String)>,
    /// What the drawings show, for those who do not see them.
    pub loss_summary: String,
    pub rate_summary: String,
}

impl Curve {
    /// Draws `points`; nothing before the first step. Only a run under way has time left.
    pub fn new(say: Say, points: &[CurvePoint], is_tuning: bool) -> Option<Curve> {
        let last = points.last()?;
        let steps = last.steps.max(last.step);
        let along = |figure: fn(&CurvePoint) -> f64| -> Vec<(f64, f64)> {
            points
                .iter()
                .map(|point| (point.step as f64, figure(point)))
                .collect()
        };
        let losses = along(|point| point.loss);
        let rates = along(|point| point.learning_rate);
        let loss = chart::loss_panel(&losses, steps as f64, |value| format::decimals(value, 2))?;
        let mut rate = chart::panel(&rates, steps as f64, format::small)?;
        // The lower drawing is a third as high and has room for every other label.
        rate.labels = rate.labels.into_iter().step_by(2).collect();
        let at = [
            ("step", last.step.to_string()),
            ("loss", format::decimals(last.loss, 3)),
        ];
        let at = at.each_ref().map(|(name, text)| (*name, text.as_str()));
        Some(Curve {
            steps,
            loss,
            rate,
            step_labels: chart::step_labels(steps),
            now: now(say, last, is_tuning && last.step < steps),
            loss_summary: say.with("web.curve.loss.summary", &at),
            rate_summary: say.of("web.curve.rate.summary", format::small(last.learning_rate)),
        })
    }
}

fn now(say: Say, last: &CurvePoint, is_under_way: bool) -> Vec<(String, String)> {
    let step = format!(
        "{} / {}",
        format::count(last.step),
        format::count(last.steps)
    );
    let speed = say.of("web.curve.tokens", format::decimals(last.tokens_per_s, 0));
    let mut now = vec![
        (say.it("web.curve.step"), step),
        (say.it("web.curve.loss"), format::decimals(last.loss, 3)),
        (say.it("web.curve.rate"), format::small(last.learning_rate)),
        (say.it("web.curve.speed"), speed),
    ];
    if is_under_way && last.eta_s.is_finite() {
        let left_ms = (last.eta_s.max(0.0) * 1000.0) as u64;
        now.push((say.it("web.curve.left"), format::duration(say, left_ms)));
    }
    now
}
