//! Conversion between `f32` and IEEE half precision, the type of the scales of quantised weights.
//!
//! Nothing here is vectorised: files are read and written with it, and the portable vectors use it.

/// Widens a half-precision number; exact.
pub fn from_f16(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let exponent = u32::from(bits >> 10) & 31;
    let fraction = u32::from(bits & 0x3ff);
    match (exponent, fraction) {
        // Zero and subnormals: fraction · 2⁻²⁴, which f32 holds as a normal number.
        (0, _) => {
            let magnitude = fraction as f32 * f32::from_bits((127 - 24) << 23);
            f32::from_bits(magnitude.to_bits() | sign)
        }
        // Infinity and NaN keep their payload.
        (31, _) => f32::from_bits(sign | 0x7f80_0000 | (fraction << 13)),
        _ => f32::from_bits(sign | ((exponent + 127 - 15) << 23) | (fraction << 13)),
    }
}

/// Rounds to the nearest half-precision number, ties to even; what is too large becomes infinite. A
/// NaN stays a (quiet) NaN.
pub fn to_f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    // 65520, halfway to the power of two that there is no more room for.
    if magnitude >= 0x477f_f000 {
        return sign | 0x7c00;
    }
    // 2⁻¹⁴, the least normal number. Below it the steps are 2⁻²⁴ wide, which is what an f32 has its
    // last place at around 0.5: adding that rounds, and leaves the steps in the fraction.
    if magnitude < 0x3880_0000 {
        let steps = (f32::from_bits(magnitude) + 0.5).to_bits() - 0.5f32.to_bits();
        return sign | steps as u16;
    }
    let rebased = magnitude - ((127 - 15) << 23);
    let round = 0xfff + ((rebased >> 13) & 1);
    sign | ((rebased + round) >> 13) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            let value = from_f16(bits);
            if value.is_nan() {
                assert!(from_f16(to_f16(value)).is_nan());
            } else {
                assert_eq!(to_f16(value), bits);
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_and_ties_go_to_even() {
        for bits in 0..0x7bff_u16 {
            let (low, high) = (from_f16(bits), from_f16(bits + 1));
            let middle = (low + high) / 2.0;
            let even = if bits % 2 == 0 { bits } else { bits + 1 };
            assert_eq!(to_f16(middle), even);
            assert_eq!(to_f16(middle.next_down()), bits);
            assert_eq!(to_f16(middle.next_up()), bits + 1);
            assert_eq!(to_f16(-middle), even | 0x8000);
        }
        assert_eq!(to_f16(65519.996), 0x7bff);
        assert_eq!(to_f16(65520.0), 0x7c00);
        assert_eq!(to_f16(f32::NEG_INFINITY), 0xfc00);
    }

    /// IEEE 754-2008, table 3.5: binary16 has 10 bits of fraction and an exponent bias of 15.
    #[test]
    fn every_number_is_sign_fraction_and_power_of_two() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10) & 31, f64::from(bits & 0x3ff));
            let magnitude = match exponent {
                31 if fraction > 0.0 => {
                    assert!(from_f16(bits).is_nan());
                    continue;
                }
                31 => f64::INFINITY,
                0 => fraction * 2f64.powi(-24),
                _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
            };
            let expected = if bits >> 15 == 1 {
                -magnitude
            } else {
                magnitude
            };
            assert_eq!(f64::from(from_f16(bits)).to_bits(), expected.to_bits());
        }
    }
}
