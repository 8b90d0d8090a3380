//! What the tests of the operations share: reproducible random numbers and comparison.

use crate::{Isa, Pool};

/// Numbers from -1 to 1, evenly spread, the same for the same seed (SplitMix64).
pub(crate) fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    (0..len)
        .map(|_| (next() >> 40) as f32 / (1_u64 << 23) as f32 - 1.0)
        .collect()
}

/// The edges that a test names, and after them `count` shapes that are [`drawn`].
pub(crate) fn shapes<T: Copy + From<[usize; N]>, const N: usize>(
    edges: &[T],
    seed: u64,
    count: usize,
    most: [usize; N],
) -> Vec<T> {
    let drawn = drawn(seed, count, most).into_iter().map(T::from);
    edges.iter().copied().chain(drawn).collect()
}

/// `count` shapes drawn evenly from 1 to `most` in each dimension, the same for the same seed.
pub(crate) fn drawn<const N: usize>(seed: u64, count: usize, most: [usize; N]) -> Vec<[usize; N]> {
    let side = |draw: f32, most: usize| 1 + ((draw + 1.0) / 2.0 * most as f32) as usize;
    random(seed, count * N)
        .chunks_exact(N)
        .map(|draws| std::array::from_fn(|d| side(draws[d], most[d]).min(most[d])))
        .collect()
}

/// Asserts that two slices differ by at most `tolerance`, relative to the largest expected value.
pub(crate) fn assert_close(actual: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let scale = expected
        .iter()
        .fold(1e-6_f32, |largest, value| largest.max(value.abs()));
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!(
            (a - e).abs() <= tolerance * scale,
            "{what}: element {i} is {a}, expected {e} (scale {scale})"
        );
    }
}

/// Asserts that two slices hold the same bits.
pub(crate) fn assert_same_bits(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert_eq!(
            a.to_bits(),
            e.to_bits(),
            "{what}: element {i} is {a}, expected {e}"
        );
    }
}

/// Runs `check` with a pool of one thread for each instruction set of this machine.
pub(crate) fn for_each_isa(check: impl Fn(&Pool)) {
    for isa in Isa::supported() {
        check(&Pool::with_isa(1, isa));
    }
}

/// Asserts that `compute` gives the same bits with 1, 2, 3, 8 and 11 threads on each instruction set: with
/// more than eight, some share a lane of the pool.
pub(crate) fn assert_thread_count_is_invisible(compute: impl Fn(&Pool) -> Vec<f32>) {
    for isa in Isa::supported() {
        let expected = compute(&Pool::with_isa(1, isa));
        for threads in [2, 3, 8, 11] {
            assert_same_bits(
                &compute(&Pool::with_isa(threads, isa)),
                &expected,
                &format!("{isa}, {threads} threads"),
            );
        }
    }
}

/// Asserts that `gradient` is the derivative of `loss` at `at`, by central differences taken in
/// double precision along every `stride`-th coordinate.
pub(crate) fn assert_is_gradient(
    at: &[f32],
    gradient: &[f32],
    stride: usize,
    tolerance: f64,
    loss: impl Fn(&[f32]) -> f64,
) {
    let scale = gradient.iter().fold(1e-3_f64, |largest, value| {
        largest.max(f64::from(value.abs()))
    });
    for i in (0..at.len()).step_by(stride) {
        let step = 1e-2_f32;
        let (mut above, mut below) = (at.to_vec(), at.to_vec());
        above[i] += step;
        below[i] -= step;
        let difference = (loss(&above) - loss(&below)) / f64::from(above[i] - below[i]);
        let error = (difference - f64::from(gradient[i])).abs();
        assert!(
            error <= tolerance * scale,
            "coordinate {i}: gradient {}, difference {difference}",
            gradient[i]
        );
    }
}
