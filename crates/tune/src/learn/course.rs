//! What happened on the way: measurements and setbacks. It is kept in checkpoints, so that a resumed
//! run remembers.

use serde::{Deserialize, Serialize};

/// Losses that a spike is told from.
const WINDOW: usize = 32;
/// A spike is above so many times the middle loss of the window …
const TIMES: f64 = 3.0;
/// … and so many nats more.
const NATS: f64 = 3.0;

/// The course of a run so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// What was measured, in order.
    pub evals: Vec<Eval>,
    /// What went wrong, in order.
    pub setbacks: Vec<Setback>,
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// Steps done before it.
    pub step: u64,
    /// The metric.
    #[serde(with = "exact")]
    pub value: f64,
}

/// A step that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setback {
    /// The step, counted from 1.
    pub step: u64,
    /// The step of the checkpoint that the run went back to, 0 for the beginning.
    pub back_to: u64,
    /// `loss` or `gradient norm`.
    pub what: String,
    /// The value met.
    #[serde(with = "exact")]
    pub value: f64,
}

impl Course {
    /// What the learning rate is multiplied by: halved by every setback.
    pub fn slowed(&self) -> f64 {
        0.5f64.powi(self.setbacks.len() as i32)
    }

    /// The best measurement, the earlier one on a tie; one that is no number is never best.
    pub fn best(&self, higher: bool) -> Option<Eval> {
        let numbers = self.evals.iter().filter(|eval| !eval.value.is_nan());
        let better = |a: &Eval, b: &Eval| {
            if higher {
                b.value > a.value
            } else {
                b.value < a.value
            }
        };
        numbers
            .copied()
            .reduce(|best, eval| if better(&best, &eval) { eval } else { best })
    }

    /// Measurements since the best one.
    pub fn stalled(&self, higher: bool) -> usize {
        let best = self.best(higher).map_or(0, |best| best.step);
        self.evals.iter().filter(|eval| eval.step > best).count()
    }
}

/// Whether `loss` is far above the last ones.
pub(super) fn spikes(losses: &[f64], loss: f64) -> bool {
    if losses.len() < WINDOW {
        return false;
    }
    let mut last = losses[losses.len() - WINDOW..].to_vec();
    last.sort_by(f64::total_cmp);
    loss > TIMES * last[WINDOW / 2] + NATS
}

/// A number or, where JSON has none, its name: both read back as it was.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Name(String),
    }

    pub(super) fn serialize<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
        if value.is_finite() {
            to.serialize_f64(*value)
        } else {
            to.serialize_str(&value.to_string())
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        match Written::deserialize(from)? {
            Written::Number(number) => Ok(number),
            Written::Name(name) => name.parse().map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(values: &[f64]) -> Course {
        let eval = |(at, &value): (usize, &f64)| Eval {
            step: 10 * (at as u64 + 1),
            value,
        };
        Course {
            evals: values.iter().enumerate().map(eval).collect(),
            setbacks: Vec::new(),
        }
    }

    #[test]
    fn the_best_is_the_earliest_of_equals_and_what_follows_it_is_counted() {
        let measured = course(&[0.5, 0.9, f64::NAN, 0.9, 0.8]);
        assert_eq!(measured.best(true).map(|best| best.step), Some(20));
        assert_eq!(measured.stalled(true), 3);
        assert_eq!(measured.best(false).map(|best| best.step), Some(10));
        assert_eq!(course(&[]).stalled(true), 0);
    }

    #[test]
    fn a_spike_is_far_above_the_last_losses_and_not_only_above_them() {
        let calm = vec![0.1; WINDOW];
        assert!(!spikes(&calm, 3.2));
        assert!(spikes(&calm, 3.4));
        assert!(!spikes(&calm[1..], 100.0), "too early to tell");
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        for value in [0.1 + 0.2, f64::NAN, f64::INFINITY, 1e-310] {
            let text = serde_json::to_string(&course(&[value])).expect("writes");
            let back: Course = serde_json::from_str(&text).expect("reads");
            assert_eq!(back.evals[0].value.to_bits(), value.to_bits(), "{text}");
        }
    }
}
