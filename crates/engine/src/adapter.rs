//! The LoRA adapter: one flat vector of trainable numbers.
//!
//! Beside each adapted layer y = W·x stands a term (alpha / rank)·B·(A·x) with A
//! `[rank, in]` and B `[out, rank]` (Hu et al. 2021, arXiv 2106.09685). All
//! matrices of an adapter lie in one vector, so that an optimizer needs to know
//! nothing of layers. Files are PEFT's (`peft`): other tools load them as they
//! are.
//!
//! DoRA (Liu et al. 2024, arXiv 2402.09353) learns the length of every row of W apart from its
//! direction: y = m / ‖W + s·B·A‖ ∘ (W + s·B·A)·x, where the length of the sum is a constant to
//! the gradient (their section 4.3). m `[out]` starts as ‖W‖. Other variants of LoRA
//! (rank-stabilised scaling, biases, ranks per layer) are refused by name.

mod combine;
mod peft;

use crate::config::Config;
use crate::error::EngineError;
use crate::model::Model;
use crate::random::Random;
use lathe_kernel::Pool;
use serde::{Deserialize, Serialize};

/// The seven linear layers of a block, in the order they are stored.
pub const TARGETS: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// Largest rank believed.
pub const RANK_MAX: usize = 1024;

/// Which layers are adapted, and how strongly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSpec {
    /// Inner width of each pair of matrices.
    pub rank: usize,
    /// The term is scaled by alpha / rank.
    pub alpha: f32,
    /// Names from [`TARGETS`].
    pub targets: Vec<String>,
    /// Whether the lengths of the rows are learnt apart (DoRA).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dora: bool,
}

/// What a tensor of an adapter is to its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A `[rank, in]`.
    A,
    /// B `[out, rank]`.
    B,
    /// m `[out]`, of DoRA.
    Magnitude,
}

/// Where one matrix of the adapter lies in [`Adapter::values`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterTensor {
    /// PEFT's key without its prefix: `layers.0.self_attn.q_proj.lora_A.weight`.
    pub name: String,
    /// Index of the block.
    pub layer: usize,
    /// The adapted layer, from [`TARGETS`].
    pub target: String,
    /// Which of the layer's tensors.
    pub part: Part,
    /// Rows of the row-major matrix.
    pub rows: usize,
    /// Columns of the row-major matrix; 1 of a vector.
    pub cols: usize,
    /// Index of the first value in [`Adapter::values`].
    pub offset: usize,
}

impl AdapterTensor {
    /// Number of values.
    fn values(&self) -> usize {
        self.rows * self.cols
    }
}

/// A LoRA adapter: y += (alpha / rank) · B · (A · x).
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// What it adapts; the targets in the order of [`TARGETS`].
    pub spec: LoraSpec,
    /// Its tensors by layer, then target in the order of [`TARGETS`], then as in [`Part`].
    pub tensors: Vec<AdapterTensor>,
    /// All numbers, one flat vector.
    pub values: Vec<f32>,
}

impl Adapter {
    /// A fresh adapter, fixed by `seed`: A uniform in ±1/√in, as PEFT draws it
    /// (Kaiming with a = √5), and B zero, so that the model starts unchanged.
    ///
    /// Magnitudes are left at zero: see [`Adapter::on`].
    ///
    /// # Errors
    /// [`EngineError::Adapter`] for a rank of zero or an unknown target.
    pub fn new(config: &Config, spec: &LoraSpec, seed: u64) -> Result<Self, EngineError> {
        let spec = checked(spec).map_err(|reason| refused("the tuning spec", reason))?;
        let tensors = layout(config, &spec);
        let mut random = Random::new(seed);
        let mut values = Vec::new();
        for tensor in &tensors {
            if tensor.part == Part::A {
                let bound = 1.0 / (tensor.cols as f32).sqrt();
                let draw = || (2.0 * random.next_f32() - 1.0) * bound;
                values.extend(std::iter::repeat_with(draw).take(tensor.values()));
            } else {
                values.resize(values.len() + tensor.values(), 0.0);
            }
        }
        Ok(Self {
            spec,
            tensors,
            values,
        })
    }

    /// A fresh adapter of `model`, as [`Adapter::new`], with the lengths of the model's rows where
    /// its spec learns them.
    ///
    /// # Errors
    /// As [`Adapter::new`].
    pub fn on(model: &Model, pool: &Pool, spec: &LoraSpec, seed: u64) -> Result<Self, EngineError> {
        let mut adapter = Self::new(&model.config, spec, seed)?;
        for tensor in &adapter.tensors {
            if tensor.part == Part::Magnitude {
                let linear = model.linear(tensor.layer, &tensor.target);
                let lengths = linear.row_squares(pool).iter().map(|it| it.sqrt());
                let values = &mut adapter.values[tensor.offset..][..tensor.rows];
                values.iter_mut().zip(lengths).for_each(|(to, it)| *to = it);
            }
        }
        Ok(adapter)
    }

