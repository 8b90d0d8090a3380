//! What the inputs of a model's linear layers are like, over some text: how large, and how they go together.
//!
//! Rounding W to W + E changes an output by e·x, e being a row of E, and in the mean square over inputs by
//! ```text
//! e·H·eᵀ,   H = E[x·xᵀ]
//! ```
//! so that an error at an input that is mostly small costs little, and one error can make up for another.
//! llama.cpp's importance matrix is the diagonal of H; here H is kept too, in windows of columns
//! ([`crate::gguf::feedback`]). It is taken from the model as it was tuned, before anything is rounded, at
//! every token of the text. Products are those of inputs rounded to bfloat16: a mean does not ask for more.
//!
//! Not here: taking H anew after the layers before were rounded, as GPTQ does.

use crate::adapter::Adapter;
use crate::batch::Batch;
use crate::block::PROJECTIONS;
use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use crate::gguf::feedback::{DAMPING, Feedback, middle, windows};
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use crate::train::Trainer;
use lathe_kernel::{Pool, matmul_tn_bf16};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

/// What goes into the linear layers of a model's blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance {
    inputs: Vec<Inputs>,
    /// Which of them a matrix reads, by Hugging Face's names.
    read: BTreeMap<String, usize>,
    /// Rows of text they were taken from.
    pub tokens: u64,
}

/// The inputs that some linear layers read.
#[derive(Debug, Clone, PartialEq)]
pub struct Inputs {
    /// What an error counts in each column, around 1.
    pub weights: Vec<f32>,
    /// How columns make up for each other; none where they are no whole blocks.
    pub feedback: Vec<Feedback>,
}

impl Importance {
    /// Runs the batches through the model and adds up products.
    ///
    /// # Panics
    /// If [`Batch::check`] would refuse a batch, or the adapter was not made for the model's config.
    pub fn of(model: &Model, pool: &Pool, adapter: Option<&Adapter>, batches: &[Batch]) -> Self {
        let adapter = adapter.map(|it| PackedAdapter::new(model, it));
        let mut sums: BTreeMap<usize, Sums> = BTreeMap::new();
        let mut readers: BTreeMap<String, usize> = BTreeMap::new();
        let mut trainer = Trainer::new(model, pool);
        for batch in batches {
            trainer.inputs(adapter.as_ref(), batch, &mut |layer, group, x| {
                // Those of a group read the same: the first adds up for all.
                let key = layer * PROJECTIONS + group[0] as usize;
                let width = group[0].shape(&model.config).1;
                let sum = sums.entry(key).or_insert_with(|| Sums::new(width));
                sum.add(pool, x);
                for projection in group {
                    readers.insert(format!("{}.weight", projection.name(layer)), key);
                }
            });
        }
        let places: BTreeMap<usize, usize> = sums.keys().copied().zip(0..).collect();
        let read = readers.into_iter().map(|(name, key)| (name, places[&key]));
        Self {
            inputs: finish(pool, &sums.into_values().collect::<Vec<_>>()),
            read: read.collect(),
            tokens: batches.iter().map(|it| it.tokens.len() as u64).sum(),
        }
    }

    /// What a matrix reads; none for what is not a linear layer of a block.
    pub fn inputs(&self, name: &str) -> Option<&Inputs> {
        self.read.get(name).map(|&at| &self.inputs[at])
    }
}

impl Inputs {
    /// Appends whole rows of a matrix that reads these, in a format.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a format that is only read.
    ///
    /// # Panics
    /// If the values are no whole rows, or rows no whole blocks of the format.
    pub fn quantize(
        &self,
        format: BlockType,
        values: &[f32],
        out: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        if self.feedback.is_empty() {
            return format.quantize_weighted(values, &self.weights, out);
        }
        format.quantize_with_feedback(values, &self.feedback, out)
    }
}

/// Products of the inputs of one group.
struct Sums {
    squares: Vec<f64>,
    /// Columns, and xᵀ·x of these.
    products: Vec<(Range<usize>, Vec<f32>)>,
    /// The columns of a window, beside one another.
    part: Vec<f32>,
}

impl Sums {
    fn new(width: usize) -> Self {
        let products = windows(width).into_iter();
        let products = products.map(|columns| {
            let len = columns.len() * columns.len();
            (columns, vec![0.0; len])
        });
        Self {
            squares: vec![0.0; width],
            products: products.collect(),
            part: Vec::new(),
        }
    }

    /// Adds those of `x` `[rows, width]`, in one order whatever the threads.
    fn add(&mut self, pool: &Pool, x: &[f32]) {
        let width = self.squares.len();
        for row in x.chunks_exact(width) {
            for (sum, &value) in self.squares.iter_mut().zip(row) {
                *sum += f64::from(value) * f64::from(value);
            }
        }
        let rows = x.len() / width;
        for (columns, sum) in &mut self.products {
            let len = columns.len();
            let part = if len == width {
                x
            } else {
                self.part.clear();
                let parts = x.chunks_exact(width).map(|row| &row[columns.clone()]);
                parts.for_each(|part| self.part.extend_from_slice(part));
                &self.part[..]
            };
            matmul_tn_bf16(pool, part, part, rows, len, len, sum, 1.0, true);
        }
    }

