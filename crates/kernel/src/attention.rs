//! Grouped-query causal attention: of packed training batches, forward and backward, and over caches.
//!
//! The score matrix is never held: keys and values come in blocks of 64 positions, and the backward
//! pass recomputes the scores from the logarithms of the softmax's denominators. Queries, keys,
//! values and probabilities are rounded to bfloat16 where they are multiplied, unless the shape asks
//! for `f32`; sums are `f32`. Caches hold bfloat16 in any case.
//!
//! A batch is rows of several sequences one after the other, without padding ([`Span`]). A span may
//! see an earlier span as its prefix, so that a beginning shared by many sequences is computed once.
//! A shape may limit what a row sees to the last positions before it, a window. There is no dropout,
//! no bias and no mask other than these.

mod backward;
mod block;
mod cache;
mod cached;
mod forward;
mod panels;
#[cfg(test)]
mod reference;
mod softmax;

use crate::buffer::area;
use crate::gemm::{FloatUnit, PairUnit, Unit};
use crate::parallel::SharedMut;
use crate::{Pool, Precision};
pub use cache::KvLayer;

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
    /// Factor on the scores, usually `1 / sqrt(head_dim)`; positive.
    pub scale: f32,
    /// Positions a row sees at most, the last ones, its own included; all where there is none. They
    /// count along the sequence, from a span's rows back into its prefix.
    pub window: Option<usize>,
    /// How [`forward`] and [`backward`] hold what they multiply; [`cached`] does not look at it.
    pub precision: Precision,
}

impl Shape {
    fn check(&self) {
        let Shape {
            heads,
            kv_heads,
            head_dim,
            scale,
            window,
            precision: _,
        } = *self;
        assert!(
            heads > 0 && kv_heads > 0 && head_dim > 0,
            "{self:?} has a zero"
        );
        assert!(
            heads.is_multiple_of(kv_heads),
            "{heads} heads cannot share {kv_heads} kv heads evenly"
        );
        assert!(
            scale > 0.0 && scale.is_finite(),
            "the scale {scale} is not positive"
        );
        assert_ne!(window, Some(0), "a row sees itself at least");
    }