    /// The values of one of its tensors, row-major.
    pub(crate) fn values_of(&self, tensor: &AdapterTensor) -> &[f32] {
        &self.values[tensor.offset..][..tensor.values()]
    }
}

/// The spec with its targets in order, or why it cannot be.
fn checked(spec: &LoraSpec) -> Result<LoraSpec, String> {
    if spec.rank == 0 || spec.rank > RANK_MAX {
        return Err(format!("its rank is {}, not 1 to {RANK_MAX}", spec.rank));
    }
    if !spec.alpha.is_finite() {
        return Err(format!("its alpha is {}", spec.alpha));
    }
    let unknown = |name: &&String| !TARGETS.contains(&name.as_str());
    if let Some(name) = spec.targets.iter().find(unknown) {
        let known = TARGETS.join(", ");
        return Err(format!("it adapts {name:?}, which is none of {known}"));
    }
    let mut targets = TARGETS.map(str::to_owned).to_vec();
    targets.retain(|target| spec.targets.contains(target));
    if targets.is_empty() {
        return Err("it adapts no layer".to_owned());
    }
    Ok(LoraSpec {
        targets,
        ..spec.clone()
    })
}

/// The matrices of a checked spec, one after another.
fn layout(config: &Config, spec: &LoraSpec) -> Vec<AdapterTensor> {
    let mut tensors: Vec<AdapterTensor> = Vec::new();
    let mut offset = 0;
    for layer in 0..config.layers {
        for target in &spec.targets {
            let (group, out, depth) = linear(config, target);
            let parts = [
                (Part::A, "lora_A.weight", spec.rank, depth),
                (Part::B, "lora_B.weight", out, spec.rank),
                (Part::Magnitude, "lora_magnitude_vector", out, 1),
            ];
            let parts = parts.into_iter().take(if spec.dora { 3 } else { 2 });
            for (part, name, rows, cols) in parts {
                tensors.push(AdapterTensor {
                    name: format!("layers.{layer}.{group}.{target}.{name}"),
                    layer,
                    target: target.clone(),
                    part,
                    rows,
                    cols,
                    offset,
                });
                offset += rows * cols;
            }
        }
    }
    tensors
}

/// A layer's module, and how many values it puts out and takes in.
fn linear(config: &Config, target: &str) -> (&'static str, usize, usize) {
    let queries = config.heads * config.head_dim;
    let keys = config.kv_heads * config.head_dim;
    match target {
        "q_proj" => ("self_attn", queries, config.hidden),
        "k_proj" | "v_proj" => ("self_attn", keys, config.hidden),
        "o_proj" => ("self_attn", config.hidden, queries),
        "down_proj" => ("mlp", config.hidden, config.intermediate),
        _ => ("mlp", config.intermediate, config.hidden),
    }
}

fn refused(origin: &str, reason: String) -> EngineError {
    EngineError::Adapter {
        origin: origin.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let json = include_bytes!("../../../tests/fixtures/tiny-model/config.json");
        Config::from_json(json).expect("the fixture's config")
    }

    fn spec(rank: usize, targets: &[&str]) -> LoraSpec {
        let targets = targets.iter().map(|name| (*name).to_owned()).collect();
        LoraSpec {
            rank,
            alpha: 8.0,
            targets,
            dora: false,
        }
    }

    #[test]
    fn a_fresh_adapter_has_a_within_its_bound_and_b_zero() {
        let adapter = Adapter::new(&config(), &spec(4, &TARGETS), 1).expect("is made");
        assert_eq!(adapter.tensors.len(), 2 * 7 * 2);
        let mut offset = 0;
        for tensor in &adapter.tensors {
            assert_eq!(tensor.offset, offset);
            let values = &adapter.values[offset..][..tensor.values()];
            offset += values.len();
            if tensor.part == Part::B {
                assert!(values.iter().all(|value| *value == 0.0));
                continue;
            }
            let bound = 1.0 / (tensor.cols as f32).sqrt();
            let largest = values
                .iter()
                .fold(0.0f32, |most, value| most.max(value.abs()));
            assert!(
                largest <= bound && largest > 0.9 * bound,
                "{largest} of {bound}"
            );
        }
        assert_eq!(offset, adapter.values.len());
    }

    #[test]
    fn a_seed_fixes_the_values_and_the_order_of_targets_does_not_matter() {
        let make = |targets: &[&str], seed| {
            Adapter::new(&config(), &spec(2, targets), seed).expect("is made")
        };
        assert_eq!(
            make(&["q_proj", "up_proj"], 3),
            make(&["up_proj", "q_proj"], 3)
        );
        assert_ne!(make(&["q_proj"], 3), make(&["q_proj"], 4));
    }

    #[test]
    fn a_spec_that_cannot_be_is_refused() {
        for (spec, reason) in [
            (spec(0, &["q_proj"]), "rank"),
            (spec(RANK_MAX + 1, &["q_proj"]), "rank"),
            (spec(1, &["lm_head"]), "lm_head"),
            (spec(1, &[]), "no layer"),
        ] {
            let error = Adapter::new(&config(), &spec, 0)
                .expect_err("is refused")
                .to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
