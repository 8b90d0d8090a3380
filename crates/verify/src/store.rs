//! Reading the rows of a home's store: from a copy, so that nothing in the home changes.
//!
//! The copy takes the write-ahead log along: a home whose process was killed has its newest rows
//! there. Rows are taken as they are; what they say is judged elsewhere.

use std::path::{Path, PathBuf};

use lathe_ledger::history::ENTRIES_MAX;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use crate::VerifyError;

/// The store's file in a home.
const FILE: &str = "store.sqlite";

/// The most receipts that are read.
const RECEIPTS_MAX: u64 = 1 << 26;

/// The most artifacts that are read.
const ARTIFACTS_MAX: u64 = 1 << 20;

/// All rows that are evidence.
#[derive(Debug, Clone, Default)]
pub struct Material {
    /// The envelopes in their order, with what the row says of each.
    pub entries: Vec<StoredEntry>,
    /// The newest checkpoint's note.
    pub note: String,
    /// The batches of receipts.
    pub batches: Vec<StoredBatch>,
    /// The receipts that are in a batch, by batch and position.
    pub receipts: Vec<StoredReceipt>,
    /// Artifacts: the digest and the manifest's JSON.
    pub artifacts: Vec<(String, String)>,
    /// What answers: the name and the link of its deployment.
    pub served: Vec<(String, Option<String>)>,
    /// Whether it is one deployment alone, without receipts and other models.
    pub is_bundle: bool,
}

/// A row of the ledger.
#[derive(Debug, Clone)]
pub struct StoredEntry {
    /// Its place.
    pub seq: i64,
    /// Its link, as the row says.
    pub link: String,
    /// The envelope, verbatim.
    pub envelope: Vec<u8>,
}

/// A row of a batch.
#[derive(Debug, Clone)]
pub struct StoredBatch {
    /// Its number.
    pub batch: i64,
    /// The link of its statement.
    pub link: String,
}

/// A row of a receipt.
#[derive(Debug, Clone)]
pub struct StoredReceipt {
    /// Its id.
    pub id: String,
    /// Its batch.
    pub batch: i64,
    /// Its place in the batch.
    pub position: i64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Reads the store of a home.
///
/// # Errors
/// It is not there or cannot be read.
pub fn read(home: &Path) -> Result<Material, VerifyError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(VerifyError::io(home))?;
    runtime.block_on(read_copy(home))
}

async fn read_copy(home: &Path) -> Result<Material, VerifyError> {
    let copies = tempfile::tempdir().map_err(VerifyError::io(std::env::temp_dir()))?;
    let copy = copies.path().join(FILE);
    copy_file(&home.join(FILE), &copy)?;
    let log = home.join(format!("{FILE}-wal"));
    if log.exists() {
        copy_file(&log, &copies.path().join(format!("{FILE}-wal")))?;
    }
    let failed = |source| VerifyError::Store {
        path: PathBuf::from(home),
        source,
    };
    let options = SqliteConnectOptions::new().filename(&copy);
    let mut connection = options.connect().await.map_err(failed)?;
    check_counts(home, &mut connection).await?;
    let material = rows(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(material)
}

fn copy_file(from: &Path, to: &Path) -> Result<(), VerifyError> {
    std::fs::copy(from, to).map_err(VerifyError::io(from))?;
    Ok(())
}

async fn check_counts(home: &Path, connection: &mut SqliteConnection) -> Result<(), VerifyError> {
    for (what, table, max) in [
        ("ledger entries", "ledger", ENTRIES_MAX),
        ("receipts", "receipts", RECEIPTS_MAX),
        ("artifacts", "artifacts", ARTIFACTS_MAX),
    ] {
        let query = match table {
            "ledger" => "SELECT count(*) FROM ledger",
            "receipts" => "SELECT count(*) FROM receipts",
            _ => "SELECT count(*) FROM artifacts",
        };
        let row = sqlx::query(query).fetch_one(&mut *connection).await;
        let count: i64 =
            row.and_then(|row| row.try_get(0))
                .map_err(|source| VerifyError::Store {
                    path: home.to_owned(),
                    source,
                })?;
        if count as u64 > max {
            let path = home.to_owned();
            return Err(VerifyError::TooMany { what, path, max });
        }
    }
    Ok(())
}

async fn rows(connection: &mut SqliteConnection) -> Result<Material, sqlx::Error> {
    let mut material = Material::default();
    let query = sqlx::query("SELECT seq, link, envelope FROM ledger ORDER BY seq");
    for row in query.fetch_all(&mut *connection).await? {
        material.entries.push(StoredEntry {
            seq: row.try_get(0)?,
            link: row.try_get(1)?,
            envelope: row.try_get(2)?,
        });
    }
    let query = sqlx::query("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1");
    if let Some(row) = query.fetch_optional(&mut *connection).await? {
        material.note = row.try_get(0)?;
    }
    let query = sqlx::query("SELECT batch, link FROM batches ORDER BY batch");
    for row in query.fetch_all(&mut *connection).await? {
        material.batches.push(StoredBatch {
            batch: row.try_get(0)?,
            link: row.try_get(1)?,
        });
    }
    let query = sqlx::query(
        "SELECT id, batch, position, bytes FROM receipts WHERE batch IS NOT NULL ORDER BY batch, position",
    );
    for row in query.fetch_all(&mut *connection).await? {
        material.receipts.push(StoredReceipt {
            id: row.try_get(0)?,
            batch: row.try_get(1)?,
            position: row.try_get(2)?,
            bytes: row.try_get(3)?,
        });
    }
    let query = sqlx::query("SELECT digest, manifest FROM artifacts ORDER BY digest");
    for row in query.fetch_all(&mut *connection).await? {
        material.artifacts.push((row.try_get(0)?, row.try_get(1)?));
    }
    let query = sqlx::query("SELECT name, link FROM deployments ORDER BY name");
    for row in query.fetch_all(&mut *connection).await? {
        material.served.push((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(material)
}
