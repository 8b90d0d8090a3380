//! Envelopes: a statement and who signed it, in one layout of bytes.
//!
//! The format is DSSE 1.0 (secure-systems-lab/dsse): the signature is over the pre-authentication
//! encoding of payload and type, never over JSON. What is read here is stricter than DSSE asks for:
//! canonical JSON with exactly these members, padded standard base64, signatures sorted by key id
//! and none twice. So one envelope has one form, and its leaf cannot be changed without its content.
//!
//! Whether a key may sign what it signed is for the history.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lathe_evidence::statement::{PAYLOAD_TYPE, Statement, StatementError};
use lathe_evidence::{Digest, merkle};
use serde::{Deserialize, Serialize};

use crate::keys::{KeyError, PublicKey, Signature, SigningKey};

/// The most bytes an envelope may have: what an entry of a tlog tile can hold.
pub const ENVELOPE_BYTES_MAX: usize = 65_535;

/// The most signatures an envelope may have.
pub const SIGNATURES_MAX: usize = 8;

/// A signed payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<(Digest, Signature)>,
    bytes: Vec<u8>,
}

/// Why bytes are not an envelope, or it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Too long.
    #[error("the envelope has {0} bytes, more than {ENVELOPE_BYTES_MAX}")]
    Bytes(usize),
    /// Not JSON of the layout.
    #[error("the envelope is not one: {0}")]
    Layout(String),
    /// Bytes other than the one form.
    #[error("the envelope is not in its one form (canonical JSON, signatures sorted by key)")]
    NotCanonical,
    /// No signature, or too many.
    #[error("the envelope has {0} signatures instead of 1 to {SIGNATURES_MAX}")]
    Signatures(usize),
    /// Something else than a statement.
    #[error("the envelope holds a {0:?} instead of {PAYLOAD_TYPE:?}")]
    PayloadType(String),
    /// The payload is no statement.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// The key signed nothing here.
    #[error("the envelope has no signature of key {0}")]
    NotSigned(Digest),
    /// A signature does not hold.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// An envelope as its JSON is laid out; members in canonical order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    payload: String,
    #[serde(rename = "payloadType")]
    payload_type: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSignature {
    keyid: Digest,
    sig: String,
}

impl Envelope {
    /// `statement`, signed by `key`.
    ///
    /// # Errors
    /// A statement that has no bytes.
    pub fn seal(statement: &Statement, key: &SigningKey) -> Result<Self, EnvelopeError> {
        Self::seal_bytes(PAYLOAD_TYPE, statement.to_bytes()?, &[key])
    }

    /// Any payload, signed by each of `keys`.
    ///
    /// # Errors
    /// No keys or too many, a key given twice, a payload too long.
    pub fn seal_bytes(
        payload_type: &str,
        payload: Vec<u8>,
        keys: &[&SigningKey],
    ) -> Result<Self, EnvelopeError> {
        let message = pre_authentication_encoding(payload_type, &payload);
        let mut signatures: Vec<_> = keys
            .iter()
            .map(|key| (key.id(), key.sign(&message)))
            .collect();
        signatures.sort_unstable();
        check_signatures(&signatures)?;
        let bytes = write(payload_type, &payload, &signatures);
        check_length(&bytes)?;
        Ok(Self {
            payload_type: payload_type.to_owned(),
            payload,
            signatures,
            bytes,
        })
    }

    /// Reads an envelope strictly. Nothing is verified yet.
    ///
    /// # Errors
    /// Another layout or form, no signature or too many.
    pub fn parse(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        check_length(bytes)?;
        let layout = |what: &dyn std::fmt::Display| EnvelopeError::Layout(what.to_string());
        let written: Written = serde_json::from_slice(bytes).map_err(|error| layout(&error))?;
        let payload = BASE64
            .decode(&written.payload)
            .map_err(|error| layout(&format!("payload: {error}")))?;
        let signatures = written
            .signatures
            .iter()
            .map(|it| Some((it.keyid, BASE64.decode(&it.sig).ok()?.try_into().ok()?)))
            .collect::<Option<Vec<(Digest, Signature)>>>()
            .ok_or_else(|| layout(&"a signature is not the base64 of 64 bytes"))?;
        check_signatures(&signatures)?;
        if write(&written.payload_type, &payload, &signatures) != bytes {
            return Err(EnvelopeError::NotCanonical);
        }
        Ok(Self {
            payload_type: written.payload_type,
            payload,
            signatures,
            bytes: bytes.to_vec(),
        })
    }

