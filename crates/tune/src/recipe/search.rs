//! A search over a recipe's keys: asynchronous successive halving (ASHA, Li et al. 2020, algorithm 2)
//! with one worker.
//!
//! A trial is a choice of values. Rung r runs it for `reduction^r` parts of the whole; of the trials
//! that have ended a rung the best `1 / reduction` may go on to the next, and whenever one may, it
//! does; otherwise a new one begins. So the good ones are tuned long and the bad ones briefly, and
//! nothing waits for a rung to fill. What a trial is and how it is measured is the caller's.

use std::collections::BTreeMap;

use lathe_engine::random::Random;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TuneError;

/// Most trials of a search.
pub const TRIALS_MAX: usize = 1000;

/// The `search` section of a recipe.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Search {
    /// Keys of the recipe, each with the values to try.
    pub over: BTreeMap<String, Vec<Value>>,
    /// How many of all choices of values are tried, drawn by the seed; all of them if absent.
    pub trials: Option<usize>,
    /// Rungs: how often trials are compared, the end included.
    pub rungs: u32,
    /// Of so many trials one goes on, and for so many times as long.
    pub reduction: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            over: BTreeMap::new(),
            trials: None,
            rungs: 3,
            reduction: 3,
        }
    }
}

/// One choice of values, and how it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// The values, by key.
    pub values: BTreeMap<String, Value>,
    /// The metric after each rung that it ended.
    pub metrics: Vec<f64>,
    /// Seconds that it took in all.
    pub seconds: f64,
}

/// What to run next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Next {
    /// Which trial.
    pub trial: usize,
    /// The share of the whole run after which it is measured.
    pub share: f64,
}

impl Search {
    /// The trials, none of them begun.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] for a search over nothing, or out of bounds.
    pub fn trials(&self, seed: u64) -> Result<Vec<Trial>, TuneError> {
        let say = |reason: String| {
            Err(TuneError::Recipe {
                key: "search".to_owned(),
                reason,
            })
        };
        if self.over.is_empty() || self.over.values().any(Vec::is_empty) {
            return say("give `over` keys, each with values to try".to_owned());
        }
        if self.reduction < 2 || !(1..=8).contains(&self.rungs) {
            return say("reduction must be at least 2, rungs 1 to 8".to_owned());
        }
        let all = self.over.values().map(Vec::len);
        let all = all.fold(1usize, |product, len| product.saturating_mul(len));
        let wanted = self.trials.unwrap_or(all).min(all);
        if wanted == 0 || wanted > TRIALS_MAX || all > 1_000_000 {
            return say(format!(
                "{all} choices, {wanted} trials: 1 to {TRIALS_MAX} are run; set trials"
            ));
        }
        let order = Random::new(seed).order(all);
        Ok(order[..wanted].iter().map(|&at| self.trial(at)).collect())
    }

    /// The choice of that number, the last key's values going round fastest.
    fn trial(&self, mut number: usize) -> Trial {
        let mut values = BTreeMap::new();
        for (key, choices) in self.over.iter().rev() {
            values.insert(key.clone(), choices[number % choices.len()].clone());
            number /= choices.len();
        }
        Trial {
            values,
            metrics: Vec::new(),
            seconds: 0.0,
        }
    }

    /// What to run next, if anything; `higher` says whether more is better.
    pub fn next(&self, trials: &[Trial], higher: bool) -> Option<Next> {
        let rungs = self.rungs as usize;
        for rung in (1..rungs).rev() {
            let mut ended: Vec<usize> = (0..trials.len())
                .filter(|&at| trials[at].metrics.len() >= rung)
                .collect();
            ended.sort_by(|&a, &b| {
                let of = |at: usize| trials[at].metrics[rung - 1];
                better_first(of(a), of(b), higher)
            });
            ended.truncate(ended.len() / self.reduction);
            let waits = ended
                .into_iter()
                .find(|&at| trials[at].metrics.len() == rung);
            if let Some(trial) = waits {
                return Some(self.at(trial, rung));
            }
        }
        let fresh = trials.iter().position(|trial| trial.metrics.is_empty());
        fresh.map(|trial| self.at(trial, 0))
    }

