//! Conversion between `f32` and bfloat16, the upper half of an `f32`.
//!
//! Nothing here is vectorised; the fast paths convert whole rows themselves and agree with these
//! functions bit for bit, except that AVX-512 rounds subnormals to zero, as its products do.

use crate::Pool;
use crate::parallel::SharedMut;

/// Rounds to the nearest bfloat16, ties to even. A NaN stays a (quiet) NaN.
#[inline(always)]
pub fn to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        return (bits >> 16) as u16 | 0x40;
    }
    // Adding just under half a unit in the last kept place, or exactly half when that place is odd,
    // carries into it exactly when rounding up is due; an overflow lands on infinity as it should.
    let round = 0x7fff + ((bits >> 16) & 1);
    ((bits + round) >> 16) as u16
}

/// Widens a bfloat16; exact.
#[inline(always)]
pub fn from_bf16(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// [`to_bf16`] of every value, in parallel.
///
/// # Panics
/// If the lengths differ.
pub fn round_all(pool: &Pool, from: &[f32], to: &mut [u16]) {
    /// Values a task converts.
    const TASK_VALUES: usize = 64 * 1024;
    let len = from.len();
    assert_eq!(to.len(), len, "there is room for every value");
    let to = SharedMut::new(to);
    pool.run(len.div_ceil(TASK_VALUES), &|task| {
        let run = task * TASK_VALUES..((task + 1) * TASK_VALUES).min(len);
        // SAFETY: tasks write different values.
        let to = unsafe { to.slice(run.clone()) };
        for (to, from) in to.iter_mut().zip(&from[run]) {
            *to = to_bf16(*from);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bf16_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            let value = from_bf16(bits);
            if value.is_nan() {
                assert!(from_bf16(to_bf16(value)).is_nan());
            } else {
                assert_eq!(to_bf16(value), bits);
            }
        }
    }

    #[test]
    fn many_values_are_rounded_one_by_one_at_any_thread_count() {
        for len in [0, 1, 65_537, 150_000] {
            let values = crate::testing::random(1, len);
            crate::testing::assert_thread_count_is_invisible(|pool| {
                let mut rounded = vec![0; len];
                round_all(pool, &values, &mut rounded);
                let expected: Vec<u16> = values.iter().map(|value| to_bf16(*value)).collect();
                assert_eq!(rounded, expected);
                rounded.into_iter().map(from_bf16).collect()
            });
        }
    }

    #[test]
    fn rounding_is_to_nearest_and_ties_go_to_even() {
        for bits in (0..0x7f7f_u16).step_by(7) {
            let low = from_bf16(bits);
            let high = from_bf16(bits + 1);
            let middle = f32::from_bits((u32::from(bits) << 16) | 0x8000);
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(to_bf16(middle), even);
            assert_eq!(from_bf16(to_bf16(middle.next_down())), low);
            assert_eq!(from_bf16(to_bf16(middle.next_up())), high);
            assert_eq!(to_bf16(-middle), even | 0x8000);
        }
        assert_eq!(from_bf16(to_bf16(f32::MAX)), f32::INFINITY);
    }
}
