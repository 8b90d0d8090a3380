//! A model packed for this machine.
//!
//! Loading reads every tensor once, dequantises it to f32 and packs it for the
//! instructions at hand; after that nothing of the file is needed. Weights are
//! frozen: what learns is an [`crate::Adapter`]. The result does not depend on how
//! many threads load.

use crate::adapter::TARGETS;
use crate::architecture::NORMS;
use crate::block::{Layer, Projection};
use crate::config::{Config, Window};
use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use crate::linear::{Asked, ByteProducts, Linear, Packing};
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use crate::weights::{self, RawModel};
use lathe_kernel::attention::Shape;
use lathe_kernel::{Isa, Pool, Precision, bf16, default_threads};
use std::path::Path;
use std::sync::OnceLock;

/// How a model is packed.
#[derive(Debug, Clone, Copy)]
pub struct LoadOptions {
    /// Instructions the packed form is for.
    pub isa: Isa,
    /// Precision of the operands of every product; sums are f32 in both.
    pub precision: Precision,
    /// Also pack what the backward pass reads. Doubles the memory of the weights.
    pub trainable: bool,
    /// Keep weights stored as Q4_0, Q4_1, Q5_0 or Q8_0 in their blocks and multiply them as whole
    /// numbers, the input rounded to 8 bits block by block; other weights are rounded to
    /// `precision`. A third of the memory to read for an answer, at a small loss of accuracy.
    pub as_stored: bool,
    /// Round what is not kept as stored to blocks of this type in the linear layers of the blocks, as an
    /// adapter is tuned over a base of 4 or 8 bits; the head keeps its values.
    pub quantise: Option<BlockType>,
    /// Which products of a step of tuning multiply bytes.
    pub bytes: ByteProducts,
}

impl Default for LoadOptions {
    /// bf16 for this machine's best instructions, without what gradients need.
    fn default() -> Self {
        Self {
            isa: Isa::detect(),
            precision: Precision::Bf16,
            trainable: false,
            as_stored: false,
            quantise: None,
            bytes: ByteProducts::None,
        }
    }
}

impl LoadOptions {
    /// What evaluation and serving load, so that what was measured is what answers: weights in the
    /// blocks they are stored in, the others in bf16, for this machine's best instructions.
    pub fn for_answers() -> Self {
        Self {
            as_stored: true,
            ..Self::default()
        }
    }

    /// What an adapter is tuned over: the weights as they answer, and in blocks of 8 bits, or bf16 where the machine
    /// does not multiply bytes, what the backward pass reads. Weights in blocks are multiplied in them, so that what is learnt fits what is served;
    /// gradients are those of the same values, the rounding of the input, and of what the backward pass reads in
    /// blocks of its own, taken as if it were none (Bengio et al. 2013, straight through).
    pub fn for_tuning() -> Self {
        Self {
            trainable: true,
            bytes: ByteProducts::Gradients,
            ..Self::for_answers()
        }
    }
}

/// A loaded model: sizes, tokenizer, template and packed weights.
pub struct Model {
    /// Sizes and constants.
    pub config: Config,
    /// The model's own tokenizer.
    pub tokenizer: Tokenizer,
    /// The model's own chat template, if it has one.
    pub template: Option<ChatTemplate>,
    pub(crate) packing: Packing,
    frequencies: Frequencies,
    pub(crate) embeddings: Embeddings,
    pub(crate) layers: Vec<Layer>,
    pub(crate) final_norm: Vec<f32>,
    pub(crate) head: Linear,
    format: String,
    /// Of the weights as they were read.
    fingerprint: u64,
}

impl Model {
    /// Opens and packs a `.gguf` file or a Hugging Face folder.
    ///
    /// # Errors
    /// What opening the files and reading their tensors reports.
    pub fn load(path: &Path, options: LoadOptions) -> Result<Self, EngineError> {
        Self::pack(weights::open(path)?, options)
    }

    /// Packs an opened model.
    ///
    /// # Errors
    /// What reading its tensors reports.
    pub fn pack(raw: RawModel, options: LoadOptions) -> Result<Self, EngineError> {
        let LoadOptions {
            isa,
            precision,
            trainable,
            as_stored,
            quantise,
            bytes,
        } = options;
        let packing = Packing {
            isa,
            precision,
            trainable,
            as_stored,
            quantise,
            bytes,
        };
        let pool = Pool::new(default_threads());
        let (embeddings, head, layers) = pack_all(&raw, packing, &pool)?;
        Ok(Self {
            final_norm: norm(&raw, "model.norm.weight")?,
            frequencies: Frequencies::of(&raw.config),
            format: raw.format_name(),
            fingerprint: raw.fingerprint()?,
            config: raw.config,
            tokenizer: raw.tokenizer,
            template: raw.template,
            packing,
            embeddings,
            layers,
            head,
        })
    }

