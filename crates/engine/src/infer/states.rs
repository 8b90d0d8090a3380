//! The last hidden states of a chunk's tokens: what a text is embedded by.
//!
//! ```text
//! state = final norm(residual stream after the last block)      transformers' last_hidden_state
//! embedding = Σ states / ‖Σ states‖                             mean pooling, of length 1
//! ```
//! The sum runs token by token in f64, so that an embedding does not depend on how its text was cut
//! into chunks. Not here: logits, and a pooling that a model was trained for; a language model was
//! trained for none.

use super::{Adapters, Chunk, Scratch, run_blocks};
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use lathe_kernel::{Pool, rmsnorm};

/// Appends every chunk to its cache and returns the state of every token, `[tokens, hidden]`, after
/// the final norm; [`Chunk::logits`] is of no account.
///
/// # Panics
/// If [`Chunk::check`] would refuse a chunk.
pub fn last_states(
    model: &Model,
    pool: &Pool,
    adapter: Option<&PackedAdapter>,
    chunks: &mut [Chunk<'_>],
    scratch: &mut Scratch,
) -> Vec<f32> {
    let rows = scratch.enter(model, pool, chunks);
    let layers = model.layers.len();
    run_blocks(
        (model, pool, Adapters::One(adapter)),
        chunks,
        scratch,
        0..layers,
        &mut |_| (),
    );
    let (width, eps) = (model.config.hidden, model.config.rms_eps);
    let mut states = vec![0.0; rows * width];
    let stream = &scratch.streams[layers % 2];
    rmsnorm::forward(pool, stream, &model.final_norm, eps, width, &mut states);
    states
}

/// The embedding of one text in the making.
#[derive(Debug, Clone)]
pub struct MeanPooling {
    sum: Vec<f64>,
}

impl MeanPooling {
    /// Of no token yet; states have `width` numbers.
    pub fn new(width: usize) -> Self {
        Self {
            sum: vec![0.0; width],
        }
    }

    /// Takes the states of the text's next tokens, `[tokens, width]`.
    pub fn add(&mut self, states: &[f32]) {
        for state in states.chunks_exact(self.sum.len()) {
            for (sum, value) in self.sum.iter_mut().zip(state) {
                *sum += f64::from(*value);
            }
        }
    }

    /// The embedding, of length 1; zeros where the states cancel out.
    pub fn finish(self) -> Vec<f32> {
        let length = self.sum.iter().map(|it| it * it).sum::<f64>().sqrt();
        let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
        self.sum.iter().map(|it| (it * scale) as f32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{KvCache, Logits};
    use crate::model::LoadOptions;
    use std::path::Path;

    #[test]
    fn pooling_is_the_mean_s_direction() {
        let mut pooling = MeanPooling::new(2);
        pooling.add(&[1.0, 0.0, 2.0, 5.0]);
        pooling.add(&[0.0, -1.0]);
        // The mean is (1, 4/3), of length 5/3.
        assert_eq!(pooling.finish(), [0.6, 0.8]);
        assert_eq!(MeanPooling::new(2).finish(), [0.0, 0.0]);
    }

    #[test]
    fn an_embedding_is_the_same_bits_however_its_text_is_cut_and_in_company() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
        let model = Model::load(&path, LoadOptions::default()).expect("the fixture loads");
        let tokens: Vec<u32> = (3..43).collect();
        let embed = |pool: &Pool, cuts: &[usize], company: bool| {
            let (mut cache, mut other) = (KvCache::new(&model.config), KvCache::new(&model.config));
            let mut pooling = MeanPooling::new(model.config.hidden);
            let mut scratch = Scratch::default();
            let mut rest = &tokens[..];
            for &cut in cuts {
                let (tokens, after) = rest.split_at(cut);
                rest = after;
                let chunk = |cache, tokens| Chunk {
                    cache,
                    tokens,
                    logits: Logits::None,
                };
                let mut chunks = vec![chunk(&mut cache, tokens)];
                if company {
                    chunks.push(chunk(&mut other, &[7, 8, 9]));
                }
                let states = last_states(&model, pool, None, &mut chunks, &mut scratch);
                pooling.add(&states[..cut * model.config.hidden]);
            }
            pooling.finish()
        };
        let expected = embed(&Pool::new(1), &[40], false);
        let length: f32 = expected.iter().map(|it| it * it).sum();
        assert!((length - 1.0).abs() < 1e-5, "{length}");
        for (threads, cuts) in [(1, &[39, 1][..]), (2, &[1, 16, 23]), (3, &[8, 32])] {
            assert_eq!(embed(&Pool::new(threads), cuts, true), expected);
        }
    }
}
