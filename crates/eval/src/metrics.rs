//! The metrics, as plain functions over numbers and classes.
//!
//! They agree with scipy and scikit-learn (vectors by `tests/reference/make_eval_vectors.py`) and
//! are defined where those give up: a correlation with a constant is 0, for a model that always
//! says the same has explained nothing.

/// Name of [`pearson_r`] in reports and packs.
pub const PEARSON_R: &str = "pearson_r";
/// Name of [`macro_f1`] in reports and packs.
pub const MACRO_F1: &str = "macro_f1";
/// Name of the share of answers that are valid.
pub const VALID_JSON: &str = "valid_json";

/// Name of the mean log-probability of a held-out answer's token: [`crate::likelihood`].
pub const ANSWER_LOGPROB: &str = "answer_logprob";
/// Name of the mean distance of a preferred answer to the other: [`crate::likelihood`].
pub const PREFERENCE_MARGIN: &str = "preference_margin";

/// Pearson's correlation of pairs, −1 to 1; 0 when either side is constant or there are fewer than
/// two pairs.
pub fn pearson_r(pairs: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let Some(first) = pairs.clone().next() else {
        return 0.0;
    };
    let (mut count, mut sum_x, mut sum_y) = (0usize, 0.0, 0.0);
    let (mut x_varies, mut y_varies) = (false, false);
    for (x, y) in pairs.clone() {
        count += 1;
        sum_x += x;
        sum_y += y;
        x_varies |= x != first.0;
        y_varies |= y != first.1;
    }
    // Compared with the first, not by the variance: the mean of equal numbers may round off them.
    if !(x_varies && y_varies) {
        return 0.0;
    }
    let (mean_x, mean_y) = (sum_x / count as f64, sum_y / count as f64);
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        let (dx, dy) = (x - mean_x, y - mean_y);
        xx += dx * dx;
        yy += dy * dy;
        xy += dx * dy;
    }
    let r = xy / (xx.sqrt() * yy.sqrt());
    if r.is_finite() {
        r.clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

/// Mean of the classes' F1 over pairs of (true, predicted) class numbers below `classes`.
///
/// The mean runs over the classes that occur on either side, as scikit-learn's does; without any
/// pair it is 0.
pub fn macro_f1(pairs: impl Iterator<Item = (usize, usize)>, classes: usize) -> f64 {
    let mut hits = vec![0usize; classes];
    let mut seen = vec![0usize; classes];
    for (truth, predicted) in pairs {
        seen[truth] += 1;
        seen[predicted] += 1;
        hits[truth] += usize::from(truth == predicted);
    }
    let occurring = seen.iter().filter(|&&count| count > 0).count();
    let f1s = hits.iter().zip(&seen).filter(|(_, seen)| **seen > 0);
    let sum: f64 = f1s
        .map(|(&hits, &seen)| 2.0 * hits as f64 / seen as f64)
        .sum();
    sum / occurring.max(1) as f64
}

/// Share of true values; 0 of none.
pub fn share(values: impl Iterator<Item = bool>) -> f64 {
    let (mut count, mut holds) = (0usize, 0usize);
    for value in values {
        count += 1;
        holds += usize::from(value);
    }
    holds as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vectors() -> Value {
        serde_json::from_str(include_str!("../tests/eval_vectors.json")).expect("committed vectors")
    }

    fn numbers(value: &Value) -> Vec<f64> {
        let array = value.as_array().expect("an array");
        array
            .iter()
            .map(|number| number.as_f64().expect("a number"))
            .collect()
    }

    #[test]
    fn pearson_follows_scipy() {
        let all = vectors();
        let cases = all["pearson_r"].as_array().expect("cases");
        assert_eq!(cases.len(), 4);
        for case in cases {
            let (x, y) = (numbers(&case["x"]), numbers(&case["y"]));
            let expected = case["r"].as_f64().expect("a number");
            let found = pearson_r(x.iter().copied().zip(y.iter().copied()));
            assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
    }

    #[test]
    fn macro_f1_follows_scikit_learn() {
        let all = vectors();
        let cases = all["macro_f1"].as_array().expect("cases");
        assert_eq!(cases.len(), 4);
        for case in cases {
            let classes = |key: &str| -> Vec<usize> {
                numbers(&case[key])
                    .into_iter()
                    .map(|class| class as usize)
                    .collect()
            };
            let (truth, predicted) = (classes("truth"), classes("predicted"));
            let expected = case["f1"].as_f64().expect("a number");
            let found = macro_f1(truth.into_iter().zip(predicted), 5);
            assert!((found - expected).abs() < 1e-12, "{found} and {expected}");
        }
    }

    #[test]
    fn constants_explain_nothing() {
        let truth = [1.0, -2.0, 0.5];
        // 0.1 + 0.1 + 0.1 is not 3 · 0.1: the mean of equal numbers differs from them.
        let constant = [0.1; 3];
        assert_eq!(pearson_r(truth.into_iter().zip(constant)), 0.0);
        assert_eq!(pearson_r(constant.into_iter().zip(truth)), 0.0);
        assert_eq!(pearson_r([(1.0, 2.0)].into_iter()), 0.0);
        assert_eq!(pearson_r([].into_iter()), 0.0);
        assert_eq!(macro_f1([].into_iter(), 3), 0.0);
        assert_eq!(share([].into_iter()), 0.0);
    }
}
