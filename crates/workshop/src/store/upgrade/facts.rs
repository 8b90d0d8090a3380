//! What an upgrade is held against: the facts of a store before and after, and what is wrong with one.

use std::collections::BTreeMap;

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_ledger::history::Trust;
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

use super::TableChange;
use crate::error::WorkshopError;
use crate::people::Shown;
use crate::store::{Store, failed};

/// Problems of one kind that are told.
const PROBLEMS_MAX: usize = 20;

/// What an upgrade must not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) tables: BTreeMap<String, u64>,
    pub(super) ledger: Digest,
    pub(super) entries: u64,
    pub(super) checkpoint: Option<String>,
}

impl std::fmt::Display for TableChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rows = |rows: Option<u64>| rows.map_or_else(|| "none".to_owned(), |it| it.to_string());
        let (before, after) = (rows(self.rows_before), rows(self.rows_after));
        write!(f, "{} ({before} rows then, {after} now)", self.name)
    }
}

/// Counts and hashes.
pub(super) async fn facts(pool: &SqlitePool) -> Result<Facts, WorkshopError> {
    let doing = "count what is stored";
    let query = "SELECT name FROM sqlite_master WHERE type = 'table' \
                 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name <> '_sqlx_migrations'";
    let rows = sqlx::query(query).fetch_all(pool).await;
    let mut tables = BTreeMap::new();
    for row in rows.map_err(failed(doing))? {
        let name: String = row.get("name");
        let quoted = name.replace('"', "\"\"");
        // Names of tables cannot be bound; this one comes from the store's own list.
        let count = AssertSqlSafe(format!("SELECT COUNT(*) AS count FROM \"{quoted}\""));
        let row = sqlx::query(count).fetch_one(pool).await;
        let count = row.map_err(failed(doing))?.get::<i64, _>("count");
        tables.insert(name, count.unsigned_abs());
    }
    let mut facts = Facts {
        entries: tables.get("ledger").copied().unwrap_or(0),
        ledger: Hasher::new().finish(),
        checkpoint: None,
        tables,
    };
    // A store of the first layout has no ledger.
    if facts.tables.contains_key("ledger") {
        let store = opened(pool);
        let mut hasher = Hasher::new();
        for envelope in store.envelopes().await? {
            hasher.update(&(envelope.len() as u64).to_le_bytes());
            hasher.update(&envelope);
        }
        facts.ledger = hasher.finish();
        facts.checkpoint = store.checkpoint().await?;
    }
    Ok(facts)
}

/// A pool as a store that is read.
pub(super) fn opened(pool: &SqlitePool) -> Store {
    Store {
        write: None,
        read: pool.clone(),
        ledger: std::sync::Arc::default(),
    }
}

/// What was there and is not the same any more.
pub(super) fn differences(before: &Facts, after: &Facts) -> Vec<String> {
    let mut problems: Vec<String> = changes(&before.tables, &after.tables)
        .iter()
        .filter(|it| it.rows_before.is_some())
        .map(|it| format!("the table {it} changes its rows"))
        .collect();
    if before.ledger != after.ledger {
        problems.push("entries of the ledger have other bytes".to_owned());
    }
    if before.checkpoint != after.checkpoint {
        problems.push("the ledger has another checkpoint".to_owned());
    }
    problems
}

/// Tables whose number of rows is another.
pub(super) fn changes(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> Vec<TableChange> {
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let change = |name: &&String| TableChange {
        name: (*name).clone(),
        rows_before: before.get(*name).copied(),
        rows_after: after.get(*name).copied(),
    };
    let all = names.iter().map(change);
    all.filter(|it| it.rows_before != it.rows_after).collect()
}

/// Tables that migrations fill, and how many rows they bring by themselves; none where each row is of a row of
/// another table, which counts.
const FILLED: [(&str, Option<u64>); 3] =
    [("projects", Some(1)), ("belongs", None), ("named", None)];

/// What `now` has and `then` has not: tables that came empty, or as a migration filled them, are no loss.
pub(super) fn since(then: &Facts, now: &Facts) -> Vec<TableChange> {
    let mut lost = changes(&then.tables, &now.tables);
    lost.retain(|it| {
        let filled = FILLED.iter().find(|(name, _)| *name == it.name);
        match (it.rows_before, filled) {
            (Some(_), _) => true,
            (None, Some((_, None))) => false,
            (None, Some((_, own))) => it.rows_after > *own,
            (None, None) => it.rows_after > Some(0),
        }
    });
    if lost.is_empty() && then.ledger != now.ledger {
        lost.push(TableChange {
            name: "ledger".to_owned(),
            rows_before: Some(then.entries),
            rows_after: Some(now.entries),
        });
    }
    lost
}

/// What is wrong with an upgraded store: as a database, as evidence, and for this version's eyes.
pub(super) async fn wrong(pool: &SqlitePool) -> Result<Vec<String>, WorkshopError> {
    let mut problems = damage(pool).await?;
    let store = opened(pool);
    if let Some(Err(broken)) = store.verify_ledger(&Trust::default()).await? {
        let broken = broken.iter().take(PROBLEMS_MAX);
        problems.extend(broken.map(|it| format!("the ledger does not hold: {it}")));
    }
    let reads = [
        store.orders(1, 0).await.err(),
        store.manifests().await.err(),
        store.datasets(1, 0).await.err(),
        store.models(1, 0).await.err(),
        store.deployments().await.err(),
        store.tokens().await.err(),
        store.people().await.err(),
        store.sessions().await.err(),
        store.files(&Shown::All).await.err(),
        store.breakers().await.err(),
        store.pending().await.err(),
        store.open_receipts().await.err(),
    ];
    problems.extend(reads.into_iter().flatten().map(|it| it.to_string()));
    Ok(problems)
}

/// What SQLite finds wrong.
pub(super) async fn damage(pool: &SqlitePool) -> Result<Vec<String>, WorkshopError> {
    let doing = "look whether the database is whole";
    let rows = sqlx::query("PRAGMA integrity_check(20)")
        .fetch_all(pool)
        .await;
    let rows = rows.map_err(failed(doing))?;
    let found = rows.iter().map(|row| row.get::<String, _>(0));
    let mut problems: Vec<String> = found.filter(|it| it != "ok").collect();
    let rows = sqlx::query("PRAGMA foreign_key_check")
        .fetch_all(pool)
        .await;
    let rows = rows.map_err(failed(doing))?;
    let dangling = rows.iter().take(PROBLEMS_MAX).map(|row| {
        let (table, parent): (String, String) = (row.get(0), row.get(2));
        format!("a row of {table} names none of {parent}")
    });
    problems.extend(dangling);
    Ok(problems)
}
