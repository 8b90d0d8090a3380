//! Several datasets drawn into one, so that a rare one is not drowned and general records keep the
//! model from forgetting.
//!
//! As Hugging Face's `interleave_datasets`: a dataset is drawn by its share and its next record is
//! taken; drawing ends when the first runs out, or when each was seen whole, those that ran out
//! beginning again.

use lathe_engine::random::Random;

use super::{Mixing, Settings};
use crate::TuneError;

/// Records of a mixture for each record given, at most: a small share of a large dataset repeats the
/// others very often.
const GROWTH_MAX: usize = 100;

/// Which records of datasets of the given sizes are learnt from: places in all of them one after the
/// other, some perhaps several times. `None` where that is all of them once.
///
/// # Errors
/// [`TuneError::Recipe`] for shares that cannot be, or a mixture out of all proportion.
pub fn mixture(settings: &Settings, sizes: &[usize]) -> Result<Option<Vec<usize>>, TuneError> {
    if settings.mix_strategy == Mixing::Concat || sizes.len() < 2 {
        return Ok(None);
    }
    let shares = match &settings.interleave_probs {
        Some(shares) => shares.of(sizes.len())?,
        None => vec![1.0; sizes.len()],
    };
    let starts: Vec<usize> = sizes
        .iter()
        .scan(0, |end, size| {
            let start = *end;
            *end += size;
            Some(start)
        })
        .collect();
    let most = GROWTH_MAX * sizes.iter().sum::<usize>();
    let mut random = Random::new(settings.seed);
    let mut taken = vec![0; sizes.len()];
    let mut drawn = Vec::new();
    let ends = |taken: &[usize]| {
        let mut whole = taken.iter().zip(sizes).map(|(taken, size)| taken >= size);
        match settings.mix_strategy {
            Mixing::InterleaveOver => whole.all(|whole| whole),
            Mixing::Concat | Mixing::InterleaveUnder => whole.any(|whole| whole),
        }
    };
    while !ends(&taken) {
        if drawn.len() >= most {
            return Err(TuneError::Recipe {
                key: "interleave_probs".to_owned(),
                reason: format!(
                    "{shares:?} of {sizes:?} records would take more than {most}: give the larger \
                     dataset a larger share, or use mix_strategy: interleave_under"
                ),
            });
        }
        let from = draw(&mut random, &shares);
        drawn.push(starts[from] + taken[from] % sizes[from]);
        taken[from] += 1;
    }
    Ok(Some(drawn))
}

/// One of the datasets, by their shares.
fn draw(random: &mut Random, shares: &[f64]) -> usize {
    let at = f64::from(random.next_f32()) * shares.iter().sum::<f64>();
    let mut sum = 0.0;
    let passed = shares.iter().position(|share| {
        sum += share;
        at < sum
    });
    passed.unwrap_or(shares.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;
    use std::path::Path;

    fn mixed(extra: &str, sizes: &[usize]) -> Result<Option<Vec<usize>>, TuneError> {
        let text = format!("model_name_or_path: m\noutput_dir: o\ndataset: a,b\n{extra}");
        let recipe = Recipe::parse(&text, &[], Path::new("")).expect("a recipe");
        mixture(&recipe.settings, sizes)
    }

    #[test]
    fn one_after_the_other_is_all_once() {
        assert_eq!(mixed("", &[3, 4]).expect("no shares"), None);
    }

    #[test]
    fn drawing_ends_when_the_first_runs_out() {
        let extra = "mix_strategy: interleave_under\ninterleave_probs: 0.8,0.2\n";
        let drawn = mixed(extra, &[1000, 1000]).expect("shares").expect("drawn");
        let first = drawn.iter().filter(|&&at| at < 1000).count();
        assert_eq!(first, 1000);
        let share = first as f64 / drawn.len() as f64;
        assert!((share - 0.8).abs() < 0.04, "{share}");
        assert_eq!(mixed(extra, &[1000, 1000]).expect("again"), Some(drawn));
    }

    #[test]
    fn drawing_ends_when_each_was_seen_whole() {
        let extra = "mix_strategy: interleave_over\n";
        let drawn = mixed(extra, &[10, 300]).expect("shares").expect("drawn");
        for at in 0..310 {
            assert!(drawn.contains(&at), "{at}");
        }
        assert!(
            drawn.iter().filter(|&&at| at == 3).count() > 10,
            "it repeats"
        );
    }

    #[test]
    fn shares_that_cannot_be_are_refused() {
        for (extra, words) in [
            ("interleave_probs: [0.5]\n", "each of the 2"),
            ("interleave_probs: [0.5, 0]\n", "above 0"),
            ("interleave_probs: a,b\n", "numbers"),
            ("interleave_probs: [1000000, 1]\n", "interleave_under"),
        ] {
            let extra = format!("mix_strategy: interleave_over\n{extra}");
            let error = mixed(&extra, &[10, 10]).expect_err(words).to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
