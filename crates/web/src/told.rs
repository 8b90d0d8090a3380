//! What a page says once, after a form was sent: what was done, and a password that was made for it.
//!
//! Whoever sent the form is led to an address that carries a random number and nothing else; the session that sent
//! it takes what is kept under the number away. It is kept in memory, for a moment, and little at once: what nobody
//! fetches is forgotten, a password with it. Not here: what stands as long as the thing itself (`?decided=` of a
//! registration).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lathe_evidence::Digest;
use lathe_evidence::digest::to_hex;
use lathe_workshop::WorkshopError;
use lathe_workshop::home::random_bytes;
use lathe_workshop::people::{Secret, Signed};
use serde::Deserialize;

/// How long it is kept for whoever is on the way to it.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// How much is kept at once; the oldest goes first.
const KEPT_MAX: usize = 256;

/// What is said once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    /// What was done: a key of the catalogue with a place for `value`.
    pub key: &'static str,
    /// Whom it was done to, as people call them.
    pub value: String,
    /// The name that they log in by.
    pub name: String,
    /// A password that was made.
    pub made: Option<Secret>,
}

/// `?told=`: somebody comes from a form.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Coming {
    told: Option<String>,
}

/// The number under which something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number(String);

/// What waits to be said.
#[derive(Debug, Default)]
pub(crate) struct Board {
    kept: Mutex<VecDeque<Kept>>,
}

#[derive(Debug)]
struct Kept {
    number: String,
    /// The session whose form it was; none where nobody logs in.
    session: Option<Digest>,
    since: Instant,
    told: Told,
}

impl Number {
    /// A new one; taken before something is done, so that a password that was made is never without.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new() -> Result<Number, WorkshopError> {
        Ok(Number(to_hex(&random_bytes()?)))
    }

    /// The address of `path` that says it.
    pub fn of(&self, path: &str) -> String {
        format!("{path}?told={}", self.0)
    }
}

impl Board {
    /// Keeps it for the session that reads.
    pub fn keep(&self, number: &Number, who: Option<&Signed>, told: Told) {
        self.keep_at(Instant::now(), number, session_of(who), told);
    }

    /// What is said to whoever comes from a form, this once.
    pub fn take(&self, coming: &Coming, who: Option<&Signed>) -> Option<Told> {
        let number = coming.told.as_deref()?;
        self.take_at(Instant::now(), number, session_of(who))
    }

    fn keep_at(&self, now: Instant, number: &Number, session: Option<Digest>, told: Told) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|it| now.duration_since(it.since) < KEPT_FOR);
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(Kept {
            number: number.0.clone(),
            session,
            since: now,
            told,
        });
    }

    fn take_at(&self, now: Instant, number: &str, session: Option<Digest>) -> Option<Told> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|it| now.duration_since(it.since) < KEPT_FOR);
        let own = |it: &Kept| it.number == number && it.session == session;
        let at = kept.iter().position(own)?;
        kept.remove(at).map(|it| it.told)
    }
}

fn session_of(who: Option<&Signed>) -> Option<Digest> {
    who.map(|who| who.session.row().digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &str) -> Told {
        Told {
            key: "web.people.told.added",
            value: value.to_owned(),
            name: value.to_owned(),
            made: Some(Secret("a password".to_owned())),
        }
    }

    #[test]
    fn it_is_said_once_and_to_the_session_alone_whose_form_it_was() {
        let (board, now) = (Board::default(), Instant::now());
        let session = Some(Digest::of(b"a session"));
        let number = Number::new().expect("randomness");
        board.keep_at(now, &number, session, told("anna"));
        assert_eq!(board.take_at(now, "another", session), None);
        for other in [None, Some(Digest::of(b"another session"))] {
            assert_eq!(board.take_at(now, &number.0, other), None);
        }
        let address = number.of("/people/anna");
        assert!(!address.contains("password"), "{address}");
        assert_eq!(board.take_at(now, &number.0, session), Some(told("anna")));
        assert_eq!(board.take_at(now, &number.0, session), None);
    }

    #[test]
    fn what_nobody_fetches_is_forgotten() {
        let (board, now) = (Board::default(), Instant::now());
        let number = Number::new().expect("randomness");
        board.keep_at(now, &number, None, told("anna"));
        assert_eq!(board.take_at(now + KEPT_FOR, &number.0, None), None);
        for value in 0..=KEPT_MAX {
            let number = Number(value.to_string());
            board.keep_at(now, &number, None, told(&number.0.clone()));
        }
        assert_eq!(board.take_at(now, "0", None), None);
        assert_eq!(board.take_at(now, "1", None), Some(told("1")));
    }
}
