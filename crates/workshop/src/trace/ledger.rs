//! The ledger as pages and commands read it: its head, its entries, one entry with its proof.

use lathe_evidence::statement::Link;
use lathe_ledger::History;
use lathe_ledger::history::{Entry, references};
use serde_json::Value;

use super::{
    BreakerNow, BreakerView, EntryTrace, EntryView, KeyView, LedgerHead, Said, signer_name,
};
use crate::error::WorkshopError;
use crate::workshop::Workshop;

/// Moves of one breaker that are told, the newest.
const MOVES_MAX: usize = 500;

impl Workshop {
    /// The head of the ledger with its keys.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn ledger_head(&self) -> Result<LedgerHead, WorkshopError> {
        let checkpoint = self.store().checkpoint().await?.unwrap_or_default();
        let history = self.store().ledger()?.read().await;
        let key = |key: &lathe_ledger::history::KnownKey| KeyView {
            key: key.record.clone(),
            stands: key.stands(),
        };
        Ok(LedgerHead {
            origin: history.origin().to_owned(),
            size: history.len(),
            root: history.root(),
            checkpoint,
            approval: history.approval_policy(),
            keys: history.keys().map(key).collect(),
        })
    }

    /// Entries, newest first; of one kind where it is named.
    ///
    /// # Errors
    /// `ledger-broken`.
    pub async fn ledger_entries(
        &self,
        kind: Option<&str>,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<EntryView>, WorkshopError> {
        let history = self.store().ledger()?.read().await;
        let entries = history.entries().iter().rev();
        Ok(entries
            .filter(|entry| kind.is_none_or(|kind| entry.kind() == kind))
            .skip(offset as usize)
            .take(limit as usize)
            .map(|entry| view(&history, entry))
            .collect())
    }

    /// One entry with its proof, by its link or its place.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn ledger_entry(&self, name: &str) -> Result<Option<EntryTrace>, WorkshopError> {
        let found = {
            let history = self.store().ledger()?.read().await;
            let entry = match name.parse::<u64>() {
                Ok(index) => usize::try_from(index)
                    .ok()
                    .and_then(|index| history.entries().get(index)),
                Err(_) => name
                    .parse::<Link>()
                    .ok()
                    .and_then(|link| history.lookup(&link)),
            };
            entry.map(|entry| {
                let size = history.len();
                let path = history.tree().inclusion(entry.index, size);
                let bytes = entry.statement.to_bytes().unwrap_or_default();
                EntryTrace {
                    entry: view(&history, entry),
                    statement: serde_json::from_slice::<Value>(&bytes).unwrap_or_default(),
                    envelope: String::new(),
                    size,
                    root: history.root(),
                    path: path.unwrap_or_default(),
                    rests_on: references(&entry.statement.predicate)
                        .iter()
                        .filter_map(|it| history.lookup(&it.link))
                        .map(|it| view(&history, it))
                        .collect(),
                }
            })
        };
        let Some(mut found) = found else {
            return Ok(None);
        };
        let rows = self.store().ledger_rows(found.entry.index, 1).await?;
        let envelope = rows.into_iter().next().map(|row| row.envelope);
        found.envelope = String::from_utf8(envelope.unwrap_or_default()).unwrap_or_default();
        Ok(Some(found))
    }

    /// How the breaker of a deployment stands and how it moved.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn breaker_view(&self, name: &str) -> Result<BreakerView, WorkshopError> {
        let now = self.breaker_of(name).await?;
        let history = self.store().ledger()?.read().await;
        let moves = history
            .of_kind("breaker")
            .rev()
            .filter_map(|entry| {
                Said::<lathe_evidence::statement::Breaker>::of_entry(&history, entry)
            })
            .filter(|it| it.said.deployment == name)
            .take(MOVES_MAX);
        Ok(BreakerView {
            name: name.to_owned(),
            now,
            moves: moves.collect(),
        })
    }

    pub(super) async fn breaker_of(&self, name: &str) -> Result<Option<BreakerNow>, WorkshopError> {
        let row = self.store().breaker(name).await?;
        Ok(row.map(|row| BreakerNow {
            state: row.state,
            cause: row.cause,
            reason: row.reason,
            since_ms: row.since_ms,
        }))
    }
}

fn view(history: &History, entry: &Entry) -> EntryView {
    EntryView {
        index: entry.index,
        link: entry.link,
        kind: entry.kind().to_owned(),
        subject_name: entry
            .statement
            .subjects
            .first()
            .map_or_else(String::new, |it| it.name.clone()),
        subject: entry.statement.subject(),
        at_ms: entry.at_ms(),
        signer: entry.signer,
        signer_name: signer_name(history, entry),
        void: entry.void,
    }
}
