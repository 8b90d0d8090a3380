//! One decoder block, forward and backward, written once for tuning, evaluation
//! and serving.
//!
//! ```text
//! middle = input  + o(attention(rope(q(n₁)), rope(k(n₁)), v(n₁)))    n₁ = norm(input)
//! output = middle + down(act(gate(n₂)) ∘ up(n₂))                     n₂ = norm(middle)
//! ```
//! Some families norm every head of q(n₁) and k(n₁) before it is rotated, and what o and down give
//! before it is added (`block/norms.rs`).
//!
//! What attention looks at is the caller's: the rows of a packed batch in tuning,
//! key-value caches in inference ([`Attend`]). The backward pass keeps what is dear
//! ([`Activations`]) and computes again what is cheap: both norms and the gated
//! product.

mod activations;
mod mixed;
mod norms;

use crate::adapter::TARGETS;
use crate::architecture::{NORMS, Norm};
use crate::config::Config;
use crate::linear::{Linear, LinearProduct, Lora};
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use crate::parameters::LayerPlaces;
use crate::rows::Rows;
use crate::standing::Standing;
use Projection::{Down, Gate, Key, Output, Query, Up, Value};
pub(crate) use activations::{Activations, Heads, Work};
use lathe_kernel::rope::{self, Turns};
use lathe_kernel::{Pool, bias, gated};
pub(crate) use mixed::AdapterRows;

/// The seven linear layers of a block, in the order of [`crate::adapter::TARGETS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Projection {
    Query,
    Key,
    Value,
    Output,
    Gate,
    Up,
    Down,
}

impl Projection {
    /// Rows and columns of the weight matrix, `[out, in]`.
    pub(crate) fn shape(self, config: &Config) -> (usize, usize) {
        let queries = config.heads * config.head_dim;
        let keys = config.kv_heads * config.head_dim;
        match self {
            Query => (queries, config.hidden),
            Key | Value => (keys, config.hidden),
            Output => (config.hidden, queries),
            Gate | Up => (config.intermediate, config.hidden),
            Down => (config.hidden, config.intermediate),
        }
    }

    /// Whether it belongs to attention rather than to the feed-forward network.
    pub(crate) fn is_attention(self) -> bool {
        matches!(self, Query | Key | Value | Output)
    }

    /// Hugging Face's name of the layer in a block, without `.weight`.
    pub(crate) fn name(self, layer: usize) -> String {
        let group = if self.is_attention() {
            "self_attn"
        } else {
            "mlp"
        };
        format!("model.layers.{layer}.{group}.{}", TARGETS[self as usize])
    }
}

/// Number of linear layers in a block.
pub(crate) const PROJECTIONS: usize = 7;

/// The frozen weights of one block.
pub(crate) struct Layer {
    /// What norms multiply by, by [`Norm`]; none where the family has no such norm.
    pub(crate) norms: [Option<Vec<f32>>; NORMS],
    /// By [`Projection`].
    pub(crate) linears: [Linear; PROJECTIONS],
}

/// The low-rank terms of one block, by [`Projection`].
pub(crate) type LayerLoras = [Option<Lora>; PROJECTIONS];

/// What the rows of a block attend to. Queries and keys come rotated.
pub(crate) trait Attend {
    /// Writes `[rows, heads * head_dim]` to `out`.
    fn attend(&mut self, pool: &Pool, heads: &Heads, out: &mut [f32]);
}

/// The backward pass of an [`Attend`].
pub(crate) trait AttendBack {
    /// Writes the gradients of the rotated queries and keys and of the values.
    fn attend_back(&mut self, pool: &Pool, saved: &Activations, dout: &[f32], grads: &mut Heads);
}

/// Where the gradients of a block's own weights go, where these learn.
#[derive(Clone, Copy)]
pub(crate) struct Learning<'a> {
    pub(crate) places: &'a LayerPlaces,
    /// Whether they are added to what is there.
    pub(crate) add: bool,
}

