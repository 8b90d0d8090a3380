//! What the fuzz targets and the seeded mutations call: bytes from outside go in, nothing panics,
//! and whatever is accepted comes out as the very bytes that went in.

use lathe_evidence::statement::Statement;

use crate::checkpoint::Checkpoint;
use crate::dsse::Envelope;
use crate::history::{History, Trust};
use crate::keys::{PublicKey, SigningKey};
use crate::note::Note;
use crate::receipts;

/// Reads an envelope; one that is accepted has one form.
///
/// # Panics
/// It was accepted in another form than its own.
pub fn envelope(bytes: &[u8]) {
    if let Ok(envelope) = Envelope::parse(bytes) {
        assert_eq!(envelope.bytes(), bytes);
        let _ = envelope.statement();
        let _ = envelope.verify(&SigningKey::from_seed(&[1; 32]).public());
    }
}

/// Reads a statement; one that is accepted has one form.
///
/// # Panics
/// It was accepted in another form than its own.
pub fn statement(bytes: &[u8]) {
    if let Ok(statement) = Statement::from_bytes(bytes) {
        assert_eq!(statement.to_bytes().as_deref(), Ok(bytes));
    }
}

/// Reads a signed note, and a key.
///
/// # Panics
/// A checkpoint was accepted in another form than its own.
pub fn checkpoint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(note) = Note::parse(text) {
        assert_eq!(note.to_string(), text);
    }
    let key = SigningKey::from_seed(&[1; 32]).public();
    let _ = Checkpoint::parse(text);
    let _ = Checkpoint::verify(text, "lathe/fixture", &key);
    let _ = PublicKey::from_text(text);
    let _ = SigningKey::from_pem(text);
}

/// Reads a receipt, and a proof of one.
///
/// # Panics
/// A receipt was accepted in another form than its own.
pub fn receipt(bytes: &[u8]) {
    if let Ok(receipt) = receipts::parse(bytes) {
        assert_eq!(receipt.to_bytes().as_deref(), Ok(bytes));
    }
    if let Ok(proof) = serde_json::from_slice::<receipts::Proof>(bytes) {
        let key = SigningKey::from_seed(&[1; 32]).public();
        let _ = proof.verify("lathe/fixture", &key);
    }
}

/// Reads a ledger whose envelopes stand one on a line, the last line being its checkpoint's note
/// with `\r` for its line ends.
pub fn history(bytes: &[u8]) {
    let mut rows: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(Vec::from).collect();
    let note = rows.pop().unwrap_or_default();
    let note = String::from_utf8_lossy(&note).replace('\r', "\n");
    let _ = History::verify(rows, &note, &Trust::default());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::whole;
    use proptest::prelude::*;

    /// Real inputs of every kind, as one list.
    fn seeds() -> Vec<Vec<u8>> {
        let (ledger, chain) = whole();
        let mut seeds = ledger.rows();
        seeds.extend(ledger.envelopes.iter().map(|it| it.payload().to_vec()));
        seeds.push(ledger.note().into_bytes());
        seeds.push(chain.receipt);
        seeds.push(ledger.key.to_pem().into_bytes());
        let lines = seeds[..ledger.envelopes.len()].join(&b'\n');
        let note = ledger.note().replace('\n', "\r");
        seeds.push([&lines[..], b"\n", note.as_bytes()].concat());
        seeds
    }

    fn all(bytes: &[u8]) {
        for target in [envelope, statement, checkpoint, receipt, history] {
            target(bytes);
        }
    }

    #[test]
    fn real_inputs_are_accepted_in_their_one_form() {
        for seed in seeds() {
            all(&seed);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn changed_inputs_never_panic(
            which in any::<prop::sample::Index>(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4, any::<u8>()), 1..4),
        ) {
            let mut bytes = which.get(&seeds()).clone();
            for (at, how, byte) in edits {
                if bytes.is_empty() {
                    break;
                }
                let at = at.index(bytes.len());
                match how {
                    0 => bytes[at] = byte,
                    1 => bytes.insert(at, byte),
                    2 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at),
                }
            }
            all(&bytes);
        }

        #[test]
        fn arbitrary_inputs_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            all(&bytes);
        }
    }
}
