//! Receipts, their batches, breakers and what waits for approval, as rows. Lists of receipts are in `answers`.

use std::collections::BTreeMap;

use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::{BreakerState, Cause, Link};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::orders::{parse, parse_word};
use super::projects::project_of_name;
use super::write::{signed, word};
use super::{Store, failed};
use crate::book::{SHINGLES_MAX, Texts};
use crate::error::WorkshopError;
use crate::order::OrderId;
use crate::people::Shown;

type Done = Result<(), sqlx::Error>;
type Tx<'a> = Transaction<'a, Sqlite>;

/// That a row's name is of a project that is shown; all are where ?1 is NULL.
macro_rules! of_shown {
    ($name:literal) => {
        concat!(
            " AND (?1 IS NULL OR ",
            project_of_name!($name),
            " IN (SELECT value FROM json_each(?1)))"
        )
    };
}

/// Receipts named for one quoted passage.
const QUOTED_MAX: usize = 20;
/// Receipts whose shared shingles are counted for one quoted passage.
const CANDIDATES_MAX: usize = 100;
/// Receipts looked at for one shingle, the newest.
const HOLDERS_READ_MAX: u32 = 200;

/// An answer that began, with all that its receipt needs should it never be closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenReceipt {
    /// The receipt's id.
    pub id: String,
    /// The name that answers.
    pub name: String,
    /// The statement of the deployment.
    pub deployment: Link,
    /// The digest of the model.
    pub model: Digest,
    /// The digest of the policy.
    pub policy: Digest,
    /// The digest of the prompt.
    pub prompt: Digest,
    /// The breaker's state.
    pub breaker: BreakerState,
    /// Another server answers.
    #[serde(default)]
    pub relayed: bool,
    /// The size of the ledger.
    pub ledger_size: u64,
    /// When it began, milliseconds since 1970.
    pub opened_ms: i64,
}

/// An answer that ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
    /// Its leaf hash.
    pub leaf: Digest,
    /// The texts, under a retention.
    pub texts: Option<Texts>,
    /// Hashes by which a passage is found.
    pub shingles: Vec<u64>,
}

/// A batch of receipts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Its number, from 1.
    pub batch: u64,
    /// The root over the receipts' leaf hashes.
    pub root: Digest,
    /// How many.
    pub count: u64,
    /// Its statement.
    pub link: Link,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// A receipt as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// Its canonical bytes, verbatim.
    pub bytes: Vec<u8>,
    /// Its batch and its place there, once it is in one.
    pub place: Option<(u64, u64)>,
    /// The texts, under a retention.
    pub texts: Option<Texts>,
}

/// A breaker as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRow {
    /// The deployment's name.
    pub name: String,
    /// Its state.
    pub state: BreakerState,
    /// What moved it there.
    pub cause: Cause,
    /// Why, for people.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
}

/// A registration that waits for somebody's approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRow {
    /// Its number in the register.
    pub number: String,
    /// The name it will answer under.
    pub name: String,
    /// The digest of the model.
    pub model: Digest,
    /// The verdict to be read.
    pub verdict: Link,
    /// The order that waits.
    pub order: OrderId,
    /// Since when, milliseconds since 1970.
    pub at_ms: i64,
}

