//! Where somebody is logged in: 256 random bits in a cookie, of which only the SHA-256 is kept.
//!
//! A session ends by itself, when it was long unused or is old, whichever comes first. Not here: the cookie
//! (`lathe_web`), and who may begin one ([`super::login`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lathe_evidence::Digest;
use lathe_evidence::digest::to_hex;
use serde::Serialize;

use super::Person;
use crate::error::WorkshopError;
use crate::home::random_bytes;

/// How long a session may be unused.
pub const IDLE_MS_MAX: i64 = 60 * 60 * 1000;
/// How long a session lasts.
pub const SESSION_MS_MAX: i64 = 12 * 60 * 60 * 1000;
/// Sessions that one person has at once; the oldest ends first.
pub const SESSIONS_MAX: usize = 20;
/// The most of a browser's name that is kept.
pub(crate) const AGENT_CHARS_MAX: usize = 200;
/// How old what is written of the last use may be.
const WRITTEN_EVERY_MS: i64 = 60 * 1000;

/// A session as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// The SHA-256 of its id.
    pub digest: Digest,
    /// Whose it is.
    pub person: String,
    /// The browser, as it calls itself.
    pub agent: String,
    /// When it began, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last used.
    pub seen_ms: i64,
}

/// A session of this moment.
#[derive(Debug)]
pub struct Session {
    row: SessionRow,
    seen_ms: AtomicI64,
    written_ms: AtomicI64,
}

/// Somebody who is logged in, as the guard found out: in a request's extensions.
#[derive(Debug, Clone)]
pub struct Signed {
    /// Who.
    pub person: Arc<Person>,
    /// Where.
    pub session: Arc<Session>,
    /// What every form of theirs carries: it tells nothing of the cookie, and is told to whoever has that alone.
    pub csrf: String,
    /// Whether decisions are signed by the workshop's own key, and so can be made on a page.
    pub decides_here: bool,
}

/// A session as it is told to whom it belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnSession {
    /// What it is called where it is listed and ended: it tells nothing of the cookie.
    pub id: String,
    /// The browser, as it calls itself.
    pub agent: String,
    /// Whether it is the one that asks.
    pub current: bool,
    /// When it began, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last used.
    pub seen_ms: i64,
}

impl Signed {
    /// What they are told of a session of theirs.
    pub(super) fn told_of(&self, session: &Session) -> OwnSession {
        let row = session.row();
        OwnSession {
            id: session.id(),
            current: row.digest == self.session.row.digest,
            agent: row.agent,
            created_ms: row.created_ms,
            seen_ms: row.seen_ms,
        }
    }
}

impl Session {
    pub(super) fn new(row: SessionRow) -> Session {
        Session {
            seen_ms: AtomicI64::new(row.seen_ms),
            written_ms: AtomicI64::new(row.seen_ms),
            row,
        }
    }

    /// As it is now.
    pub fn row(&self) -> SessionRow {
        SessionRow {
            seen_ms: self.seen_ms.load(Ordering::Acquire),
            ..self.row.clone()
        }
    }

    /// What it is called where it is listed: it tells nothing of the cookie.
    pub fn id(&self) -> String {
        self.row.digest.short()
    }

    pub(super) fn has_ended(&self, now_ms: i64) -> bool {
        let idle_ms = now_ms - self.seen_ms.load(Ordering::Acquire);
        idle_ms >= IDLE_MS_MAX || now_ms - self.row.created_ms >= SESSION_MS_MAX
    }

    pub(super) fn note_use(&self, now_ms: i64) {
        self.seen_ms.fetch_max(now_ms, Ordering::AcqRel);
    }

    /// The last use, where what is written of it is old.
    pub(super) fn unwritten(&self) -> Option<(Digest, i64)> {
        let seen_ms = self.seen_ms.load(Ordering::Acquire);
        if seen_ms - self.written_ms.load(Ordering::Acquire) < WRITTEN_EVERY_MS {
            return None;
        }
        self.written_ms.store(seen_ms, Ordering::Release);
        Some((self.row.digest, seen_ms))
    }
}

/// A new id, as the cookie has it, and the digest that is kept.
pub(super) fn new_id() -> Result<(String, Digest), WorkshopError> {
    let id = to_hex(&random_bytes()?);
    let digest = digest_of(&id);
    Ok((id, digest))
}

/// The digest that is kept of an id.
pub(super) fn digest_of(id: &str) -> Digest {
    Digest::of(id.as_bytes())
}

/// What the forms of a session carry, made from its id, which the store does not have.
pub fn csrf_of(id: &str) -> String {
    to_hex(&Digest::of(format!("lathe csrf {id}").as_bytes()).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(created_ms: i64) -> Session {
        Session::new(SessionRow {
            digest: Digest::of(b"id"),
            person: "anna".to_owned(),
            agent: String::new(),
            created_ms,
            seen_ms: created_ms,
        })
    }

    #[test]
    fn it_ends_unused_and_it_ends_in_use() {
        let unused = session(5);
        assert!(!unused.has_ended(5 + IDLE_MS_MAX - 1));
        assert!(unused.has_ended(5 + IDLE_MS_MAX));
        let used = session(5);
        let mut now_ms = 5;
        while now_ms < 5 + SESSION_MS_MAX - 1 {
            assert!(!used.has_ended(now_ms));
            used.note_use(now_ms);
            now_ms += IDLE_MS_MAX / 2;
        }
        assert!(used.has_ended(5 + SESSION_MS_MAX));
    }

    #[test]
    fn ids_are_long_random_and_apart_from_what_forms_carry() {
        let (id, digest) = new_id().unwrap();
        assert_eq!(id.len(), 64);
        assert_eq!(digest_of(&id), digest);
        assert_ne!(new_id().unwrap().0, id);
        assert_ne!(csrf_of(&id), id);
        assert_ne!(csrf_of(&id), digest.to_string());
    }

    #[test]
    fn its_use_is_written_now_and_then() {
        let session = session(0);
        session.note_use(WRITTEN_EVERY_MS - 1);
        assert_eq!(session.unwritten(), None);
        session.note_use(WRITTEN_EVERY_MS);
        let written = (Digest::of(b"id"), WRITTEN_EVERY_MS);
        assert_eq!(session.unwritten(), Some(written));
        assert_eq!(session.unwritten(), None);
    }
}
