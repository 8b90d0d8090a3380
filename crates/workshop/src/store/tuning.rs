//! Files and jobs of the API of OpenAI's shape, as rows.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::orders::{parse, parse_word};
use super::write::{insert_artifact, signed};
use super::{Store, failed, projects};
use crate::error::WorkshopError;
use crate::order::OrderId;
use crate::people::{Shown, reach};
use crate::store::change::NewArtifact;
use crate::tuning::{Asked, FileRow};

type Done = Result<(), sqlx::Error>;
type Tx<'a> = Transaction<'a, Sqlite>;

/// What its artifact is in the catalogue.
const KIND: &str = "file";

pub(super) async fn file_kept(tx: &mut Tx<'_>, artifact: &NewArtifact, file: &FileRow) -> Done {
    insert_artifact(tx, artifact, KIND, file.created_ms).await?;
    projects::belongs(tx, &file.id, &reach::home()).await?;
    let form = serde_json::to_value(file.form).unwrap_or_default();
    sqlx::query(
        "INSERT INTO files (id, name, bytes, records, form, artifact, owner, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&file.id)
    .bind(&file.name)
    .bind(signed(file.bytes))
    .bind(signed(file.records))
    .bind(form.as_str())
    .bind(&file.artifact)
    .bind(&file.owner)
    .bind(file.created_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn file_deleted(tx: &mut Tx<'_>, id: &str, artifact: &str) -> Done {
    for sql in [
        "DELETE FROM files WHERE id = ?",
        "DELETE FROM belongs WHERE thing = ?",
    ] {
        sqlx::query(sql).bind(id).execute(&mut **tx).await?;
    }
    sqlx::query(
        "DELETE FROM artifacts WHERE digest = ?1 AND kind = ?2
         AND NOT EXISTS (SELECT 1 FROM files WHERE artifact = ?1)
         AND NOT EXISTS (SELECT 1 FROM effects WHERE artifact = ?1)
         AND NOT EXISTS (SELECT 1 FROM orders WHERE folder LIKE '%' || ?1)",
    )
    .bind(artifact)
    .bind(KIND)
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn job_placed(tx: &mut Tx<'_>, order: &OrderId, asked: &Asked) -> Done {
    sqlx::query("INSERT INTO jobs (order_id, asked) VALUES (?, ?)")
        .bind(&order.0)
        .bind(serde_json::to_string(asked).expect("our own types serialise"))
        .execute(&mut **tx)
        .await
        .map(drop)
}

fn file(row: &SqliteRow) -> Result<FileRow, WorkshopError> {
    let count = |column: &str| row.get::<i64, _>(column).unsigned_abs();
    Ok(FileRow {
        id: row.get("id"),
        name: row.get("name"),
        bytes: count("bytes"),
        records: count("records"),
        form: parse_word("a file's form", row.get("form"))?,
        artifact: row.get("artifact"),
        owner: row.get("owner"),
        created_ms: row.get("created_ms"),
    })
}

impl Store {
    /// How many files there are.
    ///
    /// # Errors
    /// `store`.
    pub async fn files_count(&self) -> Result<u32, WorkshopError> {
        let row = sqlx::query("SELECT COUNT(*) AS files FROM files")
            .fetch_one(&self.read)
            .await
            .map_err(failed("count the files"))?;
        Ok(u32::try_from(row.get::<i64, _>("files")).unwrap_or(u32::MAX))
    }

    /// All files of the projects that are shown, the newest first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn files(&self, shown: &Shown) -> Result<Vec<FileRow>, WorkshopError> {
        let sql = "SELECT * FROM files
             WHERE ?1 IS NULL
                OR EXISTS (SELECT 1 FROM belongs WHERE thing = files.id
                           AND project IN (SELECT value FROM json_each(?1)))
             ORDER BY id DESC";
        let rows = sqlx::query(sql)
            .bind(shown.list())
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the files"))?;
        rows.iter().map(file).collect()
    }

    /// One file.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn file(&self, id: &str) -> Result<Option<FileRow>, WorkshopError> {
        let row = sqlx::query("SELECT * FROM files WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read a file"))?;
        row.as_ref().map(file).transpose()
    }

    /// What was asked of an order, if it came as a job.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn job(&self, order: &OrderId) -> Result<Option<Asked>, WorkshopError> {
        let row = sqlx::query("SELECT asked FROM jobs WHERE order_id = ?")
            .bind(&order.0)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read a job"))?;
        row.map(|row| parse("what was asked of a job", row.get("asked")))
            .transpose()
    }

    /// How many jobs have not come to their end.
    ///
    /// # Errors
    /// `store`.
    pub async fn jobs_open(&self) -> Result<u32, WorkshopError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS jobs FROM jobs JOIN orders ON orders.id = jobs.order_id
             WHERE orders.state NOT IN ('done', 'failed')",
        )
        .fetch_one(&self.read)
        .await
        .map_err(failed("count the jobs"))?;
        Ok(u32::try_from(row.get::<i64, _>("jobs")).unwrap_or(u32::MAX))
    }

    /// The orders of the projects that are shown that came as jobs before `before`, all where it is absent;
    /// the newest first.
    ///
    /// # Errors
    /// `store`.
    pub async fn jobs(
        &self,
        before: Option<&OrderId>,
        shown: &Shown,
        limit: u32,
    ) -> Result<Vec<OrderId>, WorkshopError> {
        let rows = sqlx::query(
            "SELECT order_id FROM jobs WHERE (?1 IS NULL OR order_id < ?1)
               AND (?3 IS NULL OR (SELECT project FROM orders WHERE id = order_id)
                                  IN (SELECT value FROM json_each(?3)))
             ORDER BY order_id DESC LIMIT ?2",
        )
        .bind(before.map(|order| order.0.as_str()))
        .bind(limit)
        .bind(shown.list())
        .fetch_all(&self.read)
        .await
        .map_err(failed("read the jobs"))?;
        Ok(rows
            .iter()
            .map(|row| OrderId(row.get("order_id")))
            .collect())
    }
}
