//! Records that are not learnt from, so that they can be measured on.

use lathe_engine::random::Random;

use super::Settings;
use crate::TuneError;

/// Which of `count` records `val_size` takes out, a share below 1 or else a number; the seed says
/// which.
///
/// # Errors
/// [`TuneError::Recipe`] where none would be left to learn from.
pub fn places(settings: &Settings, count: usize) -> Result<Vec<bool>, TuneError> {
    let size = settings.val_size;
    let wanted = if size < 1.0 {
        size * count as f64
    } else {
        size
    };
    let wanted = wanted.round() as usize;
    if size < 0.0 || !size.is_finite() || wanted >= count.max(1) {
        return Err(TuneError::Recipe {
            key: "val_size".to_owned(),
            reason: format!("{size} of {count} records leaves none to learn from"),
        });
    }
    let order = Random::new(settings.seed).order(count);
    let mut out = vec![false; count];
    order[..wanted].iter().for_each(|&at| out[at] = true);
    Ok(out)
}

/// Takes them out of `all`.
///
/// # Errors
/// As [`places`].
pub fn hold_back<T>(settings: &Settings, all: &mut Vec<T>) -> Result<Vec<T>, TuneError> {
    let out = places(settings, all.len())?;
    let mut places = out.iter();
    let held = all.extract_if(.., |_| places.next() == Some(&true));
    Ok(held.collect())
}
