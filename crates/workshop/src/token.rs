//! Keys of the API (access tokens): what one opens, and how much may be asked with it.
//!
//! A key is `lathe-` and 256 bits of the system's randomness in hexadecimal. It is shown once; what is
//! kept is its SHA-256. A slow hash such as argon2 protects secrets that people choose, which can be
//! guessed one after another; 2²⁵⁶ keys cannot, whatever a guess costs, and every request would pay.
//!
//! Issued and revoked are statements in the ledger, since they say who may ask. Not here: where a key
//! is asked for (`lathe_web`), what is counted when (`lathe_serve`), and the keys that sign (`keyring`).

mod meter;
mod own;
mod ring;

use std::fmt::Write as _;

use lathe_evidence::Digest;
use serde::{Deserialize, Serialize};

use crate::error::WorkshopError;
use crate::home::random_bytes;
use crate::people::COMMON;

pub use lathe_evidence::statement::AccessScope as Scope;
pub use meter::{Level, Short, Standing};
pub use own::{issue_own, own_of, withdraw_own};
pub use ring::{Caller, Stranger, Token, Tokens, Unfit};

/// What every key begins with, so that people and scanners for leaked secrets know one when they see it.
pub const KEY_PREFIX: &str = "lathe-";

/// The most keys that a workshop keeps, revoked ones with them.
pub const TOKENS_MAX: usize = 1000;

/// The longest name of a key.
pub const NAME_CHARS_MAX: usize = 100;

/// The most models that one key names.
pub const MODELS_MAX: usize = 100;

/// The longest life of a key that ends by itself.
pub const EXPIRES_DAYS_MAX: u32 = 36_500;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// How much may be asked with a key; what is absent is not limited.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allowance {
    /// Requests within a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers within a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u32>,
    /// Tokens of prompts and answers within a day, by UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
}

/// A key to be issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// Whom or what it is for.
    pub name: String,
    /// What it opens; answers unless given.
    #[serde(default = "answers")]
    pub scopes: Vec<Scope>,
    /// The models it may ask, by name; all unless given.
    #[serde(default)]
    pub models: Vec<String>,
    /// The project it is for, whose things alone it opens; the whole workshop unless given.
    #[serde(default = "common", skip_serializing_if = "is_common")]
    pub project: String,
    /// Days after which it opens nothing; without end unless given.
    #[serde(default)]
    pub expires_days: Option<u32>,
    /// How much may be asked with it.
    #[serde(default)]
    pub allowance: Allowance,
}

fn answers() -> Vec<Scope> {
    vec![Scope::Answer]
}

fn common() -> String {
    COMMON.to_owned()
}

fn is_common(project: &str) -> bool {
    project == COMMON
}

/// A key as the store has it. The key itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id: the first digits of its digest.
    pub id: String,
    /// Whom or what it is for.
    pub name: String,
    /// The SHA-256 of the key.
    pub digest: Digest,
    /// What it opens; sorted, none twice.
    pub scopes: Vec<Scope>,
    /// The models it may ask; empty for all.
    pub models: Vec<String>,
    /// The project whose things it opens; the common one for those of the whole workshop.
    pub project: String,
    /// How much may be asked with it.
    pub allowance: Allowance,
    /// When it was issued, milliseconds since 1970.
    pub created_ms: i64,
    /// When it ends.
    pub expires_ms: Option<i64>,
    /// When it was taken back.
    pub revoked_ms: Option<i64>,
    /// When it was last presented; at most a few seconds old.
    pub last_used_ms: Option<i64>,
}

/// What was asked with a key on one day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUse {
    /// Days since 1970, by UTC.
    pub day: i64,
    /// Requests, refused ones with them.
    pub requests: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub answer_tokens: u64,
}

/// What is to be written of a key's use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenUse {
    /// Which key.
    pub id: String,
    /// When it was last presented.
    pub last_used_ms: Option<i64>,
    /// Whole days of it, each in place of what was written before.
    pub days: Vec<DayUse>,
}

/// The day of a moment, by UTC.
fn day_of(now_ms: i64) -> i64 {
    now_ms.div_euclid(DAY_MS)
}

/// A new key: what is shown once, and the digest that is kept.
///
/// # Errors
/// When the system gives no randomness.
pub fn new_key() -> Result<(String, Digest), WorkshopError> {
    let mut key = KEY_PREFIX.to_owned();
    for byte in random_bytes()? {
        write!(key, "{byte:02x}").expect("a string takes all");
    }
    let digest = Digest::of(key.as_bytes());
    Ok((key, digest))
}

