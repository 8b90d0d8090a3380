//! The brake on guessing passwords: so many attempts for a name and from an address within a while.
//!
//! An attempt counts before its password is looked at, so that many at once do not slip through; one that
//! succeeds is taken back. Names that nobody has are counted like others. What is remembered is bounded: the
//! oldest is forgotten first.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Attempts for one name within [`WINDOW_MS`].
pub const NAME_ATTEMPTS_MAX: u32 = 10;
/// Attempts from one address within [`WINDOW_MS`].
pub const ADDRESS_ATTEMPTS_MAX: u32 = 40;
/// How long attempts are remembered.
pub const WINDOW_MS: i64 = 15 * 60 * 1000;
/// Names and addresses that are remembered.
const REMEMBERED_MAX: usize = 20_000;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Of {
    Name(String),
    Address([u8; 16]),
}

#[derive(Debug, Clone, Copy)]
struct Attempts {
    since_ms: i64,
    count: u32,
}

/// The attempts of late.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    attempts: BTreeMap<Of, Attempts>,
}

impl Brake {
    /// Counts an attempt, or says after how many seconds there may be another.
    pub(crate) fn attempt(
        &mut self,
        name: &str,
        address: Option<IpAddr>,
        now_ms: i64,
    ) -> Result<(), u64> {
        self.count_all(keys(name, address), now_ms)
    }

    /// As [`Brake::attempt`] where no name is given: by address alone.
    #[cfg(feature = "oidc")]
    pub(crate) fn attempt_from(&mut self, address: Option<IpAddr>, now_ms: i64) -> Result<(), u64> {
        let of = address.map(|it| (Of::Address(network(it)), ADDRESS_ATTEMPTS_MAX));
        self.count_all(of.into_iter().collect(), now_ms)
    }

    fn count_all(&mut self, of: Vec<(Of, u32)>, now_ms: i64) -> Result<(), u64> {
        let waits = of.iter().filter_map(|(of, max)| {
            let attempts = self.attempts.get(of)?;
            let ends_ms = attempts.since_ms + WINDOW_MS;
            (attempts.count >= *max && ends_ms > now_ms).then_some(ends_ms - now_ms)
        });
        if let Some(wait_ms) = waits.max() {
            return Err(wait_ms.unsigned_abs().div_ceil(1000).max(1));
        }
        for (of, _) in of {
            self.count(of, now_ms);
        }
        Ok(())
    }

    /// Takes an attempt back that succeeded: the name begins anew, the address has one less.
    pub(crate) fn succeeded(&mut self, name: &str, address: Option<IpAddr>) {
        self.attempts.remove(&Of::Name(name.to_owned()));
        self.succeeded_from(address);
    }

    /// As [`Brake::succeeded`] where no name is given.
    pub(crate) fn succeeded_from(&mut self, address: Option<IpAddr>) {
        let of = address.map(|it| Of::Address(network(it)));
        if let Some(attempts) = of.and_then(|of| self.attempts.get_mut(&of)) {
            attempts.count = attempts.count.saturating_sub(1);
        }
    }

    fn count(&mut self, of: Of, now_ms: i64) {
        if !self.attempts.contains_key(&of) {
            self.make_room(now_ms);
        }
        let fresh = Attempts {
            since_ms: now_ms,
            count: 0,
        };
        let attempts = self.attempts.entry(of).or_insert(fresh);
        if attempts.since_ms + WINDOW_MS <= now_ms {
            *attempts = fresh;
        }
        attempts.count += 1;
    }

    fn make_room(&mut self, now_ms: i64) {
        if self.attempts.len() < REMEMBERED_MAX {
            return;
        }
        self.attempts
            .retain(|_, it| it.since_ms + WINDOW_MS > now_ms);
        while self.attempts.len() >= REMEMBERED_MAX {
            let oldest = self.attempts.iter().min_by_key(|(_, it)| it.since_ms);
            let Some(oldest) = oldest.map(|(of, _)| of.clone()) else {
                return;
            };
            self.attempts.remove(&oldest);
        }
    }
}

/// What an attempt is counted under, and how often each may be.
fn keys(name: &str, address: Option<IpAddr>) -> Vec<(Of, u32)> {
    let mut of = vec![(Of::Name(name.to_owned()), NAME_ATTEMPTS_MAX)];
    of.extend(address.map(|it| (Of::Address(network(it)), ADDRESS_ATTEMPTS_MAX)));
    of
}

/// The address; of IPv6 the /64, which one household or machine has whole.
fn network(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            octets
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_name_is_guessed_at_so_often_and_then_after_a_while() {
        let mut brake = Brake::default();
        for at in 0..NAME_ATTEMPTS_MAX {
            let from = address(&format!("10.0.0.{at}"));
            assert_eq!(brake.attempt("anna", from, 1000), Ok(()));
        }
        assert_eq!(brake.attempt("anna", address("10.9.9.9"), 1000), Err(900));
        assert_eq!(brake.attempt("ben", address("10.9.9.9"), 1000), Ok(()));
        let later = 1000 + WINDOW_MS;
        assert_eq!(brake.attempt("anna", None, later - 1), Err(1));
        assert_eq!(brake.attempt("anna", None, later), Ok(()));
    }

    #[cfg(feature = "oidc")]
    #[test]
    fn who_gives_no_name_is_braked_by_address() {
        let mut brake = Brake::default();
        for _ in 0..ADDRESS_ATTEMPTS_MAX {
            assert_eq!(brake.attempt_from(address("10.0.0.1"), 0), Ok(()));
        }
        assert_eq!(brake.attempt_from(address("10.0.0.1"), 0), Err(900));
        // With passwords, too; and each that succeeds leaves room for one.
        assert_eq!(brake.attempt("anna", address("10.0.0.1"), 0), Err(900));
        brake.succeeded_from(address("10.0.0.1"));
        assert_eq!(brake.attempt_from(address("10.0.0.1"), 0), Ok(()));
        assert_eq!(brake.attempt_from(address("10.0.0.2"), 0), Ok(()));
        assert_eq!(brake.attempt_from(None, 0), Ok(()));
    }

    #[test]
    fn an_address_cannot_go_through_all_names() {
        let mut brake = Brake::default();
        for at in 0..ADDRESS_ATTEMPTS_MAX {
            // One machine may take any address of its /64.
            let from = address(&format!("2001:db8::{at:x}"));
            assert_eq!(brake.attempt(&format!("name{at}"), from, 0), Ok(()));
        }
        let from = address("2001:db8::ffff");
        assert!(brake.attempt("another", from, 0).is_err());
        assert_eq!(
            brake.attempt("another", address("2001:db8:1::1"), 0),
            Ok(())
        );
    }

    #[test]
    fn who_succeeds_begins_anew() {
        let mut brake = Brake::default();
        for _ in 0..100 {
            assert_eq!(brake.attempt("anna", address("10.0.0.1"), 0), Ok(()));
            brake.succeeded("anna", address("10.0.0.1"));
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut brake = Brake::default();
        for at in 0..REMEMBERED_MAX + 5 {
            let now = i64::try_from(at).unwrap();
            assert_eq!(brake.attempt(&format!("name{at}"), None, now), Ok(()));
        }
        assert_eq!(brake.attempts.len(), REMEMBERED_MAX);
        assert!(!brake.attempts.contains_key(&Of::Name("name0".to_owned())));
    }
}