    /// A linear layer by its name in [`TARGETS`].
    ///
    /// # Panics
    /// For a name that is none of them.
    pub(crate) fn linear(&self, layer: usize, target: &str) -> &Linear {
        let at = TARGETS.iter().position(|it| *it == target);
        &self.layers[layer].linears[at.expect("a checked spec names linear layers")]
    }

    /// Attention in one layer.
    pub(crate) fn attention_shape(&self, layer: usize) -> Shape {
        let Config {
            heads,
            kv_heads,
            head_dim,
            attention_scale: scale,
            ..
        } = self.config;
        Shape {
            heads,
            kv_heads,
            head_dim,
            scale,
            window: self.window(layer).map(|window| window.positions),
            precision: self.packing.precision,
        }
    }

    /// Rotary frequency of every pair of a head's values.
    pub(crate) fn frequencies(&self) -> &Frequencies {
        &self.frequencies
    }

    /// Whether a layer sees the last positions only, and turns by frequencies of its own.
    pub(crate) fn has_window(&self, layer: usize) -> bool {
        self.window(layer).is_some()
    }

    /// The window of a layer that has one.
    fn window(&self, layer: usize) -> Option<&Window> {
        self.config.window.as_ref().filter(|it| it.is_in(layer))
    }

    /// Writes the rows of `tokens` to `out` `[tokens, hidden]`, as they enter the first block.
    pub(crate) fn look_up(&self, tokens: impl Iterator<Item = u32>, out: &mut [f32]) {
        self.embeddings.look_up(tokens, out);
        let scale = self.config.embedding_scale;
        if scale != 1.0 {
            out.iter_mut().for_each(|value| *value *= scale);
        }
    }

    /// How products are computed, in words: `bf16`, `f32`, or `Q4_1 by 8 bits` where most weights
    /// are kept as they are stored.
    pub fn arithmetic(&self) -> String {
        let linears = self.layers.iter().flat_map(|layer| &layer.linears);
        let (quantised, rounded): (Vec<_>, Vec<_>) = linears.partition(|it| it.is_quantised());
        if quantised.len() > rounded.len() {
            let stored = self.format.rsplit(' ').next().unwrap_or_default();
            return format!("{stored} by 8 bits");
        }
        match self.packing.precision {
            Precision::Bf16 => "bf16".to_owned(),
            Precision::F32 => "f32".to_owned(),
        }
    }

    /// How the weights are stored in the file, in words: `GGUF Q4_1`, `safetensors BF16`.
    pub fn format_name(&self) -> String {
        self.format.clone()
    }

    /// What tells this model from one that computes otherwise: what its weights were when they were read, and
    /// in which form they are kept.
    pub fn identity(&self) -> String {
        let Packing {
            precision,
            as_stored,
            quantise,
            bytes,
            ..
        } = self.packing;
        let (format, fingerprint) = (&self.format, self.fingerprint);
        let bytes = match bytes {
            ByteProducts::None => String::new(),
            some => format!(" {some:?}"),
        };
        format!("{format} {fingerprint:016x} {precision:?} {as_stored} {quantise:?}{bytes}")
    }
}

/// Rotary frequencies, in layers without and with a window; none where no layer has one.
pub(crate) struct Frequencies {
    pub(crate) everywhere: Vec<f32>,
    pub(crate) in_windows: Vec<f32>,
}

impl Frequencies {
    fn of(config: &Config) -> Self {
        let window = config.window.as_ref();
        Self {
            everywhere: config.inverse_frequencies(),
            in_windows: window
                .map(|it| it.inverse_frequencies(config.head_dim))
                .unwrap_or_default(),
        }
    }
}

/// The rows that tokens turn into, rounded as the other weights are.
pub(crate) enum Embeddings {
    Bf16 { width: usize, values: Vec<u16> },
    F32 { width: usize, values: Vec<f32> },
}

impl Embeddings {
    /// Reads a tensor some rows at a time: it is the largest of many models.
    fn load(precision: Precision, raw: &RawModel, name: &str) -> Result<Self, EngineError> {
        const ROWS_AT_ONCE: usize = 1024;
        let (rows, width) = (raw.config.vocab, raw.config.hidden);
        let (mut exact, mut rounded) = (Vec::new(), Vec::new());
        match precision {
            Precision::F32 => exact.reserve_exact(rows * width),
            Precision::Bf16 => rounded.reserve_exact(rows * width),
        }
        for start in (0..rows).step_by(ROWS_AT_ONCE) {
            let values = raw.rows_f32(name, start..rows.min(start + ROWS_AT_ONCE))?;
            match precision {
                Precision::F32 => exact.extend(values),
                Precision::Bf16 => rounded.extend(values.into_iter().map(bf16::to_bf16)),
            }
        }
        Ok(match precision {
            Precision::F32 => Self::F32 {
                width,
                values: exact,
            },
            Precision::Bf16 => Self::Bf16 {
                width,
                values: rounded,
            },
        })
    }

