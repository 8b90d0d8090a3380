//! Reference vectors for the tests, as `tests/reference/make_tune_vectors.py` wrote them.

use serde_json::Value;

/// The committed vectors.
pub fn load() -> Value {
    serde_json::from_str(include_str!("../tests/tune_vectors.json")).expect("committed vectors")
}

/// An array of numbers as f32.
pub fn floats(array: &Value) -> Vec<f32> {
    let array = array.as_array().expect("an array");
    array
        .iter()
        .map(|value| value.as_f64().expect("a number") as f32)
        .collect()
}

/// Asserts that both are equal up to `tolerance`, relative to 1 or the larger.
pub fn close(found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len());
    for (index, (a, b)) in found.iter().zip(expected).enumerate() {
        let scale = a.abs().max(b.abs()).max(1.0);
        assert!(
            (a - b).abs() <= tolerance * scale,
            "at {index}: {a} and {b}"
        );
    }
}
