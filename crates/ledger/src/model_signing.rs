//! An artifact's signature for other people's tools: an OpenSSF model-signing bundle.
//!
//! The bundle (a Sigstore bundle v0.3 around a DSSE envelope) lists every file of the artifact with
//! its SHA-256 and is accepted by the PyPI package `model-signing` with nothing but the public key.
//! That package takes elliptic curves of NIST alone, so the key is a P-256 key of its own, derived
//! from the workshop's. It is an exported view: nothing in Lathe rests on it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lathe_evidence::Digest;
use lathe_evidence::digest::{Hasher, to_hex};
use lathe_evidence::manifest::Manifest;
use lathe_evidence::statement::PAYLOAD_TYPE;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use serde_json::{Value, json};

use crate::dsse::pre_authentication_encoding;
use crate::keys::SigningKey;

/// What a model's signature is called when it lies beside the model's files.
pub const FILE_NAME: &str = "model.sig";

/// The type of the statement, as the specification has it.
const PREDICATE_TYPE: &str = "https://model_signing/signature/v1.0";

/// The bundle's media type.
const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// What separates the derived key from other uses of the workshop's.
const DERIVATION: &[u8] = b"lathe model-signing p256 v1\0";

/// The most bytes a bundle may have: a manifest of some hundred thousand files.
const BUNDLE_BYTES_MAX: usize = 64 << 20;

/// SubjectPublicKeyInfo of a P-256 key (RFC 5480), up to its uncompressed point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Characters on a line of PEM.
const PEM_LINE: usize = 64;

/// Why a bundle does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Not of the layout.
    #[error("this is not a model-signing bundle: {0}")]
    Layout(&'static str),
    /// Signed by another key, or changed.
    #[error("the bundle's signature does not hold")]
    Signature,
    /// Over other files.
    #[error("the bundle is over other files than the artifact's")]
    Files,
}

/// The key that signs bundles.
#[derive(Clone)]
pub struct ModelKey(p256::ecdsa::SigningKey);

impl ModelKey {
    /// The key that belongs to the workshop's: the same every time.
    pub fn derive(key: &SigningKey) -> Self {
        // One in 2^32 digests is no scalar of the curve: then the next is taken.
        for counter in 0..=u8::MAX {
            let mut hasher = Hasher::new();
            hasher.update(DERIVATION);
            hasher.update(&[counter]);
            hasher.update(&key.to_seed());
            if let Ok(key) = p256::ecdsa::SigningKey::from_slice(&hasher.finish().0) {
                return Self(key);
            }
        }
        unreachable!("256 digests in a row are no scalar: one in 2^8192")
    }

    /// The public key as PEM, to be handed to whoever verifies.
    pub fn public_pem(&self) -> String {
        let point = self.0.verifying_key().to_sec1_point(false);
        let body = BASE64.encode([&SPKI_PREFIX[..], point.as_bytes()].concat());
        let lines: Vec<_> = body
            .as_bytes()
            .chunks(PEM_LINE)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            lines.join("\n")
        )
    }

    /// The bundle over an artifact's files, as JSON.
    pub fn sign(&self, name: &str, manifest: &Manifest) -> String {
        let payload = statement(name, manifest).to_string();
        let message = pre_authentication_encoding(PAYLOAD_TYPE, payload.as_bytes());
        let signature: p256::ecdsa::Signature = self.0.sign(&message);
        let hint = Digest::of(self.public_pem().as_bytes());
        let bundle = json!({
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {
                "publicKey": { "hint": hint.to_string() },
                "tlogEntries": [],
            },
            "dsseEnvelope": {
                "payload": BASE64.encode(&payload),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{ "sig": BASE64.encode(signature.to_der().as_bytes()), "keyid": "" }],
            },
        });
        bundle.to_string()
    }

    /// The public half.
    pub fn public(&self) -> ModelPublicKey {
        ModelPublicKey(*self.0.verifying_key())
    }
}

/// The key that a bundle is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelPublicKey(p256::ecdsa::VerifyingKey);

impl ModelPublicKey {
    /// Reads what [`ModelKey::public_pem`] writes.
    ///
    /// # Errors
    /// It is not a P-256 key in that form.
    pub fn from_pem(text: &str) -> Result<Self, BundleError> {
        const NO_KEY: BundleError = BundleError::Layout("its key is no P-256 key in PEM");
        let body = text
            .trim()
            .strip_prefix("-----BEGIN PUBLIC KEY-----")
            .and_then(|rest| rest.strip_suffix("-----END PUBLIC KEY-----"))
            .ok_or(NO_KEY)?;
        let body: String = body.split_whitespace().collect();
        let der = BASE64.decode(body).map_err(|_| NO_KEY)?;
        let point = der.strip_prefix(&SPKI_PREFIX[..]).ok_or(NO_KEY)?;
        let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(point).map_err(|_| NO_KEY)?;
        Ok(Self(key))
    }

