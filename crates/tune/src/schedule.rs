//! How the learning rate goes over the steps: up during the warm-up, then down or level.
//!
//! The shapes are those of `transformers` (`get_cosine_schedule_with_warmup` and its siblings),
//! taken over `steps + 1` points and without the first and the last of them, where the rate is
//! zero: a step that moves nothing is wasted work.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// The shape after the warm-up; names as in LLaMA-Factory's `lr_scheduler_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Half a cosine down to zero.
    #[default]
    Cosine,
    /// A straight line down to zero.
    Linear,
    /// Level.
    Constant,
}

/// A learning rate for every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    shape: Shape,
    peak: f64,
    warmup_steps: u64,
    steps: u64,
}

impl Schedule {
    /// `steps` steps, of which `warmup_ratio` (0 to 1, rounded up) climb to `peak`.
    pub fn new(shape: Shape, peak: f64, warmup_ratio: f64, steps: u64) -> Self {
        let warmup_steps = (steps as f64 * warmup_ratio).ceil() as u64;
        Self {
            shape,
            peak,
            warmup_steps: warmup_steps.min(steps),
            steps,
        }
    }

    /// The rate of `step`, counted from 0.
    pub fn learning_rate(&self, step: u64) -> f64 {
        let at = (step + 1) as f64;
        let warmup = self.warmup_steps as f64;
        if at < warmup {
            return self.peak * at / warmup;
        }
        let span = ((self.steps + 1) as f64 - warmup).max(1.0);
        let progress = ((at - warmup) / span).min(1.0);
        self.peak
            * match self.shape {
                Shape::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
                Shape::Linear => 1.0 - progress,
                Shape::Constant => 1.0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors;

    #[test]
    fn follows_transformers() {
        let all = vectors::load();
        let cases = all["schedule"].as_array().expect("schedule cases");
        assert_eq!(cases.len(), 6, "three shapes with and without warm-up");
        for case in cases {
            let shape: Shape = serde_json::from_value(case["shape"].clone()).expect("a shape");
            let number = |key: &str| case[key].as_f64().expect("a number");
            let rates = case["rates"].as_array().expect("rates");
            let steps = rates.len() as u64;
            let schedule = Schedule::new(shape, number("peak"), number("warmup_ratio"), steps);
            for (step, expected) in rates.iter().enumerate() {
                let expected = expected.as_f64().expect("a rate");
                let found = schedule.learning_rate(step as u64);
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{shape:?} step {step}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn never_idles() {
        for shape in [Shape::Cosine, Shape::Linear, Shape::Constant] {
            for steps in 1..30 {
                for warmup_ratio in [0.0, 0.1, 1.0] {
                    let schedule = Schedule::new(shape, 1.0, warmup_ratio, steps);
                    for step in 0..steps {
                        let rate = schedule.learning_rate(step);
                        assert!(
                            rate > 0.0 && rate <= 1.0,
                            "{shape:?} {step}/{steps}: {rate}"
                        );
                    }
                }
            }
        }
    }
}