/// One block applied to some rows.
pub(crate) struct Block<'a> {
    pool: &'a Pool,
    config: &'a Config,
    layer: &'a Layer,
    loras: Option<&'a LayerLoras>,
    /// Whose terms the rows have, where not all have the same.
    mixed: Vec<mixed::LoraRows<'a>>,
    learning: Option<Learning<'a>>,
    rows: usize,
    /// What queries and keys are turned by.
    turns: &'a Turns,
}

impl<'a> Block<'a> {
    /// Block `layer` of a model for rows that stand somewhere in their sequences.
    pub(crate) fn new(
        model: &'a Model,
        pool: &'a Pool,
        adapter: Option<&'a PackedAdapter>,
        layer: usize,
        standing: &'a Standing,
    ) -> Self {
        Self {
            pool,
            config: &model.config,
            layer: &model.layers[layer],
            loras: adapter.map(|adapter| &adapter.layers[layer]),
            mixed: Vec::new(),
            learning: None,
            rows: standing.rows(),
            turns: standing.turns(model, layer),
        }
    }

    /// The same with gradients of the block's own weights.
    pub(crate) fn learning(self, learning: Option<Learning<'a>>) -> Self {
        Self { learning, ..self }
    }

    /// Writes the block's output for `input` `[rows, hidden]` and keeps its activations.
    pub(crate) fn forward(
        &self,
        attend: &mut impl Attend,
        input: &[f32],
        saved: &mut Activations,
        work: &mut Work,
        output: &mut [f32],
    ) {
        saved.fit(self.config, self.rows);
        let normed = self.before_attention(input, work);
        self.project_heads(normed, saved);
        self.rotate(&mut saved.heads, false);
        attend.attend(self.pool, &saved.heads, &mut saved.attended);
        self.after_attention(input, saved, work, output);
    }

    /// Computes only what other rows look at: the keys and values of `input` `[rows, hidden]`, which
    /// are left in `saved`.
    pub(crate) fn keys_and_values(&self, input: &[f32], saved: &mut Activations, work: &mut Work) {
        saved.fit(self.config, self.rows);
        let normed = self.before_attention(input, work);
        self.project_keys(normed, saved);
        self.rotate_heads(&mut saved.heads.key, self.config.kv_heads, false);
    }

    /// Writes the block's output for rows whose keys and values `attend` knows.
    pub(crate) fn look_back(
        &self,
        attend: &mut impl Attend,
        input: &[f32],
        saved: &mut Activations,
        work: &mut Work,
        output: &mut [f32],
    ) {
        saved.fit(self.config, self.rows);
        let normed = self.before_attention(input, work);
        self.project_queries(normed, saved);
        self.rotate_heads(&mut saved.heads.query, self.config.heads, false);
        attend.attend(self.pool, &saved.heads, &mut saved.attended);
        self.after_attention(input, saved, work, output);
    }

