//! Steps of full tuning against PyTorch's AdamW, and the same at any number of threads.
//!
//! The expected numbers come from `tests/reference/make_full_vectors.py`, in f32.

use lathe_engine::{Batch, FullTrainer, Segment, Target};
use lathe_kernel::{Pool, Precision};
use lathe_tune::TuneError;
use lathe_tune::adamw::AdamWSpec;
use lathe_tune::full::{FullSpec, FullTuner};
use lathe_tune::schedule::{Schedule, Shape};
use safetensors::SafeTensors;
use std::path::PathBuf;

fn repository_file(name: &str) -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    tests.join(name)
}

struct Vectors(Vec<u8>);

impl Vectors {
    fn read() -> Self {
        let path = repository_file("reference/full-vectors.safetensors");
        Self(std::fs::read(path).expect("the vectors are committed"))
    }

    fn words(&self, name: &str) -> Vec<[u8; 4]> {
        let tensors = SafeTensors::deserialize(&self.0).expect("the vectors are sound");
        let tensor = tensors.tensor(name).expect("the vectors have it");
        let words = tensor.data().chunks_exact(4);
        words.map(|it| it.try_into().expect("four bytes")).collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let words = self.words(name).into_iter();
        words.map(f32::from_le_bytes).collect()
    }

    /// One of the two sequences as a batch.
    fn batch(&self, sequence: &str) -> Batch {
        let tokens = self.words(sequence).into_iter().map(u32::from_le_bytes);
        let tokens: Vec<u32> = tokens.collect();
        let weights = self.floats(&format!("weights.{sequence}"));
        let targets = weights.into_iter().enumerate().map(|(row, weight)| Target {
            row: row as u32,
            token: tokens[row + 1],
            weight,
        });
        let segment = Segment {
            start: 0,
            len: tokens.len(),
            prefix: None,
        };
        Batch {
            targets: targets.collect(),
            segments: vec![segment],
            tokens,
        }
    }
}

fn tuner(pool: &Pool, precision: Precision) -> FullTuner<'_> {
    let folder = repository_file("fixtures/tiny-model");
    let loaded = FullTrainer::load(&folder, precision, pool).expect("the fixture loads");
    let spec = FullSpec {
        adamw: AdamWSpec {
            weight_decay: 0.01,
            ..AdamWSpec::default()
        },
        schedule: Schedule::new(Shape::Constant, 0.001, 0.0, 3),
        steps: 3,
        max_grad_norm: 1.0,
    };
    FullTuner::new(pool, loaded, spec)
}

/// Three steps; each sequence is a batch of its own, so that gradients are added up.
fn three_steps(precision: Precision, error_max: f64) {
    let (pool, vectors) = (Pool::new(2), Vectors::read());
    let mut tuner = tuner(&pool, precision);
    let batches = [vectors.batch("first"), vectors.batch("second")];
    let (losses, norms) = (vectors.floats("losses"), vectors.floats("norms"));
    let close = |found: f64, expected: f32, what: &str| {
        let error = (found / f64::from(expected) - 1.0).abs();
        assert!(error < error_max, "{what}: {found} for {expected}");
    };
    for step in 0..3 {
        let done = tuner.step(&batches).expect("the step is sound");
        close(done.loss, losses[step], "loss");
        close(done.grad_norm, norms[step], "norm");
        assert_eq!(done.learning_rate, 0.001);
    }
    let mut after = tuner.loss(&batches[0]);
    after += tuner.loss(&batches[1]);
    close(after.mean(), losses[3], "the last loss");
    assert!(losses[3] < losses[0], "something was learnt");

    let parameters = tuner.parameters();
    let mut compared = 0;
    for tensor in &parameters.tensors {
        let in_last_block = tensor.name.starts_with("model.layers.1.");
        if in_last_block || tensor.name == "model.norm.weight" {
            let expected = vectors.floats(&format!("after.{}", tensor.name));
            let values = &parameters.values[tensor.range()];
            let errors = values.iter().zip(&expected).map(|(a, b)| (a - b).abs());
            // A step moves a value by 0.001 at most, also where a tiny gradient has the other sign.
            let mean = errors.map(f64::from).sum::<f64>() / expected.len() as f64;
            assert!(mean < 0.003 * error_max, "{}: {mean}", tensor.name);
            compared += 1;
        }
    }
    assert_eq!(compared, 10);
}

#[test]
fn three_steps_in_f32_are_pytorchs() {
    three_steps(Precision::F32, 1e-3);
}

#[test]
fn three_steps_in_bf16_are_close() {
    three_steps(Precision::Bf16, 0.03);
}

#[test]
fn thread_count_is_invisible() {
    let vectors = Vectors::read();
    let batches = [vectors.batch("first"), vectors.batch("second")];
    let run = |threads| {
        let pool = Pool::new(threads);
        let mut tuner = tuner(&pool, Precision::Bf16);
        for _ in 0..2 {
            tuner.step(&batches).expect("the step is sound");
        }
        let values = tuner.parameters().values.iter();
        values.map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let one = run(1);
    for threads in [2, 3] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn a_loss_that_is_not_finite_moves_nothing() {
    let (pool, vectors) = (Pool::new(1), Vectors::read());
    let mut tuner = tuner(&pool, Precision::F32);
    let mut batch = vectors.batch("first");
    batch.targets[0].weight = f32::INFINITY;
    let before = tuner.parameters().clone();
    let refused = tuner.step(&[batch]).expect_err("the loss is not finite");
    assert!(
        matches!(refused, TuneError::Diverged { step: 1, .. }),
        "{refused}"
    );
    assert_eq!(*tuner.parameters(), before);
}
