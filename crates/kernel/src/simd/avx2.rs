//! AVX2 with FMA: 8 floats a vector, 16 registers. There is no bfloat16 arithmetic here: values are
//! rounded with integer instructions and multiplied as floats.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Proof that the machine has what [`crate::Isa::Avx2`] names.
#[derive(Clone, Copy)]
pub(super) struct Avx2(());

impl Avx2 {
    /// # Safety
    /// The machine must support [`crate::Isa::Avx2`].
    pub(super) unsafe fn new() -> Avx2 {
        Avx2(())
    }

    /// The lanes below `count`, all bits set.
    #[inline(always)]
    fn first(self, count: usize) -> __m256i {
        debug_assert!(count <= 8);
        pure!(_mm256_cmpgt_epi32(
            _mm256_set1_epi32(count as i32),
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
        ))
    }

    /// Floats rounded to bfloat16, in the upper halves of words whose lower halves are garbage.
    #[inline(always)]
    fn rounded(self, a: __m256) -> __m256i {
        pure!({
            let bits = _mm256_castps_si256(a);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let up = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x40_0000));
            let is_nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a));
            _mm256_blendv_epi8(up, quiet, is_nan)
        })
    }
}

#[target_feature(enable = "avx2,fma,f16c")]
fn run<K: Kernel>(simd: Avx2, kernel: K) -> K::Output {
    kernel.run(simd)
}