    fn finish(&self) -> Inputs {
        let products = self.products.iter();
        let feedback = products.map(|(columns, sum)| Feedback::of(sum, columns.len()));
        Inputs {
            weights: weights(&self.squares),
            feedback: feedback.collect::<Option<_>>().unwrap_or_default(),
        }
    }
}

/// Takes all apart, several at a time.
fn finish(pool: &Pool, sums: &[Sums]) -> Vec<Inputs> {
    let found: Vec<OnceLock<Inputs>> = sums.iter().map(|_| OnceLock::new()).collect();
    pool.run(sums.len(), &|at| drop(found[at].set(sums[at].finish())));
    let found = found.into_iter().map(OnceLock::into_inner);
    found.map(|it| it.expect("every task has run")).collect()
}

/// Sums as weights around 1; all the same where nothing, or no number, came in.
fn weights(sums: &[f64]) -> Vec<f32> {
    let Some(middle) = middle(sums.iter().copied()) else {
        return vec![1.0; sums.len()];
    };
    let weight = |sum: &f64| (sum / middle + DAMPING) as f32;
    sums.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LoadOptions;
    use crate::batch::Segment;
    use lathe_kernel::Precision;
    use std::path::Path;

    fn fixture(name: &str) -> Model {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        let options = LoadOptions {
            precision: Precision::F32,
            ..LoadOptions::default()
        };
        Model::load(&path.join(name), options).expect("the fixture loads")
    }

    fn batch(tokens: &[u32]) -> Batch {
        Batch {
            tokens: tokens.to_vec(),
            segments: vec![Segment {
                start: 0,
                len: tokens.len(),
                prefix: None,
            }],
            targets: Vec::new(),
        }
    }

    /// The first block reads its embeddings, normed: that can be told from the files alone.
    #[test]
    fn the_first_block_s_inputs_are_its_normed_embeddings() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
        let raw = crate::open(&path).expect("opens");
        let (shape, table) = raw.tensor_f32("model.embed_tokens.weight").expect("reads");
        let gains = raw.tensor_f32("model.layers.0.input_layernorm.weight");
        let (gains, width) = (gains.expect("reads").1, shape[1]);
        let tokens = [5u32, 9, 40, 41, 7];
        let mut expected = vec![0.0f64; width];
        for token in tokens {
            let row = &table[token as usize * width..][..width];
            let squares = row.iter().map(|it| f64::from(*it).powi(2)).sum::<f64>();
            let mean = squares / width as f64 + f64::from(raw.config.rms_eps);
            for ((sum, value), gain) in expected.iter_mut().zip(row).zip(&gains) {
                *sum += (f64::from(*value) * f64::from(*gain)).powi(2) / mean;
            }
        }
        let model = fixture("tiny-model");
        let batches = [batch(&tokens[..2]), batch(&tokens[2..])];
        let found = Importance::of(&model, &Pool::new(2), None, &batches);
        assert_eq!(found.tokens, 5);
        for name in ["q_proj", "k_proj", "v_proj"] {
            let name = format!("model.layers.0.self_attn.{name}.weight");
            let columns = &found.inputs(&name).expect("a linear layer").weights;
            for (found, expected) in columns.iter().zip(weights(&expected)) {
                assert!(
                    (found - expected).abs() < 1e-4 * expected,
                    "{found} {expected}"
                );
            }
        }
    }

    #[test]
    fn every_linear_layer_of_the_blocks_has_weights_and_nothing_else_does() {
        for name in ["tiny-model", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3"] {
            let model = fixture(name);
            let found = Importance::of(&model, &Pool::new(2), None, &[batch(&[3, 4, 5, 6])]);
            let one = Importance::of(&model, &Pool::new(1), None, &[batch(&[3, 4, 5, 6])]);
            assert_eq!(found, one, "{name}: whatever the threads");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
            let raw = crate::open(&path.join(name)).expect("opens");
            for tensor in raw.tensor_names() {
                let shape = raw.shape(tensor).expect("is there");
                let is_linear = tensor.contains("_proj.weight");
                let columns = found.inputs(tensor).map(|it| &it.weights);
                assert_eq!(columns.is_some(), is_linear, "{name} {tensor}");
                if let Some(columns) = columns {
                    assert_eq!(columns.len(), shape[1], "{name} {tensor}");
                    let mut sorted = columns.clone();
                    sorted.sort_by(f32::total_cmp);
                    let middle = sorted[sorted.len() / 2];
                    assert!((middle - 1.01).abs() < 1e-3, "{name} {tensor}: {middle}");
                    let windows = &found.inputs(tensor).expect("a linear layer").feedback;
                    let width: usize = windows.iter().map(Feedback::width).sum();
                    let whole = if shape[1].is_multiple_of(32) {
                        shape[1]
                    } else {
                        0
                    };
                    assert_eq!(width, whole, "{name} {tensor}");
                }
            }
        }
    }

    #[test]
    fn what_never_came_in_counts_a_little() {
        assert_eq!(weights(&[3.0, 0.0, 900.0]), [1.01, 0.01, 300.01]);
        assert_eq!(
            weights(&[0.0, 0.0, 0.0, 2.0, 0.0]),
            [0.01, 0.01, 0.01, 5.01, 0.01]
        );
        assert_eq!(weights(&[0.0, 0.0]), [1.0, 1.0]);
        assert_eq!(weights(&[f64::INFINITY, 1.0]), [1.0, 1.0]);
    }
}
