//! The audit as the store keeps it, for the page: who did what, and what was refused.
//!
//! What changes something is written before it is answered. What is refused, and who logs in, is written
//! within a second, a bounded number at a time, so that a flood of refusals does not become a flood of
//! writes: what is too much is counted. The events that go elsewhere are [`crate::audit`]'s.

use serde::{Deserialize, Serialize};

use super::{People, PeopleChange, lock};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::store::Change;

/// Rows that are kept; the oldest go first.
pub const AUDIT_ROWS_MAX: i64 = 1_000_000;
/// Rows that wait to be written.
const WAITING_MAX: usize = 1000;
/// The longest text of a row.
const TEXT_CHARS_MAX: usize = 300;

/// Something that was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its number; 0 before it is written.
    pub id: i64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// What kind: `request`, `operation`, `refused`, `login`, `logout`, `lost`.
    pub event: String,
    /// Who; empty where nobody is known.
    pub by: String,
    /// Method and path, or the operation and of what it is.
    pub what: String,
    /// The status, `done`, or the code of the reason.
    pub outcome: String,
    /// The project of what it was about; none for the whole workshop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl AuditRow {
    /// A row of this moment; long texts are cut.
    pub fn now(event: &str, by: &str, what: &str, outcome: &str) -> AuditRow {
        let cut = |text: &str| text.chars().take(TEXT_CHARS_MAX).collect();
        AuditRow {
            id: 0,
            at_ms: now_ms(),
            event: event.to_owned(),
            by: cut(by),
            what: cut(what),
            outcome: cut(outcome),
            project: None,
        }
    }

    /// The same, of what belongs to these projects.
    pub fn within(self, projects: &[String]) -> AuditRow {
        AuditRow {
            project: (!projects.is_empty()).then(|| projects.join(", ")),
            ..self
        }
    }
}

/// Which rows are sought in the audit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditSought {
    /// Of whom: as a row has it, or the bare name of a person or of a key; of everybody unless given.
    pub who: Option<String>,
    /// What came of it.
    pub outcome: AuditOutcome,
}

/// What came of what was asked, as the audit is narrowed by it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuditOutcome {
    /// Anything.
    #[default]
    All,
    /// It was not done: a code of a reason, or a status that is neither 2xx nor 3xx.
    Refused,
}

impl AuditSought {
    /// Rows of `who`, where that says anybody, with this outcome.
    pub fn new(who: Option<&str>, outcome: AuditOutcome) -> AuditSought {
        let who = who.map(str::trim).filter(|it| !it.is_empty());
        AuditSought {
            who: who.map(|it| it.chars().take(TEXT_CHARS_MAX).collect()),
            outcome,
        }
    }

    /// How rows name who is sought; nothing where everybody is.
    pub(crate) fn names(&self) -> Vec<String> {
        let Some(who) = &self.who else {
            return Vec::new();
        };
        vec![who.clone(), format!("person {who}"), format!("key {who}")]
    }
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    rows: Vec<AuditRow>,
    lost: u64,
}

impl People {
    /// Has a row written within a second.
    pub fn note(&self, row: AuditRow) {
        let mut waiting = lock(&self.inner.waiting);
        if waiting.rows.len() < WAITING_MAX {
            waiting.rows.push(row);
        } else {
            waiting.lost += 1;
        }
    }

    /// Writes a row now, after those that wait.
    ///
    /// # Errors
    /// `store`, `disk-full`.
    pub async fn record(&self, row: AuditRow) -> Result<(), WorkshopError> {
        self.write_waiting(Some(row)).await
    }

    /// Writes what waits, and how sessions are used.
    ///
    /// # Errors
    /// `store`, `disk-full`.
    pub(crate) async fn write_use(&self) -> Result<(), WorkshopError> {
        let used = super::read(&self.inner.sessions)
            .values()
            .filter_map(|it| it.unwritten())
            .collect::<Vec<_>>();
        if !used.is_empty() {
            self.apply(vec![PeopleChange::SessionsUsed(used)]).await?;
        }
        self.write_waiting(None).await
    }

    async fn write_waiting(&self, last: Option<AuditRow>) -> Result<(), WorkshopError> {
        let Waiting { mut rows, lost } = std::mem::take(&mut *lock(&self.inner.waiting));
        if lost > 0 {
            let what = format!("{lost} more in the same second");
            rows.push(AuditRow::now("lost", "", &what, "not written"));
        }
        rows.extend(last);
        if rows.is_empty() {
            return Ok(());
        }
        self.apply(vec![PeopleChange::Audited(rows)]).await
    }

    /// Rows, the newest first; older than the one of number `before` where it is given.
    ///
    /// # Errors
    /// `store`.
    pub async fn audit(
        &self,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, WorkshopError> {
        self.audit_of(&AuditSought::default(), before, limit).await
    }

    /// The same, of the rows that are sought alone.
    ///
    /// # Errors
    /// `store`.
    pub async fn audit_of(
        &self,
        sought: &AuditSought,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, WorkshopError> {
        match &self.inner.store {
            Some(store) => store.audit(sought, before, limit).await,
            None => Ok(Vec::new()),
        }
    }

    pub(super) async fn apply(&self, changes: Vec<PeopleChange>) -> Result<(), WorkshopError> {
        let Some(store) = &self.inner.store else {
            return Ok(());
        };
        let changes: Vec<Change> = changes.into_iter().map(Change::People).collect();
        store.apply(&changes).await
    }
}
