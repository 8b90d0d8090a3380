//! Passwords: argon2id with OWASP's parameters, kept as PHC text.
//!
//! <https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html>: 19 MiB of memory, two
//! passes, one lane. What is kept names its own parameters, so that they can be raised later. Not here: how
//! often somebody may guess.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use crate::error::WorkshopError;
use crate::home::random_bytes;

/// Kibibytes of memory of one computation.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over it.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;
/// What is kept of it.
const HASH_BYTES: usize = 32;
/// Salt of each password.
const SALT_BYTES: usize = 16;
/// The most memory that a kept password may ask for.
const MEMORY_KIB_MAX: u32 = 256 * 1024;

/// The shortest password; NIST SP 800-63B-4 asks for fifteen where it is the only factor and allows less
/// beside a bound on guesses, which there is.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// The longest one.
pub const PASSWORD_CHARS_MAX: usize = 256;

/// A password on its way: never shown, not even where an operation is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What a password is held against where there is no such person: as much work as for one there is.
/// Nobody's password has this hash but by a chance of one in 2²⁵⁶.
pub(crate) const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
                                  AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Another password in the place of one's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password now.
    pub old: Secret,
    /// The next one: 12 to 256 characters.
    pub new: Secret,
}

/// Refuses a password that is easily guessed.
///
/// # Errors
/// `person-request`.
pub fn acceptable(password: &Secret, name: &str) -> Result<(), WorkshopError> {
    let chars = password.0.chars().count();
    let refuse = |text: &str| {
        let next = "choose one of 12 to 256 characters; a few unrelated words do well";
        Err(WorkshopError::new("person-request", text, next))
    };
    if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&chars) {
        return refuse("the password is too short or too long");
    }
    let mut letters: Vec<char> = password.0.to_lowercase().chars().collect();
    letters.sort_unstable();
    letters.dedup();
    if letters.len() < 5 {
        return refuse("the password repeats few characters");
    }
    if password.0.to_lowercase().contains(name) && chars < name.chars().count() + 8 {
        return refuse("the password is little more than the name");
    }
    Ok(())
}

/// The hash of a password under a new salt, as PHC text. Takes some 20 ms: never on a thread that serves.
///
/// # Errors
/// `home-io` when the system gives no randomness.
pub fn hashed(password: &Secret) -> Result<String, WorkshopError> {
    let salt = &random_bytes()?[..SALT_BYTES];
    let hash = computed(password, (MEMORY_KIB, PASSES, LANES), salt).ok_or_else(|| {
        WorkshopError::new(
            "person-request",
            "cannot hash the password: there is not enough memory",
            "free some memory, then try again",
        )
    })?;
    let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
    Ok(format!(
        "$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${salt}${hash}"
    ))
}

/// Whether `password` has the hash that PHC text `kept` tells. Equal work whatever the answer.
pub fn matches(kept: &str, password: &Secret) -> bool {
    let read = read(kept).and_then(|(costs, salt, hash)| {
        let computed = computed(password, costs, &salt)?;
        Some(bool::from(computed.ct_eq(hash.as_slice())))
    });
    read.unwrap_or(false)
}

fn computed(
    password: &Secret,
    (memory, passes, lanes): (u32, u32, u32),
    salt: &[u8],
) -> Option<[u8; HASH_BYTES]> {
    let params = Params::new(memory, passes, lanes, Some(HASH_BYTES)).ok()?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hash = [0; HASH_BYTES];
    argon
        .hash_password_into(password.0.as_bytes(), salt, &mut hash)
        .ok()?;
    Some(hash)
}

type Kept = ((u32, u32, u32), Vec<u8>, Vec<u8>);

/// Costs, salt and hash of PHC text; none for another function, another version or costs beyond reason.
fn read(kept: &str) -> Option<Kept> {
    let rest = kept.strip_prefix("$argon2id$v=19$")?;
    let mut parts = rest.split('$');
    let mut costs = parts.next()?.split(',');
    let mut cost = |name: &str| -> Option<u32> { costs.next()?.strip_prefix(name)?.parse().ok() };
    let (memory, passes, lanes) = (cost("m=")?, cost("t=")?, cost("p=")?);
    let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let hash = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
    let sane = memory <= MEMORY_KIB_MAX && passes <= 16 && lanes <= 16 && hash.len() == HASH_BYTES;
    (sane && parts.next().is_none()).then_some(((memory, passes, lanes), salt, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    #[test]
    fn a_password_has_its_own_hash_alone() {
        let first = hashed(&secret("correct horse battery")).unwrap();
        let again = hashed(&secret("correct horse battery")).unwrap();
        assert!(first.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_ne!(first, again, "salts are never the same");
        assert!(matches(&first, &secret("correct horse battery")));
        assert!(!matches(&first, &secret("correct horse batterY")));
    }

    #[test]
    fn a_kept_password_is_as_the_reference_implementation_writes_it() {
        // `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 -e`, the first test vector of version
        // 1.3 in the reference implementation's src/test.c:
        // github.com/P-H-C/phc-winner-argon2
        let kept = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$\
                    CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(matches(kept, &secret("password")));
        assert!(!matches(kept, &secret("passwords")));
    }

    #[test]
    fn nobodys_password_costs_as_much_as_anybodys() {
        let kept = hashed(&secret("correct horse battery")).unwrap();
        let costs = |kept: &str| read(kept).map(|(costs, salt, _)| (costs, salt.len()));
        assert!(costs(NOBODYS).is_some());
        assert_eq!(costs(NOBODYS), costs(&kept));
        assert!(!matches(NOBODYS, &secret("")));
    }

    #[test]
    fn what_is_no_kept_password_is_nobodys() {
        for kept in [
            "",
            "$argon2i$v=19$m=19456,t=2,p=1$AAAA$AAAA",
            "$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
            "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ",
            "plain",
        ] {
            assert!(!matches(kept, &secret("password")), "{kept}");
        }
    }

    #[test]
    fn what_is_easily_guessed_is_refused() {
        for password in [
            "short",
            "aaaaaaaaaaaaaaaa",
            "anna.berg12",
            &"x y".repeat(200),
        ] {
            let refused = acceptable(&secret(password), "anna.berg").unwrap_err();
            assert_eq!(refused.code(), "person-request", "{password}");
        }
        assert!(acceptable(&secret("anna.berg-123"), "anna.berg").is_err());
        assert!(acceptable(&secret("四个互不相干的词语放在一起用"), "anna").is_ok());
        assert!(acceptable(&secret("correct horse battery"), "anna").is_ok());
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        assert_eq!(format!("{:?}", secret("hidden")), "Secret(…)");
    }
}
