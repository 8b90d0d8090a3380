//! SHA-256 digests as a type: computed, printed and parsed in one place.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;

/// The number of bytes in a digest.
pub const DIGEST_BYTES: usize = 32;

/// A SHA-256 digest; written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; DIGEST_BYTES]);

impl Digest {
    /// The digest of `bytes`.
    ///
    /// ```
    /// let empty = lathe_evidence::Digest::of(b"");
    /// assert!(empty.to_string().starts_with("e3b0c44298fc1c14"));
    /// ```
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The first twelve hexadecimal digits, for people to read; never for comparing.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

/// A digest computed piece by piece, for what does not fit in memory.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes` to what has been seen.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything seen.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a SHA-256 digest: {reason}; write its 64 hexadecimal digits, as `sha256sum FILE` prints them"
)]
pub struct DigestError {
    text: String,
    reason: String,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    /// Parses 64 hexadecimal digits of either case, with or without the prefix `sha256:`.
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let refuse = |reason: String| DigestError {
            text: text.chars().take(80).collect(),
            reason,
        };
        if digits.chars().count() != 2 * DIGEST_BYTES {
            return Err(refuse(format!(
                "it has {} characters instead of 64",
                digits.chars().count()
            )));
        }
        let bytes = from_hex(digits)
            .ok_or_else(|| refuse("a character is not a hexadecimal digit".to_owned()))?;
        let array = bytes
            .try_into()
            .map_err(|_| refuse("its length is wrong".to_owned()))?;
        Ok(Self(array))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// `bytes` as lower-case hexadecimal digits.
pub fn to_hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
    }
    text
}

/// The bytes that `digits` spell in hexadecimal, or `None` where they spell none.
pub fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |digit: u8| (digit as char).to_digit(16);
    digits
        .chunks_exact(2)
        .map(|pair| Some((value(pair[0])? * 16 + value(pair[1])?) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one-block and two-block messages of FIPS 180-4's published examples.
    #[test]
    fn digests_match_the_standards_examples() {
        let check = |message: &[u8], digest: &str| {
            assert_eq!(Digest::of(message).to_string(), digest);
            let mut hasher = Hasher::new();
            for piece in message.chunks(7) {
                hasher.update(piece);
            }
            assert_eq!(hasher.finish().to_string(), digest);
        };
        check(
            b"abc",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        check(
            b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        );
    }

    #[test]
    fn text_round_trips_in_either_case_and_with_the_prefix() {
        let digest = Digest::of(b"x");
        let text = digest.to_string();
        for form in [text.clone(), text.to_uppercase(), format!("sha256:{text}")] {
            assert_eq!(form.parse(), Ok(digest));
        }
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn what_is_not_a_digest_is_refused_with_its_reason() {
        let check = |text: &str, reason: &str| {
            let error = text.parse::<Digest>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        };
        check("abc", "3 characters instead of 64");
        check(&"g".repeat(64), "not a hexadecimal digit");
        check(&"é".repeat(64), "not a hexadecimal digit");
        check(&"0".repeat(1_000_000), "1000000 characters");
    }
}
