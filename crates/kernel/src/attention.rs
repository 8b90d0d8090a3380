//! Grouped-query causal attention.

use crate::{Isa, Pool};

/// The shape shared by all rows. `q` and outputs are `[rows, heads, head_dim]`, `k` and `v` are
/// `[rows, kv_heads, head_dim]`, `lse` is `[rows, heads]`; query head `h` reads key head
/// `h / (heads / kv_heads)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Query heads; a multiple of `kv_heads`.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on the scores, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
}

/// Consecutive rows of a packed batch that form one sequence. A row sees the rows of its span up to
/// itself and, if there is a prefix, all of the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First row.
    pub start: usize,
    /// Number of rows.
    pub len: usize,
    /// Rows `(start, len)` of an earlier span, wholly visible.
    pub prefix: Option<(usize, usize)>,
}

/// Attention of a whole packed batch: `out = softmax(scale · q · kᵀ) · v` by span, and `lse`, the
/// logarithm of the softmax's denominator of each row and head, for [`backward`]. Rows outside all
/// spans are left as they are.
#[expect(clippy::too_many_arguments, reason = "one buffer per tensor")]
pub fn forward(
    _pool: &Pool,
    _shape: &Shape,
    _spans: &[Span],
    _q: &[f32],
    _k: &[f32],
    _v: &[f32],
    _out: &mut [f32],
    _lse: &mut [f32],
) {
    todo!()
}

/// Gradients of [`forward`]; overwrites `dq`, `dk` and `dv` in the rows of the spans. The gradient
/// of a prefix gathers from its users in the order of `spans`.
#[expect(clippy::too_many_arguments, reason = "one buffer per tensor")]
pub fn backward(
    _pool: &Pool,
    _shape: &Shape,
    _spans: &[Span],
    _q: &[f32],
    _k: &[f32],
    _v: &[f32],
    _out: &[f32],
    _lse: &[f32],
    _dout: &[f32],
    _dq: &mut [f32],
    _dk: &mut [f32],
    _dv: &mut [f32],
) {
    todo!()
}

/// Keys and values of one sequence in one layer, in bfloat16. Cloning is cheap: full blocks are
/// shared until one side writes.
#[derive(Clone, Debug)]
pub struct KvLayer {}

impl KvLayer {
    /// An empty cache for keys and values of `[rows, kv_heads, head_dim]`.
    pub fn new(_isa: Isa, _kv_heads: usize, _head_dim: usize) -> KvLayer {
        todo!()
    }

    /// Appends rows of keys and values, `[rows, kv_heads, head_dim]` each.
    pub fn append(&mut self, _keys: &[f32], _values: &[f32]) {
        todo!()
    }

    /// Positions held.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all positions from `len` on; nothing happens if there are fewer.
    pub fn truncate(&mut self, _len: usize) {
        todo!()
    }

    /// Bytes of memory held, shared blocks counted in full.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}

/// Consecutive query rows of one sequence for [`cached`].
#[derive(Clone, Copy, Debug)]
pub struct CachedQuery<'a> {
    /// First row in `q` and `out`.
    pub row: usize,
    /// Number of rows.
    pub rows: usize,
    /// The sequence's keys and values, those of these rows already appended.
    pub cache: &'a KvLayer,
    /// Positions visible to the first row, itself included; each further row sees one more.
    pub visible: usize,
}

/// Attention of queries over caches; rows of `out` not named by a query are left as they are. A
/// row's result is the same bits however the sequence was cut into chunks, whatever else is in the
/// batch and however many threads work.
pub fn cached(
    _pool: &Pool,
    _shape: &Shape,
    _queries: &[CachedQuery<'_>],
    _q: &[f32],
    _out: &mut [f32],
) {
    todo!()
}
