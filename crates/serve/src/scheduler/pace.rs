//! How many prompt tokens a step may read without those waiting who already receive tokens.
//!
//! A step takes as long as its rows; how long a row takes depends on the machine, the model and what
//! else runs, and is therefore measured. It changes when what is computed, and no bit of it.

use std::time::Duration;

use crate::limits::Limits;

/// Steps of fewer rows say little: a matrix is read for each, however few there are.
const ROWS_MIN: usize = 16;
/// The newest step's part in the figure.
const NEWEST: f64 = 0.25;

/// What steps took lately.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    rows_per_ms: Option<f64>,
}

impl Pace {
    /// A step of so many rows took that long.
    pub(crate) fn note(&mut self, rows: usize, took: Duration) {
        let ms = took.as_secs_f64() * 1000.0;
        if rows < ROWS_MIN || ms <= 0.0 {
            return;
        }
        let newest = rows as f64 / ms;
        let before = self.rows_per_ms.unwrap_or(newest);
        self.rows_per_ms = Some(before + NEWEST * (newest - before));
    }

    /// Prompt tokens that the next step may read beside `answers` that each get a token: all that the
    /// limits allow where there are none, and always some.
    pub(crate) fn prompt_tokens(&self, limits: &Limits, answers: usize) -> usize {
        let most = limits.prefill_tokens_max.max(1);
        match self.rows_per_ms {
            Some(rows_per_ms) if answers > 0 => {
                let rows = (rows_per_ms * limits.step_ms_max as f64) as usize;
                rows.saturating_sub(answers).max(ROWS_MIN).min(most)
            }
            _ => most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            prefill_tokens_max: 256,
            step_ms_max: 100,
            ..Limits::default()
        }
    }

    #[test]
    fn a_slow_model_reads_prompts_in_small_pieces_while_others_are_answered() {
        let mut pace = Pace::default();
        assert_eq!(pace.prompt_tokens(&limits(), 8), 256);
        pace.note(256, Duration::from_millis(512));
        assert_eq!(pace.prompt_tokens(&limits(), 8), 42);
        assert_eq!(pace.prompt_tokens(&limits(), 0), 256);
        // However slow it is, prompts are read.
        pace.note(100, Duration::from_secs(1000));
        (0..50).for_each(|_| pace.note(100, Duration::from_secs(1000)));
        assert_eq!(pace.prompt_tokens(&limits(), 8), ROWS_MIN);
    }

    #[test]
    fn a_fast_model_reads_as_much_as_the_limits_allow() {
        let mut pace = Pace::default();
        pace.note(256, Duration::from_millis(50));
        assert_eq!(pace.prompt_tokens(&limits(), 32), 256);
        // A few rows take as long as many: they say nothing.
        pace.note(2, Duration::from_millis(50));
        assert_eq!(pace.prompt_tokens(&limits(), 32), 256);
    }
}
