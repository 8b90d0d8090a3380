//! The engine against PyTorch, transformers and peft on the same weights: logits,
//! losses, every LoRA gradient, ten steps of AdamW and greedy answers.
//!
//! The expected numbers come from `tests/reference/make_engine_vectors.py`, in f32.
//! The f32 path has to agree to rounding; the bf16 path, which rounds every operand
//! to 8 bits of mantissa, to the tolerances stated here.

mod common;

use common::{fixture, relative_error, repository_file};
use lathe_engine::{
    Adapter, AnswerBatch, Batch, GenerateSpec, LogProbs, LoraSpec, Model, PackedAdapter, Segment,
    Target, Trainer, generate_greedy,
};
use lathe_kernel::{Pool, Precision};
use safetensors::SafeTensors;

/// The models, and the files that say what PyTorch makes of them.
const MODELS: [(&str, &str); 5] = [
    ("tiny-model", "engine-vectors"),
    ("tiny-qwen2", "qwen2-vectors"),
    ("tiny-qwen3", "qwen3-vectors"),
    ("tiny-gemma3", "gemma3-vectors"),
    ("tiny-qwen2", DORA),
];
/// The vectors of an adapter that learns the lengths of rows apart.
const DORA: &str = "dora-vectors";
const SEQUENCES: [&str; 3] = ["first", "second", "alone"];

/// The reference file.
struct Vectors {
    file: Vec<u8>,
    dora: bool,
}

impl Vectors {
    fn read(name: &str) -> Self {
        let path = repository_file("reference").join(format!("{name}.safetensors"));
        Self {
            file: std::fs::read(path).expect("the vectors are committed"),
            dora: name == DORA,
        }
    }

    fn words(&self, name: &str) -> Vec<[u8; 4]> {
        let tensors = SafeTensors::deserialize(&self.file).expect("the vectors are sound");
        let tensor = tensors
            .tensor(name)
            .unwrap_or_else(|_| panic!("no {name} in the vectors"));
        let words = tensor.data().chunks_exact(4);
        words
            .map(|word| word.try_into().expect("four bytes"))
            .collect()
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.words(name)
            .into_iter()
            .map(f32::from_le_bytes)
            .collect()
    }

    fn tokens(&self, name: &str) -> Vec<u32> {
        self.words(name)
            .into_iter()
            .map(u32::from_le_bytes)
            .collect()
    }

    /// Rows and tokens of a sequence's targets.
    fn targets(&self, sequence: &str) -> Vec<(u32, u32)> {
        let values = self.tokens(&format!("targets.{sequence}"));
        let (rows, tokens) = values.split_at(values.len() / 2);
        rows.iter().copied().zip(tokens.iter().copied()).collect()
    }

    fn adapter(&self, model: &Model) -> Adapter {
        let spec = LoraSpec {
            rank: 4,
            alpha: 8.0,
            targets: lathe_engine::adapter::TARGETS.map(str::to_owned).to_vec(),
            dora: self.dora,
        };
        let mut adapter = Adapter::new(&model.config, &spec, 0).expect("the spec is sound");
        adapter.values = self.flat(&adapter, "adapter");
        adapter
    }

    /// The matrices `<kind>.*` laid out as the adapter's values.
    fn flat(&self, adapter: &Adapter, kind: &str) -> Vec<f32> {
        let mut flat = vec![f32::NAN; adapter.values.len()];
        for tensor in &adapter.tensors {
            let values = self.floats(&format!("{kind}.{}", peft_key(&tensor.name)));
            flat[tensor.offset..][..tensor.rows * tensor.cols].copy_from_slice(&values);
        }
        assert!(flat.iter().all(|value| value.is_finite()));
        flat
    }

    /// All three sequences in one batch, the prefix of two of them once or twice.
    fn batch(&self, share_prefix: bool) -> Batch {
        let prefix = self.tokens("prefix");
        let mut batch = Batch::default();
        if share_prefix {
            push(&mut batch, &prefix, None);
        }
        for sequence in SEQUENCES {
            let own = self.tokens(sequence);
            let prefixed = sequence != "alone";
            // Where row r of the whole sequence lies in the batch.
            let start = batch.tokens.len();
            let row_of = |row: u32| match (share_prefix && prefixed, row as usize) {
                (true, row) if row < prefix.len() => row,
                (true, row) => start + row - prefix.len(),
                (false, row) => start + row,
            };
            let weights = self.floats(&format!("weights.{sequence}"));
            for ((row, token), weight) in self.targets(sequence).into_iter().zip(weights) {
                let row = row_of(row) as u32;
                batch.targets.push(Target { row, token, weight });
            }
            match (prefixed, share_prefix) {
                (true, true) => push(&mut batch, &own, Some(0)),
                (true, false) => push(&mut batch, &[&prefix[..], &own].concat(), None),
                (false, _) => push(&mut batch, &own, None),
            }
        }
        batch
    }
}