pub(super) async fn opened(tx: &mut Tx<'_>, open: &OpenReceipt) -> Done {
    let opening = serde_json::to_string(open).expect("our own types serialise");
    sqlx::query(
        "INSERT INTO receipts (id, state, name, deployment, opening, opened_ms)
         VALUES (?, 'open', ?, ?, ?, ?)",
    )
    .bind(&open.id)
    .bind(&open.name)
    .bind(open.deployment.to_string())
    .bind(opening)
    .bind(open.opened_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn closed(tx: &mut Tx<'_>, closed: &ClosedReceipt) -> Done {
    let texts = closed.texts.as_ref();
    sqlx::query(
        "UPDATE receipts SET state = 'closed', closed_ms = ?, bytes = ?, leaf = ?,
                             prompt_text = ?, answer_text = ?
         WHERE id = ? AND state = 'open'",
    )
    .bind(closed.receipt.closed_ms)
    .bind(&closed.bytes)
    .bind(closed.leaf.to_string())
    .bind(texts.map(|texts| &texts.prompt))
    .bind(texts.map(|texts| &texts.answer))
    .bind(&closed.receipt.id)
    .execute(&mut **tx)
    .await?;
    names(tx, &closed.receipt).await?;
    // One statement for all: hundreds of them took most of the time of a receipt.
    sqlx::query("INSERT OR IGNORE INTO shingles (hash, receipt) SELECT value, ? FROM json_each(?)")
        .bind(&closed.receipt.id)
        .bind(shingle_list(&closed.shingles))
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// The records that a receipt's spans name.
async fn names(tx: &mut Tx<'_>, receipt: &Receipt) -> Done {
    if receipt.spans.is_empty() {
        return Ok(());
    }
    let leaves: Vec<String> = receipt.spans.iter().map(|it| it.leaf.to_string()).collect();
    let leaves = serde_json::to_string(&leaves).expect("texts serialise");
    sqlx::query(
        "INSERT OR IGNORE INTO named (leaf, beginning, receipt)
         SELECT value, receipts.beginning, receipts.id FROM receipts, json_each(?2)
         WHERE receipts.id = ?1",
    )
    .bind(&receipt.id)
    .bind(leaves)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Hashes as a JSON array.
fn shingle_list(hashes: &[u64]) -> String {
    let list: Vec<i64> = hashes.iter().map(|hash| shingle(*hash)).collect();
    serde_json::to_string(&list).expect("numbers serialise")
}

/// A hash as SQLite's signed integer, bit for bit.
fn shingle(hash: u64) -> i64 {
    i64::from_ne_bytes(hash.to_ne_bytes())
}

pub(super) async fn batched(tx: &mut Tx<'_>, batch: &Batch, ids: &[String]) -> Done {
    sqlx::query("INSERT INTO batches (batch, root, count, link, at_ms) VALUES (?, ?, ?, ?, ?)")
        .bind(signed(batch.batch))
        .bind(batch.root.to_string())
        .bind(signed(batch.count))
        .bind(batch.link.to_string())
        .bind(batch.at_ms)
        .execute(&mut **tx)
        .await?;
    for (position, id) in ids.iter().enumerate() {
        sqlx::query("UPDATE receipts SET batch = ?, position = ? WHERE id = ?")
            .bind(signed(batch.batch))
            .bind(position as i64)
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

pub(super) async fn breaker_is(tx: &mut Tx<'_>, row: &BreakerRow) -> Done {
    sqlx::query(
        "INSERT OR REPLACE INTO breakers (name, state, cause, reason, since_ms)
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(&row.name)
    .bind(word(&row.state))
    .bind(word(&row.cause))
    .bind(&row.reason)
    .bind(row.since_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn pending(tx: &mut Tx<'_>, row: &PendingRow) -> Done {
    sqlx::query(
        "INSERT OR REPLACE INTO pending (number, name, model, verdict, order_id, at_ms)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&row.number)
    .bind(&row.name)
    .bind(row.model.to_string())
    .bind(row.verdict.to_string())
    .bind(&row.order.0)
    .bind(row.at_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn settled(tx: &mut Tx<'_>, order: &OrderId) -> Done {
    sqlx::query("DELETE FROM pending WHERE order_id = ?")
        .bind(&order.0)
        .execute(&mut **tx)
        .await
        .map(drop)
}

fn digest(row: &SqliteRow, column: &str) -> Result<Digest, WorkshopError> {
    let text: String = row.get(column);
    text.parse().map_err(|error| {
        WorkshopError::new(
            "store-unreadable",
            format!("the store holds a digest that is none: {error}"),
            "use the version of Lathe that wrote this home",
        )
    })
}

pub(super) fn stored(row: &SqliteRow) -> Result<StoredReceipt, WorkshopError> {
    let bytes: Vec<u8> = row.get("bytes");
    let receipt = parse("a receipt", &String::from_utf8_lossy(&bytes))?;
    let place = row
        .get::<Option<i64>, _>("batch")
        .zip(row.get::<Option<i64>, _>("position"))
        .map(|(batch, position)| (batch.unsigned_abs(), position.unsigned_abs()));
    let texts = row
        .get::<Option<String>, _>("prompt_text")
        .zip(row.get("answer_text"))
        .map(|(prompt, answer)| Texts { prompt, answer });
    Ok(StoredReceipt {
        receipt,
        bytes,
        place,
        texts,
    })
}

fn batch(row: &SqliteRow) -> Result<Batch, WorkshopError> {
    Ok(Batch {
        batch: row.get::<i64, _>("batch").unsigned_abs(),
        root: digest(row, "root")?,
        count: row.get::<i64, _>("count").unsigned_abs(),
        link: digest(row, "link")?,
        at_ms: row.get("at_ms"),
    })
}

fn breaker_row(row: &SqliteRow) -> Result<BreakerRow, WorkshopError> {
    Ok(BreakerRow {
        name: row.get("name"),
        state: parse_word("a breaker's state", row.get("state"))?,
        cause: parse_word("a breaker's cause", row.get("cause"))?,
        reason: row.get("reason"),
        since_ms: row.get("since_ms"),
    })
}

fn pending_row(row: &SqliteRow) -> Result<PendingRow, WorkshopError> {
    Ok(PendingRow {
        number: row.get("number"),
        name: row.get("name"),
        model: digest(row, "model")?,
        verdict: digest(row, "verdict")?,
        order: OrderId(row.get("order_id")),
        at_ms: row.get("at_ms"),
    })
}

impl Store {
    /// Answers that began and did not end.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn open_receipts(&self) -> Result<Vec<OpenReceipt>, WorkshopError> {
        sqlx::query("SELECT opening FROM receipts WHERE state = 'open' ORDER BY id")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the open receipts"))?
            .iter()
            .map(|row| parse("an open receipt", row.get("opening")))
            .collect()
    }

    /// Receipts that are closed and in no batch, in the order they closed: id and leaf hash.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn unbatched(&self, limit: u32) -> Result<Vec<(String, Digest)>, WorkshopError> {
        sqlx::query(
            "SELECT id, leaf FROM receipts WHERE state = 'closed' AND batch IS NULL
             ORDER BY closed_ms, id LIMIT ?",
        )
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(failed("read the receipts without a batch"))?
        .iter()
        .map(|row| Ok((row.get("id"), digest(row, "leaf")?)))
        .collect()
    }

    /// One closed receipt.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn receipt(&self, id: &str) -> Result<Option<StoredReceipt>, WorkshopError> {
        sqlx::query("SELECT * FROM receipts WHERE id = ? AND state = 'closed'")
            .bind(id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read a receipt"))?
            .as_ref()
            .map(stored)
            .transpose()
    }

    /// The receipts that share most shingles with a passage, the best first, each with how many. Of a
    /// shingle that many receipts have, such as those of a prompt asked again and again, only the
    /// newest `HOLDERS_READ_MAX` make a receipt a candidate; how many a candidate shares is exact.
    ///
    /// # Errors
    /// `store`.
    pub async fn receipts_like(&self, hashes: &[u64]) -> Result<Vec<(String, u64)>, WorkshopError> {
        let hashes = &hashes[..hashes.len().min(SHINGLES_MAX)];
        let mut candidates: BTreeMap<String, u64> = BTreeMap::new();
        for hash in hashes {
            for receipt in self.holders(*hash).await? {
                *candidates.entry(receipt).or_default() += 1;
            }
        }
        let mut candidates: Vec<(String, u64)> = candidates.into_iter().collect();
        let best_first = |all: &mut Vec<(String, u64)>| {
            all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| b.0.cmp(&a.0)));
        };
        best_first(&mut candidates);
        candidates.truncate(CANDIDATES_MAX);
        let list = shingle_list(hashes);
        for (receipt, shared) in &mut candidates {
            *shared = self.shared(receipt, &list).await?;
        }
        best_first(&mut candidates);
        candidates.truncate(QUOTED_MAX);
        Ok(candidates)
    }

    /// The newest receipts that have a shingle.
    async fn holders(&self, hash: u64) -> Result<Vec<String>, WorkshopError> {
        let rows = sqlx::query(
            "SELECT receipt FROM shingles WHERE hash = ? ORDER BY receipt DESC LIMIT ?",
        )
        .bind(shingle(hash))
        .bind(HOLDERS_READ_MAX)
        .fetch_all(&self.read)
        .await
        .map_err(failed("look for a passage"))?;
        Ok(rows.iter().map(|row| row.get("receipt")).collect())
    }

    /// How many of these shingles a receipt has.
    async fn shared(&self, receipt: &str, list: &str) -> Result<u64, WorkshopError> {
        sqlx::query(
            "SELECT COUNT(*) AS count FROM shingles
             WHERE hash IN (SELECT value FROM json_each(?)) AND receipt = ?",
        )
        .bind(list)
        .bind(receipt)
        .fetch_one(&self.read)
        .await
        .map_err(failed("look for a passage"))
        .map(|row| row.get::<i64, _>("count").unsigned_abs())
    }

    /// One batch.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn batch(&self, number: u64) -> Result<Option<Batch>, WorkshopError> {
        sqlx::query("SELECT * FROM batches WHERE batch = ?")
            .bind(signed(number))
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read a batch of receipts"))?
            .as_ref()
            .map(batch)
            .transpose()
    }

    /// The leaf hashes of a batch, in their order.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn leaves_of(&self, number: u64) -> Result<Vec<Digest>, WorkshopError> {
        sqlx::query("SELECT leaf FROM receipts WHERE batch = ? ORDER BY position")
            .bind(signed(number))
            .fetch_all(&self.read)
            .await
            .map_err(failed("read a batch of receipts"))?
            .iter()
            .map(|row| digest(row, "leaf"))
            .collect()
    }

    /// The breakers, by name.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn breakers(&self) -> Result<Vec<BreakerRow>, WorkshopError> {
        sqlx::query("SELECT * FROM breakers ORDER BY name")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the breakers"))?
            .iter()
            .map(breaker_row)
            .collect()
    }

    /// One breaker; none of a deployment whose breaker never moved.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn breaker(&self, name: &str) -> Result<Option<BreakerRow>, WorkshopError> {
        sqlx::query("SELECT * FROM breakers WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read a breaker"))?
            .as_ref()
            .map(breaker_row)
            .transpose()
    }

    /// What waits for approval, by number.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn pending(&self) -> Result<Vec<PendingRow>, WorkshopError> {
        self.pending_shown(&Shown::All).await
    }

    /// What waits for approval in the projects that are shown, by number.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn pending_shown(&self, shown: &Shown) -> Result<Vec<PendingRow>, WorkshopError> {
        let sql = concat!(
            "SELECT * FROM pending WHERE TRUE",
            of_shown!("pending.name"),
            " ORDER BY number"
        );
        sqlx::query(sql)
            .bind(shown.list())
            .fetch_all(&self.read)
            .await
            .map_err(failed("read what waits for approval"))?
            .iter()
            .map(pending_row)
            .collect()
    }

    /// How many models wait for approval in the projects that are shown; counted up to `counted_max`.
    ///
    /// # Errors
    /// `store`.
    pub async fn pending_count(
        &self,
        shown: &Shown,
        counted_max: u32,
    ) -> Result<u32, WorkshopError> {
        let sql = concat!(
            "SELECT count(*) AS counted FROM (SELECT 1 FROM pending WHERE TRUE",
            of_shown!("pending.name"),
            " LIMIT ?2)"
        );
        let row = sqlx::query(sql)
            .bind(shown.list())
            .bind(counted_max)
            .fetch_one(&self.read)
            .await
            .map_err(failed("count what waits for approval"))?;
        Ok(row.get("counted"))
    }

    /// What waits for approval under this number, or of this order.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn pending_of(&self, what: &str) -> Result<Vec<PendingRow>, WorkshopError> {
        sqlx::query("SELECT * FROM pending WHERE number = ?1 OR order_id = ?1 ORDER BY number")
            .bind(what)
            .fetch_all(&self.read)
            .await
            .map_err(failed("read what waits for approval"))?
            .iter()
            .map(pending_row)
            .collect()
    }
}
