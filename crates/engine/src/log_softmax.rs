//! How likely a model holds each token for what comes next, from its logits.
//!
//! ```text
//! log p(token) = z[token] − ln Σ exp(z)       z: the logits as the model gives them
//! ```
//! It is the model's own distribution: no temperature, no penalty, no constraint is in it. The sum
//! is taken in f64, so that it does not lose the tail of a large vocabulary.

use crate::agreement::log_sum;

/// Stands for the logarithm of a probability that is zero to f32, as in OpenAI's answers: JSON has no
/// infinity.
pub const LOG_PROBABILITY_MIN: f32 = -9999.0;

/// The distribution that one row of logits stands for.
#[derive(Debug, Clone, Copy)]
pub struct LogSoftmax<'a> {
    logits: &'a [f32],
    log_sum: f64,
}

impl<'a> LogSoftmax<'a> {
    /// Of one row.
    pub fn new(logits: &'a [f32]) -> Self {
        Self {
            log_sum: log_sum(logits),
            logits,
        }
    }

    /// The natural logarithm of the token's probability; never under [`LOG_PROBABILITY_MIN`], which
    /// it also is where the logits are not numbers.
    ///
    /// # Panics
    /// If there is no such token.
    pub fn of(&self, token: u32) -> f32 {
        let exact = f64::from(self.logits[token as usize]) - self.log_sum;
        // `max` takes the other operand where one is not a number.
        (exact as f32).max(LOG_PROBABILITY_MIN)
    }

    /// The `count` likeliest tokens, the likeliest first, the lowest id first on ties; fewer where
    /// there are not so many.
    pub fn likeliest(&self, count: usize) -> Vec<(u32, f32)> {
        let mut best: Vec<(u32, f32)> = Vec::with_capacity(count + 1);
        if count == 0 {
            return best;
        }
        for (id, &logit) in self.logits.iter().enumerate() {
            let beaten = best.len() == count && best.last().is_some_and(|last| logit <= last.1);
            if beaten || logit.is_nan() {
                continue;
            }
            let place = best.partition_point(|kept| kept.1 >= logit);
            best.insert(place, (id as u32, logit));
            best.truncate(count);
        }
        for (id, value) in &mut best {
            *value = self.of(*id);
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn probabilities_are_those_of_the_definition() {
        let p = [0.5f64, 0.25, 0.125, 0.125];
        let logits = p.map(|it| it.ln() as f32 + 11.0);
        let row = LogSoftmax::new(&logits);
        for (token, p) in p.iter().enumerate() {
            let found = f64::from(row.of(token as u32));
            assert!((found - p.ln()).abs() < 1e-6, "{found}");
        }
    }

    #[test]
    fn the_likeliest_are_those_that_sorting_finds() {
        let mut random = Random::new(4);
        // Few values, so that there are ties.
        let logits: Vec<f32> = (0..500).map(|_| (random.below(90) as f32).sqrt()).collect();
        let row = LogSoftmax::new(&logits);
        let mut sorted: Vec<u32> = (0..500).collect();
        sorted.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]));
        for count in [0, 1, 5, 20, 500, 600] {
            let expected: Vec<(u32, f32)> = sorted
                .iter()
                .take(count)
                .map(|&id| (id, row.of(id)))
                .collect();
            assert_eq!(row.likeliest(count), expected, "{count}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_never_said() {
        let row = LogSoftmax::new(&[0.0, f32::NEG_INFINITY, -1e30]);
        assert_eq!((row.of(1), row.of(2)), (-9999.0, -9999.0));
        let broken = LogSoftmax::new(&[0.0, f32::NAN]);
        assert_eq!((broken.of(0), broken.of(1)), (-9999.0, -9999.0));
        assert_eq!(broken.likeliest(2), [(0, -9999.0)]);
    }
}
