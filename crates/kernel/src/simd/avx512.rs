//! AVX-512 with the BF16 dot product: 16 floats a vector, 32 registers.

use std::arch::x86_64::*;

use super::{Kernel, Simd};

/// Proof that the machine has what [`crate::Isa::Avx512Bf16`] names.
#[derive(Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    /// # Safety
    /// The machine must support [`crate::Isa::Avx512Bf16`].
    pub(super) unsafe fn new() -> Avx512 {
        Avx512(())
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,avx2,fma")]
fn run<K: Kernel>(simd: Avx512, kernel: K) -> K::Output {
    kernel.run(simd)
}

#[inline(always)]
fn first(count: usize) -> u16 {
    debug_assert!(count <= 16);
    ((1_u32 << count) - 1) as u16
}

impl Simd for Avx512 {
    type F = __m512;
    type U = __m512i;
    const LANES: usize = 16;
    const TILE_ROWS: usize = 12;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the token proves that the machine has the instructions.
        unsafe { run(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        pure!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller vouches for 16 floats.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: the caller vouches for `count` floats; masked lanes are not touched.
        unsafe { _mm512_maskz_loadu_ps(first(count), from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: __m512) {
        // SAFETY: the caller vouches for 16 floats.
        unsafe { _mm512_storeu_ps(to, value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: __m512, count: usize) {
        // SAFETY: the caller vouches for `count` floats; masked lanes are not touched.
        unsafe { _mm512_mask_storeu_ps(to, first(count), value) }
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        pure!(_mm_prefetch::<_MM_HINT_T0>(at.cast()))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        pure!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        pure!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        pure!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        pure!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        pure!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        pure!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        pure!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        pure!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        pure!(_mm512_roundscale_ps::<
            { _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC },
        >(a))
    }
    #[inline(always)]
    fn times_pow2(self, a: __m512, n: __m512) -> __m512 {
        pure!(_mm512_scalef_ps(a, n))
    }
    #[inline(always)]
    fn select_less(self, a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
        pure!(_mm512_mask_blend_ps(
            _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b),
            no,
            yes
        ))
    }
    #[inline(always)]
    fn lane_numbers(self) -> __m512 {
        pure!(_mm512_setr_ps(
            0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0
        ))
    }
    #[inline(always)]
    fn sum_lanes(self, a: __m512) -> f32 {
        pure!(_mm512_reduce_add_ps(a))
    }
    #[inline(always)]
    fn max_lanes(self, a: __m512) -> f32 {
        pure!(_mm512_reduce_max_ps(a))
    }

    #[inline(always)]
    fn splat_words(self, value: u32) -> __m512i {
        pure!(_mm512_set1_epi32(value as i32))
    }
    #[inline(always)]
    unsafe fn load_words(self, from: *const u32) -> __m512i {
        // SAFETY: the caller vouches for 16 words.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn store_words(self, to: *mut u32, value: __m512i) {
        // SAFETY: the caller vouches for 16 words.
        unsafe { _mm512_storeu_si512(to.cast(), value) }
    }
    #[inline(always)]
    unsafe fn transpose_words(
        self,
        (from, apart): (*const u32, usize),
        (to, stride): (*mut u32, usize),
    ) {
        // SAFETY: the caller vouches for 16 rows of 16 words on both sides.
        unsafe {
            let row = |row: usize| _mm512_loadu_si512(from.add(row * apart).cast());
            // Of every four rows: vector `c` has column `c` of each 128 bits, the rows side by side.
            let mut fours = [_mm512_setzero_si512(); 16];
            for first in (0..16).step_by(4) {
                let [a, b, c, d] = [row(first), row(first + 1), row(first + 2), row(first + 3)];
                let low = [_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d)];
                let high = [_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d)];
                fours[first] = _mm512_unpacklo_epi64(low[0], low[1]);
                fours[first + 1] = _mm512_unpackhi_epi64(low[0], low[1]);
                fours[first + 2] = _mm512_unpacklo_epi64(high[0], high[1]);
                fours[first + 3] = _mm512_unpackhi_epi64(high[0], high[1]);
            }
            for column in 0..4 {
                let [a, b, c, d] = [0, 4, 8, 12].map(|first| fours[first + column]);
                let even = [
                    _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b),
                    _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d),
                ];
                let odd = [
                    _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b),
                    _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d),
                ];
                let columns = [
                    _mm512_shuffle_i32x4::<0b10_00_10_00>(even[0], even[1]),
                    _mm512_shuffle_i32x4::<0b10_00_10_00>(odd[0], odd[1]),
                    _mm512_shuffle_i32x4::<0b11_01_11_01>(even[0], even[1]),
                    _mm512_shuffle_i32x4::<0b11_01_11_01>(odd[0], odd[1]),
                ];
                for (part, words) in columns.into_iter().enumerate() {
                    _mm512_storeu_si512(to.add((4 * part + column) * stride).cast(), words);
                }
            }
        }
    }
    #[inline(always)]
    fn words_as_floats(self, a: __m512i) -> __m512 {
        pure!(_mm512_castsi512_ps(a))
    }
    #[inline(always)]
    fn floats_as_words(self, a: __m512) -> __m512i {
        pure!(_mm512_castps_si512(a))
    }
    #[inline(always)]
    fn narrow(self, low: __m512, high: __m512) -> __m512i {
        // SAFETY: both are 64 bytes of plain data.
        unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
    }
    #[inline(always)]
    fn dot_pairs(self, acc: __m512, x: __m512i, w: __m512i) -> __m512 {
        // SAFETY: both are 64 bytes of plain data.
        unsafe {
            let [x, w] = [x, w].map(|words| std::mem::transmute::<__m512i, __m512bh>(words));
            _mm512_dpbf16_ps(acc, x, w)
        }
    }
    #[inline(always)]
    fn interleave(self, first: __m512, second: __m512) -> __m512i {
        // Both narrowed into one register, `first` in its lower half, then shuffled word by word.
        const ORDER: [u16; 32] = {
            let mut order = [0; 32];
            let mut i = 0;
            while i < 32 {
                order[i] = (i / 2 + 16 * (i % 2)) as u16;
                i += 1;
            }
            order
        };
        let narrow = self.narrow(first, second);
        // SAFETY: `ORDER` is 64 bytes; the token proves the instructions.
        unsafe { _mm512_permutexvar_epi16(_mm512_loadu_si512(ORDER.as_ptr().cast()), narrow) }
    }

    #[inline(always)]
    unsafe fn load_halves(self, from: *const u16) -> __m512 {
        // SAFETY: the caller vouches for 16 numbers.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.cast())) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut i8, value: __m512) {
        // SAFETY: the caller vouches for 16 bytes.
        unsafe { _mm_storeu_si128(to.cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(value))) }
    }
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16, value: __m512) {
        // SAFETY: the caller vouches for 16 numbers.
        unsafe {
            let halves = _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT }>(value);
            _mm256_storeu_si256(to.cast(), halves);
        }
    }
    #[inline(always)]
    fn bytes_side_by_side(self, [a, b, c, d]: [__m512; 4]) -> __m512i {
        pure!({
            let second = _mm512_slli_epi32::<8>(_mm512_cvtps_epi32(b));
            let third = _mm512_slli_epi32::<16>(_mm512_cvtps_epi32(c));
            let fourth = _mm512_slli_epi32::<24>(_mm512_cvtps_epi32(d));
            let low = _mm512_or_si512(_mm512_cvtps_epi32(a), second);
            _mm512_or_si512(low, _mm512_or_si512(third, fourth))
        })
    }
    #[inline(always)]
    fn dot_bytes(self, acc: __m512i, w: __m512i, x: __m512i) -> __m512i {
        pure!(_mm512_dpbusd_epi32(acc, w, x))
    }
    #[inline(always)]
    fn low_nibbles(self, a: __m512i) -> __m512i {
        pure!(_mm512_and_si512(a, _mm512_set1_epi8(15)))
    }
    #[inline(always)]
    fn high_nibbles(self, a: __m512i) -> __m512i {
        pure!(_mm512_and_si512(
            _mm512_srli_epi16::<4>(a),
            _mm512_set1_epi8(15)
        ))
    }
    #[inline(always)]
    fn low_nibbles_above(self, a: __m512i) -> __m512i {
        pure!(_mm512_and_si512(
            _mm512_slli_epi16::<4>(a),
            _mm512_set1_epi8(-16)
        ))
    }
    #[inline(always)]
    fn high_nibbles_above(self, a: __m512i) -> __m512i {
        pure!(_mm512_and_si512(a, _mm512_set1_epi8(-16)))
    }
    #[inline(always)]
    fn or(self, a: __m512i, b: __m512i) -> __m512i {
        pure!(_mm512_or_si512(a, b))
    }
    #[inline(always)]
    fn integers_as_floats(self, a: __m512i) -> __m512 {
        pure!(_mm512_cvtepi32_ps(a))
    }
}
