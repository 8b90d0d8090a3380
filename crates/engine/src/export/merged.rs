//! A base model's weights with an adapter's term added, W + (alpha / rank)·B·A (with DoRA its rows
//! brought to their learnt lengths), or weights that were tuned themselves in their place; in f32.
//!
//! The base is dequantised first, so that a file in 4 bits is merged at the precision of its values
//! and not of its blocks (merging into the blocks loses the tune). Rows are made when they are asked
//! for; the result does not depend on how many are asked for at once.

use crate::adapter::{Adapter, AdapterTensor, Part};
use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use crate::importance::Inputs;
use crate::parameters::Parameters;
use crate::weights::RawModel;
use lathe_kernel::Pool;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::OnceLock;

/// Values a task makes.
const TASK_VALUES: usize = 1 << 18;

/// The tensors of a merged model, by Hugging Face's names and in its layout.
pub struct Merged<'a> {
    raw: &'a RawModel,
    change: Change<'a>,
}

/// What makes the model another one than its base.
enum Change<'a> {
    /// An adapter's terms.
    Terms {
        adapter: &'a Adapter,
        /// By the tensor they are added to.
        terms: BTreeMap<String, Term<'a>>,
    },
    /// Weights in place of the base's.
    Weights(&'a Parameters),
}

/// What an adapter has for one tensor.
#[derive(Clone, Copy)]
struct Term<'a> {
    a: &'a AdapterTensor,
    b: &'a AdapterTensor,
    magnitude: Option<&'a AdapterTensor>,
}

impl<'a> Merged<'a> {
    /// The base with the adapter's term.
    ///
    /// # Panics
    /// If the adapter was not made for the model's config.
    pub fn new(raw: &'a RawModel, adapter: &'a Adapter) -> Self {
        let layers = adapter.tensors.chunk_by(|_, next| next.part != Part::A);
        let terms = layers.map(|parts| {
            let [a, b, more @ ..] = parts else {
                unreachable!("every adapted layer has A and B")
            };
            let module = a.name.trim_end_matches(".lora_A.weight");
            let magnitude = more.first();
            let term = Term { a, b, magnitude };
            (format!("model.{module}.weight"), term)
        });
        let terms: BTreeMap<_, _> = terms.collect();
        for name in terms.keys() {
            assert!(raw.has_tensor(name), "the model has {name}");
        }
        Self {
            raw,
            change: Change::Terms { adapter, terms },
        }
    }

    /// The base's shapes and names with other weights.
    pub fn of_weights(raw: &'a RawModel, weights: &'a Parameters) -> Self {
        Self {
            raw,
            change: Change::Weights(weights),
        }
    }

