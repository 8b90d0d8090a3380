//! From logits to the next token.
//!
//! Temperature, then the `top_k` largest, then the fewest of these whose
//! probabilities sum to `top_p`, as `transformers` orders them. Penalties and
//! constraints are not here.

use crate::random::Random;

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the largest, the lowest id on ties.
    pub temperature: f32,
    /// Keeps the fewest tokens whose probabilities sum to this; 1 keeps all.
    pub top_p: f32,
    /// Keeps this many tokens; 0 keeps all.
    pub top_k: usize,
    /// Fixes the choice.
    pub seed: u64,
}

impl Sampling {
    /// Always the largest logit.
    pub fn greedy() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            seed: 0,
        }
    }
}

/// How many candidates are sorted at first; more only where `top_p` asks for them.
const SORTED_AT_FIRST: usize = 64;

/// Chooses tokens for one answer.
#[derive(Debug, Clone)]
pub struct Sampler {
    sampling: Sampling,
    random: Random,
}

impl Sampler {
    /// A sampler at the start of its seed's sequence.
    pub fn new(sampling: Sampling) -> Self {
        Self {
            random: Random::new(sampling.seed),
            sampling,
        }
    }

    /// Whether it always takes the largest logit.
    pub fn is_greedy(&self) -> bool {
        let temperature = self.sampling.temperature;
        temperature <= 0.0 || temperature.is_nan()
    }

    /// The next token; `logits` is used as scratch. A logit that is not a number is
    /// never chosen unless there is no other.
    pub fn next(&mut self, logits: &mut [f32]) -> u32 {
        let best = argmax(logits);
        if self.is_greedy() || logits.is_empty() {
            return best;
        }
        let largest = logits[best as usize];
        if !largest.is_finite() {
            return best;
        }
        // From here on: weights, the largest of which is 1.
        for logit in logits.iter_mut() {
            let weight = ((*logit - largest) / self.sampling.temperature).exp();
            *logit = if weight.is_nan() { 0.0 } else { weight };
        }
        let kept = self.kept(logits);
        let draw = f64::from(self.random.next_f32());
        match kept {
            None => pick(
                draw,
                logits
                    .iter()
                    .enumerate()
                    .map(|(id, weight)| (id as u32, *weight)),
            ),
            Some(kept) => pick(draw, kept.iter().map(|id| (*id, logits[*id as usize]))),
        }
    }

    /// The tokens left by `top_k` and `top_p`, the likeliest first; `None` for all.
    fn kept(&self, weights: &[f32]) -> Option<Vec<u32>> {
        let Sampling { top_p, top_k, .. } = self.sampling;
        let most = if top_k == 0 {
            weights.len()
        } else {
            top_k.min(weights.len())
        };
        let nucleus = top_p < 1.0;
        if most == weights.len() && !nucleus {
            return None;
        }
        let mut ids: Vec<u32> = (0..weights.len() as u32).collect();
        let order = |a: &u32, b: &u32| {
            weights[*b as usize]
                .total_cmp(&weights[*a as usize])
                .then(a.cmp(b))
        };
        if most < ids.len() {
            ids.select_nth_unstable_by(most, order);
            ids.truncate(most);
        }
        if !nucleus {
            ids.sort_unstable_by(order);
            return Some(ids);
        }
        let mut by_id = ids.clone();
        by_id.sort_unstable();
        let total: f64 = by_id
            .iter()
            .map(|id| f64::from(weights[*id as usize]))
            .sum();
        let wanted = f64::from(top_p.max(0.0)) * total;
        let mut sorted = SORTED_AT_FIRST.min(ids.len());
        loop {
            if sorted < ids.len() {
                ids.select_nth_unstable_by(sorted, order);
            }
            ids[..sorted].sort_unstable_by(order);
            if let Some(count) = reaches(wanted, &ids[..sorted], weights) {
                ids.truncate(count);
                return Some(ids);
            }
            if sorted == ids.len() {
                return Some(ids);
            }
            sorted = (4 * sorted).min(ids.len());
        }
    }
}

/// How many of the sorted ids it takes for their weights to sum to `wanted`; at least one.
fn reaches(wanted: f64, ids: &[u32], weights: &[f32]) -> Option<usize> {
    let mut sum = 0.0;
    for (index, id) in ids.iter().enumerate() {
        sum += f64::from(weights[*id as usize]);
        if sum >= wanted {
            return Some(index + 1);
        }
    }
    None
}

