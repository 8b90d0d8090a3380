//! An adapter made ready for the forward pass.
//!
//! Its matrices are packed like the weights and with the same rounding, in tuning
//! as in serving: what was tuned is what answers.

use crate::adapter::{Adapter, AdapterTensor, Part, TARGETS};
use crate::block::LayerLoras;
use crate::linear::{Lora, Packing};
use crate::model::Model;
use lathe_kernel::Pool;
use std::sync::OnceLock;

/// The packed matrices of an [`Adapter`] for one [`Model`].
pub struct PackedAdapter {
    pub(crate) layers: Vec<LayerLoras>,
}

impl PackedAdapter {
    /// Packs `adapter` for inference on `model`.
    ///
    /// # Panics
    /// If the adapter was not made for the model's config.
    pub fn new(model: &Model, adapter: &Adapter) -> Self {
        let packing = Packing {
            trainable: false,
            ..model.packing
        };
        Self::pack(model, adapter, packing, &Pool::new(1))
    }

    pub(crate) fn pack(model: &Model, adapter: &Adapter, packing: Packing, pool: &Pool) -> Self {
        let slots: Vec<OnceLock<LayerLoras>> =
            (0..model.config.layers).map(|_| OnceLock::new()).collect();
        let mut layers: Vec<Vec<&AdapterTensor>> = vec![Vec::new(); slots.len()];
        for tensor in &adapter.tensors {
            layers[tensor.layer].push(tensor);
        }
        pool.run(slots.len(), &|layer| {
            drop(slots[layer].set(pack_layer(&layers[layer], adapter, packing)));
        });
        let layers = slots
            .into_iter()
            .map(|slot| slot.into_inner().expect("every task has run"));
        let mut packed = Self {
            layers: layers.collect(),
        };
        if adapter.spec.dora {
            packed.set_magnitudes(model, adapter, pool);
        }
        packed
    }

    fn set_magnitudes(&mut self, model: &Model, adapter: &Adapter, pool: &Pool) {
        for parts in adapter.tensors.chunk_by(|_, next| next.part != Part::A) {
            let [a, b, magnitude] = parts else {
                unreachable!("every layer of DoRA has three tensors")
            };
            let at = TARGETS.iter().position(|it| *it == a.target);
            let at = at.expect("an adapter adapts targets");
            let lora = self.layers[a.layer][at].as_mut().expect("it was packed");
            let linear = model.linear(a.layer, &a.target);
            lora.set_magnitude(pool, linear, adapter, [a, b, magnitude]);
        }
    }
}

fn pack_layer(tensors: &[&AdapterTensor], adapter: &Adapter, packing: Packing) -> LayerLoras {
    TARGETS.map(|target| {
        let find = |part: Part| {
            tensors
                .iter()
                .find(|tensor| tensor.target == target && tensor.part == part)
        };
        let (a, b) = (find(Part::A)?, find(Part::B)?);
        Some(Lora::pack(packing, adapter, a, b))
    })
}
