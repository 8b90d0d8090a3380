//! Keys: Ed25519 pairs, how they are written down, and the id they are known by.
//!
//! A key is made from 32 random bytes that the caller brings; nothing here reads a file, a clock or
//! the system's randomness. Verifying is strict (RFC 8032 with the checks of `verify_strict`): one
//! message has one signature by one key, and keys of small order are refused.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::Signer as _;
use lathe_evidence::Digest;
use lathe_evidence::statement::{KeyRecord, Role};

/// The number of bytes in a seed and in a public key.
pub const KEY_BYTES: usize = 32;

/// The number of bytes in a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A signature.
pub type Signature = [u8; SIGNATURE_BYTES];

/// The most characters a written key may have.
const TEXT_BYTES_MAX: usize = 4096;

/// PKCS #8 of an Ed25519 seed (RFC 8410, section 7), up to the seed itself.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4), up to the key itself.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

const PRIVATE_LABEL: &str = "PRIVATE KEY";
const PUBLIC_LABEL: &str = "PUBLIC KEY";

/// Why a text is not a key, or a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not the private key of an Ed25519 pair in PKCS #8 PEM.
    #[error(
        "this is not an Ed25519 private key: {0}; it is written as PKCS #8 PEM, as `openssl genpkey -algorithm ed25519` writes it"
    )]
    Private(&'static str),
    /// Not a public key.
    #[error(
        "this is not an Ed25519 public key: {0}; it is written as PEM, or as the base64 of its 32 bytes"
    )]
    Public(&'static str),
    /// A record whose id is not the digest of its key.
    #[error("the key record names the id {named}, but the id of its public key is {found}")]
    Id {
        /// As the record says.
        named: Digest,
        /// As computed.
        found: Digest,
    },
    /// The signature is not by this key over these bytes.
    #[error("the signature of key {0} does not hold over these bytes")]
    Signature(Digest),
}

/// A private key. It is overwritten in memory when dropped and never printed.
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of 32 secret bytes, which the caller took from the system's randomness.
    pub fn from_seed(seed: &[u8; KEY_BYTES]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// The key written as PKCS #8 in PEM.
    ///
    /// # Errors
    /// Another form, another algorithm, anything around it.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = from_pem(text, PRIVATE_LABEL).map_err(KeyError::Private)?;
        let seed = der
            .strip_prefix(&PKCS8_PREFIX[..])
            .and_then(|rest| rest.try_into().ok())
            .ok_or(KeyError::Private("it holds another kind of key"))?;
        Ok(Self::from_seed(seed))
    }

    /// The key as PKCS #8 in PEM.
    pub fn to_pem(&self) -> String {
        to_pem(PRIVATE_LABEL, &PKCS8_PREFIX, &self.0.to_bytes())
    }

    /// Its 32 secret bytes, from which other keys are derived.
    pub(crate) fn to_seed(&self) -> [u8; KEY_BYTES] {
        self.0.to_bytes()
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// What it is known by: the SHA-256 of its 32 public bytes.
    pub fn id(&self) -> Digest {
        self.public().id()
    }

    /// The signature over `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id().short())
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// The key of these 32 bytes.
    ///
    /// # Errors
    /// No point of the curve, or one of small order.
    pub fn from_bytes(bytes: &[u8; KEY_BYTES]) -> Result<Self, KeyError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(bytes)
            .map_err(|_| KeyError::Public("its bytes are no point of the curve"))?;
        if key.is_weak() {
            return Err(KeyError::Public("it is of small order"));
        }
        // Two encodings of one point would be two ids of one key.
        if key.to_edwards().compress().as_bytes() != bytes {
            return Err(KeyError::Public("its bytes are not the shortest form"));
        }
        Ok(Self(key))
    }

    /// The key whose 32 bytes are written in base64.
    ///
    /// # Errors
    /// Other characters, another length, or no usable point.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(KeyError::Public("it is too long"));
        }
        let bytes = BASE64
            .decode(text)
            .map_err(|_| KeyError::Public("it is not base64"))?;
        let bytes = bytes
            .as_slice()
            .try_into()
            .map_err(|_| KeyError::Public("it does not have 32 bytes"))?;
        Self::from_bytes(bytes)
    }

    /// The key as a person hands it over: PEM, or base64 of its 32 bytes; white space around it is
    /// left out.
    ///
    /// # Errors
    /// Neither form.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        if !text.trim_start().starts_with("-----BEGIN") {
            return Self::from_base64(text.trim());
        }
        let der = from_pem(text, PUBLIC_LABEL).map_err(KeyError::Public)?;
        let bytes = der
            .strip_prefix(&SPKI_PREFIX[..])
            .and_then(|rest| rest.try_into().ok())
            .ok_or(KeyError::Public("it holds another kind of key"))?;
        Self::from_bytes(bytes)
    }

    /// The key of a record in a statement.
    ///
    /// # Errors
    /// No usable key, or an id that is not its own.
    pub fn of_record(record: &KeyRecord) -> Result<Self, KeyError> {
        let key = Self::from_base64(&record.public)?;
        if key.id() != record.id {
            return Err(KeyError::Id {
                named: record.id,
                found: key.id(),
            });
        }
        Ok(key)
    }

    /// The record of this key for a statement, its roles in order and none twice.
    pub fn to_record(&self, name: &str, roles: &[Role]) -> KeyRecord {
        let mut roles = roles.to_vec();
        roles.sort_unstable();
        roles.dedup();
        KeyRecord {
            id: self.id(),
            public: self.to_base64(),
            name: name.to_owned(),
            roles,
        }
    }

    /// Its 32 bytes.
    pub fn to_bytes(&self) -> [u8; KEY_BYTES] {
        self.0.to_bytes()
    }

    /// Its 32 bytes in base64.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0.as_bytes())
    }

    /// As SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> String {
        to_pem(PUBLIC_LABEL, &SPKI_PREFIX, self.0.as_bytes())
    }

    /// What it is known by: the SHA-256 of its 32 bytes.
    pub fn id(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// Whether `signature` is by this key over `message`.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| KeyError::Signature(self.id()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_base64())
    }
}

