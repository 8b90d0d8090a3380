//! Attention as one would write it down, in double precision and with the whole score matrix.

use super::{Shape, Span};

/// Scores, probabilities and outputs of every row and head.
pub(super) struct Reference {
    pub(super) out: Vec<f32>,
    pub(super) lse: Vec<f32>,
}

/// The rows that row `row` of `span` sees.
fn visible(shape: &Shape, span: &Span, row: usize) -> Vec<usize> {
    let (start, len) = span.prefix.unwrap_or((0, 0));
    let all: Vec<usize> = (start..start + len).chain(span.start..=row).collect();
    let window = shape.window.unwrap_or(all.len());
    all[all.len().saturating_sub(window)..].to_vec()
}

pub(super) fn forward(
    shape: &Shape,
    spans: &[Span],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    rows: usize,
) -> Reference {
    let mut out = vec![0.0; rows * shape.heads * shape.head_dim];
    let mut lse = vec![0.0; rows * shape.heads];
    for span in spans {
        for row in span.start..span.start + span.len {
            for head in 0..shape.heads {
                let seen = visible(shape, span, row);
                let (result, log_sum) = one(shape, row, head, &seen, q, k, v);
                let at = (row * shape.heads + head) * shape.head_dim;
                out[at..at + shape.head_dim].copy_from_slice(&result);
                lse[row * shape.heads + head] = log_sum;
            }
        }
    }
    Reference { out, lse }
}

/// The gradients of `Σ dout · out` by queries, keys and values.
pub(super) fn backward(
    shape: &Shape,
    spans: &[Span],
    [q, k, v]: [&[f32]; 3],
    dout: &[f32],
) -> [Vec<f32>; 3] {
    let (dim, group) = (shape.head_dim, shape.heads / shape.kv_heads);
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let mut gradients = [q, k, v].map(|tensor| vec![0.0_f64; tensor.len()]);
    let [dq, dk, dv] = &mut gradients;
    let rows = spans.iter().flat_map(|span| {
        let own = span.start..span.start + span.len;
        own.flat_map(move |row| (0..shape.heads).map(move |head| (span, row, head)))
    });
    for (span, row, head) in rows {
        let own = (row * shape.heads + head) * dim;
        let own = own..own + dim;
        let of = |row: usize| {
            let at = (row * shape.kv_heads + head / group) * dim;
            at..at + dim
        };
        let seen = visible(shape, span, row);
        let score =
            |&row: &usize| (f64::from(shape.scale) * dot(&q[own.clone()], &k[of(row)])).exp();
        let weights: Vec<f64> = seen.iter().map(score).collect();
        let sum: f64 = weights.iter().sum();
        let by_weight: Vec<f64> = seen
            .iter()
            .map(|&row| dot(&dout[own.clone()], &v[of(row)]))
            .collect();
        let mean = weights
            .iter()
            .zip(&by_weight)
            .map(|(w, d)| w / sum * d)
            .sum::<f64>();
        for ((&row, weight), by_weight) in seen.iter().zip(&weights).zip(&by_weight) {
            let weight = weight / sum;
            let by_score = weight * (by_weight - mean) * f64::from(shape.scale);
            for (at, other) in own.clone().zip(of(row)) {
                dq[at] += by_score * f64::from(k[other]);
                dk[other] += by_score * f64::from(q[at]);
                dv[other] += weight * f64::from(dout[at]);
            }
        }
    }
    gradients.map(|gradient| gradient.into_iter().map(|it| it as f32).collect())
}

/// One row and head over the rows `seen`.
pub(super) fn one(
    shape: &Shape,
    row: usize,
    head: usize,
    seen: &[usize],
    q: &[f32],
    k: &[f32],
    v: &[f32],
) -> (Vec<f32>, f32) {
    let dim = shape.head_dim;
    let kv_head = head / (shape.heads / shape.kv_heads);
    let query = &q[(row * shape.heads + head) * dim..][..dim];
    let key = |row: usize| &k[(row * shape.kv_heads + kv_head) * dim..][..dim];
    let value = |row: usize| &v[(row * shape.kv_heads + kv_head) * dim..][..dim];
    let dot = |a: &[f32], b: &[f32]| {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum::<f64>()
    };
    let scores: Vec<f64> = seen
        .iter()
        .map(|&row| f64::from(shape.scale) * dot(query, key(row)))
        .collect();
    let sum: f64 = scores.iter().map(|score| score.exp()).sum();
    let mut out = vec![0.0_f64; dim];
    for (&row, score) in seen.iter().zip(&scores) {
        for (out, value) in out.iter_mut().zip(value(row)) {
            *out += score.exp() / sum * f64::from(*value);
        }
    }
    (out.iter().map(|out| *out as f32).collect(), sum.ln() as f32)
}
