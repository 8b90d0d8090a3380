//! Reading orders, their steps, curves and logs.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::write::signed;
use super::{Store, failed};
use crate::error::WorkshopError;
use crate::listing::{CURVE_POINTS_MAX, OUTLINE_POINTS};
use crate::order::{
    CurvePoint, LogLine, OrderId, OrderState, Origin, Output, StepError, StepName, StepState, Title,
};
use crate::people::COMMON;

/// An order as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct OrderRow {
    /// Its id.
    pub id: OrderId,
    /// The pack's name.
    pub pack: String,
    /// The pack's title.
    pub title: Title,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// Touch no network.
    pub offline: bool,
    /// The pack's folder, relative to the home.
    pub folder: String,
    /// SHA-256 of pack.yaml as written.
    pub pack_sha256: String,
    /// The effective pack, JSON text.
    pub spec: String,
    /// Its state.
    pub state: OrderState,
    /// When it was placed.
    pub created_ms: i64,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// The name its model answers under.
    pub deployment: Option<String>,
    /// Where it comes from, when it was cloned.
    pub origin: Option<Origin>,
    /// The project it belongs to.
    pub project: String,
}

/// A step as stored, with its effect when it is finished.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRow {
    /// Which.
    pub name: StepName,
    /// Its state.
    pub state: StepState,
    /// Digest of its inputs.
    pub input: Option<String>,
    /// Why it failed.
    pub error: Option<StepError>,
    /// When it began.
    pub started_ms: Option<i64>,
    /// When it ended.
    pub ended_ms: Option<i64>,
    /// What it found, when finished.
    pub output: Option<Output>,
    /// What it made, when finished.
    pub artifact: Option<String>,
}

const DOING: &str = "read an order";

/// A stored text that no longer parses: the file was changed by hand or by a newer version.
fn unreadable(what: &str, error: impl std::fmt::Display) -> WorkshopError {
    WorkshopError::new(
        "store-unreadable",
        format!("the store holds {what} that this version cannot read: {error}"),
        "use the version of Lathe that wrote this home",
    )
}

/// Parses JSON text from the store.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(
    what: &str,
    text: &str,
) -> Result<T, WorkshopError> {
    serde_json::from_str(text).map_err(|error| unreadable(what, error))
}

/// Parses the word of a unit variant.
pub(super) fn parse_word<T: serde::de::DeserializeOwned>(
    what: &str,
    text: String,
) -> Result<T, WorkshopError> {
    serde_json::from_value(serde_json::Value::String(text)).map_err(|error| unreadable(what, error))
}

fn order_row(row: &SqliteRow) -> Result<OrderRow, WorkshopError> {
    // A home of an earlier version, read before a daemon brought it up to date, has no such columns.
    let origin: Option<String> = row.try_get("origin").ok().flatten();
    Ok(OrderRow {
        id: OrderId(row.get("id")),
        pack: row.get("pack"),
        title: Title {
            en: row.get("title_en"),
            zh: row.get("title_zh"),
        },
        demonstration: row.get("demonstration"),
        offline: row.get("offline"),
        folder: row.get("folder"),
        pack_sha256: row.get("pack_sha256"),
        spec: row.get("spec"),
        state: parse_word("an order's state", row.get("state"))?,
        created_ms: row.get("created_ms"),
        ended_ms: row.get("ended_ms"),
        deployment: row.get("deployment"),
        origin: origin
            .map(|text| parse("where an order comes from", &text))
            .transpose()?,
        project: row.try_get("project").unwrap_or_else(|_| COMMON.to_owned()),
    })
}

fn step_row(row: &SqliteRow) -> Result<StepRow, WorkshopError> {
    let error: Option<String> = row.get("error");
    let output: Option<String> = row.get("output");
    Ok(StepRow {
        name: parse_word("a step", row.get("name"))?,
        state: parse_word("a step's state", row.get("state"))?,
        input: row.get("input"),
        error: error
            .map(|text| parse("a step's error", &text))
            .transpose()?,
        started_ms: row.get("started_ms"),
        ended_ms: row.get("ended_ms"),
        output: output
            .map(|text| parse("a step's output", &text))
            .transpose()?,
        artifact: row.get("artifact"),
    })
}

