//! The store: SQLite behind a few functions.
//!
//! Writing is [`Store::apply`] and nothing else: a list of [`Change`]s in one
//! transaction on the one write connection, durable when it returns. Whatever
//! has to be written together with a change (the ledger's rows) joins there.
//! Reading is in [`orders`] and [`catalogue`], on connections that cannot write. What
//! is said in the ledger together with a change goes through `Store::apply_said`.
//!
//! Not here: what a change means and when it is made.

mod answering;
mod answers;
pub mod catalogue;
pub mod change;
mod copy;
mod feedback;
pub(crate) mod labels;
pub(crate) mod ledger;
mod listing;
mod models;
pub mod orders;
mod people;
mod projects;
pub(crate) mod receipts;
mod tokens;
mod tuning;
pub mod upgrade;
mod version;
mod write;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lathe_ledger::history::Problem;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool};

pub(crate) use answering::HeldRow;
pub use change::Change;
pub(crate) use ledger::{Ledger, Speaker};
pub use receipts::PendingRow;

use crate::error::WorkshopError;

/// Connections that read at the same time.
const READERS_MAX: u32 = 4;

/// How long a connection waits for another's lock.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// An open store.
#[derive(Debug, Clone)]
pub struct Store {
    /// `None` when opened for reading only.
    write: Option<SqlitePool>,
    read: SqlitePool,
    /// Set once the ledger was read: open, or why not.
    ledger: Arc<OnceLock<Result<Arc<Ledger>, Vec<Problem>>>>,
}

/// An error of the database while doing something.
pub(crate) fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> WorkshopError {
    move |error| {
        let full = error
            .as_database_error()
            .and_then(|database| database.code())
            // SQLITE_FULL
            .is_some_and(|code| code == "13");
        if full {
            return WorkshopError::new(
                "disk-full",
                format!("cannot {doing} in the store: the disk is full"),
                "make room, then run the same command: it resumes",
            );
        }
        WorkshopError::new(
            "store",
            format!("cannot {doing} in the store: {error}"),
            "check that store.sqlite and its folder can be read and written by this user",
        )
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_WAIT)
        .foreign_keys(true)
}

async fn readers(path: &Path) -> Result<SqlitePool, WorkshopError> {
    SqlitePoolOptions::new()
        .max_connections(READERS_MAX)
        .connect_with(options(path).pragma("query_only", "ON"))
        .await
        .map_err(failed("open the database for reading"))
}

