//! Labels of registered models' versions, as rows.

use lathe_evidence::Digest;
use sqlx::{Row as _, Sqlite, Transaction};

use super::{Store, failed};
use crate::error::WorkshopError;
use crate::steps;

type Done = Result<(), sqlx::Error>;
type Tx<'a> = Transaction<'a, Sqlite>;

/// A label at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRow {
    /// The registered model.
    pub name: String,
    /// The label; no two of a name differ in the case of letters alone.
    pub label: String,
    /// The digest of the version.
    pub model: Digest,
    /// When it was set, milliseconds since 1970.
    pub set_ms: i64,
}

pub(super) async fn set(tx: &mut Tx<'_>, row: &LabelRow) -> Done {
    sqlx::query("INSERT OR REPLACE INTO labels (name, label, model, set_ms) VALUES (?, ?, ?, ?)")
        .bind(&row.name)
        .bind(&row.label)
        .bind(row.model.to_string())
        .bind(row.set_ms)
        .execute(&mut **tx)
        .await
        .map(drop)
}

pub(super) async fn gone(tx: &mut Tx<'_>, name: &str, label: &str) -> Done {
    sqlx::query("DELETE FROM labels WHERE name = ? AND label = ?")
        .bind(name)
        .bind(label)
        .execute(&mut **tx)
        .await
        .map(drop)
}

impl Store {
    /// All labels, by name and label.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn labels(&self) -> Result<Vec<LabelRow>, WorkshopError> {
        let rows = sqlx::query("SELECT * FROM labels ORDER BY name, label")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the labels"))?;
        let label = |row: &sqlx::sqlite::SqliteRow| {
            Ok(LabelRow {
                name: row.get("name"),
                label: row.get("label"),
                model: steps::digest(row.get("model"))?,
                set_ms: row.get("set_ms"),
            })
        };
        rows.iter().map(label).collect()
    }
}
