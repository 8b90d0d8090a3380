//! How much a token takes: what has to be read of the weights and computed with them, from the shapes
//! and formats of the tensors alone. No weight is read here.

use super::{RawModel, Stored};
use crate::gguf::codes::Codes;

/// Bytes of a weight that is not kept in blocks.
const BF16_BYTES: u64 = 2;
/// The matrix that turns tokens into vectors; it is read by the row where it is not the output matrix too.
const EMBEDDINGS: &str = "model.embed_tokens.weight";
/// The output matrix, where it is one of its own.
const HEAD: &str = "lm_head.weight";

/// What one token takes of a model that is loaded for answers
/// ([`crate::LoadOptions::for_answers`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenWork {
    /// Bytes of weights that are read for a token of an answer: those of all matrices.
    pub bytes: u64,
    /// Of them, those kept in the blocks of 4 or 8 bits that the file has.
    pub bytes_in_blocks: u64,
    /// Values of the blocks' matrices, with each of which a token of a prompt is multiplied once.
    pub block_values: u64,
}

impl RawModel {
    /// What a token takes.
    pub fn token_work(&self) -> TokenWork {
        let mut work = TokenWork::default();
        for (name, tensor) in &self.tensors {
            let shape = tensor.shape();
            let is_looked_up = name == EMBEDDINGS && !self.config.tied_embeddings;
            if shape.len() != 2 || is_looked_up {
                continue;
            }
            let values = shape.iter().product::<usize>() as u64;
            let in_blocks = match &tensor.stored {
                Stored::Safetensors(_) => None,
                Stored::Gguf(stored) => Codes::packed_bytes(stored.info.block_type, values),
            };
            work.bytes += in_blocks.unwrap_or(BF16_BYTES * values);
            work.bytes_in_blocks += in_blocks.unwrap_or(0);
            if name != EMBEDDINGS && name != HEAD {
                work.block_values += values;
            }
        }
        work
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lathe_kernel::{Isa, QuantisedMatrix};

    use super::*;
    use crate::gguf::blocks::BlockType;
    use crate::open;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures")
            .join(name)
    }

    #[test]
    fn a_token_takes_every_matrix_once_and_the_head_only_in_answers() {
        let raw = open(&fixture("tiny-model")).expect("opens");
        let config = raw.config.clone();
        let work = raw.token_work();
        let vectors = config.layers as u64 * 2 * config.hidden as u64 + config.hidden as u64;
        let tables = if config.tied_embeddings { 1 } else { 2 };
        let table = (config.vocab * config.hidden) as u64;
        // What Config counts, less norms and tables, are the blocks' matrices.
        assert_eq!(
            work.block_values,
            config.parameters() - vectors - tables * table
        );
        assert_eq!(work.bytes, BF16_BYTES * (work.block_values + table));
        assert_eq!(work.bytes_in_blocks, 0);
    }

    #[test]
    fn blocks_take_the_bytes_that_packed_matrices_have() {
        use BlockType::{Q4_0, Q4_1, Q5_0, Q8_0};
        // Whole panels on every instruction set.
        let (n, k) = (64, 64);
        for kept in [Q4_0, Q4_1, Q5_0, Q8_0] {
            let bytes = vec![0; n * k / kept.block_values() * kept.block_bytes()];
            let codes = Codes::of(kept, &bytes).expect("a format of codes");
            let packed = QuantisedMatrix::pack(Isa::Portable, &codes.blocks(), n, k);
            let counted = Codes::packed_bytes(kept, (n * k) as u64);
            assert_eq!(counted, Some(packed.bytes() as u64), "{}", kept.name());
        }
        assert_eq!(Codes::packed_bytes(BlockType::Q4_K, 256), None);
    }
}
