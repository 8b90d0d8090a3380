//! Loops over slices, vector by vector.
//!
//! They are macros and not functions that take a closure, because a closure is compiled without the
//! instruction set of the function around it: unless the optimiser happens to inline it, every
//! vector operation in it becomes a call.

use super::Simd;

/// Lanes of the token's vectors, where its type has no name.
#[inline(always)]
pub(crate) fn lanes_of<S: Simd>(_: S) -> usize {
    S::LANES
}

/// The vector at element `at`, zeros in the place of what is past the end.
#[inline(always)]
pub(crate) fn vector_at<S: Simd>(s: S, from: &[f32], at: usize) -> S::F {
    let left = from.len().saturating_sub(at);
    if left >= S::LANES {
        // SAFETY: a whole vector is left.
        unsafe { s.load(from.as_ptr().add(at)) }
    } else {
        // SAFETY: `left` elements are left, from the end at most.
        unsafe { s.load_first(from.as_ptr().add(at.min(from.len())), left) }
    }
}

/// Writes the vector at element `at`, but for what is past the end.
#[inline(always)]
pub(crate) fn set_vector_at<S: Simd>(s: S, to: &mut [f32], at: usize, value: S::F) {
    let (len, left) = (to.len(), to.len().saturating_sub(at));
    if left >= S::LANES {
        // SAFETY: a whole vector is left.
        unsafe { s.store(to.as_mut_ptr().add(at), value) }
    } else {
        // SAFETY: `left` elements are left, from the end at most.
        unsafe { s.store_first(to.as_mut_ptr().add(at.min(len)), value, left) }
    }
}

/// Asks for a slice that is needed soon.
#[inline(always)]
pub(crate) fn prefetch<S: Simd>(s: S, slice: &[f32]) {
    const LINE_FLOATS: usize = 16;
    for line in slice.chunks(LINE_FLOATS) {
        s.prefetch(line.as_ptr());
    }
}

/// `map_vectors!(s, old in out, [x in xs, y in ys] => value)` replaces every element of `out` by
/// `value`, an expression of the vectors of `out` and of the inputs, which have its length.
macro_rules! map_vectors {
    ($s:expr, $old:pat in $out:expr, [$($name:ident in $input:expr),*] => $value:expr) => {{
        let out: &mut [f32] = $out;
        $(
            let $name: &[f32] = $input;
            assert_eq!($name.len(), out.len(), "an input and the output differ in length");
        )*
        for at in (0..out.len()).step_by($crate::simd::lanes_of($s)) {
            $(let $name = $crate::simd::vector_at($s, $name, at);)*
            let $old = $crate::simd::vector_at($s, out, at);
            $crate::simd::set_vector_at($s, out, at, $value);
        }
    }};
}
pub(crate) use map_vectors;

/// `sum_vectors!(s, [x in xs, y in ys] => value)` sums `value`, an expression of the vectors of the
/// inputs, over all elements in an order that depends on their number alone. The inputs have one
/// length; the last vector is padded with zeros, of which the value must be zero.
macro_rules! sum_vectors {
    ($s:expr, [$first:ident in $first_input:expr $(, $name:ident in $input:expr)*] => $value:expr) => {{
        let $first: &[f32] = $first_input;
        let len = $first.len();
        $(
            let $name: &[f32] = $input;
            assert_eq!($name.len(), len, "inputs differ in length");
        )*
        // Several sums hide the latency of the additions.
        let mut sums = [$s.splat(0.0); 4];
        let mut at = 0;
        while at < len {
            for sum in &mut sums {
                if at < len {
                    let $first = $crate::simd::vector_at($s, $first, at);
                    $(let $name = $crate::simd::vector_at($s, $name, at);)*
                    *sum = $s.add(*sum, $value);
                    at += $crate::simd::lanes_of($s);
                }
            }
        }
        $s.sum_lanes($s.add($s.add(sums[0], sums[1]), $s.add(sums[2], sums[3])))
    }};
}
pub(crate) use sum_vectors;

/// The largest element; minus infinity if there is none.
#[inline(always)]
pub(crate) fn max<S: Simd>(s: S, values: &[f32]) -> f32 {
    // Several maxima hide the latency of the comparisons.
    const MAXIMA: usize = 4;
    let mut largest = [s.splat(f32::NEG_INFINITY); MAXIMA];
    let blocks = values.chunks_exact(MAXIMA * S::LANES);
    let mut rest = f32::NEG_INFINITY;
    for value in blocks.remainder() {
        rest = rest.max(*value);
    }
    for block in blocks {
        for (i, largest) in largest.iter_mut().enumerate() {
            *largest = s.max(*largest, vector_at(s, block, i * S::LANES));
        }
    }
    let [a, b, c, d] = largest;
    s.max_lanes(s.max(s.max(a, b), s.max(c, d))).max(rest)
}

#[cfg(test)]
mod tests {
    use crate::simd::{self, Kernel, Simd};
    use crate::testing::{for_each_isa, random};

    struct SumAndMax<'a>(&'a [f32]);

    impl Kernel for SumAndMax<'_> {
        type Output = (f32, f32);
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (f32, f32) {
            (sum_vectors!(s, [x in self.0] => x), simd::max(s, self.0))
        }
    }

    #[test]
    fn sum_and_max_at_every_length() {
        for_each_isa(|pool| {
            for len in 0..200 {
                let values = random(len as u64, len);
                let (sum, max) = simd::vectorize(pool.isa(), SumAndMax(&values));
                let expected: f64 = values.iter().map(|x| f64::from(*x)).sum();
                assert!(
                    (f64::from(sum) - expected).abs() < 1e-5,
                    "{len}: {sum}, expected {expected}"
                );
                assert_eq!(max, values.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b)));
            }
        });
    }
}
