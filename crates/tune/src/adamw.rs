//! AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), in the
//! arithmetic of `torch.optim.AdamW`.
//!
//! ```text
//! p ← p · (1 − lr·λ)
//! m ← β₁·m + (1 − β₁)·g          v ← β₂·v + (1 − β₂)·g²
//! p ← p − lr/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
//! ```
//!
//! One flat vector of f32 parameters, moments in f32, the step's constants in f64. Every element is
//! on its own, so that no order of summation exists that could differ between runs. There are no
//! parameter groups and no AMSGrad. The loop over the elements is the kernel's.

use lathe_kernel::adamw::{self, Constants};
use lathe_kernel::{Pool, slab};

/// Constants of the optimizer; the learning rate comes with every step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWSpec {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub epsilon: f64,
    /// λ, the decoupled weight decay.
    pub weight_decay: f64,
}

impl Default for AdamWSpec {
    /// PyTorch's defaults, without weight decay.
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

/// The optimizer's state over one flat vector.
#[derive(Clone, Debug, PartialEq)]
pub struct AdamW {
    spec: AdamWSpec,
    steps: u64,
    first: Vec<f32>,
    second: Vec<f32>,
}

impl AdamW {
    /// A fresh state for `len` parameters.
    pub fn new(spec: AdamWSpec, len: usize) -> Self {
        Self {
            spec,
            steps: 0,
            first: slab::zeros(len),
            second: slab::zeros(len),
        }
    }

    /// A state read back from a checkpoint after `steps` steps.
    ///
    /// # Panics
    /// If the moments differ in length.
    pub fn restore(spec: AdamWSpec, steps: u64, first: Vec<f32>, second: Vec<f32>) -> Self {
        assert_eq!(
            first.len(),
            second.len(),
            "both moments cover the same parameters"
        );
        Self {
            spec,
            steps,
            first,
            second,
        }
    }

    /// Steps taken so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// First moments, one per parameter.
    pub fn first(&self) -> &[f32] {
        &self.first
    }

    /// Second moments, one per parameter.
    pub fn second(&self) -> &[f32] {
        &self.second
    }

    /// Moves `values` against `gradient_factor · gradients` by one step. The same bits at any number
    /// of threads.
    ///
    /// # Panics
    /// If a length differs from the state's.
    pub fn step(
        &mut self,
        pool: &Pool,
        values: &mut [f32],
        gradients: &[f32],
        gradient_factor: f32,
        learning_rate: f64,
    ) {
        assert_eq!(values.len(), self.first.len(), "one moment per value");
        assert_eq!(gradients.len(), self.first.len(), "one gradient per value");
        self.steps += 1;
        let AdamWSpec {
            beta1,
            beta2,
            epsilon,
            weight_decay,
        } = self.spec;
        let correction1 = 1.0 - beta1.powf(self.steps as f64);
        let correction2 = (1.0 - beta2.powf(self.steps as f64)).sqrt();
        let constants = Constants {
            beta1: beta1 as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            gradient_factor,
            keep: (1.0 - learning_rate * weight_decay) as f32,
            step_size: (learning_rate / correction1) as f32,
            correction: correction2 as f32,
            epsilon: epsilon as f32,
        };
        let (first, second) = (&mut self.first, &mut self.second);
        adamw::step(pool, &constants, values, first, second, gradients);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{self, close};

    #[test]
    fn follows_pytorch() {
        let all = vectors::load();
        let cases = all["adamw"].as_array().expect("adamw cases");
        assert_eq!(cases.len(), 2, "with and without weight decay");
        for case in cases {
            let number = |key: &str| case[key].as_f64().expect("a number");
            let spec = AdamWSpec {
                beta1: number("beta1"),
                beta2: number("beta2"),
                epsilon: number("epsilon"),
                weight_decay: number("weight_decay"),
            };
            let mut values = vectors::floats(&case["start"]);
            let mut optimizer = AdamW::new(spec, values.len());
            let pool = Pool::new(2);
            for step in case["steps"].as_array().expect("steps") {
                let rate = step["learning_rate"].as_f64().expect("a rate");
                let gradients = vectors::floats(&step["gradients"]);
                optimizer.step(&pool, &mut values, &gradients, 1.0, rate);
                close(&values, &vectors::floats(&step["values"]), 2e-6);
            }
            assert_eq!(optimizer.steps(), 12);
        }
    }

    #[test]
    fn goes_on_where_it_stopped() {
        let pool = Pool::new(2);
        let gradients = [0.5, -0.25, 1e-3];
        let (mut whole, mut halves) = (vec![1.0, -1.0, 0.5], vec![1.0, -1.0, 0.5]);
        let spec = AdamWSpec {
            weight_decay: 0.1,
            ..AdamWSpec::default()
        };
        let mut optimizer = AdamW::new(spec, 3);
        for _ in 0..6 {
            optimizer.step(&pool, &mut whole, &gradients, 1.0, 1e-2);
        }
        let mut before = AdamW::new(spec, 3);
        for _ in 0..2 {
            before.step(&pool, &mut halves, &gradients, 1.0, 1e-2);
        }
        let (first, second) = (before.first().to_vec(), before.second().to_vec());
        let mut after = AdamW::restore(spec, before.steps(), first, second);
        for _ in 0..4 {
            after.step(&pool, &mut halves, &gradients, 1.0, 1e-2);
        }
        assert_eq!(whole, halves);
        assert_eq!(optimizer, after);
    }
}