    /// Takes up new values, in the memory of the old.
    pub(crate) fn set(&mut self, pool: &Pool, new: &[f32]) {
        match self {
            Self::F32 { values, .. } => values.copy_from_slice(new),
            Self::Bf16 { values, .. } => bf16::round_all(pool, new, values),
        }
    }

    /// Writes the rows of `tokens` to `out` `[tokens, hidden]`.
    fn look_up(&self, tokens: impl Iterator<Item = u32>, out: &mut [f32]) {
        match self {
            Self::F32 { width, values } => {
                for (token, row) in tokens.zip(out.chunks_exact_mut(*width)) {
                    row.copy_from_slice(&values[token as usize * width..][..*width]);
                }
            }
            Self::Bf16 { width, values } => {
                for (token, row) in tokens.zip(out.chunks_exact_mut(*width)) {
                    let stored = &values[token as usize * width..][..*width];
                    for (value, &stored) in row.iter_mut().zip(stored) {
                        *value = bf16::from_bf16(stored);
                    }
                }
            }
        }
    }
}

/// Packs the head and the blocks side by side, the largest piece first.
fn pack_all(
    raw: &RawModel,
    packing: Packing,
    pool: &Pool,
) -> Result<(Embeddings, Linear, Vec<Layer>), EngineError> {
    let ends = OnceLock::new();
    let layers: Vec<OnceLock<_>> = (0..raw.config.layers).map(|_| OnceLock::new()).collect();
    pool.run(1 + layers.len(), &|task| match task.checked_sub(1) {
        None => drop(ends.set(pack_ends(raw, packing))),
        Some(index) => drop(layers[index].set(pack_layer(raw, packing, index))),
    });
    let (embeddings, head) = ends.into_inner().expect("every task has run")?;
    let layers = layers
        .into_iter()
        .map(|layer| layer.into_inner().expect("every task has run"))
        .collect::<Result<_, _>>()?;
    Ok((embeddings, head, layers))
}

fn pack_ends(raw: &RawModel, packing: Packing) -> Result<(Embeddings, Linear), EngineError> {
    let Config {
        vocab,
        hidden,
        tied_embeddings,
        ..
    } = raw.config;
    let name = "model.embed_tokens";
    let embeddings = Embeddings::load(packing.precision, raw, &format!("{name}.weight"))?;
    let head = if tied_embeddings { name } else { "lm_head" };
    let head = Linear::load(packing, raw, head, (vocab, hidden), Asked::Largest)?;
    Ok((embeddings, head))
}

fn pack_layer(raw: &RawModel, packing: Packing, layer: usize) -> Result<Layer, EngineError> {
    let prefix = format!("model.layers.{layer}");
    let mut norms = [const { None }; NORMS];
    for it in raw.config.architecture.family().norms {
        norms[it.norm as usize] = Some(norm(raw, &format!("{prefix}.{}.weight", it.name))?);
    }
    let linear = |projection: Projection| {
        let name = projection.name(layer);
        Linear::load(
            packing,
            raw,
            &name,
            projection.shape(&raw.config),
            Asked::Whole,
        )
    };
    Ok(Layer {
        norms,
        linears: [
            linear(Projection::Query)?,
            linear(Projection::Key)?,
            linear(Projection::Value)?,
            linear(Projection::Output)?,
            linear(Projection::Gate)?,
            linear(Projection::Up)?,
            linear(Projection::Down)?,
        ],
    })
}

/// What a norm multiplies by; opening the files has checked the tensor's shape.
fn norm(raw: &RawModel, name: &str) -> Result<Vec<f32>, EngineError> {
    let (_, mut weights) = raw.tensor_f32(name)?;
    norm_gains(raw.config.architecture.family().norm_offset, &mut weights);
    Ok(weights)
}

/// Turns the weights of a norm as they are stored into what it multiplies by.
pub(crate) fn norm_gains(offset: f32, weights: &mut [f32]) {
    if offset != 0.0 {
        weights.iter_mut().for_each(|weight| *weight += offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretched_context_slows_the_rotation() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
        let stretched = tempfile::tempdir().expect("a folder for the test");
        for file in ["config.json", "model.safetensors", "tokenizer.json"] {
            let mut bytes = std::fs::read(fixture.join(file)).expect("the fixture is there");
            if file == "config.json" {
                let mut config: serde_json::Value =
                    serde_json::from_slice(&bytes).expect("the fixture is JSON");
                config["rope_scaling"] = serde_json::json!({"rope_type": "linear", "factor": 4.0});
                bytes = config.to_string().into_bytes();
            }
            std::fs::write(stretched.path().join(file), bytes).expect("the folder is ours");
        }
        let load = |path: &Path| Model::load(path, LoadOptions::default()).expect("it loads");
        let (plain, stretched) = (load(&fixture), load(stretched.path()));
        assert!(plain.frequencies.everywhere.contains(&1.0));
        let stretched = &stretched.frequencies.everywhere;
        for (plain, stretched) in plain.frequencies.everywhere.iter().zip(stretched) {
            assert_eq!(*stretched, plain / 4.0);
        }
    }
}