/// The row of a key that is asked for, issued at `now_ms`.
///
/// # Errors
/// `token-request` when what is asked for is not a key.
pub fn row_of(
    request: TokenRequest,
    digest: Digest,
    now_ms: i64,
) -> Result<TokenRow, WorkshopError> {
    let refuse = |text: String, next: &str| Err(WorkshopError::new("token-request", text, next));
    let chars = request.name.trim().chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) || request.name.chars().any(char::is_control) {
        let text =
            format!("cannot issue a key: its name has {chars} characters or unprintable ones");
        return refuse(
            text,
            "name whom or what it is for, in at most 100 characters",
        );
    }
    let mut scopes = request.scopes;
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.is_empty() {
        let next = "give at least one of answer, feedback, tune, models, metrics, admin";
        return refuse("cannot issue a key that opens nothing".to_owned(), next);
    }
    if request.models.len() > MODELS_MAX {
        let text = format!("cannot issue a key for {} models", request.models.len());
        return refuse(text, "name at most 100, or none for all");
    }
    let days = request.expires_days;
    if days.is_some_and(|days| !(1..=EXPIRES_DAYS_MAX).contains(&days)) {
        let text = "cannot issue a key: its days are not from 1 to 36500".to_owned();
        return refuse(text, "give fewer days, or none for a key without end");
    }
    let Allowance {
        requests_per_minute,
        tokens_per_minute,
        tokens_per_day,
    } = request.allowance;
    let limits = [
        requests_per_minute.map(u64::from),
        tokens_per_minute.map(u64::from),
        tokens_per_day,
    ];
    if limits.contains(&Some(0)) {
        let text = "cannot issue a key with a limit of 0: nothing could be asked with it";
        return refuse(
            text.to_owned(),
            "give a limit of 1 or more, or leave it out",
        );
    }
    Ok(TokenRow {
        id: digest.short(),
        name: request.name.trim().to_owned(),
        digest,
        scopes,
        models: request.models,
        project: request.project,
        allowance: request.allowance,
        created_ms: now_ms,
        expires_ms: days.map(|days| now_ms + i64::from(days) * DAY_MS),
        revoked_ms: None,
        last_used_ms: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> TokenRequest {
        TokenRequest {
            name: "the shop".to_owned(),
            scopes: vec![Scope::Metrics, Scope::Answer, Scope::Metrics],
            models: Vec::new(),
            project: COMMON.to_owned(),
            expires_days: Some(2),
            allowance: Allowance::default(),
        }
    }

    #[test]
    fn keys_are_long_random_and_never_twice_the_same() {
        let (key, digest) = new_key().unwrap();
        assert_eq!(key.len(), KEY_PREFIX.len() + 64);
        assert!(key.starts_with(KEY_PREFIX));
        assert_eq!(digest, Digest::of(key.as_bytes()));
        assert_ne!(new_key().unwrap().0, key);
    }

    #[test]
    fn a_row_says_what_was_asked_for() {
        let row = row_of(request(), Digest::of(b"key"), 5).unwrap();
        assert_eq!(row.scopes, [Scope::Answer, Scope::Metrics]);
        assert_eq!(row.expires_ms, Some(5 + 2 * DAY_MS));
        assert_eq!(row.id, Digest::of(b"key").short());
    }

    #[test]
    fn what_would_open_nothing_is_refused() {
        let refused = |change: fn(&mut TokenRequest)| {
            let mut asked = request();
            change(&mut asked);
            row_of(asked, Digest::of(b"key"), 5).unwrap_err().code()
        };
        let changes: [fn(&mut TokenRequest); 8] = [
            |it| it.name = " ".to_owned(),
            |it| it.name = "x".repeat(NAME_CHARS_MAX + 1),
            |it| it.name = "a\nb".to_owned(),
            |it| it.scopes.clear(),
            |it| it.expires_days = Some(0),
            |it| it.models = vec![String::new(); MODELS_MAX + 1],
            |it| it.allowance.tokens_per_day = Some(0),
            |it| it.allowance.requests_per_minute = Some(0),
        ];
        for change in changes {
            assert_eq!(refused(change), "token-request");
        }
    }
}
