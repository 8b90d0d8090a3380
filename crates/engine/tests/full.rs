//! Gradients of all weights: against PyTorch, against finite differences, in parts, and
//! bit for bit at any number of threads.
//!
//! The expected numbers come from `tests/reference/make_full_vectors.py`, in f32.

mod common;

use common::{Numbers, push_segment, relative_error, repository_file};
use lathe_engine::{Batch, ByteProducts, FullTrainer, Parameters, Segment, Target};
use lathe_kernel::{Pool, Precision};
use safetensors::{SafeTensors, tensor::TensorView};
use std::path::Path;

const EMBEDDINGS: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

fn tiny() -> std::path::PathBuf {
    repository_file("fixtures/tiny-model")
}

fn biased() -> std::path::PathBuf {
    repository_file("fixtures/tiny-qwen2")
}

/// What products multiply.
#[derive(Debug, Clone, Copy)]
enum Operands {
    F32,
    Bf16,
    /// Bytes where a matrix has whole blocks and the machine multiplies bytes, bf16 elsewhere.
    Bytes,
}

fn load<'a>(folder: &Path, operands: Operands, pool: &'a Pool) -> (FullTrainer<'a>, Parameters) {
    let (precision, bytes) = match operands {
        Operands::F32 => (Precision::F32, ByteProducts::None),
        Operands::Bf16 => (Precision::Bf16, ByteProducts::None),
        Operands::Bytes => (Precision::Bf16, ByteProducts::All),
    };
    FullTrainer::load(folder, precision, bytes, pool).expect("the fixture loads")
}

/// The tiny model with a head of its own: the rows of the embeddings in reverse.
fn untied() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let read = |file: &str| std::fs::read(tiny().join(file)).expect("the fixture is there");
    let config: serde_json::Value =
        serde_json::from_slice(&read("config.json")).expect("the fixture is JSON");
    let mut config = config;
    config["tie_word_embeddings"] = serde_json::json!(false);
    let weights = read("model.safetensors");
    let tensors = SafeTensors::deserialize(&weights).expect("the fixture is sound");
    let embeddings = tensors.tensor(EMBEDDINGS).expect("the fixture has them");
    let row_bytes = embeddings.data().len() / embeddings.shape()[0];
    let rows = embeddings.data().chunks_exact(row_bytes);
    let head: Vec<u8> = rows.rev().flatten().copied().collect();
    let head = TensorView::new(embeddings.dtype(), embeddings.shape().to_vec(), &head);
    let mut all = tensors.tensors();
    all.push((HEAD.to_owned(), head.expect("as many bytes")));
    let weights = safetensors::serialize(all, None).expect("the views are sound");
    for (file, bytes) in [
        ("config.json", config.to_string().into_bytes()),
        ("model.safetensors", weights),
        ("tokenizer.json", read("tokenizer.json")),
    ] {
        std::fs::write(folder.path().join(file), bytes).expect("the folder is ours");
    }
    folder
}

/// What PyTorch says.
struct Vectors(Vec<u8>);

impl Vectors {
    fn read(name: &str) -> Self {
        let path = repository_file("reference").join(format!("{name}.safetensors"));
        Self(std::fs::read(path).expect("the vectors are committed"))
    }

    fn words(&self, name: &str) -> Option<Vec<[u8; 4]>> {
        let tensors = SafeTensors::deserialize(&self.0).expect("the vectors are sound");
        let words = tensors.tensor(name).ok()?.data().to_vec();
        let words = words.chunks_exact(4);
        Some(words.map(|it| it.try_into().expect("four bytes")).collect())
    }

    fn floats(&self, name: &str) -> Option<Vec<f32>> {
        let words = self.words(name)?;
        Some(words.into_iter().map(f32::from_le_bytes).collect())
    }

    fn batch(&self) -> Batch {
        let mut batch = Batch::default();
        for sequence in ["first", "second"] {
            let tokens = self.words(sequence).expect("tokens");
            let tokens: Vec<u32> = tokens.into_iter().map(u32::from_le_bytes).collect();
            let weights = self
                .floats(&format!("weights.{sequence}"))
                .expect("weights");
            let start = batch.tokens.len();
            for (row, weight) in weights.into_iter().enumerate() {
                batch.targets.push(Target {
                    row: (start + row) as u32,
                    token: tokens[row + 1],
                    weight,
                });
            }
            batch.segments.push(Segment {
                start,
                len: tokens.len(),
                prefix: None,
            });
            batch.tokens.extend(tokens);
        }
        batch
    }
}

fn mean_gradients(trainer: &mut FullTrainer<'_>, batch: &Batch, len: usize) -> (f64, Vec<f32>) {
    let weight: f32 = batch.targets.iter().map(|target| target.weight).sum();
    let mut gradients = vec![f32::NAN; len];
    let sum = trainer.loss_and_gradients(batch, 1.0 / weight, &mut gradients, false);
    (sum.mean(), gradients)
}

