//! One vocabulary of vector operations for every instruction set, so that a kernel is written once.
//!
//! A kernel is a value that implements [`Kernel`]; [`vectorize`] compiles its body once per
//! instruction set and runs the one asked for. Inside, a token that implements [`Simd`] gives the
//! vector operations; having one proves that the machine supports them, which is why most of them
//! are safe. Only what the kernels of this crate need is here.

/// Calls intrinsics that touch no memory, inside a method of an instruction set's token.
macro_rules! pure {
    ($call:expr) => {
        // SAFETY: the method has the token, which proves that the machine has the instructions.
        unsafe { $call }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod loops;
mod math;
mod portable;
#[cfg(test)]
mod tests;

use crate::Isa;
pub(crate) use loops::{
    lanes_of, map_vectors, max, prefetch, set_vector_at, sum_vectors, vector_at,
};
pub(crate) use math::{exp, sigmoid};

/// Work that is compiled once per instruction set. Implementors mark `run` and what it calls
/// `#[inline(always)]`, and keep vector operations out of closures: what is compiled on its own is
/// compiled without the instructions that the operations stand for.
pub(crate) trait Kernel {
    /// What the work gives back.
    type Output;
    /// Does the work with the vectors of `S`.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}

/// Runs `kernel` with the vectors of `isa`.
///
/// # Panics
/// If the machine lacks `isa`.
pub(crate) fn vectorize<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    assert!(
        isa.is_supported(),
        "this machine cannot run {isa}; choose one of Isa::supported()"
    );
    match isa {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: just checked.
        Isa::Avx512Bf16 => unsafe { avx512::Avx512::new() }.vectorize(kernel),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: just checked.
        Isa::Avx2 => unsafe { avx2::Avx2::new() }.vectorize(kernel),
        _ => portable::Portable.vectorize(kernel),
    }
}

/// Vectors of `LANES` floats (`F`) or of as many 32-bit words (`U`). A word is either the bits of a
/// float or two bfloat16, the first in its lower half.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// A vector of floats.
    type F: Copy;
    /// A vector of words.
    type U: Copy;
    /// Elements of a vector.
    const LANES: usize;
    /// How many rows of two vectors each a product's tile may have at most, so that its sums stay
    /// in registers.
    const TILE_ROWS: usize;

    /// Runs `kernel` in a function compiled for this instruction set.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output;

    /// All lanes `value`.
    fn splat(self, value: f32) -> Self::F;
    /// Reads `LANES` floats.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load(self, from: *const f32) -> Self::F;
    /// Reads `count <= LANES` floats, the other lanes being zero.
    ///
    /// # Safety
    /// `count` floats must be readable.
    unsafe fn load_first(self, from: *const f32, count: usize) -> Self::F;
    /// Writes `LANES` floats.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store(self, to: *mut f32, value: Self::F);
    /// Writes the first `count <= LANES` floats.
    ///
    /// # Safety
    /// `count` floats must be writable.
    unsafe fn store_first(self, to: *mut f32, value: Self::F, count: usize);

    /// Asks for the cache line at an address, which need not be readable, ahead of its use.
    fn prefetch(self, at: *const f32);

    /// `a + b`
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `√a`
    fn sqrt(self, a: Self::F) -> Self::F;
    /// `a · b + c`, rounded once where the machine can.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `b > a ? b : a` in effect: if either is not a number, `b`.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// `b < a ? b : a` in effect: if either is not a number, `b`.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The nearest integer.
    fn round(self, a: Self::F) -> Self::F;
    /// `a · 2^n` for integers `n` from -126 to 127.
    fn times_pow2(self, a: Self::F, n: Self::F) -> Self::F;
    /// `a < b ? yes : no`, lane by lane.
    fn select_less(self, a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F;
    /// 0, 1, 2, ...
    fn lane_numbers(self) -> Self::F;
    /// The sum of the lanes, in a fixed order.
    fn sum_lanes(self, a: Self::F) -> f32;
    /// The largest lane.
    fn max_lanes(self, a: Self::F) -> f32;

    /// All lanes `value`.
    fn splat_words(self, value: u32) -> Self::U;
    /// Reads `LANES` words.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_words(self, from: *const u32) -> Self::U;
    /// Writes `LANES` words.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_words(self, to: *mut u32, value: Self::U);
    /// Writes the columns of `LANES` rows of as many words as rows; both come with how far their rows
    /// lie apart.
    ///
    /// # Safety
    /// The rows must be readable, and those written to writable.
    unsafe fn transpose_words(self, from: (*const u32, usize), to: (*mut u32, usize));
    /// The floats whose bits the words are.
    fn words_as_floats(self, a: Self::U) -> Self::F;
    /// The bits of floats.
    fn floats_as_words(self, a: Self::F) -> Self::U;
    /// `2 · LANES` floats, `low` first, as bfloat16 in the same order.
    fn narrow(self, low: Self::F, high: Self::F) -> Self::U;
    /// `acc + x · w` over the two bfloat16 of each word.
    fn dot_pairs(self, acc: Self::F, x: Self::U, w: Self::U) -> Self::F;

    /// Word `i` holds `first[i]` and `second[i]` as bfloat16.
    fn interleave(self, first: Self::F, second: Self::F) -> Self::U;

    /// Reads `LANES` half-precision numbers.
    ///
    /// # Safety
    /// They must be readable.
    unsafe fn load_halves(self, from: *const u16) -> Self::F;
    /// Writes whole numbers from -128 to 127 as `LANES` signed bytes.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_bytes(self, to: *mut i8, value: Self::F);
    /// Writes `LANES` numbers rounded to half precision.
    ///
    /// # Safety
    /// They must be writable.
    unsafe fn store_halves(self, to: *mut u16, value: Self::F);
    /// Word `i` holds the `i`-th of four vectors of whole numbers from 0 to 255 as bytes, the first lowest.
    fn bytes_side_by_side(self, values: [Self::F; 4]) -> Self::U;
    /// Word by word: `acc + Σ w · x` over the four bytes of `w`, unsigned, and of `x`, signed.
    fn dot_bytes(self, acc: Self::U, w: Self::U, x: Self::U) -> Self::U;
    /// The lower four bits of every byte.
    fn low_nibbles(self, a: Self::U) -> Self::U;
    /// The upper four bits of every byte.
    fn high_nibbles(self, a: Self::U) -> Self::U;
    /// The lower four bits of every byte, moved to the upper four.
    fn low_nibbles_above(self, a: Self::U) -> Self::U;
    /// The upper four bits of every byte, where they are.
    fn high_nibbles_above(self, a: Self::U) -> Self::U;
    /// The bits of both.
    fn or(self, a: Self::U, b: Self::U) -> Self::U;
    /// Signed whole numbers as floats.
    fn integers_as_floats(self, a: Self::U) -> Self::F;
}