impl Store {
    /// One order.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn order(&self, id: &OrderId) -> Result<Option<OrderRow>, WorkshopError> {
        sqlx::query("SELECT * FROM orders WHERE id = ?")
            .bind(&id.0)
            .fetch_optional(&self.read)
            .await
            .map_err(failed(DOING))?
            .as_ref()
            .map(order_row)
            .transpose()
    }

    /// Orders that are not over, oldest first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn unfinished(&self) -> Result<Vec<OrderRow>, WorkshopError> {
        self.orders_of("SELECT * FROM orders WHERE state IN ('queued', 'running') ORDER BY id")
            .await
    }

    /// The place of a queued order in the queue, from 1; none of any other.
    ///
    /// # Errors
    /// `store`.
    pub async fn position(&self, id: &OrderId) -> Result<Option<u32>, WorkshopError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM orders AS ahead
                     WHERE ahead.state = 'queued' AND ahead.id <= orders.id) AS place
             FROM orders WHERE id = ? AND state = 'queued'",
        )
        .bind(&id.0)
        .fetch_optional(&self.read)
        .await
        .map_err(failed(DOING))?;
        Ok(row.as_ref().map(place))
    }

    /// Orders that are neither done nor failed, those that wait for a decision or are paused too,
    /// oldest first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn placed(&self) -> Result<Vec<OrderRow>, WorkshopError> {
        self.orders_of("SELECT * FROM orders WHERE state NOT IN ('done', 'failed') ORDER BY id")
            .await
    }

    async fn orders_of(&self, sql: &'static str) -> Result<Vec<OrderRow>, WorkshopError> {
        sqlx::query(sql)
            .fetch_all(&self.read)
            .await
            .map_err(failed(DOING))?
            .iter()
            .map(order_row)
            .collect()
    }

    /// The steps of an order in the order they run. A step's output is shown only where the
    /// step is finished.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn steps(&self, id: &OrderId) -> Result<Vec<StepRow>, WorkshopError> {
        sqlx::query(
            "SELECT steps.*, effects.output, effects.artifact
             FROM steps LEFT JOIN effects
               ON effects.step = steps.name AND effects.input = steps.input
              AND steps.state IN ('done', 'reused')
             WHERE steps.order_id = ? ORDER BY steps.position",
        )
        .bind(&id.0)
        .fetch_all(&self.read)
        .await
        .map_err(failed(DOING))?
        .iter()
        .map(step_row)
        .collect()
    }

    /// The steps that were begun and not finished, with the digests of their inputs: theirs are
    /// the checkpoints worth keeping.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn resumable(&self) -> Result<Vec<(StepName, String)>, WorkshopError> {
        let rows = sqlx::query(
            "SELECT DISTINCT name, input FROM steps
             WHERE input IS NOT NULL AND state NOT IN ('done', 'reused')",
        )
        .fetch_all(&self.read)
        .await
        .map_err(failed(DOING))?;
        rows.iter()
            .map(|row| Ok((parse_word("a step", row.get("name"))?, row.get("input"))))
            .collect()
    }

    /// The loss curve after `after_step`, at most `CURVE_POINTS_MAX` points of it.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn curve(
        &self,
        id: &OrderId,
        after_step: u64,
    ) -> Result<Vec<CurvePoint>, WorkshopError> {
        let rows = sqlx::query(
            "SELECT point FROM curve WHERE order_id = ? AND step > ? ORDER BY step LIMIT ?",
        )
        .bind(self.curve_owner(id).await?)
        .bind(signed(after_step))
        .bind(CURVE_POINTS_MAX)
        .fetch_all(&self.read)
        .await
        .map_err(failed("read a loss curve"))?;
        points(&rows)
    }

    /// The loss curve as it is drawn: of a long one every so-manieth point, and the last.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn curve_outline(&self, id: &OrderId) -> Result<Vec<CurvePoint>, WorkshopError> {
        let owner = self.curve_owner(id).await?;
        // By itself: in one query SQLite may count the points anew for each of them.
        let whole = sqlx::query(
            "SELECT COUNT(*) AS points, COALESCE(MAX(step), 0) AS last FROM curve WHERE order_id = ?",
        )
        .bind(&owner)
        .fetch_one(&self.read)
        .await
        .map_err(failed("measure a loss curve"))?;
        let every = whole.get::<i64, _>("points") / i64::from(OUTLINE_POINTS);
        let rows = sqlx::query(
            "SELECT point FROM curve WHERE order_id = ? AND (step % ? = 0 OR step = ?) ORDER BY step",
        )
        .bind(owner)
        .bind(every.max(1))
        .bind(whole.get::<i64, _>("last"))
        .fetch_all(&self.read)
        .await
        .map_err(failed("read a loss curve"))?;
        points(&rows)
    }

    /// At most `limit` points of the loss curve up to `last_step`, the last first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn curve_back(
        &self,
        id: &OrderId,
        last_step: u64,
        limit: u32,
    ) -> Result<Vec<CurvePoint>, WorkshopError> {
        let rows = sqlx::query(
            "SELECT point FROM curve WHERE order_id = ? AND step <= ? ORDER BY step DESC LIMIT ?",
        )
        .bind(self.curve_owner(id).await?)
        .bind(signed(last_step))
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(failed("read a loss curve"))?;
        points(&rows)
    }

    /// The order that ran the stage whose losses are the curve, which for a reused step is an earlier
    /// one. The stage is `Pack::curve_stage`'s: the supervised one, where there is one.
    async fn curve_owner(&self, id: &OrderId) -> Result<String, WorkshopError> {
        let row = sqlx::query(
            "SELECT COALESCE(
                 (SELECT effects.order_id FROM steps JOIN effects
                    ON effects.step = steps.name AND effects.input = steps.input
                  WHERE steps.order_id = ?1 AND steps.state = 'reused' AND steps.name =
                    (SELECT name FROM steps WHERE order_id = ?1 AND name IN ('tune', 'preference')
                     ORDER BY name = 'tune' DESC LIMIT 1)),
                 ?1) AS owner",
        )
        .bind(&id.0)
        .fetch_one(&self.read)
        .await
        .map_err(failed("read a loss curve"))?;
        Ok(row.get("owner"))
    }

    /// The log after line `after_seq`, at most `limit` lines.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn log(
        &self,
        id: &OrderId,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<LogLine>, WorkshopError> {
        let rows =
            sqlx::query("SELECT * FROM log WHERE order_id = ? AND seq > ? ORDER BY seq LIMIT ?")
                .bind(&id.0)
                .bind(signed(after_seq))
                .bind(limit)
                .fetch_all(&self.read)
                .await
                .map_err(failed("read a log"))?;
        rows.iter().map(log_line).collect()
    }

    /// The last `limit` lines of the log, oldest first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn log_tail(&self, id: &OrderId, limit: u32) -> Result<Vec<LogLine>, WorkshopError> {
        let rows = sqlx::query("SELECT * FROM log WHERE order_id = ? ORDER BY seq DESC LIMIT ?")
            .bind(&id.0)
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the end of a log"))?;
        rows.iter().rev().map(log_line).collect()
    }
}

fn points(rows: &[SqliteRow]) -> Result<Vec<CurvePoint>, WorkshopError> {
    rows.iter()
        .map(|row| parse("a point of a loss curve", row.get("point")))
        .collect()
}

pub(super) fn place(row: &SqliteRow) -> u32 {
    u32::try_from(row.get::<i64, _>("place")).unwrap_or(u32::MAX)
}

fn log_line(row: &SqliteRow) -> Result<LogLine, WorkshopError> {
    Ok(LogLine {
        seq: row.get::<i64, _>("seq").unsigned_abs(),
        at_ms: row.get("at_ms"),
        step: parse_word("a step", row.get("step"))?,
        text: row.get("text"),
    })
}
