//! Plain Rust, in arrays that compilers turn into whatever vectors the target has.

use super::{Kernel, Simd};
use crate::bf16::{from_bf16, to_bf16};
use crate::f16::{from_f16, to_f16};

/// Needs nothing of the machine.
#[derive(Clone, Copy)]
pub(super) struct Portable;

const LANES: usize = 8;
type Floats = [f32; LANES];
type Words = [u32; LANES];

#[inline(always)]
fn each(f: impl FnMut(usize) -> f32) -> Floats {
    std::array::from_fn(f)
}

#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    u32::from(to_bf16(first)) | (u32::from(to_bf16(second)) << 16)
}

impl Simd for Portable {
    type F = Floats;
    type U = Words;
    const LANES: usize = LANES;
    const TILE_ROWS: usize = 4;

    #[inline(never)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Output {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Floats {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Floats {
        // SAFETY: the caller vouches for `LANES` floats; arrays of floats need no more alignment.
        unsafe { from.cast::<Floats>().read() }
    }
    #[inline(always)]
    unsafe fn load_first(self, from: *const f32, count: usize) -> Floats {
        let mut floats = [0.0; LANES];
        for (i, float) in floats.iter_mut().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` floats.
            *float = unsafe { *from.add(i) };
        }
        floats
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, value: Floats) {
        // SAFETY: the caller vouches for `LANES` floats.
        unsafe { to.cast::<Floats>().write(value) }
    }
    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, value: Floats, count: usize) {
        for (i, value) in value.into_iter().enumerate().take(count) {
            // SAFETY: the caller vouches for `count` floats.
            unsafe { *to.add(i) = value }
        }
    }

    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}

    #[inline(always)]
    fn add(self, a: Floats, b: Floats) -> Floats {
        each(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: Floats, b: Floats) -> Floats {
        each(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: Floats, b: Floats) -> Floats {
        each(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: Floats, b: Floats) -> Floats {
        each(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn sqrt(self, a: Floats) -> Floats {
        each(|i| a[i].sqrt())
    }
    #[inline(always)]
    fn fma(self, a: Floats, b: Floats, c: Floats) -> Floats {
        // Not `mul_add`: without the instruction that is a slow library call.
        each(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn max(self, a: Floats, b: Floats) -> Floats {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: Floats, b: Floats) -> Floats {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn round(self, a: Floats) -> Floats {
        // Adding and subtracting 1.5 · 2^23 rounds to nearest for the small numbers used here.
        const SHIFT: f32 = 12_582_912.0;
        each(|i| (a[i] + SHIFT) - SHIFT)
    }
    #[inline(always)]
    fn times_pow2(self, a: Floats, n: Floats) -> Floats {
        each(|i| a[i] * f32::from_bits(((n[i] as i32 + 127) << 23) as u32))
    }
    #[inline(always)]
    fn select_less(self, a: Floats, b: Floats, yes: Floats, no: Floats) -> Floats {
        each(|i| if a[i] < b[i] { yes[i] } else { no[i] })
    }
    #[inline(always)]
    fn lane_numbers(self) -> Floats {
        each(|i| i as f32)
    }
    #[inline(always)]
    fn sum_lanes(self, a: Floats) -> f32 {
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    #[inline(always)]
    fn max_lanes(self, a: Floats) -> f32 {
        a.into_iter().fold(f32::NEG_INFINITY, f32::max)
    }

    #[inline(always)]
    fn splat_words(self, value: u32) -> Words {
        [value; LANES]
    }
    #[inline(always)]
    unsafe fn load_words(self, from: *const u32) -> Words {
        // SAFETY: the caller vouches for `LANES` words.
        unsafe { from.cast::<Words>().read() }
    }
    #[inline(always)]
    unsafe fn store_words(self, to: *mut u32, value: Words) {
        // SAFETY: the caller vouches for `LANES` words.
        unsafe { to.cast::<Words>().write(value) }
    }
    #[inline(always)]
    unsafe fn transpose_words(
        self,
        (from, apart): (*const u32, usize),
        (to, stride): (*mut u32, usize),
    ) {
        for row in 0..LANES {
            for column in 0..LANES {
                // SAFETY: the caller vouches for `LANES` rows of `LANES` words.
                unsafe { *to.add(column * stride + row) = *from.add(row * apart + column) };
            }
        }
    }
    #[inline(always)]
    fn words_as_floats(self, a: Words) -> Floats {
        a.map(f32::from_bits)
    }
    #[inline(always)]
    fn floats_as_words(self, a: Floats) -> Words {
        a.map(f32::to_bits)
    }
    #[inline(always)]
    fn narrow(self, low: Floats, high: Floats) -> Words {
        std::array::from_fn(|i| {
            let from = if i < LANES / 2 { &low } else { &high };
            let at = 2 * i % LANES;
            pair(from[at], from[at + 1])
        })
    }
    #[inline(always)]
    fn dot_pairs(self, acc: Floats, x: Words, w: Words) -> Floats {
        each(|i| {
            let first = from_bf16(x[i] as u16) * from_bf16(w[i] as u16) + acc[i];
            from_bf16((x[i] >> 16) as u16) * from_bf16((w[i] >> 16) as u16) + first
        })
    }
    #[inline(always)]
    fn interleave(self, first: Floats, second: Floats) -> Words {
        std::array::from_fn(|i| pair(first[i], second[i]))
    }

    #[inline(always)]
    unsafe fn load_halves(self, from: *const u16) -> Floats {
        // SAFETY: the caller vouches for `LANES` numbers.
        each(|i| from_f16(unsafe { *from.add(i) }))
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut i8, value: Floats) {
        for (i, value) in value.into_iter().enumerate() {
            // SAFETY: the caller vouches for `LANES` bytes.
            unsafe { *to.add(i) = value as i8 };
        }
    }
    #[inline(always)]
    unsafe fn store_halves(self, to: *mut u16, value: Floats) {
        for (i, value) in value.into_iter().enumerate() {
            // SAFETY: the caller vouches for `LANES` numbers.
            unsafe { *to.add(i) = to_f16(value) };
        }
    }
    #[inline(always)]
    fn bytes_side_by_side(self, values: [Floats; 4]) -> Words {
        std::array::from_fn(|i| u32::from_le_bytes(values.map(|vector| vector[i] as u8)))
    }
    #[inline(always)]
    fn dot_bytes(self, acc: Words, w: Words, x: Words) -> Words {
        std::array::from_fn(|i| {
            let bytes = w[i].to_le_bytes().into_iter().zip(x[i].to_le_bytes());
            let products = bytes.map(|(w, x)| i32::from(w) * i32::from(x as i8));
            acc[i].wrapping_add(products.sum::<i32>() as u32)
        })
    }
    #[inline(always)]
    fn low_nibbles(self, a: Words) -> Words {
        a.map(|word| word & 0x0f0f_0f0f)
    }
    #[inline(always)]
    fn high_nibbles(self, a: Words) -> Words {
        a.map(|word| (word >> 4) & 0x0f0f_0f0f)
    }
    #[inline(always)]
    fn low_nibbles_above(self, a: Words) -> Words {
        a.map(|word| (word << 4) & 0xf0f0_f0f0)
    }
    #[inline(always)]
    fn high_nibbles_above(self, a: Words) -> Words {
        a.map(|word| word & 0xf0f0_f0f0)
    }
    #[inline(always)]
    fn or(self, mut a: Words, b: Words) -> Words {
        a.iter_mut().zip(b).for_each(|(a, b)| *a |= b);
        a
    }
    #[inline(always)]
    fn integers_as_floats(self, a: Words) -> Floats {
        a.map(|word| word as i32 as f32)
    }
}