/// The id at which the running sum of weights passes `draw` of the whole.
fn pick(draw: f64, weighted: impl Iterator<Item = (u32, f32)> + Clone) -> u32 {
    let total: f64 = weighted.clone().map(|(_, weight)| f64::from(weight)).sum();
    let mut left = draw * total;
    let mut last = 0;
    for (id, weight) in weighted.filter(|(_, weight)| *weight > 0.0) {
        last = id;
        left -= f64::from(weight);
        if left < 0.0 {
            break;
        }
    }
    last
}

/// The index of the largest logit, the lowest on ties; 0 where there is none.
pub(crate) fn argmax(logits: &[f32]) -> u32 {
    let mut best = 0;
    let mut largest = f32::NEG_INFINITY;
    for (id, logit) in logits.iter().enumerate() {
        if *logit > largest {
            (best, largest) = (id, *logit);
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f32, top_p: f32, top_k: usize) -> Sampling {
        Sampling {
            temperature,
            top_p,
            top_k,
            seed: 5,
        }
    }

    /// How often each token is drawn from these logits.
    fn drawn(sampling: Sampling, logits: &[f32]) -> Vec<usize> {
        let mut sampler = Sampler::new(sampling);
        let mut counts = vec![0; logits.len()];
        for _ in 0..20_000 {
            counts[sampler.next(&mut logits.to_vec()) as usize] += 1;
        }
        counts
    }

    #[test]
    fn greedy_takes_the_lowest_id_on_ties_and_never_nan() {
        let mut sampler = Sampler::new(Sampling::greedy());
        assert_eq!(sampler.next(&mut [1.0, 3.0, 3.0, f32::NAN]), 1);
        assert_eq!(sampler.next(&mut [f32::NAN, f32::NEG_INFINITY]), 0);
        assert_eq!(sampler.next(&mut []), 0);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let logits = [0.0f32, 1.0, -1.0, 2.0];
        for temperature in [0.5f32, 1.0, 2.0] {
            let weights = logits.map(|logit| f64::from((logit / temperature).exp()));
            let total: f64 = weights.iter().sum();
            for (count, weight) in drawn(sampling(temperature, 1.0, 0), &logits)
                .iter()
                .zip(weights)
            {
                let share = *count as f64 / 20_000.0;
                assert!(
                    (share - weight / total).abs() < 0.015,
                    "{share} for {}",
                    weight / total
                );
            }
        }
    }

    #[test]
    fn top_k_and_top_p_keep_the_likeliest() {
        let logits = [0.0, 1.0, -1.0, 2.0, f32::NAN, f32::NEG_INFINITY];
        let kept = |top_p, top_k| {
            let counts = drawn(sampling(1.0, top_p, top_k), &logits);
            (0..logits.len())
                .filter(|id| counts[*id] > 0)
                .collect::<Vec<_>>()
        };
        // The probabilities are 0.087, 0.237, 0.032 and 0.644.
        assert_eq!(kept(1.0, 0), [0, 1, 2, 3]);
        assert_eq!(kept(1.0, 2), [1, 3]);
        assert_eq!(kept(0.0, 0), [3]);
        assert_eq!(kept(0.6, 0), [3]);
        assert_eq!(kept(0.7, 0), [1, 3]);
        assert_eq!(kept(0.95, 0), [0, 1, 3]);
        // Of the two left by top_k the first has 0.73.
        assert_eq!(kept(0.72, 2), [3]);
        assert_eq!(kept(0.75, 2), [1, 3]);
    }

    #[test]
    fn sorting_only_a_part_keeps_the_same_tokens() {
        let mut random = Random::new(2);
        for top_p in [0.1, 0.5, 0.9, 0.999] {
            let weights: Vec<f32> = (0..3000).map(|_| random.next_f32()).collect();
            let kept = Sampler::new(sampling(1.0, top_p, 0))
                .kept(&weights)
                .expect("some");
            let mut all: Vec<u32> = (0..3000).collect();
            all.sort_by(|a, b| weights[*b as usize].total_cmp(&weights[*a as usize]));
            let total: f64 = weights.iter().map(|weight| f64::from(*weight)).sum();
            let count = reaches(f64::from(top_p) * total, &all, &weights).expect("reached");
            assert_eq!(kept, all[..count]);
        }
    }

    #[test]
    fn a_seed_fixes_the_draws() {
        let make = |seed| {
            let mut sampler = Sampler::new(Sampling {
                seed,
                ..sampling(1.0, 0.9, 40)
            });
            let logits: Vec<f32> = (0..100).map(|id| (id % 17) as f32 / 4.0).collect();
            (0..50)
                .map(|_| sampler.next(&mut logits.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }
}