    /// What is merged into.
    pub(super) fn raw(&self) -> &'a RawModel {
        self.raw
    }

    /// The values of some rows.
    ///
    /// # Errors
    /// What reading the base reports.
    pub fn rows(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>, EngineError> {
        let (adapter, terms) = match &self.change {
            Change::Terms { adapter, terms } => (adapter, terms),
            Change::Weights(weights) => return weights.rows(name, rows),
        };
        let mut values = self.raw.rows_f32(name, rows.clone())?;
        let Some(&Term { a, b, magnitude }) = terms.get(name) else {
            return Ok(values);
        };
        let scale = adapter.scale();
        let (matrix_a, matrix_b) = (adapter.values_of(a), adapter.values_of(b));
        let mut term = vec![0.0f32; a.cols];
        for (row, values) in rows.zip(values.chunks_exact_mut(a.cols)) {
            term.fill(0.0);
            let factors = &matrix_b[row * b.cols..][..b.cols];
            for (factor, a) in factors.iter().zip(matrix_a.chunks_exact(a.cols)) {
                term.iter_mut()
                    .zip(a)
                    .for_each(|(sum, a)| *sum += factor * a);
            }
            values
                .iter_mut()
                .zip(&term)
                .for_each(|(value, term)| *value += scale * term);
            if let Some(magnitude) = magnitude {
                let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
                let gain = adapter.values_of(magnitude)[row] / length;
                values.iter_mut().for_each(|value| *value *= gain);
            }
        }
        Ok(values)
    }

    /// The bytes of some rows in a format, rounded for the inputs they read where these are known,
    /// made by the pool; `change` is applied to every run of rows first.
    ///
    /// # Errors
    /// What reading the base reports, and [`EngineError::Unsupported`] for a format that is only read.
    pub fn encoded(
        &self,
        pool: &Pool,
        name: &str,
        rows: Range<usize>,
        (format, inputs): (BlockType, Option<&Inputs>),
        change: &(dyn Fn(&mut [f32]) + Sync),
    ) -> Result<Vec<u8>, EngineError> {
        let shape = self.raw.shape(name)?;
        let row_values = shape[1..].iter().product::<usize>().max(1);
        let at_once = (TASK_VALUES / row_values).max(1);
        let starts: Vec<usize> = rows.clone().step_by(at_once).collect();
        let parts: Vec<OnceLock<Result<Vec<u8>, EngineError>>> =
            starts.iter().map(|_| OnceLock::new()).collect();
        pool.run(parts.len(), &|task| {
            let end = starts.get(task + 1).copied().unwrap_or(rows.end);
            let encode = || {
                let mut values = self.rows(name, starts[task]..end)?;
                change(&mut values);
                let mut bytes = Vec::new();
                match inputs {
                    Some(inputs) => inputs.quantize(format, &values, &mut bytes)?,
                    None => format.quantize(&values, &mut bytes)?,
                }
                Ok(bytes)
            };
            drop(parts[task].set(encode()));
        });
        let parts = parts.into_iter().map(OnceLock::into_inner);
        let parts = parts.map(|part| part.expect("every task has run"));
        Ok(parts.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapter::{LoraSpec, TARGETS};
    use crate::random::Random;
    use crate::weights;
    use std::path::Path;

    #[test]
    fn rows_have_their_learnt_lengths() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
        let raw = weights::open(&fixture).expect("opens");
        let spec = LoraSpec {
            rank: 2,
            alpha: 6.0,
            targets: vec!["v_proj".to_owned()],
            dora: true,
        };
        let mut adapter = Adapter::new(&raw.config, &spec, 1).expect("is made");
        let values = adapter.values.iter_mut().enumerate();
        values.for_each(|(at, value)| *value = 0.5 + (at % 7) as f32);
        let name = "model.layers.1.self_attn.v_proj.weight";
        let rows = raw.shape(name).expect("is there")[0];
        let merged = Merged::new(&raw, &adapter);
        let found = merged.rows(name, 0..rows).expect("merges");
        let magnitude = adapter.tensors.last().expect("has tensors");
        assert_eq!(magnitude.part, Part::Magnitude);
        let wanted = adapter.values_of(magnitude);
        for (row, wanted) in found.chunks_exact(found.len() / rows).zip(wanted) {
            let length = row.iter().map(|value| value * value).sum::<f32>().sqrt();
            assert!((length - wanted).abs() < 1e-4 * wanted, "{length} {wanted}");
        }
    }

    #[test]
    fn the_term_is_added_to_what_it_adapts_and_to_nothing_else() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
        let raw = weights::open(&fixture).expect("opens");
        let spec = LoraSpec {
            rank: 3,
            alpha: 6.0,
            targets: vec![TARGETS[1].to_owned(), TARGETS[6].to_owned()],
            dora: false,
        };
        let mut adapter = Adapter::new(&raw.config, &spec, 1).expect("is made");
        let mut random = Random::new(4);
        let values = adapter.values.iter_mut();
        values.for_each(|value| *value = random.next_f32() - 0.5);
        let merged = Merged::new(&raw, &adapter);
        for name in raw.tensor_names() {
            let (shape, base) = raw.tensor_f32(name).expect("reads");
            let found = merged.rows(name, 0..shape[0]).expect("merges");
            let target = TARGETS
                .iter()
                .find(|it| name.ends_with(&format!("{it}.weight")));
            let target = target.filter(|it| spec.targets.contains(&(**it).to_owned()));
            assert_eq!(target.is_none(), base == found, "{name}");
            let part = merged.rows(name, 1..2).expect("merges");
            assert_eq!(part, found[part.len()..2 * part.len()], "{name}");
        }
        let name = "model.layers.1.self_attn.k_proj.weight";
        let (shape, base) = raw.tensor_f32(name).expect("reads");
        let find = |part: Part| {
            let mut all = adapter.tensors.iter();
            let found = all.find(|it| it.layer == 1 && it.target == "k_proj" && it.part == part);
            found.expect("adapted")
        };
        let (a, b) = (find(Part::A), find(Part::B));
        let found = merged.rows(name, 0..shape[0]).expect("merges");
        for (at, (found, base)) in found.iter().zip(&base).enumerate() {
            let (row, col) = (at / shape[1], at % shape[1]);
            let product = |r: usize| {
                f64::from(adapter.values[b.offset + row * 3 + r])
                    * f64::from(adapter.values[a.offset + r * shape[1] + col])
            };
            let term: f64 = (0..3).map(product).sum();
            let expected = f64::from(*base) + 2.0 * term;
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5,
                "{found} {expected}"
            );
        }
    }
}
