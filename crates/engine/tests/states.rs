//! Last hidden states against transformers.
//!
//! The reference (`tests/reference/make_engine_vectors.py`) holds the logits that transformers gives
//! after its last hidden states. The output matrix has more rows than columns, so that the states
//! times it say all that the states say: they must give those logits.

mod common;

use common::{fixture, relative_error, repository_file};
use lathe_engine::{Chunk, KvCache, Logits, Scratch, last_states};
use lathe_kernel::{Pool, Precision};
use safetensors::{Dtype, SafeTensors};

const MODELS: [(&str, &str); 4] = [
    ("tiny-model", "engine-vectors"),
    ("tiny-qwen2", "qwen2-vectors"),
    ("tiny-qwen3", "qwen3-vectors"),
    ("tiny-gemma3", "gemma3-vectors"),
];

fn read(path: &str) -> Vec<u8> {
    std::fs::read(repository_file(path)).expect("it is committed")
}

/// The output matrix as the file holds it, `[vocab, hidden]`.
fn head(model: &str) -> Vec<f32> {
    let file = read(&format!("fixtures/{model}/model.safetensors"));
    let tensors = SafeTensors::deserialize(&file).expect("the weights are sound");
    let own = tensors.tensor("lm_head.weight");
    let head = own.or_else(|_| tensors.tensor("model.embed_tokens.weight"));
    let head = head.expect("one of them is there");
    assert_eq!(head.dtype(), Dtype::BF16);
    let bits = head.data().chunks_exact(2);
    bits.map(|it| f32::from_bits(u32::from(u16::from_le_bytes([it[0], it[1]])) << 16))
        .collect()
}

fn words(file: &[u8], name: &str) -> Vec<[u8; 4]> {
    let tensors = SafeTensors::deserialize(file).expect("the vectors are sound");
    let tensor = tensors.tensor(name).expect("it is there");
    let words = tensor.data().chunks_exact(4);
    words.map(|it| it.try_into().expect("four bytes")).collect()
}

#[test]
fn states_times_the_output_matrix_are_transformers_logits() {
    // Keys and values are bf16 in both; with bf16 weights every product is rounded as well.
    for (precision, error_max) in [(Precision::F32, 0.01), (Precision::Bf16, 0.05)] {
        for (name, vectors) in MODELS {
            let error = error(name, vectors, precision);
            println!("{name} {precision:?}: off by {error:.1e}");
            assert!(error < error_max, "{name} {precision:?}: {error}");
        }
    }
}

fn error(name: &str, vectors: &str, precision: Precision) -> f32 {
    let (model, head) = (fixture(name, precision), head(name));
    let file = read(&format!("reference/{vectors}.safetensors"));
    let numbers = |name: &str| words(&file, name).into_iter().map(u32::from_le_bytes);
    let tokens: Vec<u32> = numbers("alone").collect();
    let targets: Vec<u32> = numbers("targets.alone").collect();
    let rows = &targets[..targets.len() / 2];
    let mut cache = KvCache::new(&model.config);
    let chunk = Chunk {
        cache: &mut cache,
        tokens: &tokens,
        logits: Logits::None,
    };
    let mut scratch = Scratch::default();
    let states = last_states(&model, &Pool::new(2), None, &mut [chunk], &mut scratch);
    let width = model.config.hidden;
    assert!(model.config.vocab > width);
    let found = rows.iter().flat_map(|row| {
        let state = &states[*row as usize * width..][..width];
        let product = |weights: &[f32]| weights.iter().zip(state).map(|(a, b)| a * b).sum();
        head.chunks_exact(width).map(product).collect::<Vec<f32>>()
    });
    let found: Vec<f32> = found.collect();
    let expected = words(&file, "base_logits.alone");
    let expected: Vec<f32> = expected.into_iter().map(f32::from_le_bytes).collect();
    relative_error(&found, &expected)
}
