//! Which instruction set the fast paths use, chosen once at run time.

use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// An instruction set the kernels are written for. It is part of what makes a run reproducible:
/// results are the same bits only on the same one, with the same C library, whose logarithm, sine and
/// cosine a few single numbers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// AVX-512 (F, BW, DQ, VL) with the dot products of BF16 and of bytes (VNNI).
    Avx512Bf16,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// Plain Rust for any processor.
    Portable,
}

/// Environment variable that overrides detection.
pub const ISA_VARIABLE: &str = "LATHE_ISA";

impl Isa {
    /// The best instruction set of this machine, or the one `LATHE_ISA` asks for
    /// (`avx512bf16`, `avx2` or `portable`). Asked for what the machine lacks, or for an unknown
    /// name, it falls back to the best there is. The answer is found once per process.
    pub fn detect() -> Isa {
        static DETECTED: OnceLock<Isa> = OnceLock::new();
        *DETECTED.get_or_init(|| {
            std::env::var(ISA_VARIABLE)
                .ok()
                .and_then(|name| name.parse::<Isa>().ok())
                .filter(|isa| isa.is_supported())
                .unwrap_or_else(Isa::best)
        })
    }

    /// Every instruction set this machine can run, best first.
    pub fn supported() -> Vec<Isa> {
        [Isa::Avx512Bf16, Isa::Avx2, Isa::Portable]
            .into_iter()
            .filter(|isa| isa.is_supported())
            .collect()
    }

    /// Whether this machine can run it.
    pub fn is_supported(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Bf16 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bf16")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => {
                is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("f16c")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx512Bf16 | Isa::Avx2 => false,
            Isa::Portable => true,
        }
    }

    fn best() -> Isa {
        Isa::supported()[0]
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Avx512Bf16 => "avx512bf16",
            Isa::Avx2 => "avx2",
            Isa::Portable => "portable",
        })
    }
}

impl FromStr for Isa {
    type Err = UnknownIsa;

    fn from_str(name: &str) -> Result<Isa, UnknownIsa> {
        match name.to_ascii_lowercase().as_str() {
            "avx512bf16" => Ok(Isa::Avx512Bf16),
            "avx2" => Ok(Isa::Avx2),
            "portable" => Ok(Isa::Portable),
            _ => Err(UnknownIsa {
                name: name.to_owned(),
            }),
        }
    }
}

/// The name of an instruction set was not understood.
#[derive(Debug, thiserror::Error)]
#[error("unknown instruction set {name:?}; write avx512bf16, avx2 or portable")]
pub struct UnknownIsa {
    name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for isa in [Isa::Avx512Bf16, Isa::Avx2, Isa::Portable] {
            assert_eq!(isa.to_string().parse::<Isa>().expect("own name"), isa);
        }
        let error = "sse9".parse::<Isa>().expect_err("no such set");
        assert!(error.to_string().contains("sse9"));
    }

    #[test]
    fn portable_is_always_there_and_detection_stays_within_the_machine() {
        assert_eq!(Isa::supported().last(), Some(&Isa::Portable));
        assert!(Isa::detect().is_supported());
    }
}