    /// The statement in it. Nothing is verified by reading it.
    ///
    /// # Errors
    /// Another payload type, or a payload that is no statement.
    pub fn statement(&self) -> Result<Statement, EnvelopeError> {
        if self.payload_type != PAYLOAD_TYPE {
            let shown = self.payload_type.chars().take(200).collect();
            return Err(EnvelopeError::PayloadType(shown));
        }
        Ok(Statement::from_bytes(&self.payload)?)
    }

    /// Whether `key` signed it.
    ///
    /// # Errors
    /// No signature of this key, or one that does not hold.
    pub fn verify(&self, key: &PublicKey) -> Result<(), EnvelopeError> {
        let id = key.id();
        let (_, signature) = self
            .signatures
            .iter()
            .find(|(signer, _)| *signer == id)
            .ok_or(EnvelopeError::NotSigned(id))?;
        let message = pre_authentication_encoding(&self.payload_type, &self.payload);
        Ok(key.verify(&message, signature)?)
    }

    /// Its leaf in the ledger, by which other statements name it.
    pub fn leaf(&self) -> Digest {
        merkle::leaf_hash(&self.bytes)
    }

    /// Its bytes, as they are kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its bytes, as they are kept.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The media type of what it holds.
    pub fn payload_type(&self) -> &str {
        &self.payload_type
    }

    /// What it holds.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The ids of the keys that say they signed it, sorted; see [`Envelope::verify`].
    pub fn signers(&self) -> impl Iterator<Item = Digest> + '_ {
        self.signatures.iter().map(|(signer, _)| *signer)
    }
}

/// DSSE's PAE: what is signed.
pub(crate) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

fn write(payload_type: &str, payload: &[u8], signatures: &[(Digest, Signature)]) -> Vec<u8> {
    let written = Written {
        payload: BASE64.encode(payload),
        payload_type: payload_type.to_owned(),
        signatures: signatures
            .iter()
            .map(|(keyid, signature)| WrittenSignature {
                keyid: *keyid,
                sig: BASE64.encode(signature),
            })
            .collect(),
    };
    let value = serde_json::to_value(written).expect("an envelope is plain JSON");
    lathe_evidence::canonical::to_bytes(&value).expect("an envelope holds texts alone")
}

fn check_length(bytes: &[u8]) -> Result<(), EnvelopeError> {
    match bytes.len() {
        0..=ENVELOPE_BYTES_MAX => Ok(()),
        more => Err(EnvelopeError::Bytes(more)),
    }
}