/// PEM of at most 48 bytes: one line of base64.
fn to_pem(label: &str, prefix: &[u8], key: &[u8; KEY_BYTES]) -> String {
    let body = BASE64.encode([prefix, key].concat());
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

fn from_pem(text: &str, label: &str) -> Result<Vec<u8>, &'static str> {
    if text.len() > TEXT_BYTES_MAX {
        return Err("it is too long");
    }
    let body = text
        .trim()
        .strip_prefix(&format!("-----BEGIN {label}-----"))
        .and_then(|rest| rest.strip_suffix(&format!("-----END {label}-----")))
        .ok_or("its first or last line is another")?;
    let joined: String = body.split_ascii_whitespace().collect();
    BASE64.decode(joined).map_err(|_| "it is not base64")
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_evidence::digest::from_hex;

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        from_hex(hex).unwrap().try_into().unwrap()
    }

    /// RFC 8032, section 7.1: TEST 1, TEST 2, TEST 3 and TEST SHA(abc).
    #[test]
    fn signatures_are_the_rfcs() {
        let check = |seed: &str, public: &str, message: &str, signature: &str| {
            let key = SigningKey::from_seed(&bytes(seed));
            let message = from_hex(message).unwrap();
            assert_eq!(key.public().to_bytes(), bytes::<32>(public));
            assert_eq!(key.sign(&message), bytes::<64>(signature));
            assert!(key.public().verify(&message, &bytes(signature)).is_ok());
            let mut changed = bytes::<64>(signature);
            changed[40] ^= 1;
            assert_eq!(
                key.public().verify(&message, &changed),
                Err(KeyError::Signature(key.id()))
            );
        };
        check(
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        );
        check(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        check(
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        );
        check(
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
        );
    }

    /// RFC 8410, sections 10.1 and 10.3.
    #[test]
    fn pem_is_the_rfcs() {
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
        let key = SigningKey::from_pem(private).unwrap();
        assert_eq!(key.to_pem(), private);
        assert_eq!(key.public().to_pem(), public);
        assert_eq!(PublicKey::from_text(public).unwrap(), key.public());
        let base64 = key.public().to_base64();
        assert_eq!(
            PublicKey::from_text(&format!(" {base64}\n")).unwrap(),
            key.public()
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let key = SigningKey::from_seed(&[7; 32]);
        assert!(SigningKey::from_pem(&key.public().to_pem()).is_err());
        assert!(SigningKey::from_pem("").is_err());
        assert!(PublicKey::from_text(&key.to_pem()).is_err());
        assert!(PublicKey::from_base64("AAAA").is_err());
        assert!(PublicKey::from_base64(&" ".repeat(1 << 20)).is_err());
        // The identity (small order), and y = p + 1, the identity written longer than needed.
        let identity = bytes("0100000000000000000000000000000000000000000000000000000000000000");
        assert!(PublicKey::from_bytes(&identity).is_err());
        let long = bytes("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
        assert!(PublicKey::from_bytes(&long).is_err());
    }

    #[test]
    fn a_record_names_its_key() {
        let key = SigningKey::from_seed(&[7; 32]).public();
        let mut record = key.to_record("workshop", &[Role::Tuner, Role::Root, Role::Tuner]);
        assert_eq!(record.roles, [Role::Root, Role::Tuner]);
        assert_eq!(PublicKey::of_record(&record).unwrap(), key);
        record.id = Digest::of(b"other");
        assert!(matches!(
            PublicKey::of_record(&record),
            Err(KeyError::Id { .. })
        ));
    }

    #[test]
    fn a_private_key_is_not_printed() {
        let key = SigningKey::from_seed(&[0xab; 32]);
        assert!(!format!("{key:?}").contains("abab"));
    }
}