impl Simd for Avx2 {
    type F = __m256;
    type U = __m256i;
    const LANES: usize = 8;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe { run(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        pure!(_mm256_set1_ps(value))
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller vouches for 8 floats.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: the caller vouches for `count` floats; masked lanes are not touched.
        unsafe { _mm256_maskload_ps(from, self.first(count)) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m256) {
        // SAFETY: the caller vouches for 8 floats.
        unsafe { _mm256_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: __m256, count: usize) {
        // SAFETY: the caller vouches for `count` floats; masked lanes are not touched.
        unsafe { _mm256_maskstore_ps(to, self.first(count), value) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        pure!(_mm_prefetch::<_MM_HINT_T0>(at.cast()))
    }

    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        pure!(_mm256_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        pure!(_mm256_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        pure!(_mm256_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        pure!(_mm256_div_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        pure!(_mm256_sqrt_ps(a))
    }
    #[inline(always)]
    fn fma(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        pure!(_mm256_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        pure!(_mm256_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        pure!(_mm256_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        pure!(_mm256_round_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(a))
    }
    #[inline(always)]
    fn times_pow2(self, a: __m256, n: __m256) -> __m256 {
        pure!({
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        })
    }
    #[inline(always)]
    fn select_less(self, a: __m256, b: __m256, yes: __m256, no: __m256) -> __m256 {
        pure!(_mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)))
    }
    #[inline(always)]
    fn lane_numbers(self) -> __m256 {
        pure!(_mm256_setr_ps(0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0))
    }
    #[inline(always)]
    fn sum_lanes(self, a: __m256) -> f32 {
        pure!({
            let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        })
    }
    #[inline(always)]
    fn max_lanes(self, a: __m256) -> f32 {
        pure!({
            let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }

    #[inline(always)]
    fn splat_words(self, value: u32) -> __m256i {
        pure!(_mm256_set1_epi32(value as i32))
    }
    #[inline(always)]
    unsafe fn load_words(self, from: *const u32) -> __m256i {
        // SAFETY: the caller vouches for 8 words.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store_words(self, to: *mut u32, value: __m256i) {
        // SAFETY: the caller vouches for 8 words.
        unsafe { _mm256_storeu_si256(to.cast(), value) }
    }
    #[inline(always)]
    unsafe fn transpose_words(
        self,
        (from, apart): (*const u32, usize),
        (to, stride): (*mut u32, usize),
    ) {
        // SAFETY: the caller vouches for 8 rows of 8 words on both sides.
        unsafe {
            let row = |row: usize| _mm256_loadu_si256(from.add(row * apart).cast());
            // Of every four rows: vector `c` has column `c` of each 128 bits, the rows side by side.
            let mut fours = [_mm256_setzero_si256(); 8];
            for first in [0, 4] {
                let [a, b, c, d] = [row(first), row(first + 1), row(first + 2), row(first + 3)];
                let low = [_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d)];
                let high = [_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d)];
                fours[first] = _mm256_unpacklo_epi64(low[0], low[1]);
                fours[first + 1] = _mm256_unpackhi_epi64(low[0], low[1]);
                fours[first + 2] = _mm256_unpacklo_epi64(high[0], high[1]);
                fours[first + 3] = _mm256_unpackhi_epi64(high[0], high[1]);
            }
            for column in 0..4 {
                let (a, b) = (fours[column], fours[4 + column]);
                let low = _mm256_permute2x128_si256::<0x20>(a, b);
                let high = _mm256_permute2x128_si256::<0x31>(a, b);
                _mm256_storeu_si256(to.add(column * stride).cast(), low);
                _mm256_storeu_si256(to.add((4 + column) * stride).cast(), high);
            }
        }
    }
    #[inline(always)]
    fn words_as_floats(self, a: __m256i) -> __m256 {
        pure!(_mm256_castsi256_ps(a))
    }
    #[inline(always)]
    fn floats_as_words(self, a: __m256) -> __m256i {
        pure!(_mm256_castps_si256(a))
    }
    #[inline(always)]
    fn narrow(self, low: __m256, high: __m256) -> __m256i {
        pure!({
            let low = _mm256_srli_epi32::<16>(self.rounded(low));
            let high = _mm256_srli_epi32::<16>(self.rounded(high));
            // Packing works within 128-bit lanes; the permutation undoes that.
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low, high))
        })
    }
    #[inline(always)]
    fn dot_pairs(self, acc: __m256, x: __m256i, w: __m256i) -> __m256 {
        pure!({
            let upper = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let low = |pair| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(pair));
            let high = |pair| _mm256_castsi256_ps(_mm256_and_si256(pair, upper));
            _mm256_fmadd_ps(high(x), high(w), _mm256_fmadd_ps(low(x), low(w), acc))
        })
    }
    #[inline(always)]
    fn interleave(self, first: __m256, second: __m256) -> __m256i {
        pure!({
            let low = _mm256_srli_epi32::<16>(self.rounded(first));
            _mm256_blend_epi16::<0b1010_1010>(low, self.rounded(second))
        })
    }

    #[inline(always)]
    unsafe fn load_halves(self, from: *const u16) -> __m256 {
        // SAFETY: the caller vouches for 8 numbers.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut i8, value: __m256) {
        // SAFETY: the caller vouches for 8 bytes.
        unsafe {
            let words = _mm256_cvtps_epi32(value);
            let low = _mm256_castsi256_si128(words);
            let halves = _mm_packs_epi32(low, _mm256_extracti128_si256::<1>(words));
            _mm_storel_epi64(to.cast(), _mm_packs_epi16(halves, halves));
        }
    }
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16, value: __m256) {
        // SAFETY: the caller vouches for 8 numbers.
        unsafe {
            let halves = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(value);
            _mm_storeu_si128(to.cast(), halves);
        }
    }
    #[inline(always)]
    fn bytes_side_by_side(self, [a, b, c, d]: [__m256; 4]) -> __m256i {
        pure!({
            let second = _mm256_slli_epi32::<8>(_mm256_cvtps_epi32(b));
            let third = _mm256_slli_epi32::<16>(_mm256_cvtps_epi32(c));
            let fourth = _mm256_slli_epi32::<24>(_mm256_cvtps_epi32(d));
            let low = _mm256_or_si256(_mm256_cvtps_epi32(a), second);
            _mm256_or_si256(low, _mm256_or_si256(third, fourth))
        })
    }
    #[inline(always)]
    fn dot_bytes(self, acc: __m256i, w: __m256i, x: __m256i) -> __m256i {
        pure!({
            // In 16 bits: maddubs would saturate on codes above 127.
            let even_w = _mm256_and_si256(w, _mm256_set1_epi16(0xff));
            let even_x = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(x));
            let even = _mm256_madd_epi16(even_w, even_x);
            let odd = _mm256_madd_epi16(_mm256_srli_epi16::<8>(w), _mm256_srai_epi16::<8>(x));
            _mm256_add_epi32(acc, _mm256_add_epi32(even, odd))
        })
    }
    #[inline(always)]
    fn low_nibbles(self, a: __m256i) -> __m256i {
        pure!(_mm256_and_si256(a, _mm256_set1_epi8(15)))
    }
    #[inline(always)]
    fn high_nibbles(self, a: __m256i) -> __m256i {
        pure!(_mm256_and_si256(
            _mm256_srli_epi16::<4>(a),
            _mm256_set1_epi8(15)
        ))
    }
    #[inline(always)]
    fn low_nibbles_above(self, a: __m256i) -> __m256i {
        pure!(_mm256_and_si256(
            _mm256_slli_epi16::<4>(a),
            _mm256_set1_epi8(-16)
        ))
    }
    #[inline(always)]
    fn high_nibbles_above(self, a: __m256i) -> __m256i {
        pure!(_mm256_and_si256(a, _mm256_set1_epi8(-16)))
    }
    #[inline(always)]
    fn or(self, a: __m256i, b: __m256i) -> __m256i {
        pure!(_mm256_or_si256(a, b))
    }
    #[inline(always)]
    fn integers_as_floats(self, a: __m256i) -> __m256 {
        pure!(_mm256_cvtepi32_ps(a))
    }
}