impl Store {
    /// Opens the store for writing, making and migrating it as needed; one of an older layout is kept
    /// beside it first. The caller holds the home.
    ///
    /// # Errors
    /// `store`, `store-version`, `disk-full`.
    pub async fn open(path: &Path) -> Result<Store, WorkshopError> {
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(
                options(path)
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full),
            )
            .await
            .map_err(failed("open the database"))?;
        if let Some(kept) = upgrade::bring_forward(&write, path).await? {
            let kept = kept.display();
            tracing::warn!("the store was brought to this version; as it was it is kept: {kept}");
        }
        let read = readers(path).await?;
        Ok(Store {
            write: Some(write),
            read,
            ledger: Arc::default(),
        })
    }

    /// Opens an existing store for reading; other processes may write it meanwhile.
    ///
    /// # Errors
    /// `store`.
    pub async fn open_read_only(path: &Path) -> Result<Store, WorkshopError> {
        let read = readers(path).await?;
        Ok(Store {
            write: None,
            read,
            ledger: Arc::default(),
        })
    }

    /// Writes all changes in one transaction; durable when this returns, or none of them is.
    ///
    /// # Errors
    /// `store`, `disk-full`; `store-read-only` when the store was opened for reading.
    pub async fn apply(&self, changes: &[Change]) -> Result<(), WorkshopError> {
        let doing = "write a change";
        let mut transaction = self.begin(doing).await?;
        for change in changes {
            change
                .write(&mut transaction)
                .await
                .map_err(failed(doing))?;
            crate::pause::written();
        }
        transaction.commit().await.map_err(failed(doing))?;
        crate::pause::written();
        Ok(())
    }

    async fn begin(
        &self,
        doing: &'static str,
    ) -> Result<sqlx::Transaction<'_, Sqlite>, WorkshopError> {
        let write = self.write.as_ref().ok_or_else(|| {
            WorkshopError::new(
                "store-read-only",
                "cannot change a store that was opened for reading",
                "this is a mistake in Lathe; please report it",
            )
        })?;
        write.begin().await.map_err(failed(doing))
    }

    /// Puts the ledger into its place, or why there is none. The first call counts.
    pub(crate) fn set_ledger(&self, ledger: Result<Ledger, Vec<Problem>>) {
        // A second call would be a second opening of the same store, which nobody makes.
        let _ = self.ledger.set(ledger.map(Arc::new));
    }

    /// Closes all connections; the write-ahead log is folded in.
    pub async fn close(&self) {
        self.read.close().await;
        if let Some(write) = &self.write {
            write.close().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::change::NewOrder;
    use super::*;
    use crate::order::{CurvePoint, OrderId, OrderState, StepError, StepName, StepState, Title};

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    pub(super) fn placed(id: &OrderId) -> Change {
        Change::Placed {
            order: Box::new(NewOrder {
                id: id.clone(),
                pack: "p".to_owned(),
                title: Title::default(),
                demonstration: false,
                offline: false,
                folder: "/p".to_owned(),
                pack_sha256: "0".repeat(64),
                spec: "{}".to_owned(),
                origin: None,
                project: crate::people::COMMON.to_owned(),
            }),
            at_ms: 1,
        }
    }

    fn begins(order: &OrderId) -> Change {
        Change::StepBegins {
            order: order.clone(),
            step: StepName::Model,
            input: "aa".to_owned(),
            at_ms: 2,
        }
    }

    #[test]
    fn an_order_passes_through_its_states_and_survives_reopening() {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store.sqlite");
            let id = OrderId::new();
            let store = Store::open(&path).await.unwrap();
            store.apply(&[placed(&id), begins(&id)]).await.unwrap();
            store.close().await;

            let store = Store::open(&path).await.unwrap();
            let steps = store.steps(&id).await.unwrap();
            assert_eq!(steps.len(), StepName::ALL.len());
            assert_eq!(steps[0].state, StepState::Running);
            let known = vec![(StepName::Model, "aa".to_owned())];
            assert_eq!(store.resumable().await.unwrap(), known);
            let error = StepError {
                code: "c".to_owned(),
                text: "t".to_owned(),
                next: "n".to_owned(),
            };
            let fails = Change::StepFails {
                order: id.clone(),
                step: StepName::Model,
                error: error.clone(),
                at_ms: 3,
            };
            store.apply(&[fails]).await.unwrap();
            let order = store.order(&id).await.unwrap().unwrap();
            assert_eq!((order.state, order.ended_ms), (OrderState::Failed, Some(3)));
            assert_eq!(store.steps(&id).await.unwrap()[0].error, Some(error));
            assert!(store.unfinished().await.unwrap().is_empty());
            store.close().await;
        });
    }

    #[test]
    fn changes_are_written_together_or_not_at_all() {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("s")).await.unwrap();
            let (known, unknown) = (OrderId::new(), OrderId::new());
            let point = CurvePoint {
                step: 1,
                steps: 2,
                loss: 0.5,
                learning_rate: 0.1,
                tokens_per_s: 10.0,
                eta_s: 1.0,
                ..CurvePoint::default()
            };
            let of_nobody = Change::Point {
                order: unknown,
                point,
            };
            let error = store.apply(&[placed(&known), of_nobody]).await.unwrap_err();
            assert_eq!(error.code(), "store");
            assert_eq!(store.order(&known).await.unwrap(), None);
            store.close().await;
        });
    }

    /// A step that was interrupted goes on with what it has worked; a curve with what it is at.
    #[test]
    fn what_was_interrupted_goes_on_from_where_it_was() {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("s")).await.unwrap();
            let id = OrderId::new();
            store.apply(&[placed(&id)]).await.unwrap();
            let begins = |at_ms| Change::StepBegins {
                order: id.clone(),
                step: StepName::Model,
                input: "aa".to_owned(),
                at_ms,
            };
            let waits = |at_ms| Change::StepWaits {
                order: id.clone(),
                step: StepName::Model,
                at_ms,
            };
            let times = async || {
                let steps = store.steps(&id).await.unwrap();
                (steps[0].started_ms, steps[0].ended_ms)
            };
            store.apply(&[waits(Some(5))]).await.unwrap();
            assert_eq!(times().await, (None, None), "it never began");
            store.apply(&[begins(100), waits(Some(160))]).await.unwrap();
            assert_eq!(times().await, (Some(100), Some(160)));
            store.apply(&[begins(1000)]).await.unwrap();
            assert_eq!(times().await, (Some(940), None));
            // Put back once more, by somebody who does not know when it was interrupted.
            store.apply(&[waits(None)]).await.unwrap();
            assert_eq!(times().await, (None, None));

            let point = |step| Change::Point {
                order: id.clone(),
                point: CurvePoint {
                    step,
                    steps: 9,
                    ..CurvePoint::default()
                },
            };
            let points = [1, 2, 3, 4, 2, 3].map(point);
            store.apply(&points).await.unwrap();
            let curve = store.curve(&id, 0).await.unwrap();
            let steps: Vec<u64> = curve.iter().map(|it| it.step).collect();
            assert_eq!(steps, [1, 2, 3]);
            store.close().await;
        });
    }

    #[test]
    fn a_reader_cannot_write() {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("s");
            let store = Store::open(&path).await.unwrap();
            let reader = Store::open_read_only(&path).await.unwrap();
            let error = reader.apply(&[placed(&OrderId::new())]).await.unwrap_err();
            assert_eq!(error.code(), "store-read-only");
            reader.close().await;
            store.close().await;
        });
    }
}
