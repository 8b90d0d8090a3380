//! Sign-ins that were begun: what has to come back from a provider, by the digest of the browser's cookie.
//!
//! Each is taken out once, so that nothing is replayed; it is forgotten after a while, and the oldest first
//! where there are too many. It is kept in memory alone: after a restart one begins again.

use std::collections::BTreeMap;

use lathe_evidence::Digest;

/// How long a sign-in may take.
pub(super) const BEGUN_MS_MAX: i64 = 10 * 60 * 1000;
/// Sign-ins that are remembered.
const BEGUN_MAX: usize = 10_000;

/// What was sent to the provider, and what was not.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// The way that it was begun by.
    pub way: String,
    /// What the browser has to bring back.
    pub state: String,
    /// What the token has to say.
    pub nonce: String,
    /// What proves to the provider that it was us who asked (PKCE).
    pub verifier: String,
    /// Where to go afterwards.
    pub next: String,
    /// When it was begun.
    pub since_ms: i64,
}

/// The sign-ins of late.
#[derive(Default)]
pub(super) struct BegunOnes(BTreeMap<Digest, Asked>);

impl std::fmt::Debug for BegunOnes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BegunOnes({})", self.0.len())
    }
}

impl BegunOnes {
    pub(super) fn put(&mut self, id: Digest, asked: Asked) {
        if self.0.len() >= BEGUN_MAX {
            let now_ms = asked.since_ms;
            self.0.retain(|_, it| now_ms - it.since_ms < BEGUN_MS_MAX);
        }
        while self.0.len() >= BEGUN_MAX {
            let oldest = self.0.iter().min_by_key(|(_, it)| it.since_ms);
            let Some(oldest) = oldest.map(|(id, _)| *id) else {
                break;
            };
            self.0.remove(&oldest);
        }
        self.0.insert(id, asked);
    }

    /// The one of this id, which is begun no more; none that took too long.
    pub(super) fn take(&mut self, id: Digest, now_ms: i64) -> Option<Asked> {
        let asked = self.0.remove(&id)?;
        (now_ms - asked.since_ms < BEGUN_MS_MAX).then_some(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(since_ms: i64) -> Asked {
        Asked {
            way: "plant".to_owned(),
            state: "s".to_owned(),
            nonce: "n".to_owned(),
            verifier: "v".to_owned(),
            next: String::new(),
            since_ms,
        }
    }

    fn id(number: usize) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    #[test]
    fn each_comes_back_once_and_not_late() {
        let mut begun = BegunOnes::default();
        begun.put(id(1), asked(5));
        begun.put(id(2), asked(5));
        assert!(begun.take(id(3), 5).is_none());
        assert!(begun.take(id(1), 5 + BEGUN_MS_MAX - 1).is_some());
        assert!(begun.take(id(1), 6).is_none());
        assert!(begun.take(id(2), 5 + BEGUN_MS_MAX).is_none());
    }

    #[test]
    fn the_oldest_goes_where_there_are_too_many() {
        let mut begun = BegunOnes::default();
        for at in 0..=BEGUN_MAX {
            begun.put(id(at), asked(i64::try_from(at).unwrap()));
        }
        assert_eq!(begun.0.len(), BEGUN_MAX);
        let now_ms = i64::try_from(BEGUN_MAX).unwrap();
        assert!(begun.take(id(0), now_ms).is_none());
        assert!(begun.take(id(1), now_ms).is_some());
    }
}