fn check_signatures(signatures: &[(Digest, Signature)]) -> Result<(), EnvelopeError> {
    if !(1..=SIGNATURES_MAX).contains(&signatures.len()) {
        return Err(EnvelopeError::Signatures(signatures.len()));
    }
    if signatures.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
        return Err(EnvelopeError::NotCanonical);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_evidence::statement::{Receipts, STATEMENT_BYTES_MAX};

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn statement() -> Statement {
        let root = Digest::of(b"root");
        let said = Receipts {
            batch: 1,
            count: 2,
            root,
            at_ms: 3,
        };
        Statement::of("batch 1", root, said)
    }

    /// DSSE's protocol.md, "Test Vectors": what is signed for "hello world". Its signature is ECDSA
    /// and is checked with the same bytes in `model_signing`.
    #[test]
    fn the_encoding_is_dsses() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        assert_eq!(
            pre_authentication_encoding("é", b""),
            "DSSEv1 2 é 0 ".as_bytes()
        );
    }

    #[test]
    fn a_sealed_statement_comes_back_and_verifies() {
        let sealed = Envelope::seal(&statement(), &key(1)).unwrap();
        let read = Envelope::parse(sealed.bytes()).unwrap();
        assert_eq!(read, sealed);
        assert_eq!(read.statement().unwrap(), statement());
        assert_eq!(read.leaf(), merkle::leaf_hash(sealed.bytes()));
        assert!(read.verify(&key(1).public()).is_ok());
        assert_eq!(
            read.verify(&key(2).public()),
            Err(EnvelopeError::NotSigned(key(2).id()))
        );
    }

    #[test]
    fn the_form_is_one() {
        let sealed = Envelope::seal(&statement(), &key(1)).unwrap();
        let text = String::from_utf8(sealed.into_bytes()).unwrap();
        assert!(text.starts_with(r#"{"payload":"eyJ"#), "{text}");
        let refuse = |changed: String| {
            assert_ne!(changed, text);
            Envelope::parse(changed.as_bytes()).unwrap_err().to_string()
        };
        assert!(refuse(text.replace("{\"payload\"", "{ \"payload\"")).contains("one form"));
        assert!(refuse(text.replace("\"payloadType\"", "\"a\":1,\"payloadType\"")).contains("`a`"));
        assert!(refuse(format!("{text}\n")).contains("one form"));
        assert!(refuse(text.replace("\"sig\":\"", "\"sig\":\"AAAA")).contains("64 bytes"));
        assert!(refuse(text.replace("==\"}]", "\"}]")).contains("64 bytes"));
        let upper = text.replace(
            &key(1).id().to_string(),
            &key(1).id().to_string().to_uppercase(),
        );
        assert!(refuse(upper).contains("one form"));
        let twice = text.replace("\"signatures\":[", "\"signatures\":[],\"signatures\":[");
        assert!(refuse(twice).contains("duplicate"));
        assert!(refuse("[".repeat(60_000)).contains("not one"));
        assert!(refuse("x".repeat(70_000)).contains("70000 bytes"));
    }

    #[test]
    fn signatures_are_sorted_and_none_is_twice() {
        let payload = || b"x".to_vec();
        let both = Envelope::seal_bytes("t", payload(), &[&key(1), &key(2)]).unwrap();
        let swapped = Envelope::seal_bytes("t", payload(), &[&key(2), &key(1)]).unwrap();
        assert_eq!(both, swapped);
        assert!(both.verify(&key(1).public()).is_ok() && both.verify(&key(2).public()).is_ok());
        assert!(Envelope::seal_bytes("t", payload(), &[]).is_err());
        assert!(Envelope::seal_bytes("t", payload(), &[&key(1), &key(1)]).is_err());
        let mut value: serde_json::Value = serde_json::from_slice(both.bytes()).unwrap();
        value["signatures"].as_array_mut().unwrap().reverse();
        let bytes = lathe_evidence::canonical::to_bytes(&value).unwrap();
        assert_eq!(Envelope::parse(&bytes), Err(EnvelopeError::NotCanonical));
    }

    #[test]
    fn the_type_and_every_byte_of_the_payload_are_signed() {
        let sealed = Envelope::seal(&statement(), &key(1)).unwrap();
        for at in 0..sealed.payload.len() {
            let mut changed = sealed.clone();
            changed.payload[at] ^= 1;
            assert!(changed.verify(&key(1).public()).is_err());
        }
        let mut changed = sealed;
        changed.payload_type = "other".to_owned();
        assert!(changed.verify(&key(1).public()).is_err());
        assert!(matches!(
            changed.statement(),
            Err(EnvelopeError::PayloadType(_))
        ));
    }

    #[test]
    fn the_longest_statement_fits() {
        let payload = vec![b'x'; STATEMENT_BYTES_MAX];
        assert!(Envelope::seal_bytes(PAYLOAD_TYPE, payload, &[&key(1)]).is_ok());
    }
}
