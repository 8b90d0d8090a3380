//! Ridge regression on sparse rows with a free intercept, by conjugate gradients.
//!
//! ```text
//! min over w, b of  Σ (yᵢ − xᵢ·w − b)² + penalty · |w|²
//! ```
//!
//! Solved for w on centred rows (CGLS on the damped normal equations, Björck 1996, section 7.4);
//! the centring is applied inside the products, so that the rows stay sparse. The intercept follows
//! from the means. One thread, f64, fixed order: the same bits every time.

use super::tfidf::Sparse;

/// Iterations after which the solution is taken as it is.
const ITERATIONS_MAX: usize = 500;
/// Residual of the normal equations, relative to the start, that counts as solved.
const TOLERANCE: f64 = 1e-7;

/// A fitted linear function.
#[derive(Clone, Debug)]
pub struct Ridge {
    weights: Vec<f64>,
    intercept: f64,
}

impl Ridge {
    /// Fits `targets` to `rows` whose features are below `features`.
    pub fn fit(rows: &[Sparse], targets: &[f64], features: usize, penalty: f64) -> Self {
        let matrix = Centred::new(rows, features);
        let mean = targets.iter().sum::<f64>() / targets.len().max(1) as f64;
        let residual = targets.iter().map(|target| target - mean).collect();
        let weights = solve(&matrix, residual, penalty);
        let intercept = mean - dot(&matrix.means, &weights);
        Self { weights, intercept }
    }

    /// The fitted value of a row.
    pub fn predict(&self, row: &Sparse) -> f64 {
        self.intercept + sparse_dot(row, &self.weights)
    }
}

/// CGLS with damping: `residual` begins as the centred targets.
fn solve(matrix: &Centred<'_>, mut residual: Vec<f64>, penalty: f64) -> Vec<f64> {
    let mut weights = vec![0.0; matrix.means.len()];
    let mut gradient = matrix.transposed_times(&residual);
    let mut direction = gradient.clone();
    let mut square = dot(&gradient, &gradient);
    let solved = square * TOLERANCE * TOLERANCE;
    for _ in 0..ITERATIONS_MAX {
        if square <= solved {
            break;
        }
        let image = matrix.times(&direction);
        let step = square / (dot(&image, &image) + penalty * dot(&direction, &direction));
        add_scaled(&mut weights, step, &direction);
        add_scaled(&mut residual, -step, &image);
        gradient = matrix.transposed_times(&residual);
        add_scaled(&mut gradient, -penalty, &weights);
        let next = dot(&gradient, &gradient);
        let turn = next / square;
        square = next;
        for (direction, gradient) in direction.iter_mut().zip(&gradient) {
            *direction = gradient + turn * *direction;
        }
    }
    weights
}

/// Sparse rows minus their mean, without writing the difference down.
struct Centred<'a> {
    rows: &'a [Sparse],
    means: Vec<f64>,
}

impl<'a> Centred<'a> {
    fn new(rows: &'a [Sparse], features: usize) -> Self {
        let mut means = vec![0.0; features];
        for &(feature, value) in rows.iter().flatten() {
            means[feature as usize] += value / rows.len() as f64;
        }
        Self { rows, means }
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        let shift = dot(&self.means, vector);
        self.rows
            .iter()
            .map(|row| sparse_dot(row, vector) - shift)
            .collect()
    }

    fn transposed_times(&self, vector: &[f64]) -> Vec<f64> {
        let total: f64 = vector.iter().sum();
        let mut result: Vec<f64> = self.means.iter().map(|mean| -mean * total).collect();
        for (row, factor) in self.rows.iter().zip(vector) {
            for &(feature, value) in row {
                result[feature as usize] += value * factor;
            }
        }
        result
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sparse_dot(row: &Sparse, dense: &[f64]) -> f64 {
    row.iter()
        .map(|&(feature, value)| value * dense[feature as usize])
        .sum()
}

fn add_scaled(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut()
        .zip(from)
        .for_each(|(to, from)| *to += factor * from);
}

#[cfg(test)]
mod tests {
    use super::super::tfidf::Tfidf;
    use super::*;
    use serde_json::Value;

    #[test]
    fn follows_scikit_learn_from_text_to_prediction() {
        let all: Value = serde_json::from_str(include_str!("../../tests/eval_vectors.json"))
            .expect("committed vectors");
        let linear = &all["linear"];
        let texts = |key: &str| -> Vec<&str> {
            let array = linear[key].as_array().expect("an array");
            array
                .iter()
                .map(|text| text.as_str().expect("a text"))
                .collect()
        };
        let numbers = |value: &Value| -> Vec<f64> {
            let array = value.as_array().expect("an array");
            array
                .iter()
                .map(|number| number.as_f64().expect("a number"))
                .collect()
        };
        let sentences = texts("sentences");
        let tfidf = Tfidf::fit(&sentences);
        assert_eq!(Some(tfidf.features() as u64), linear["features"].as_u64());
        let rows: Vec<_> = sentences.iter().map(|text| tfidf.vector(text)).collect();
        let ratings = numbers(&linear["ratings"]);
        let cases = linear["ridge"].as_array().expect("cases");
        assert_eq!(cases.len(), 3);
        for case in cases {
            let penalty = case["penalty"].as_f64().expect("a number");
            let ridge = Ridge::fit(&rows, &ratings, tfidf.features(), penalty);
            for (text, expected) in texts("unseen").iter().zip(numbers(&case["predicted"])) {
                let found = ridge.predict(&tfidf.vector(text));
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{text}: {found} and {expected}"
                );
            }
        }
    }

    #[test]
    fn without_features_it_predicts_the_mean() {
        let ridge = Ridge::fit(&[vec![], vec![]], &[1.0, 2.0], 0, 1.0);
        assert_eq!(ridge.predict(&vec![]), 1.5);
    }
}
