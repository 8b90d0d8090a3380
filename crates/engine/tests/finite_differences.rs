//! Every gradient against finite differences of the loss.
//!
//! For each LoRA matrix, along random directions: (L(v + εd) − L(v − εd)) / 2ε must be
//! the gradient's component along d. The batch has everything: a shared prefix that is
//! supervised itself, several segments, weights, two targets on one row.

mod common;

use common::{Numbers, push_segment, random_adapter, tiny_model};
use lathe_engine::{Adapter, AnswerBatch, Batch, PairLoss, Trainer};
use lathe_kernel::{Pool, Precision};

fn batch(vocab: usize) -> Batch {
    let mut random = Numbers(3);
    let mut batch = Batch::default();
    push_segment(&mut batch, &random.tokens(9, vocab), None, 4);
    push_segment(&mut batch, &random.tokens(12, vocab), Some(0), 2);
    push_segment(&mut batch, &random.tokens(6, vocab), Some(0), 0);
    push_segment(&mut batch, &random.tokens(15, vocab), None, 7);
    let mut again = batch.targets[0];
    again.token = 9;
    batch.targets.push(again);
    batch
}

#[test]
fn every_lora_gradient_agrees_with_finite_differences() {
    let (model, pool) = (tiny_model(Precision::F32), Pool::new(2));
    let adapter = random_adapter(&model, 4);
    let batch = batch(model.config.vocab);
    let mut trainer = Trainer::new(&model, &pool);
    let mut gradients = vec![0.0; adapter.values.len()];
    trainer.loss_and_gradients(&adapter, &batch, 1.0, &mut gradients);

    let mut random = Numbers(77);
    for tensor in &adapter.tensors {
        let range = tensor.offset..tensor.offset + tensor.rows * tensor.cols;
        let slope_scale = gradients[range.clone()]
            .iter()
            .map(|g| g * g)
            .sum::<f32>()
            .sqrt();
        for _ in 0..3 {
            let direction: Vec<f32> = range.clone().map(|_| random.normal()).collect();
            let length = direction.iter().map(|d| d * d).sum::<f32>().sqrt();
            let mut loss_at = |step: f32| {
                let mut moved = adapter.clone();
                for (value, d) in moved.values[range.clone()].iter_mut().zip(&direction) {
                    *value += step * d / length;
                }
                trainer.loss(Some(&moved), &batch).loss
            };
            let step = 0.02;
            let measured = (loss_at(step) - loss_at(-step)) / f64::from(2.0 * step);
            let claimed: f32 = gradients[range.clone()]
                .iter()
                .zip(&direction)
                .map(|(g, d)| g * d / length)
                .sum();
            let error = (measured - f64::from(claimed)).abs() / f64::from(slope_scale);
            assert!(
                error < 2e-3,
                "{}: {measured} measured, {claimed} claimed",
                tensor.name
            );
        }
    }
}

#[test]
fn gradients_are_added_and_scaled() {
    let (model, pool) = (tiny_model(Precision::F32), Pool::new(2));
    let adapter = random_adapter(&model, 4);
    let batch = batch(model.config.vocab);
    let mut trainer = Trainer::new(&model, &pool);
    let mut once = vec![0.0; adapter.values.len()];
    trainer.loss_and_gradients(&adapter, &batch, 1.0, &mut once);
    let mut added = vec![1.0; adapter.values.len()];
    trainer.loss_and_gradients(&adapter, &batch, 0.5, &mut added);
    for (once, added) in once.iter().zip(&added) {
        let expected = 1.0 + 0.5 * once;
        assert!(
            (added - expected).abs() <= 1e-5 * (1.0 + once.abs()),
            "{added} for {expected}"
        );
    }
}

#[test]
fn the_preference_gradient_agrees_with_finite_differences() {
    for common in [&[][..], &[7, 5, 300, 41]] {
        for anchor in [0.0, 0.7] {
            check_preference(common, anchor);
        }
    }
}

fn check_preference(common: &[u32], anchor: f64) {
    let (model, pool) = (tiny_model(Precision::F32), Pool::new(2));
    let adapter = random_adapter(&model, 4);
    let mut random = Numbers(8);
    let mut batch = AnswerBatch::after(common);
    for (prompt, chosen, rejected) in [(9, 4, 7), (14, 6, 1), (1, 3, 5)] {
        let [own, chosen, rejected] =
            [prompt, chosen, rejected].map(|len| random.tokens(len, model.config.vocab));
        batch.push(&[common, &own].concat(), &[&chosen, &rejected]);
    }
    let mut trainer = Trainer::new(&model, &pool);
    let references = trainer.pair_log_probs(None, &batch);
    let (beta, scale) = (0.2, 1.0);
    let mut gradients = vec![0.0; adapter.values.len()];
    let losses = trainer.preference_loss_and_gradients(
        &adapter,
        &batch,
        &references,
        (beta, anchor, scale),
        &mut gradients,
    );
    assert!(losses.iter().any(|it| it.loss > 0.1), "{losses:?}");

    let mut loss_of = |moved: &Adapter| -> f64 {
        let policy = trainer.pair_log_probs(Some(moved), &batch);
        let pairs = policy.into_iter().zip(&references).zip([4.0, 6.0, 3.0]);
        pairs
            .map(|((policy, reference), tokens)| {
                PairLoss::new(policy, *reference, beta).loss - anchor * policy.chosen / tokens
            })
            .sum()
    };
    for tensor in &adapter.tensors {
        let range = tensor.offset..tensor.offset + tensor.rows * tensor.cols;
        let direction: Vec<f32> = range.clone().map(|_| random.normal()).collect();
        let length = norm(&direction);
        let mut loss_at = |step: f32| {
            let mut moved = adapter.clone();
            for (value, d) in moved.values[range.clone()].iter_mut().zip(&direction) {
                *value += step * d / length;
            }
            loss_of(&moved)
        };
        let step = 0.02;
        let measured = (loss_at(step) - loss_at(-step)) / f64::from(2.0 * step);
        let own = &gradients[range.clone()];
        let claimed: f32 = own
            .iter()
            .zip(&direction)
            .map(|(g, d)| g * d / length)
            .sum();
        let error = (measured - f64::from(claimed)).abs() / f64::from(norm(own));
        assert!(error < 5e-3, "{}: {measured} and {claimed}", tensor.name);
    }
}

fn norm(values: &[f32]) -> f32 {
    values.iter().map(|value| value * value).sum::<f32>().sqrt()
}