    fn before_attention<'w>(&self, input: &[f32], work: &'w mut Work) -> &'w [f32] {
        let rows = self.rows;
        let normed = work.normed.fit(rows, self.config.hidden);
        self.norm(Norm::BeforeAttention, input, normed);
        normed
    }

    /// The block's output from what attention found.
    fn after_attention(
        &self,
        input: &[f32],
        saved: &mut Activations,
        work: &mut Work,
        output: &mut [f32],
    ) {
        let (config, pool) = (self.config, self.pool);
        let rows = self.rows;
        let normed = work.normed.fit(rows, config.hidden);
        let Activations {
            attended,
            middle,
            gate,
            up,
            low,
            unadded,
            ..
        } = saved;
        let after = (Norm::AfterAttention, &mut unadded.attention);
        self.add_projection(Output, (input, attended), low, after, middle);

        self.norm(Norm::BeforeMlp, middle, normed);
        self.project([Gate, Up], normed, low, [gate, up], false);
        let activated = work.activated.fit(rows, config.intermediate);
        gated::forward(pool, config.activation, gate, up, activated);
        let after = (Norm::AfterMlp, &mut unadded.mlp);
        self.add_projection(Down, (middle, activated), low, after, output);
    }

    /// Shows what the linear layers read, each group that reads the same with it. [`Block::forward`] of
    /// these very rows has left nearly all of it, so that nothing is kept where nobody looks.
    pub(crate) fn show_inputs(
        &self,
        (input, saved): (&[f32], &Activations),
        work: &mut Work,
        see: &mut dyn FnMut(&[Projection], &[f32]),
    ) {
        see(&[Output], &saved.attended);
        see(&[Gate, Up], &work.normed);
        see(&[Down], &work.activated);
        let normed = work.normed.fit(self.rows, self.config.hidden);
        self.norm(Norm::BeforeAttention, input, normed);
        see(&[Query, Key, Value], normed);
    }

    /// Turns `stream`, the gradient of the block's output, into the gradient of its
    /// `input`, and brings the gradients of what learns to the flat `gradients`: the
    /// adapter's are added, those of the weights as [`Learning`] says.
    ///
    /// With `first`, nothing below the block can learn: `stream` is left meaningless.
    pub(crate) fn backward(
        &self,
        attend: &mut impl AttendBack,
        (input, saved): (&[f32], &Activations),
        work: &mut Work,
        stream: &mut [f32],
        first: bool,
        gradients: &mut [f32],
    ) {
        self.backward_mlp(saved, work, stream, gradients);
        self.backward_attention(attend, (input, saved), work, stream, first, gradients);
    }

    fn backward_mlp(
        &self,
        saved: &Activations,
        work: &mut Work,
        stream: &mut [f32],
        gradients: &mut [f32],
    ) {
        let config = self.config;
        let rows = self.rows;
        let Work {
            normed,
            activated,
            dunadded,
            dnormed,
            dactivated,
            dgate,
            dup,
            dlow,
            ..
        } = work;
        let after = (Norm::AfterMlp, &*saved.unadded.mlp);
        let dadded = self.before_adding(after, stream, dunadded, gradients);
        let mut back = |projection, x: &[f32], dy: &[f32], dx: &mut [f32], add| {
            let saved = (x, &saved.low);
            self.project_back(projection, saved, dy, Some((dx, add)), dlow, gradients);
        };

        let activated = activated.fit(rows, config.intermediate);
        gated::forward(
            self.pool,
            config.activation,
            &saved.gate,
            &saved.up,
            activated,
        );
        let dactivated = dactivated.fit(rows, config.intermediate);
        back(Down, activated, dadded, dactivated, false);

        let dgate = dgate.fit(rows, config.intermediate);
        let dup = dup.fit(rows, config.intermediate);
        let both = (&saved.gate[..], &saved.up[..]);
        gated::backward(self.pool, config.activation, both, dactivated, dgate, dup);

        let normed = normed.fit(rows, config.hidden);
        self.norm(Norm::BeforeMlp, &saved.middle, normed);
        let dnormed = dnormed.fit(rows, config.hidden);
        back(Gate, normed, dgate, dnormed, false);
        back(Up, normed, dup, dnormed, true);
        self.norm_back(Norm::BeforeMlp, &saved.middle, dnormed, stream);
        self.norm_gradient(Norm::BeforeMlp, &saved.middle, dnormed, gradients);
    }

    fn backward_attention(
        &self,
        attend: &mut impl AttendBack,
        (input, saved): (&[f32], &Activations),
        work: &mut Work,
        stream: &mut [f32],
        first: bool,
        gradients: &mut [f32],
    ) {
        let config = self.config;
        let rows = self.rows;
        let Work {
            normed,
            heads,
            dunnormed,
            dunadded,
            dattended,
            dnormed,
            dlow,
            ..
        } = work;
        let dattended = dattended.fit(rows, config.heads * config.head_dim);
        let after = (Norm::AfterAttention, &*saved.unadded.attention);
        let dadded = self.before_adding(after, stream, dunadded, gradients);
        let dx = Some((&mut *dattended, false));
        let attended = (&*saved.attended, &saved.low);
        self.project_back(Output, attended, dadded, dx, dlow, gradients);

        heads.fit(config, rows);
        attend.attend_back(self.pool, saved, dattended, heads);
        self.rotate(heads, true);
        self.head_norms_back(&saved.unnormed, heads, dunnormed, gradients);

        let normed = normed.fit(rows, config.hidden);
        self.norm(Norm::BeforeAttention, input, normed);
        let dnormed = dnormed.fit(rows, config.hidden);
        let mut back = |projection, dy: &[f32], add| {
            let dx = (!first).then_some((&mut *dnormed, add));
            self.project_back(projection, (normed, &saved.low), dy, dx, dlow, gradients);
        };
        back(Query, &heads.query, false);
        back(Key, &heads.key, true);
        back(Value, &heads.value, true);
        if !first {
            self.norm_back(Norm::BeforeAttention, input, dnormed, stream);
        }
        self.norm_gradient(Norm::BeforeAttention, input, dnormed, gradients);
    }

    fn rotate(&self, heads: &mut Heads, inverse: bool) {
        self.rotate_heads(&mut heads.query, self.config.heads, inverse);
        self.rotate_heads(&mut heads.key, self.config.kv_heads, inverse);
    }

    /// Rotates `count` heads of every row to its position, or back.
    fn rotate_heads(&self, heads: &mut [f32], count: usize, inverse: bool) {
        rope::apply(self.pool, heads, count, self.turns, inverse);
    }

    /// y (+)= the projections of one x, their low-rank terms included.
    fn project<const N: usize>(
        &self,
        projections: [Projection; N],
        x: &[f32],
        low: &mut [Rows; PROJECTIONS],
        outputs: [&mut [f32]; N],
        add: bool,
    ) {
        if !self.mixed.is_empty() {
            return self.project_mixed(projections, x, low, outputs, add);
        }
        let rows = self.rows;
        let lows = low
            .get_disjoint_mut(projections.map(|projection| projection as usize))
            .expect("a group names different projections");
        let products = projections
            .into_iter()
            .zip(lows)
            .zip(outputs)
            .map(|((projection, low), y)| LinearProduct {
                linear: self.linear(projection),
                low_rank: self.lora(projection).map(|lora| lora.low_rank(rows, low)),
                gain: self.lora(projection).and_then(Lora::gain),
                y,
                add,
            })
            .collect();
        Linear::multiply(self.pool, x, rows, products);
    }

    /// The gradients of one projection of `x`; `dx` comes with whether to add to it.
    fn project_back(
        &self,
        projection: Projection,
        (x, low): (&[f32], &[Rows; PROJECTIONS]),
        dy: &[f32],
        dx: Option<(&mut [f32], bool)>,
        dlow: &mut Rows,
        gradients: &mut [f32],
    ) {
        let rows = self.rows;
        let lora = self.lora(projection);
        let linear = self.linear(projection);
        let unscaled = lora.and_then(|it| it.unscale(self.pool, linear, (x, dy), dlow, gradients));
        let dy = unscaled.as_deref().unwrap_or(dy);
        if let Some(dx) = dx {
            let low_rank = lora.map(|lora| lora.low_rank_back(rows, dlow));
            linear.multiply_back(self.pool, (dy, rows), low_rank, dx);
        } else if let Some(lora) = lora {
            lora.lower_back(self.pool, dy, rows, dlow);
        }
        if let Some(lora) = lora {
            let low = &low[projection as usize];
            lora.gradients(self.pool, (x, low), (dy, dlow), gradients);
        }
        if let Some(Learning { places, add }) = self.learning {
            let (out, depth) = projection.shape(self.config);
            let place = &mut gradients[places.linears[projection as usize]..][..out * depth];
            linear.gradient(self.pool, (x, dy), place, add);
            if let Some(place) = places.biases[projection as usize] {
                bias::gradient(self.pool, dy, &mut gradients[place..][..out], add);
            }
        }
    }

    fn linear(&self, projection: Projection) -> &Linear {
        &self.layer.linears[projection as usize]
    }

    fn lora(&self, projection: Projection) -> Option<&Lora> {
        self.loras?[projection as usize].as_ref()
    }
}
