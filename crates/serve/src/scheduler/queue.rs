//! What waits for a slot, and whose turn it is.
//!
//! What is more urgent goes first. Among equals it is the caller with the fewest answers under way, among
//! such callers the one that has waited longest. So a caller with a hundred requests does not starve one with a single one, and nobody is
//! passed by for ever: who holds nothing, came first and let nobody past of
//! his own accord ([`super::Plan`]'s priority starts at what everybody has) is next.
//!
//! An answer that had to give its slot up waits here too, with the place of its request.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::caller::Caller;
use super::job::Job;
use super::slot::Slot;
use crate::served::Served;

/// How many answers of each caller are under way.
pub(crate) type Running = HashMap<Caller, usize>;

/// Everything that waits, in the order in which it came.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Vec<Waiting>,
    /// What the next request's place is.
    next_serial: u64,
}

/// Whose turn it is.
#[derive(Clone, Copy)]
pub(crate) struct Next {
    /// Where in the queue.
    pub place: usize,
    /// Whose it is.
    pub caller: Caller,
    /// How urgent it is: the smaller the more.
    pub priority: u8,
}

struct Waiting {
    serial: u64,
    since: Instant,
    what: What,
}

enum What {
    /// Nothing of it is computed.
    New(Box<Job>),
    /// It was interrupted.
    Paused(Box<Slot>),
}

impl What {
    fn caller(&self) -> Caller {
        match self {
            What::New(job) => job.caller,
            What::Paused(slot) => slot.caller(),
        }
    }

    fn priority(&self) -> u8 {
        match self {
            What::New(job) => job.plan.priority,
            What::Paused(slot) => slot.priority(),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            What::New(job) => job.events.is_closed(),
            What::Paused(slot) => slot.is_free(),
        }
    }
}

impl Queue {
    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes in a new request.
    pub(crate) fn push(&mut self, job: Job) {
        self.waiting.push(Waiting {
            serial: self.next_serial,
            since: Instant::now(),
            what: What::New(Box::new(job)),
        });
        self.next_serial += 1;
    }

    /// Takes back an answer that gave its slot up.
    pub(crate) fn push_paused(&mut self, slot: Slot) {
        let serial = slot.serial();
        let at = self.waiting.partition_point(|it| it.serial < serial);
        let waiting = Waiting {
            serial,
            since: Instant::now(),
            what: What::Paused(Box::new(slot)),
        };
        self.waiting.insert(at, waiting);
    }

    /// What is next.
    pub(crate) fn next(&self, running: &Running) -> Option<Next> {
        let waiting = self.waiting.iter().map(|it| &it.what).enumerate();
        let turns = waiting.map(|(place, what)| Next {
            place,
            caller: what.caller(),
            priority: what.priority(),
        });
        // Of equals, the first.
        turns.min_by_key(|next| {
            let running = running.get(&next.caller).copied().unwrap_or(0);
            (next.priority, running)
        })
    }

    /// The model and the tokens of what is at `place`, and whether each of its prompt's tokens is to be
    /// scored.
    pub(crate) fn look(&self, place: usize) -> (&Served, &[u32], bool) {
        match &self.waiting[place].what {
            What::New(job) => {
                let scored = job.plan.scores.prompt.is_some();
                (job.served.as_ref(), &job.prompt, scored)
            }
            What::Paused(slot) => (slot.served().as_ref(), slot.tokens(), slot.is_to_score()),
        }
    }

    /// Takes out what is at `place`, as a slot.
    pub(crate) fn take(&mut self, place: usize) -> Slot {
        let Waiting { serial, what, .. } = self.waiting.remove(place);
        match what {
            What::New(job) => Slot::new(serial, *job),
            What::Paused(slot) => *slot,
        }
    }

    /// Drops what nobody waits for any more.
    pub(crate) fn forget_abandoned(&mut self) {
        self.waiting.retain(|it| !it.what.is_abandoned());
    }

    /// Takes out the requests that have waited for more than `longest` without ever having a slot.
    pub(crate) fn take_overdue(&mut self, longest: Duration) -> Vec<Job> {
        let now = Instant::now();
        let overdue = |it: &mut Waiting| {
            matches!(it.what, What::New(_)) && now.duration_since(it.since) > longest
        };
        let taken = self.waiting.extract_if(.., overdue);
        taken
            .filter_map(|it| match it.what {
                What::New(job) => Some(*job),
                What::Paused(_) => None,
            })
            .collect()
    }

    /// Ends everything that waits with an error.
    pub(crate) fn fail_all(&mut self, reason: &str) {
        for waiting in self.waiting.drain(..) {
            match waiting.what {
                What::New(job) => job.fail(reason),
                What::Paused(mut slot) => slot.fail(reason),
            }
        }
    }
}
