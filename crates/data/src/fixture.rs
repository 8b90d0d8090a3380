//! A sealed record for tests, of this crate and of those above it.

use lathe_evidence::Digest;
use serde_json::Value;

use crate::prepare::Sealed;
use crate::reader::Record;

/// A record with these fields.
///
/// # Panics
/// The fields are no object.
pub fn sealed(id: &str, group: &str, fields: Value) -> Sealed {
    let Value::Object(fields) = fields else {
        panic!("fields are an object");
    };
    Sealed {
        leaf: Digest::of(b"leaf"),
        salt: [0; 16],
        risk: Vec::new(),
        record: Record {
            id: id.to_owned(),
            group: group.to_owned(),
            line: 1,
            fields,
        },
    }
}
