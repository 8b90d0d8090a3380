//! All weights of a model as one flat vector of f32, for full tuning.
//!
//! An optimizer needs to know nothing of layers, so every tensor lies in one vector,
//! in the order of the tensors' names; gradients are laid out the same. These numbers
//! are the model: what it computes with is rounded from them after every step.

use crate::adapter::TARGETS;
use crate::architecture::NORMS;
use crate::block::PROJECTIONS;
use crate::config::Config;
use crate::error::EngineError;
use crate::weights::RawModel;
use lathe_kernel::slab;
use std::ops::Range;

/// Where one tensor lies in [`Parameters::values`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Hugging Face's name: `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Index of the first value in [`Parameters::values`].
    pub offset: usize,
}

impl Parameter {
    /// Where its values lie.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.shape.iter().product::<usize>()
    }
}

/// The weights of a model in full precision.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameters {
    /// The tensors, one after another.
    pub tensors: Vec<Parameter>,
    /// All numbers, one flat vector.
    pub values: Vec<f32>,
}

impl Parameters {
    /// Reads and dequantises every tensor.
    ///
    /// # Errors
    /// What reading the tensors reports.
    pub fn read(raw: &RawModel) -> Result<Self, EngineError> {
        let (mut tensors, mut values) = (Vec::new(), slab::room(raw.value_count()));
        for name in raw.tensor_names() {
            let (shape, read) = raw.tensor_f32(name)?;
            tensors.push(Parameter {
                name: name.to_owned(),
                shape,
                offset: values.len(),
            });
            values.extend(read);
        }
        Ok(Self { tensors, values })
    }

    /// The values of some rows of a tensor.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] where there is none of that name.
    ///
    /// # Panics
    /// If the tensor does not have these rows.
    pub fn rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>, EngineError> {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.ok_or_else(|| EngineError::MissingTensor {
            name: name.to_owned(),
        })?;
        let width = tensor.shape[1..].iter().product::<usize>().max(1);
        let values = &self.values[tensor.range()];
        Ok(values[rows.start * width..rows.end * width].to_vec())
    }

    /// Where the tensors of a model lie.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] where one is not among them.
    pub(crate) fn places(&self, config: &Config) -> Result<Places, EngineError> {
        let place = |name: String| match self.tensors.iter().find(|tensor| tensor.name == name) {
            Some(tensor) => Ok(tensor.offset),
            None => Err(EngineError::MissingTensor { name }),
        };
        let layer = |layer: usize| {
            let own = |part: &str| place(format!("model.layers.{layer}.{part}.weight"));
            let (mut linears, mut biases) = ([0; PROJECTIONS], [None; PROJECTIONS]);
            for (index, target) in TARGETS.into_iter().enumerate() {
                let attention = matches!(target, "q_proj" | "k_proj" | "v_proj" | "o_proj");
                let group = if attention { "self_attn" } else { "mlp" };
                linears[index] = own(&format!("{group}.{target}"))?;
                biases[index] = place(format!("model.layers.{layer}.{group}.{target}.bias")).ok();
            }
            let mut norms = [None; NORMS];
            for it in config.architecture.family().norms {
                norms[it.norm as usize] = Some(own(it.name)?);
            }
            Ok(LayerPlaces {
                norms,
                linears,
                biases,
            })
        };
        let embeddings = place("model.embed_tokens.weight".to_owned())?;
        Ok(Places {
            embeddings,
            head: match config.tied_embeddings {
                true => embeddings,
                false => place("lm_head.weight".to_owned())?,
            },
            final_norm: place("model.norm.weight".to_owned())?,
            layers: (0..config.layers).map(layer).collect::<Result<_, _>>()?,
        })
    }
}

/// Index of each tensor's first value.
pub(crate) struct Places {
    pub(crate) embeddings: usize,
    /// That of the embeddings where both are one tensor.
    pub(crate) head: usize,
    pub(crate) final_norm: usize,
    pub(crate) layers: Vec<LayerPlaces>,
}

/// [`Places`] of one block.
pub(crate) struct LayerPlaces {
    /// By [`crate::architecture::Norm`], of those that the family has.
    pub(crate) norms: [Option<usize>; NORMS],
    /// By [`crate::block::Projection`].
    pub(crate) linears: [usize; PROJECTIONS],
    /// The same of those that have a bias.
    pub(crate) biases: [Option<usize>; PROJECTIONS],
}
