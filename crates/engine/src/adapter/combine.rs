//! Several adapters as one: W + Σ wᵢ·sᵢ·Bᵢ·Aᵢ = W + [w₁s₁B₁ w₂s₂B₂ …]·[A₁; A₂; …].
//!
//! The sum is exact, and costs the sum of the ranks. Merging methods that drop or resolve
//! parameters (TIES, DARE) are not here.

use super::{Adapter, LoraSpec, Part, TARGETS, checked, layout, refused};
use crate::config::Config;
use crate::error::EngineError;

impl Adapter {
    /// What every row of the term is scaled by.
    pub(crate) fn scale(&self) -> f32 {
        self.spec.alpha / self.spec.rank as f32
    }

    /// The adapter that adds nothing, of any model.
    pub fn none() -> Self {
        Self {
            spec: LoraSpec {
                rank: 1,
                alpha: 1.0,
                targets: Vec::new(),
                dora: false,
            },
            tensors: Vec::new(),
            values: Vec::new(),
        }
    }

    /// One adapter that adds what all of `parts` add, each times its weight.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] for no part, a weight that is no number, or ranks that sum to more
    /// than an adapter may have.
    ///
    /// # Panics
    /// If a part was not made for `config`.
    pub fn weighted(parts: &[(Self, f32)], config: &Config) -> Result<Self, EngineError> {
        let broken = |reason: String| refused("the sum of adapters", reason);
        if let Some((_, weight)) = parts.iter().find(|(_, weight)| !weight.is_finite()) {
            return Err(broken(format!("a weight is {weight}")));
        }
        if let [(only, 1.0)] = parts {
            return Ok(only.clone());
        }
        if parts.iter().any(|(part, _)| part.spec.dora) {
            return Err(broken(
                "one of them scales the rows of its base (use_dora), which does not add up: merge it alone \
                 and take the result as the base of the others"
                    .to_owned(),
            ));
        }
        let rank = parts.iter().map(|(part, _)| part.spec.rank).sum::<usize>();
        let is_adapted = |target: &&str| {
            let mut all = parts.iter().flat_map(|(part, _)| &part.spec.targets);
            all.any(|name| name == target)
        };
        let spec = checked(&LoraSpec {
            rank,
            alpha: rank as f32,
            targets: TARGETS
                .iter()
                .filter(|it| is_adapted(it))
                .map(|it| (*it).to_owned())
                .collect(),
            dora: false,
        })
        .map_err(broken)?;
        let tensors = layout(config, &spec);
        let len = tensors.last().map_or(0, |it| it.offset + it.values());
        let mut sum = Self {
            spec,
            tensors,
            values: vec![0.0; len],
        };
        let mut before = 0;
        for (part, weight) in parts {
            sum.take_in(part, *weight, before);
            before += part.spec.rank;
        }
        Ok(sum)
    }

    /// Writes the matrices of `part` behind the first `before` of the inner width.
    fn take_in(&mut self, part: &Self, weight: f32, before: usize) {
        let scale = weight * part.scale();
        for from in &part.tensors {
            let to = self
                .tensors
                .iter()
                .find(|to| to.name == from.name)
                .expect("the sum adapts what any part adapts");
            let values = &part.values[from.offset..][..from.values()];
            if from.part == Part::A {
                let start = to.offset + before * to.cols;
                self.values[start..][..values.len()].copy_from_slice(values);
                continue;
            }
            for (row, values) in values.chunks_exact(from.cols).enumerate() {
                let start = to.offset + row * to.cols + before;
                let to = &mut self.values[start..][..from.cols];
                to.iter_mut()
                    .zip(values)
                    .for_each(|(to, value)| *to = scale * value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn config() -> Config {
        let json = include_bytes!("../../../../tests/fixtures/tiny-model/config.json");
        Config::from_json(json).expect("the fixture's config")
    }

    fn adapter(rank: usize, alpha: f32, targets: &[&str], seed: u64) -> Adapter {
        let spec = LoraSpec {
            rank,
            alpha,
            targets: targets.iter().map(|it| (*it).to_owned()).collect(),
            dora: false,
        };
        let mut adapter = Adapter::new(&config(), &spec, seed).expect("is made");
        let mut random = Random::new(seed);
        let values = adapter.values.iter_mut();
        values.for_each(|value| *value = random.next_f32() - 0.5);
        adapter
    }

    /// s·B·A of one layer's target, term by term in f64.
    fn term(adapter: &Adapter, target: &str, layer: usize) -> Option<Vec<f64>> {
        let find = |part: Part| {
            let mut all = adapter.tensors.iter();
            all.find(|it| it.target == target && it.layer == layer && it.part == part)
        };
        let (a, b) = (find(Part::A)?, find(Part::B)?);
        let value = |offset: usize| f64::from(adapter.values[offset]);
        let mut out = Vec::new();
        for row in 0..b.rows {
            for col in 0..a.cols {
                let inner = 0..a.rows;
                let sum: f64 = inner
                    .map(|r| {
                        value(b.offset + row * b.cols + r) * value(a.offset + r * a.cols + col)
                    })
                    .sum();
                out.push(f64::from(adapter.scale()) * sum);
            }
        }
        Some(out)
    }

    #[test]
    fn the_sum_adds_what_its_parts_add() {
        let parts = [
            (adapter(2, 8.0, &["q_proj", "down_proj"], 1), 0.75),
            (adapter(3, 1.5, &["q_proj", "up_proj"], 2), -0.5),
        ];
        let sum = Adapter::weighted(&parts, &config()).expect("adds up");
        assert_eq!(sum.spec.rank, 5);
        assert_eq!(sum.spec.targets, ["q_proj", "up_proj", "down_proj"]);
        for target in ["q_proj", "up_proj", "down_proj"] {
            for layer in 0..2 {
                let found = term(&sum, target, layer).expect("is adapted");
                for (index, found) in found.iter().enumerate() {
                    let of = |(part, weight): &(Adapter, f32)| {
                        term(part, target, layer).map_or(0.0, |it| it[index] * f64::from(*weight))
                    };
                    let expected: f64 = parts.iter().map(of).sum();
                    assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
                }
            }
        }
    }

    #[test]
    fn one_whole_part_stays_as_it_is() {
        let only = adapter(2, 8.0, &["v_proj"], 3);
        let sum = Adapter::weighted(&[(only.clone(), 1.0)], &config()).expect("adds up");
        assert_eq!(sum, only);
    }

    #[test]
    fn what_has_no_sum_is_refused() {
        let mut dora = adapter(1, 1.0, &["v_proj"], 3);
        dora.spec.dora = true;
        let nan = vec![(adapter(1, 1.0, &["v_proj"], 3), f32::NAN)];
        for parts in [vec![], nan, vec![(dora, 0.5)]] {
            assert!(Adapter::weighted(&parts, &config()).is_err());
        }
    }
}