fn push(batch: &mut Batch, tokens: &[u32], prefix: Option<usize>) {
    let (start, len) = (batch.tokens.len(), tokens.len());
    batch.segments.push(Segment { start, len, prefix });
    batch.tokens.extend_from_slice(tokens);
}

fn peft_key(name: &str) -> String {
    match name.strip_prefix("model.") {
        Some(_) => name.to_owned(),
        None => format!("model.{name}"),
    }
}

/// Negative log-likelihoods of the reference's targets from the reference's logits.
fn expected_losses(vectors: &Vectors, kind: &str, vocab: usize) -> Vec<f32> {
    let mut losses = Vec::new();
    for sequence in SEQUENCES {
        let logits = vectors.floats(&format!("{kind}.{sequence}"));
        for (row, (_, token)) in logits.chunks_exact(vocab).zip(vectors.targets(sequence)) {
            let sum: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
            losses.push((sum.ln() - f64::from(row[token as usize])) as f32);
        }
    }
    losses
}

/// Losses, with and without the adapter, and every gradient, within the tolerances.
fn check(precision: Precision, loss_error_max: f32, gradient_error_max: f32) {
    for (name, vectors) in MODELS {
        let (model, vectors) = (fixture(name, precision), Vectors::read(vectors));
        println!("{name}:");
        check_model(&model, &vectors, loss_error_max, gradient_error_max);
    }
}

fn check_model(model: &Model, vectors: &Vectors, loss_error_max: f32, gradient_error_max: f32) {
    let pool = Pool::new(2);
    let adapter = vectors.adapter(model);
    let expected = vectors.flat(&adapter, "gradient");
    let mut trainer = Trainer::new(model, &pool);
    for share_prefix in [false, true] {
        let batch = vectors.batch(share_prefix);
        for (kind, adapter) in [("base_logits", None), ("logits", Some(&adapter))] {
            let found = trainer.token_losses(adapter, &batch);
            let expected = expected_losses(vectors, kind, model.config.vocab);
            let error = relative_error(found, &expected);
            println!("{kind} shared {share_prefix}: losses off by {error:.1e}");
            assert!(error < loss_error_max, "{kind}: {error}");
        }
        let weight: f32 = batch.targets.iter().map(|target| target.weight).sum();
        let mut gradients = vec![0.0; adapter.values.len()];
        trainer.loss_and_gradients(&adapter, &batch, 1.0 / weight, &mut gradients);
        let mut worst = 0.0f32;
        for tensor in &adapter.tensors {
            let range = tensor.offset..tensor.offset + tensor.rows * tensor.cols;
            let error = relative_error(&gradients[range.clone()], &expected[range]);
            assert!(error < gradient_error_max, "{}: {error}", tensor.name);
            worst = worst.max(error);
        }
        println!("shared {share_prefix}: gradients off by {worst:.1e}");
    }
}

#[test]
fn losses_and_gradients_in_f32_are_pytorchs() {
    check(Precision::F32, 2e-5, 2e-5);
}

#[test]
fn losses_and_gradients_in_bf16_are_close() {
    check(Precision::Bf16, 0.02, 0.05);
}

/// The pairs of the reference, prompts and answers.
fn pairs(vectors: &Vectors) -> AnswerBatch {
    let mut batch = AnswerBatch::default();
    for names in [["prefix", "first", "second"], ["alone", "second", "first"]] {
        let [prompt, chosen, rejected] = names.map(|name| vectors.tokens(name));
        batch.push(&prompt, &[&chosen, &rejected]);
    }
    batch
}

/// Log probabilities, DPO losses and gradients, within the tolerances.
fn check_preference((name, vectors): (&str, &str), precision: Precision, error_max: [f32; 2]) {
    let (model, vectors, pool) = (
        fixture(name, precision),
        Vectors::read(vectors),
        Pool::new(2),
    );
    let (adapter, batch) = (vectors.adapter(&model), pairs(&vectors));
    let expected = |kind: &str| vectors.floats(&format!("preference.{kind}"));
    let mut trainer = Trainer::new(&model, &pool);
    let flat = |found: &[LogProbs]| -> Vec<f32> {
        let both = found.iter().flat_map(|it| [it.chosen, it.rejected]);
        both.map(|value| value as f32).collect()
    };
    let references = trainer.pair_log_probs(None, &batch);
    let policy = trainer.pair_log_probs(Some(&adapter), &batch);
    for (kind, found) in [("reference", &references), ("policy", &policy)] {
        let error = relative_error(&flat(found), &expected(kind));
        assert!(error < error_max[0], "{name} {kind}: {error}");
    }
    let mut gradients = vec![0.0; adapter.values.len()];
    let losses = trainer.preference_loss_and_gradients(
        &adapter,
        &batch,
        &references,
        (0.3, 0.0, 0.5),
        &mut gradients,
    );
    let found: Vec<f32> = losses.iter().map(|it| it.loss as f32).collect();
    let error = relative_error(&found, &expected("losses"));
    println!("{name} {precision:?}: preference losses off by {error:.1e}");
    assert!(error < error_max[1], "{name} losses: {error}");
    let expected = vectors.flat(&adapter, "preference");
    for tensor in &adapter.tensors {
        let range = tensor.offset..tensor.offset + tensor.rows * tensor.cols;
        let error = relative_error(&gradients[range.clone()], &expected[range]);
        assert!(error < error_max[1], "{name} {}: {error}", tensor.name);
    }
}