    /// Positions at the beginning of its sequence that a row does not see, its own being number
    /// `visible` from one on.
    #[inline(always)]
    fn hidden(&self, visible: usize) -> usize {
        self.window
            .map_or(0, |window| visible.saturating_sub(window))
    }
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
///
/// # Panics
/// If a length does not fit the shape, or spans overlap or reach past the rows.
#[expect(clippy::too_many_arguments, reason = "one buffer per tensor")]
pub fn forward(
    pool: &Pool,
    shape: &Shape,
    spans: &[Span],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &mut [f32],
    lse: &mut [f32],
) {
    let inputs = forward::Inputs { shape, q, k, v };
    match shape.precision {
        Precision::Bf16 => forward_with::<PairUnit>(pool, spans, inputs, out, lse),
        Precision::F32 => forward_with::<FloatUnit>(pool, spans, inputs, out, lse),
    }
}

fn forward_with<U: Unit>(
    pool: &Pool,
    spans: &[Span],
    inputs: forward::Inputs<'_>,
    out: &mut [f32],
    lse: &mut [f32],
) {
    let rows = check_inputs(&inputs, spans);
    assert_eq!(out.len(), inputs.q.len(), "out and q differ in length");
    assert_eq!(
        lse.len(),
        area(rows, inputs.shape.heads),
        "lse does not hold one number per row and head"
    );
    forward::run::<U>(pool, inputs, spans, out, lse);
}

/// Gradients of [`forward`]; overwrites `dq`, `dk` and `dv` in the rows of the spans. The gradient
/// of a prefix gathers from its users in the order of `spans`.
///
/// # Panics
/// As [`forward`].
#[expect(clippy::too_many_arguments, reason = "one buffer per tensor")]
pub fn backward(
    pool: &Pool,
    shape: &Shape,
    spans: &[Span],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    out: &[f32],
    lse: &[f32],
    dout: &[f32],
    dq: &mut [f32],
    dk: &mut [f32],
    dv: &mut [f32],
) {
    let inputs = forward::Inputs { shape, q, k, v };
    let (given, out) = (backward::Given { out, lse, dout }, [dq, dk, dv]);
    match shape.precision {
        Precision::Bf16 => backward_with::<PairUnit>(pool, spans, inputs, given, out),
        Precision::F32 => backward_with::<FloatUnit>(pool, spans, inputs, given, out),
    }
}

fn backward_with<U: Unit>(
    pool: &Pool,
    spans: &[Span],
    inputs: forward::Inputs<'_>,
    given: backward::Given<'_>,
    [dq, dk, dv]: [&mut [f32]; 3],
) {
    let rows = check_inputs(&inputs, spans);
    let width = inputs.q.len();
    assert!(
        given.out.len() == width && given.dout.len() == width,
        "out and dout do not have the shape of q"
    );
    assert_eq!(
        given.lse.len(),
        area(rows, inputs.shape.heads),
        "lse does not hold one number per row and head"
    );
    assert_eq!(dq.len(), width, "dq and q differ in length");
    assert!(
        dk.len() == inputs.k.len() && dv.len() == inputs.k.len(),
        "dk and dv do not have the shape of k"
    );
    let [dq, dk, dv] = [dq, dk, dv].map(SharedMut::new);
    backward::run::<U>(
        pool,
        inputs,
        spans,
        given,
        backward::Gradients { dq, dk, dv },
    );
}

/// The number of rows of the batch.
fn check_inputs(inputs: &forward::Inputs<'_>, spans: &[Span]) -> usize {
    let shape = inputs.shape;
    shape.check();
    let width = area(shape.heads, shape.head_dim);
    let rows = inputs.q.len() / width;
    assert_eq!(inputs.q.len(), rows * width, "q is not rows of {width}");
    let narrow = rows * shape.kv_heads * shape.head_dim;
    assert!(
        inputs.k.len() == narrow && inputs.v.len() == narrow,
        "k and v are not {rows} rows of kv heads"
    );
    let mut taken = vec![false; rows];
    for span in spans {
        let own = span.start..span.start.saturating_add(span.len);
        assert!(own.end <= rows, "{span:?} reaches past the {rows} rows");
        assert!(
            !taken[own.clone()].contains(&true),
            "{span:?} overlaps an earlier span"
        );
        taken[own].fill(true);
        if let Some((start, len)) = span.prefix {
            let prefix = start..start.saturating_add(len);
            assert!(
                prefix.end <= rows && !taken[prefix].contains(&false),
                "the prefix of {span:?} is in no earlier span"
            );
            assert!(
                start.saturating_add(len) <= span.start || start >= span.start + span.len,
                "{span:?} is its own prefix"
            );
        }
    }
    rows
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
/// batch and however many threads work, as long as the values in its caches are finite: one that is not
/// reaches rows before it that share its block of 64 positions.
///
/// # Panics
/// If a length does not fit the shape, queries overlap, a cache is of another kind than the pool and
/// the shape, or a row would see nothing or more than its cache holds.
pub fn cached(pool: &Pool, shape: &Shape, queries: &[CachedQuery<'_>], q: &[f32], out: &mut [f32]) {
    shape.check();
    let width = area(shape.heads, shape.head_dim);
    assert!(
        q.len().is_multiple_of(width) && out.len() == q.len(),
        "q and out are not rows of {width}"
    );
    let mut taken = vec![false; q.len() / width];
    for query in queries {
        let rows = query.row..query.row.saturating_add(query.rows);
        assert!(
            rows.end <= taken.len(),
            "a query reaches past the {} rows",
            taken.len()
        );
        assert!(
            !taken[rows.clone()].contains(&true),
            "queries overlap at rows {rows:?}"
        );
        taken[rows].fill(true);
        let kind = (pool.isa(), shape.kv_heads, shape.head_dim);
        assert_eq!(
            query.cache.kind(),
            kind,
            "the cache is of another kind than the pool and the shape"
        );
        if query.rows == 0 {
            continue;
        }
        let last = query.visible.saturating_add(query.rows - 1);
        assert!(
            query.visible > 0 && last <= query.cache.len(),
            "a row sees none or more positions than the cache holds"
        );
    }
    cached::run(pool, shape, queries, q, out);
}

#[cfg(test)]
mod tests;