    fn at(&self, trial: usize, rung: usize) -> Next {
        let parts = (self.rungs as usize - 1 - rung) as i32;
        Next {
            trial,
            share: (self.reduction as f64).powi(-parts),
        }
    }

    /// The trial that came furthest, and of several the best.
    pub fn winner(&self, trials: &[Trial], higher: bool) -> Option<usize> {
        (0..trials.len())
            .filter(|&at| !trials[at].metrics.is_empty())
            .min_by(|&a, &b| {
                let (a, b) = (&trials[a].metrics, &trials[b].metrics);
                let further = b.len().cmp(&a.len());
                let last = |metrics: &[f64]| metrics[metrics.len() - 1];
                further.then(better_first(last(a), last(b), higher))
            })
    }
}

/// The better metric first; one that is no number last.
fn better_first(a: f64, b: f64, higher: bool) -> std::cmp::Ordering {
    let worth = |metric: f64| match (metric.is_nan(), higher) {
        (true, _) => f64::NEG_INFINITY,
        (false, true) => metric,
        (false, false) => -metric,
    };
    worth(b).total_cmp(&worth(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn search(trials: usize) -> Search {
        let rates = (0..trials).map(|at| json!(at)).collect();
        Search {
            over: BTreeMap::from([("learning_rate".to_owned(), rates)]),
            ..Search::default()
        }
    }

    /// Runs a search whose metric is the trial's value: how often each share was run, and the winner.
    fn run(search: &Search) -> (Vec<(f64, usize)>, u64) {
        let mut trials = search.trials(7).expect("sound");
        let mut runs: Vec<(f64, usize)> = Vec::new();
        while let Some(next) = search.next(&trials, true) {
            let trial = &mut trials[next.trial];
            let value = trial.values["learning_rate"].as_f64().expect("a number");
            trial.metrics.push(value);
            match runs.iter_mut().find(|(share, _)| *share == next.share) {
                Some((_, count)) => *count += 1,
                None => runs.push((next.share, 1)),
            }
        }
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let winner = search.winner(&trials, true).expect("one");
        let value = trials[winner].values["learning_rate"].as_u64();
        (runs, value.expect("a number"))
    }

    #[test]
    fn many_begin_few_go_on_and_the_best_wins() {
        let (runs, winner) = run(&search(27));
        assert_eq!(winner, 26);
        let [(first, all), (second, some), (whole, few)] = runs[..] else {
            panic!("three rungs: {runs:?}")
        };
        assert_eq!((first, second, whole), (1.0 / 9.0, 1.0 / 3.0, 1.0));
        assert_eq!(all, 27, "every trial begins");
        // Going on without waiting lets a few too many on, as the paper says.
        assert!(
            (9..=14).contains(&some) && (3..=6).contains(&few),
            "{runs:?}"
        );
    }

    #[test]
    fn less_is_better_where_it_is_and_no_number_is_worst() {
        let search = search(3);
        let mut trials = search.trials(1).expect("sound");
        for (trial, metric) in trials.iter_mut().zip([0.5, f64::NAN, 0.2]) {
            trial.metrics.push(metric);
        }
        assert_eq!(search.winner(&trials, false), Some(2));
        assert_eq!(search.next(&trials, false).map(|next| next.trial), Some(2));
        assert_eq!(search.winner(&trials, true), Some(0));
    }

    #[test]
    fn some_of_all_choices_are_drawn_and_each_is_another() {
        let mut search = search(4);
        search
            .over
            .insert("lora_rank".to_owned(), vec![json!(8), json!(16)]);
        search.trials = Some(6);
        let trials = search.trials(3).expect("sound");
        assert_eq!(trials.len(), 6);
        for (at, trial) in trials.iter().enumerate() {
            assert_eq!(trial.values.len(), 2);
            assert!(
                trials[..at]
                    .iter()
                    .all(|other| other.values != trial.values)
            );
        }
        assert!(Search::default().trials(1).is_err(), "over nothing");
    }
}
