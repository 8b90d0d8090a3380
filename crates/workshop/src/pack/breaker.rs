//! The `breaker` section of a pack: from which share of complaints on its deployment is restricted, and
//! from which it does not answer at all.
//!
//! It is no part of what the model is admitted by: the gate does not read it, and a deployment whose pack
//! says nothing has the usual bounds. Not here: counting (`feedback::complaints`) and moving (`breakers`).

use serde::{Deserialize, Serialize};

/// The longest window, in answers.
const WINDOW_ANSWERS_MAX: u32 = 10_000;

/// What moves the breaker of a deployment by itself, where the pack says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSpec {
    /// Complaints about its answers.
    pub complaints: ComplaintsSpec,
}

/// How many complaints are too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ComplaintsSpec {
    /// The newest answers of the deployment of which the share is taken.
    pub window_answers: u32,
    /// Fewer answers than this say nothing yet.
    pub answers_min: u32,
    /// Fewer complaints than this say nothing yet.
    pub complaints_min: u32,
    /// The share, in percent, from which on it is restricted.
    pub restrict_percent: u32,
    /// The share, in percent, from which on it does not answer.
    pub open_percent: u32,
}

impl Default for ComplaintsSpec {
    fn default() -> Self {
        ComplaintsSpec {
            window_answers: 200,
            answers_min: 20,
            complaints_min: 5,
            restrict_percent: 5,
            open_percent: 20,
        }
    }
}

impl BreakerSpec {
    /// Whether it says nothing but the usual.
    pub(crate) fn is_usual(&self) -> bool {
        *self == BreakerSpec::default()
    }

    /// Refuses bounds that nothing can reach, or that everything reaches.
    pub(super) fn check(&self) -> Result<(), String> {
        let it = &self.complaints;
        let percents = [it.restrict_percent, it.open_percent];
        if !percents.iter().all(|percent| (1..=100).contains(percent)) {
            return Err("`breaker.complaints`: a share is from 1 to 100 percent".to_owned());
        }
        if it.restrict_percent > it.open_percent {
            return Err(
                "`breaker.complaints`: `restrict_percent` is more than `open_percent`".to_owned(),
            );
        }
        let least = it.answers_min.max(it.complaints_min);
        if it.complaints_min == 0
            || it.window_answers < least
            || it.window_answers > WINDOW_ANSWERS_MAX
        {
            return Err(format!(
                "`breaker.complaints`: `complaints_min` is 1 or more, and `window_answers` as many \
                 as both minimums, at most {WINDOW_ANSWERS_MAX}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(complaints: Value) -> BreakerSpec {
        serde_json::from_value(json!({ "complaints": complaints })).expect("a section")
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        assert!(spec(json!({})).check().is_ok() && spec(json!({})).is_usual());
        for bad in [
            json!({"restrict_percent": 0}),
            json!({"open_percent": 101}),
            json!({"restrict_percent": 30, "open_percent": 20}),
            json!({"complaints_min": 0}),
            json!({"window_answers": 10}),
            json!({"window_answers": 10_001}),
        ] {
            assert!(spec(bad.clone()).check().is_err(), "{bad}");
        }
    }
}
