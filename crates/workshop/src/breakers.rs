//! The breakers (风险熔断): whether a deployment may answer, and why not.
//!
//! A breaker is closed, restricted, open or forced open. It moves by somebody's decision, by the
//! share of invalid answers, or because evidence is altered, withdrawn or expired. Each move is a
//! statement and a row in one transaction; memory follows once that is durable. What moves by itself
//! only ever moves away from closed: closing takes a decision, and evidence that holds.
//!
//! Not here: looking for altered files (`scrub`), refusing requests (`receipts`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError, RwLock};

use lathe_evidence::Digest;
use lathe_evidence::statement::{Breaker, BreakerState, Cause};

use crate::error::WorkshopError;
use crate::note::MoveNote;
use crate::store::receipts::BreakerRow;
use crate::store::{Change, Speaker, Store};

/// Answers over which the share of invalid ones is taken.
const WINDOW_ANSWERS: usize = 100;

/// Fewer answers than this say nothing yet.
const WINDOW_ANSWERS_MIN: usize = 50;

/// The share of invalid answers, in percent, that opens a breaker.
const INVALID_PERCENT_MAX: usize = 50;

/// The breakers of a workshop.
#[derive(Debug)]
pub(crate) struct Breakers {
    store: Store,
    now: RwLock<BTreeMap<String, BreakerRow>>,
    windows: Mutex<BTreeMap<String, VecDeque<bool>>>,
}

/// A move to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Move {
    /// The deployment's name.
    pub name: String,
    /// The digest of its model.
    pub model: Digest,
    /// Where to.
    pub to: BreakerState,
    /// What makes it move.
    pub cause: Cause,
    /// Why, for people.
    pub reason: String,
}

/// How far from closed a state is.
fn rank(state: BreakerState) -> u8 {
    match state {
        BreakerState::Closed => 0,
        BreakerState::Restricted => 1,
        BreakerState::Open => 2,
        BreakerState::ForcedOpen => 3,
    }
}

impl Breakers {
    /// The breakers as the store has them.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub(crate) async fn load(store: &Store) -> Result<Breakers, WorkshopError> {
        let rows = store.breakers().await?;
        Ok(Breakers {
            store: store.clone(),
            now: RwLock::new(
                rows.into_iter()
                    .map(|row| (row.name.clone(), row))
                    .collect(),
            ),
            windows: Mutex::default(),
        })
    }

    /// How the breaker of `name` stands; `None` where it never moved, which is closed.
    pub(crate) fn of(&self, name: &str) -> Option<BreakerRow> {
        let now = self.now.read().unwrap_or_else(PoisonError::into_inner);
        now.get(name).cloned()
    }

    fn state(&self, name: &str) -> BreakerState {
        self.of(name).map_or(BreakerState::Closed, |row| row.state)
    }

    /// Says the moves, and returns the rows that go with them. A move by itself that leads nearer to
    /// closed, or nowhere, is left out.
    ///
    /// # Errors
    /// `ledger-…`.
    pub(crate) fn say(
        &self,
        speaker: &mut Speaker<'_>,
        moves: Vec<Move>,
    ) -> Result<Vec<BreakerRow>, WorkshopError> {
        let mut rows = Vec::new();
        for it in moves {
            let from = self.state(&it.name);
            let decided = matches!(it.cause, Cause::Manual | Cause::Renewed);
            if from == it.to || (!decided && rank(it.to) < rank(from)) {
                continue;
            }
            let row = BreakerRow {
                name: it.name.clone(),
                state: it.to,
                cause: it.cause,
                reason: it.reason.clone(),
                since_ms: speaker.at_ms(),
            };
            let said = Breaker {
                deployment: it.name.clone(),
                from,
                to: it.to,
                cause: it.cause,
                reason: it.reason,
                at_ms: row.since_ms,
            };
            speaker.say(&it.name, it.model, said)?;
            rows.push(row);
        }
        Ok(rows)
    }

    /// Takes durable moves into memory.
    pub(crate) fn moved(&self, rows: &[BreakerRow]) {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            windows.remove(&row.name);
            now.insert(row.name.clone(), row.clone());
        }
    }

    /// Makes the moves in a transaction of their own. Returns those that were made.
    ///
    /// # Errors
    /// `ledger-…`, `store`.
    pub(crate) async fn make(&self, moves: Vec<Move>) -> Result<Vec<BreakerRow>, WorkshopError> {
        if moves.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .store
            .apply_said(|speaker| {
                let rows = self.say(speaker, moves)?;
                let changes = rows.iter().cloned().map(Change::BreakerIs).collect();
                Ok((changes, rows))
            })
            .await?;
        self.moved(&rows);
        Ok(rows)
    }

    /// Counts an answer. Returns the reason to open the breaker when too many were invalid.
    pub(crate) fn count(&self, name: &str, valid: bool) -> Option<String> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(name.to_owned()).or_default();
        if window.len() == WINDOW_ANSWERS {
            window.pop_front();
        }
        window.push_back(valid);
        let invalid = window.iter().filter(|valid| !**valid).count();
        let answers = window.len();
        let trips = answers >= WINDOW_ANSWERS_MIN && invalid * 100 >= answers * INVALID_PERCENT_MAX;
        trips.then(|| {
            window.clear();
            let (invalid, answers) = (invalid.to_string(), answers.to_string());
            MoveNote::Invalid {
                invalid: &invalid,
                answers: &answers,
            }
            .text()
        })
    }

    /// Opens the breaker of `name` because of its answers. The model is the deployed one.
    ///
    /// # Errors
    /// `ledger-…`, `store`.
    pub(crate) async fn trip(&self, name: &str, reason: String) -> Result<(), WorkshopError> {
        let rows = self.store.deployments().await?;
        let Some(row) = rows.into_iter().find(|row| row.name == name) else {
            return Ok(());
        };
        let it = Move {
            model: row.model()?,
            name: row.name,
            to: BreakerState::Open,
            cause: Cause::InvalidAnswers,
            reason,
        };
        self.make(vec![it]).await.map(drop)
    }
}
