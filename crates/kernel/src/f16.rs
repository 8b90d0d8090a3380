//! IEEE half precision, the type of the scales of quantised weights. Reading only.

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

#[cfg(test)]
mod tests {
    use super::*;

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
