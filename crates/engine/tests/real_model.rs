//! The engine on a real model against transformers on the same file.
//!
//! Ignored by default: it wants a model and what transformers says about it.
//!
//!     python tests/reference/make_smollm2_vectors.py MODEL.gguf VECTORS.safetensors
//!     LATHE_TEST_MODEL=MODEL.gguf LATHE_TEST_VECTORS=VECTORS.safetensors \
//!         cargo test --release -p lathe-engine --test real_model -- --ignored --nocapture

use lathe_engine::{Chunk, KvCache, LoadOptions, Logits, Model, Scratch, forward};
use lathe_kernel::{Pool, Precision, default_threads};
use safetensors::SafeTensors;
use std::path::PathBuf;

fn path(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value
        .unwrap_or_else(|| panic!("set {variable}; see the head of this file"))
        .into()
}

/// Tokens and one row of logits after each.
fn expected() -> (Vec<u32>, Vec<f32>) {
    let bytes = std::fs::read(path("LATHE_TEST_VECTORS")).expect("the vectors can be read");
    let tensors = SafeTensors::deserialize(&bytes).expect("the vectors are sound");
    let words = |name: &str| -> Vec<[u8; 4]> {
        let tensor = tensors.tensor(name).expect("the script writes it");
        let words = tensor.data().chunks_exact(4);
        words
            .map(|word| word.try_into().expect("four bytes"))
            .collect()
    };
    let tokens = words("tokens")
        .into_iter()
        .map(u32::from_le_bytes)
        .collect();
    (
        tokens,
        words("logits")
            .into_iter()
            .map(f32::from_le_bytes)
            .collect(),
    )
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn largest(logits: &[f32]) -> usize {
    (0..logits.len())
        .max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
        .expect("not empty")
}

/// −log softmax(logits)[token].
fn loss(logits: &[f32], token: u32) -> f64 {
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
    sum.ln() - f64::from(logits[token as usize])
}

#[test]
#[ignore = "wants a real model; see the head of this file"]
fn logits_are_transformers() {
    let (tokens, expected) = expected();
    for (precision, cosine_min, loss_error_max) in [
        (Precision::F32, 0.99999, 0.01),
        (Precision::Bf16, 0.999, 0.05),
    ] {
        let options = LoadOptions {
            precision,
            ..LoadOptions::default()
        };
        let model = Model::load(&path("LATHE_TEST_MODEL"), options).expect("the model loads");
        let pool = Pool::new(default_threads());
        let (mut cache, mut scratch) = (KvCache::new(&model.config), Scratch::default());
        let (mut worst, mut agreed, mut losses) = (1.0f64, 0, (0.0, 0.0));
        let rows = expected.chunks_exact(model.config.vocab);
        assert_eq!(rows.len(), tokens.len());
        for (at, expected) in rows.enumerate() {
            let (cache, tokens_now) = (&mut cache, &tokens[at..=at]);
            let chunk = Chunk {
                cache,
                tokens: tokens_now,
                logits: Logits::All,
            };
            let logits = forward(&model, &pool, None, &mut [chunk], &mut scratch);
            worst = worst.min(cosine(&logits, expected));
            agreed += usize::from(largest(&logits) == largest(expected));
            if let Some(&next) = tokens.get(at + 1) {
                losses.0 += loss(&logits, next) / (tokens.len() - 1) as f64;
                losses.1 += loss(expected, next) / (tokens.len() - 1) as f64;
            }
        }
        let share = agreed as f64 / tokens.len() as f64;
        println!(
            "{precision:?}: worst cosine {worst:.6}, same best token {:.1} %, loss {:.4} against {:.4}",
            100.0 * share,
            losses.0,
            losses.1
        );
        assert!(worst > cosine_min, "cosine {worst}");
        assert!(share > 0.95, "the best token agrees in {share}");
        assert!((losses.0 - losses.1).abs() < loss_error_max, "{losses:?}");
    }
}