/// The families with vectors of their own.
const FAMILIES: [&str; 2] = ["qwen3", "gemma3"];

fn of_family(family: &str) -> std::path::PathBuf {
    repository_file("fixtures").join(format!("tiny-{family}"))
}

/// Holds the gradients of a folder's model against those named `<prefix>gradient.*`.
fn check(folder: &Path, prefix: &str, operands: Operands, error_max: f32) {
    let vectors = Vectors::read("full-vectors");
    check_with(&vectors, folder, prefix, operands, error_max);
}

fn check_with(vectors: &Vectors, folder: &Path, prefix: &str, operands: Operands, error_max: f32) {
    let pool = Pool::new(2);
    let (mut trainer, parameters) = load(folder, operands, &pool);
    let batch = vectors.batch();
    let (loss, gradients) = mean_gradients(&mut trainer, &batch, parameters.values.len());
    assert!(gradients.iter().all(|value| value.is_finite()));
    let (mut compared, mut worst) = (0, 0.0f32);
    for tensor in &parameters.tensors {
        let Some(expected) = vectors.floats(&format!("{prefix}gradient.{}", tensor.name)) else {
            continue;
        };
        let error = relative_error(&gradients[tensor.range()], &expected);
        assert!(error < error_max, "{}: {error}", tensor.name);
        (compared, worst) = (compared + 1, worst.max(error));
    }
    println!("{prefix}{operands:?}: {compared} gradients off by {worst:.1e}");
    let expected = match prefix {
        "untied." => 3,
        "biases." => 6,
        _ => parameters.tensors.len(),
    };
    assert_eq!(compared, expected, "tensors compared");
    if prefix.is_empty() {
        let expected = f64::from(vectors.floats("losses").expect("losses")[0]);
        let error = (loss - expected).abs() / expected;
        assert!(error < f64::from(error_max), "{loss} for {expected}");
    }
}

#[test]
fn gradients_in_f32_are_pytorchs() {
    check(&tiny(), "", Operands::F32, 2e-5);
    check(untied().path(), "untied.", Operands::F32, 2e-5);
    check(&biased(), "biases.", Operands::F32, 2e-5);
    for family in FAMILIES {
        let vectors = Vectors::read(&format!("{family}-full-vectors"));
        check_with(&vectors, &of_family(family), "", Operands::F32, 2e-5);
    }
}

#[test]
fn gradients_in_bf16_are_close() {
    check(&tiny(), "", Operands::Bf16, 0.05);
    check(untied().path(), "untied.", Operands::Bf16, 0.05);
    // A key's bias shifts all scores of a query nearly alike, which softmax does not see: its
    // gradient is what is left of terms that cancel.
    check(&biased(), "biases.", Operands::Bf16, 0.1);
    for family in FAMILIES {
        let vectors = Vectors::read(&format!("{family}-full-vectors"));
        check_with(&vectors, &of_family(family), "", Operands::Bf16, 0.1);
    }
}

#[test]
fn gradients_by_bytes_are_close() {
    // Three times as far off as in bf16: a model with sixty-four values in a row has nothing to even it out.
    check(&tiny(), "", Operands::Bytes, 0.2);
    check(untied().path(), "untied.", Operands::Bytes, 0.2);
    check(&biased(), "biases.", Operands::Bytes, 0.2);
}

fn prefixed_batch(vocab: usize) -> Batch {
    let mut random = Numbers(3);
    let mut batch = Batch::default();
    push_segment(&mut batch, &random.tokens(9, vocab), None, 4);
    push_segment(&mut batch, &random.tokens(12, vocab), Some(0), 2);
    push_segment(&mut batch, &random.tokens(15, vocab), None, 7);
    // A token that is read twice: its row's gradient is a sum.
    batch.tokens[1] = batch.tokens[0];
    batch
}

