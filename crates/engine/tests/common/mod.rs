//! The tiny model, adapters and batches that the engine's tests share.

#![allow(dead_code, reason = "every test binary uses its own part")]

use lathe_engine::{Adapter, Batch, ByteProducts, LoadOptions, LoraSpec, Model, Segment, Target};
use lathe_kernel::{Isa, Precision};
use std::path::{Path, PathBuf};

/// `tests/<name>` of the repository.
pub fn repository_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests")
        .join(name)
}

/// The two-layer random model, packed so that gradients can be had.
pub fn tiny_model(precision: Precision) -> Model {
    fixture("tiny-model", precision)
}

/// The same with Qwen 2's biases and a head of its own.
pub fn tiny_qwen2(precision: Precision) -> Model {
    fixture("tiny-qwen2", precision)
}

/// A model among `tests/fixtures`, packed so that gradients can be had.
pub fn fixture(name: &str, precision: Precision) -> Model {
    let options = LoadOptions {
        isa: Isa::detect(),
        precision,
        trainable: true,
        as_stored: false,
        quantise: None,
        bytes: ByteProducts::None,
    };
    let path = repository_file("fixtures").join(name);
    Model::load(&path, options).expect("the fixture loads")
}

/// An adapter on all linear layers whose B is not zero.
pub fn random_adapter(model: &Model, rank: usize) -> Adapter {
    let mut adapter = fresh_adapter(model, rank);
    let mut random = Numbers(11);
    for value in &mut adapter.values {
        *value = 0.1 * random.normal();
    }
    adapter
}

/// An adapter as training starts with it.
pub fn fresh_adapter(model: &Model, rank: usize) -> Adapter {
    let spec = LoraSpec {
        rank,
        alpha: 2.0 * rank as f32,
        targets: lathe_engine::adapter::TARGETS.map(str::to_owned).to_vec(),
        dora: false,
    };
    Adapter::new(&model.config, &spec, 5).expect("the spec is sound")
}

/// A small generator for test data (xorshift64*).
pub struct Numbers(pub u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in 0..1.
    pub fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Roughly normal: the sum of twelve uniform numbers, centred.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    /// `len` token ids below `vocab`.
    pub fn tokens(&mut self, len: usize, vocab: usize) -> Vec<u32> {
        (0..len)
            .map(|_| (self.next() % vocab as u64) as u32)
            .collect()
    }
}

/// Appends a segment; every row from `supervised` on predicts the token after it.
pub fn push_segment(batch: &mut Batch, tokens: &[u32], prefix: Option<usize>, supervised: usize) {
    let start = batch.tokens.len();
    for row in supervised..tokens.len() - 1 {
        batch.targets.push(Target {
            row: (start + row) as u32,
            token: tokens[row + 1],
            weight: if row % 3 == 0 { 0.5 } else { 1.0 },
        });
    }
    batch.tokens.extend_from_slice(tokens);
    batch.segments.push(Segment {
        start,
        len: tokens.len(),
        prefix,
    });
}

/// Largest difference of two vectors over the largest value of the second.
pub fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0f32, f32::max);
    let error = largest(&mut found.iter().zip(expected).map(|(a, b)| (a - b).abs()));
    assert!(found.iter().all(|value| value.is_finite()));
    error / largest(&mut expected.iter().map(|value| value.abs()))
}
