//! The digest of a step's inputs: the key under which its effect is stored.
//!
//! Neither time nor path may be put into a key.

use lathe_evidence::{Digest, canonical};
use serde_json::Value;

/// The digest of `inputs`, which come from typed specifications and are never deeply nested.
pub fn digest_of(inputs: &Value) -> Digest {
    let bytes = canonical::to_bytes(&canonical::decimals_as_text(inputs))
        .expect("decimals are texts now, and a specification nests a few levels");
    Digest::of(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_order_of_fields_does_not_matter_and_every_value_does() {
        let base = json!({"a": 0.5, "b": [1, "x"], "seed": u64::MAX});
        let same = json!({"seed": u64::MAX, "b": [1, "x"], "a": 0.5});
        assert_eq!(digest_of(&base), digest_of(&same));
        for other in [
            json!({"a": 0.25, "b": [1, "x"], "seed": u64::MAX}),
            json!({"a": 0.5, "b": [2, "x"], "seed": u64::MAX}),
            json!({"a": 0.5, "b": [1, "x"], "seed": u64::MAX - 1}),
            json!({"a": "0.5", "b": [1, "x"], "seed": u64::MAX}),
        ] {
            assert_ne!(digest_of(&base), digest_of(&other), "{other}");
        }
    }
}