#[test]
fn every_gradient_agrees_with_finite_differences() {
    let (folder, pool) = (untied(), Pool::new(2));
    let with_biases = biased();
    let families = FAMILIES.map(of_family);
    let folders = [&tiny(), folder.path(), &with_biases];
    for folder in folders.into_iter().chain(families.iter().map(|it| &**it)) {
        let (mut trainer, parameters) = load(folder, Operands::F32, &pool);
        let biases = parameters
            .tensors
            .iter()
            .filter(|it| it.name.ends_with(".bias"));
        assert_eq!(biases.count() > 0, folder == with_biases);
        let batch = prefixed_batch(trainer.model().config.vocab);
        let mut gradients = vec![f32::NAN; parameters.values.len()];
        trainer.loss_and_gradients(&batch, 1.0, &mut gradients, false);
        let mut random = Numbers(77);
        for tensor in &parameters.tensors {
            let slopes = &gradients[tensor.range()];
            let scale = slopes.iter().map(|g| g * g).sum::<f32>().sqrt();
            let direction: Vec<f32> = slopes.iter().map(|_| random.normal()).collect();
            let length = direction.iter().map(|d| d * d).sum::<f32>().sqrt();
            let mut loss_at = |step: f32| {
                let mut moved = parameters.values.clone();
                for (value, d) in moved[tensor.range()].iter_mut().zip(&direction) {
                    *value += step * d / length;
                }
                trainer.take_up(&moved);
                trainer.loss(&batch).loss
            };
            let step = 0.02;
            let measured = (loss_at(step) - loss_at(-step)) / f64::from(2.0 * step);
            let along = slopes.iter().zip(&direction).map(|(g, d)| g * d / length);
            let claimed = f64::from(along.sum::<f32>());
            let error = (measured - claimed).abs() / f64::from(scale);
            let name = &tensor.name;
            assert!(
                error < 2e-3,
                "{name}: {measured} measured, {claimed} claimed"
            );
        }
    }
}

#[test]
fn gradients_are_written_or_added_and_scaled() {
    let (folder, pool) = (untied(), Pool::new(2));
    for folder in [&tiny(), folder.path()] {
        let (mut trainer, parameters) = load(folder, Operands::F32, &pool);
        let batch = prefixed_batch(trainer.model().config.vocab);
        let len = parameters.values.len();
        let (mut once, mut added) = (vec![f32::NAN; len], vec![1.0; len]);
        trainer.loss_and_gradients(&batch, 1.0, &mut once, false);
        trainer.loss_and_gradients(&batch, 0.5, &mut added, true);
        for (once, added) in once.iter().zip(&added) {
            let expected = 1.0 + 0.5 * once;
            let error = (added - expected).abs();
            assert!(error <= 1e-5 * (1.0 + once.abs()), "{added} for {expected}");
        }
        let unsupervised = Batch {
            targets: Vec::new(),
            ..batch
        };
        trainer.loss_and_gradients(&unsupervised, 1.0, &mut added, false);
        assert!(added.iter().all(|&value| value == 0.0));
    }
}

#[test]
fn what_is_taken_up_computes_like_what_was_loaded() {
    let pool = Pool::new(2);
    let all = [Operands::F32, Operands::Bf16, Operands::Bytes];
    let folders = FAMILIES.map(of_family).into_iter().chain([tiny()]);
    for (folder, operands) in folders.flat_map(|it| all.map(|operands| (it.clone(), operands))) {
        let (mut trainer, parameters) = load(&folder, operands, &pool);
        let batch = prefixed_batch(trainer.model().config.vocab);
        let before = trainer.loss(&batch).loss;
        let moved: Vec<f32> = parameters.values.iter().map(|value| -value).collect();
        trainer.take_up(&moved);
        assert_ne!(trainer.loss(&batch).loss.to_bits(), before.to_bits());
        trainer.take_up(&parameters.values);
        assert_eq!(trainer.loss(&batch).loss.to_bits(), before.to_bits());
    }
}

#[test]
fn thread_count_is_invisible() {
    let run = |threads, operands| {
        let pool = Pool::new(threads);
        let (mut trainer, parameters) = load(&tiny(), operands, &pool);
        let batch = prefixed_batch(trainer.model().config.vocab);
        let mut gradients = vec![0.0; parameters.values.len()];
        let sum = trainer.loss_and_gradients(&batch, 0.1, &mut gradients, false);
        let bits: Vec<u32> = gradients.iter().map(|value| value.to_bits()).collect();
        (sum.loss.to_bits(), bits)
    };
    for operands in [Operands::Bf16, Operands::Bytes] {
        let one = run(1, operands);
        for threads in [2, 3, 8] {
            assert!(
                run(threads, operands) == one,
                "{operands:?}, {threads} threads"
            );
        }
    }
}

#[test]
fn frozen_blocks_are_left_alone_and_the_others_learn_as_ever() {
    let (pool, batch) = (Pool::new(2), Vectors::read("full-vectors").batch());
    let (mut trainer, parameters) = load(&tiny(), Operands::F32, &pool);
    let mut whole = vec![0.0; parameters.values.len()];
    trainer.loss_and_gradients(&batch, 1.0, &mut whole, false);
    trainer.freeze_below(1);
    let mut part = vec![f32::NAN; whole.len()];
    trainer.loss_and_gradients(&batch, 1.0, &mut part, false);
    for tensor in &parameters.tensors {
        let learns = tensor.name.starts_with("model.layers.1.");
        let (part, whole) = (&part[tensor.range()], &whole[tensor.range()]);
        if learns {
            assert_eq!(part, whole, "{}", tensor.name);
        } else {
            assert!(part.iter().all(|it| it.is_nan()), "{}", tensor.name);
        }
    }
}
