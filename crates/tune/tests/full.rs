//! Steps of full tuning against PyTorch's AdamW, and the same at any number of threads.
//!
//! The expected numbers come from `tests/reference/make_full_vectors.py`, in f32.

use lathe_engine::{ByteProducts, FullTrainer, LossSum, Parameters, Trainer};
use lathe_evidence::Digest;
use lathe_kernel::{Pool, Precision};
use lathe_tune::TuneError;
use lathe_tune::batching::micro_batches;
use lathe_tune::full::{Learns, Weights};
use lathe_tune::learn::{self, Job, TuneEvent};
use lathe_tune::learner::Learner;
use lathe_tune::pack::{Packed, Row};
use lathe_tune::schedule::Shape;
use lathe_tune::spec::SftSpec;
use safetensors::SafeTensors;
use std::cell::RefCell;
use std::path::{Path, PathBuf};

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

    /// One of the two sequences as a row; its weights are the reference's.
    fn row(&self, sequence: &str) -> Row {
        let tokens = self.words(sequence).into_iter().map(u32::from_le_bytes);
        let weights = self.floats(&format!("weights.{sequence}"));
        Row {
            id: sequence.to_owned(),
            leaf: Digest::of(sequence.as_bytes()),
            tokens: tokens.collect(),
            weights: [0.0].into_iter().chain(weights).collect(),
            soft: Vec::new(),
        }
    }

    fn rows(&self) -> Packed {
        Packed {
            rows: vec![self.row("first"), self.row("second")].into(),
            prefix_len: 0,
            over_long: Vec::new(),
            unanswered: Vec::new(),
        }
    }
}

fn spec(steps: f64) -> SftSpec {
    SftSpec {
        learning_rate: 0.001,
        schedule: Shape::Constant,
        warmup_ratio: 0.0,
        weight_decay: 0.01,
        epochs: steps,
        batch_records: 2,
        // Each sequence is a batch of its own, so that gradients are added up.
        rows_max: 1,
        ..SftSpec::default()
    }
}

/// Steps on both sequences: what was told of each, the weights, the loss after the last.
fn run(
    threads: usize,
    precision: Precision,
    packed: &Packed,
    steps: f64,
) -> Result<(Vec<TuneEvent>, Parameters, f64), TuneError> {
    let folder = tempfile::tempdir().expect("a folder");
    let (pool, kept) = (Pool::new(threads), RefCell::new(None));
    let model = repository_file("fixtures/tiny-model");
    let loaded =
        FullTrainer::load(&model, precision, ByteProducts::None, &pool).expect("the fixture loads");
    let write = |parameters: &Parameters, _: &Path, _: &str| {
        *kept.borrow_mut() = Some(parameters.clone());
        Ok(())
    };
    let (spec, mut events) = (spec(steps), Vec::new());
    let rows = (packed, spec.rows_max);
    let mut learner = Weights::new("sft", loaded, &pool, rows, Learns::All, &write)?;
    let before = learner.values().to_vec();
    let mut job = Job {
        spec: &spec,
        base_name: "tiny",
        work_dir: folder.path(),
        out_dir: &folder.path().join("out"),
        watch: None,
        place: None,
    };
    let ran = learn::run(&mut job, &mut learner, &mut |event| events.push(*event));
    if ran.is_err() {
        assert!(learner.values() == before, "nothing moved");
    }
    ran?;
    let mut trainer = Trainer::new(learner.model(), &pool);
    let mut after = LossSum::default();
    for batch in micro_batches(packed, &[0, 1], 1) {
        after += trainer.loss(None, &batch);
    }
    let after = after.mean();
    let parameters = kept.borrow_mut().take().expect("the result is written");
    Ok((events, parameters, after))
}

fn three_steps(precision: Precision, error_max: f64) {
    let vectors = Vectors::read();
    let (losses, norms) = (vectors.floats("losses"), vectors.floats("norms"));
    let close = |found: f64, expected: f32, what: &str| {
        let error = (found / f64::from(expected) - 1.0).abs();
        assert!(error < error_max, "{what}: {found} for {expected}");
    };
    let ran = run(2, precision, &vectors.rows(), 3.0);
    let (events, parameters, after) = ran.expect("the steps are sound");
    assert_eq!(events.len(), 3);
    for (step, event) in events.iter().enumerate() {
        close(event.loss, losses[step], "loss");
        close(event.grad_norm, norms[step], "norm");
        assert_eq!(event.learning_rate, 0.001);
    }
    close(after, losses[3], "the last loss");
    assert!(losses[3] < losses[0], "something was learnt");

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
    let packed = Vectors::read().rows();
    let weights = |threads| {
        let ran = run(threads, Precision::Bf16, &packed, 2.0);
        let (_, parameters, _) = ran.expect("the steps are sound");
        let values = parameters.values.iter();
        values.map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let one = weights(1);
    for threads in [2, 3] {
        assert!(weights(threads) == one, "{threads} threads");
    }
}

#[test]
fn a_loss_that_is_not_finite_moves_nothing() {
    let mut packed = Vectors::read().rows();
    let mut rows: Vec<Row> = packed.rows.iter().collect();
    rows[0].weights[1] = f32::INFINITY;
    packed.rows = rows.into();
    let refused = run(1, Precision::F32, &packed, 1.0).expect_err("the loss is not finite");
    assert!(
        matches!(refused, TuneError::Diverged { step: 1, .. }),
        "{refused}"
    );
}