#[test]
fn preference_losses_and_gradients_are_pytorchs() {
    for names in MODELS {
        check_preference(names, Precision::F32, [1e-5, 1e-4]);
        check_preference(names, Precision::Bf16, [0.01, 0.15]);
    }
}

/// Ten steps of AdamW as PyTorch takes them (decay apart from the gradient).
fn ten_losses(model: &Model, vectors: &Vectors) -> Vec<f32> {
    let pool = Pool::new(2);
    let mut adapter = vectors.adapter(model);
    let batch = vectors.batch(true);
    let weight: f32 = batch.targets.iter().map(|target| target.weight).sum();
    let mut trainer = Trainer::new(model, &pool);
    let mut moments = vec![(0.0f64, 0.0f64); adapter.values.len()];
    let mut losses = Vec::new();
    for step in 1..=10 {
        let mut gradients = vec![0.0; adapter.values.len()];
        let sum = trainer.loss_and_gradients(&adapter, &batch, 1.0 / weight, &mut gradients);
        losses.push(sum.mean() as f32);
        let parameters = adapter.values.iter_mut().zip(&gradients).zip(&mut moments);
        for ((value, &gradient), (mean, square)) in parameters {
            let gradient = f64::from(gradient);
            *mean = 0.9 * *mean + 0.1 * gradient;
            *square = 0.999 * *square + 0.001 * gradient * gradient;
            let (mean, square) = (
                *mean / (1.0 - 0.9f64.powi(step)),
                *square / (1.0 - 0.999f64.powi(step)),
            );
            let decayed = f64::from(*value) * (1.0 - 0.01 * 0.01);
            *value = (decayed - 0.01 * mean / (square.sqrt() + 1e-8)) as f32;
        }
    }
    losses
}

#[test]
fn ten_adamw_losses_are_pytorchs() {
    for (name, vectors) in MODELS {
        let vectors = Vectors::read(vectors);
        let expected = vectors.floats("losses");
        for (precision, error_max) in [(Precision::F32, 1e-4), (Precision::Bf16, 0.02)] {
            let found = ten_losses(&fixture(name, precision), &vectors);
            let error = relative_error(&found, &expected);
            println!("{name}, {precision:?}: ten losses off by {error:.1e}");
            assert!(error < error_max, "{name}, {precision:?}: {error}");
        }
    }
}

#[test]
fn greedy_answers_are_transformers() {
    for (name, vectors) in MODELS {
        check_answers(&fixture(name, Precision::F32), &Vectors::read(vectors));
    }
}

fn check_answers(model: &Model, vectors: &Vectors) {
    // Caches hold keys and values in bf16: a smaller lead may change hands.
    const MARGIN_MIN: f32 = 0.05;
    let pool = Pool::new(2);
    let adapter = PackedAdapter::new(model, &vectors.adapter(model));
    let prefix = vectors.tokens("prefix");
    let prompts = SEQUENCES.map(|sequence| match sequence {
        "alone" => vectors.tokens("alone"),
        _ => [prefix.clone(), vectors.tokens(sequence)].concat(),
    });
    let spec = GenerateSpec {
        tokens_max: 12,
        stop: Vec::new(),
        batch_max: 2,
    };
    let answers = generate_greedy(model, &pool, Some(&adapter), &prompts, &spec, &mut |_| {});
    let mut compared = 0;
    for (sequence, answer) in SEQUENCES.iter().zip(answers) {
        let margins = vectors.floats(&format!("margin.{sequence}"));
        let clear = margins
            .iter()
            .take_while(|&&margin| margin > MARGIN_MIN)
            .count();
        let expected = vectors.tokens(&format!("answer.{sequence}"));
        assert_eq!(answer.len(), expected.len());
        assert_eq!(answer[..clear], expected[..clear], "{sequence}");
        compared += clear;
    }
    assert!(
        compared >= 20,
        "only {compared} of 36 tokens have a clear lead"
    );
}