    /// Whether a bundle is by this key over exactly these files.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&self, bundle: &str, manifest: &Manifest) -> Result<(), BundleError> {
        if bundle.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::Layout("it is too long"));
        }
        let bundle: Value =
            serde_json::from_str(bundle).map_err(|_| BundleError::Layout("it is not JSON"))?;
        let envelope = &bundle["dsseEnvelope"];
        let decode = |value: &Value| {
            let text = value.as_str();
            text.and_then(|text| BASE64.decode(text).ok())
                .ok_or(BundleError::Layout("its envelope is not base64"))
        };
        let payload = decode(&envelope["payload"])?;
        let signature = decode(&envelope["signatures"][0]["sig"])?;
        let signature = p256::ecdsa::Signature::from_der(&signature)
            .map_err(|_| BundleError::Layout("its signature is not DER"))?;
        let message = pre_authentication_encoding(PAYLOAD_TYPE, &payload);
        self.0
            .verify(&message, &signature)
            .map_err(|_| BundleError::Signature)?;
        let said: Value = serde_json::from_slice(&payload)
            .map_err(|_| BundleError::Layout("its payload is not JSON"))?;
        let name = said["subject"][0]["name"].as_str().unwrap_or_default();
        if said != statement(name, manifest) {
            return Err(BundleError::Files);
        }
        Ok(())
    }
}

/// The in-toto statement: the subject is the SHA-256 over all files' digests in their order.
fn statement(name: &str, manifest: &Manifest) -> Value {
    let mut hasher = Hasher::new();
    let mut resources = Vec::new();
    for file in manifest.files() {
        hasher.update(&file.sha256.0);
        resources.push(json!({
            "name": file.path,
            "algorithm": "sha256",
            "digest": to_hex(&file.sha256.0),
        }));
    }
    json!({
        "_type": lathe_evidence::statement::STATEMENT_TYPE,
        "subject": [{ "name": name, "digest": { "sha256": hasher.finish().to_string() } }],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": false,
                "ignore_paths": [FILE_NAME],
            },
            "resources": resources,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_evidence::manifest::ManifestFile;

    fn manifest(content: &[u8]) -> Manifest {
        let file = |path: &str, content: &[u8]| ManifestFile {
            path: path.to_owned(),
            size: content.len() as u64,
            sha256: Digest::of(content),
        };
        Manifest::new(vec![file("b/c", content), file("a", b"a")]).unwrap()
    }

    /// DSSE's protocol.md, "Test Vectors": ECDSA over P-256 with deterministic nonces (RFC 6979).
    #[test]
    fn signatures_are_dsses() {
        let secret: Digest = "d73ec437fd6346e3619c5ebfdfff0f6916804955ad32ac9ac492b0ede1f6ffb7"
            .parse()
            .unwrap();
        let key = p256::ecdsa::SigningKey::from_slice(&secret.0).unwrap();
        let message = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        let signature: p256::ecdsa::Signature = key.sign(&message);
        assert_eq!(
            BASE64.encode(signature.to_bytes()),
            "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="
        );
    }

    #[test]
    fn a_bundle_is_over_these_files_by_this_key() {
        let key = ModelKey::derive(&SigningKey::from_seed(&[1; 32]));
        let bundle = key.sign("adapter", &manifest(b"c"));
        let pem = key.public_pem();
        let key = ModelPublicKey::from_pem(&pem).unwrap();
        assert!(ModelPublicKey::from_pem(&pem.replace('E', "F")).is_err());
        assert_eq!(key.verify(&bundle, &manifest(b"c")), Ok(()));
        assert_eq!(
            key.verify(&bundle, &manifest(b"C")),
            Err(BundleError::Files)
        );
        let other = ModelKey::derive(&SigningKey::from_seed(&[2; 32]));
        assert_eq!(
            other.public().verify(&bundle, &manifest(b"c")),
            Err(BundleError::Signature)
        );
        assert!(key.verify("{}", &manifest(b"c")).is_err());
        assert!(key.verify("", &manifest(b"c")).is_err());
    }

    #[test]
    fn the_derived_key_is_the_same_every_time() {
        let pem = |seed: u8| ModelKey::derive(&SigningKey::from_seed(&[seed; 32])).public_pem();
        assert_eq!(pem(1), pem(1));
        assert_ne!(pem(1), pem(2));
        assert!(pem(1).lines().all(|line| line.len() <= PEM_LINE));
    }
}
