//! What a block keeps from its forward pass for its backward pass, and the buffers that every block
//! uses anew.

use super::PROJECTIONS;
use crate::config::Config;
use crate::rows::Rows;

/// Queries, keys and values of a block, or their gradients.
#[derive(Default)]
pub(crate) struct Heads {
    pub(crate) query: Rows,
    pub(crate) key: Rows,
    pub(crate) value: Rows,
}

impl Heads {
    pub(super) fn fit(&mut self, config: &Config, rows: usize) {
        self.query.fit(rows, config.heads * config.head_dim);
        self.key.fit(rows, config.kv_heads * config.head_dim);
        self.value.fit(rows, config.kv_heads * config.head_dim);
    }
}

/// Queries and keys before their norms, where heads are normed.
#[derive(Default)]
pub(super) struct Unnormed {
    pub(super) query: Rows,
    pub(super) key: Rows,
}

/// What attention and the feed-forward network give before the norms behind them, where there are
/// such norms.
#[derive(Default)]
pub(super) struct Unadded {
    pub(super) attention: Rows,
    pub(super) mlp: Rows,
}

/// What one block computed and its backward pass needs again.
#[derive(Default)]
pub(crate) struct Activations {
    pub(crate) heads: Heads,
    pub(super) unnormed: Unnormed,
    pub(super) unadded: Unadded,
    pub(crate) attended: Rows,
    pub(super) middle: Rows,
    pub(super) gate: Rows,
    pub(super) up: Rows,
    /// x·Aᵀ by [`super::Projection`].
    pub(super) low: [Rows; PROJECTIONS],
}

impl Activations {
    pub(super) fn fit(&mut self, config: &Config, rows: usize) {
        self.heads.fit(config, rows);
        self.attended.fit(rows, config.heads * config.head_dim);
        self.middle.fit(rows, config.hidden);
        self.gate.fit(rows, config.intermediate);
        self.up.fit(rows, config.intermediate);
    }
}

/// Buffers that every block uses anew.
#[derive(Default)]
pub(crate) struct Work {
    pub(super) normed: Rows,
    pub(super) activated: Rows,
    pub(super) heads: Heads,
    pub(super) dunnormed: Rows,
    pub(super) dunadded: Rows,
    pub(super) dattended: Rows,
    pub(super) dnormed: Rows,
    pub(super) dactivated: Rows,
    pub(super) dgate: Rows,
    pub(super) dup: Rows,
    pub(super) dlow: Rows,
}
