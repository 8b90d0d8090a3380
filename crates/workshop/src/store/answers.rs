//! Receipts as lists have them: a window of those of the projects that are shown, those that name a record, and
//! how many a deployment has. Of a million receipts only the window is read.
//!
//! Which project an answer is of is told by what its name begins with. There are about as many beginnings as
//! projects: the newest answers of each are found in an index, and the newest of these are the window.
//!
//! Not here: one receipt, and how receipts come about (`receipts`).

use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::Link;
use sqlx::Row;

use super::orders::parse;
use super::projects::project_of_name;
use super::receipts::{StoredReceipt, stored};
use super::{Store, failed};
use crate::error::WorkshopError;
use crate::listing::ReceiptsFrom;
use crate::people::Shown;

/// The beginnings of names that are of the projects in ?1, all where it is NULL. Each is found from the one
/// before it by one step into the index.
macro_rules! shown_beginnings {
    () => {
        "WITH RECURSIVE begins (beginning) AS (
             SELECT (SELECT MIN(beginning) FROM receipts WHERE state = 'closed')
             UNION ALL
             SELECT (SELECT MIN(beginning) FROM receipts
                     WHERE state = 'closed' AND beginning > begins.beginning)
             FROM begins WHERE begins.beginning IS NOT NULL
         ), shown AS MATERIALIZED (
             SELECT beginning FROM begins
             WHERE beginning IS NOT NULL AND (?1 IS NULL OR
                 COALESCE((SELECT id FROM projects WHERE id = begins.beginning), 'common')
                 IN (SELECT value FROM json_each(?1)))
         ) "
    };
}

/// At most ?2 receipts after the first ?3, from a place on in one direction, newest first: of all projects, and
/// of those in ?1.
macro_rules! windows {
    ($from:literal, $way:literal) => {
        (
            concat!(
                "SELECT receipts.* FROM (
                     SELECT id FROM receipts WHERE state = 'closed'",
                $from,
                "    ORDER BY id ",
                $way,
                "    LIMIT ?2 OFFSET ?3
                 ) AS page CROSS JOIN receipts ON receipts.id = page.id ORDER BY page.id DESC"
            ),
            concat!(
                shown_beginnings!(),
                "SELECT receipts.* FROM (
                     SELECT own.id FROM shown CROSS JOIN receipts AS own ON own.id IN (
                         SELECT id FROM receipts
                         WHERE state = 'closed' AND beginning = shown.beginning",
                $from,
                "        ORDER BY id ",
                $way,
                "        LIMIT ?2 + ?3)
                     ORDER BY own.id ",
                $way,
                "    LIMIT ?2 OFFSET ?3
                 ) AS page CROSS JOIN receipts ON receipts.id = page.id ORDER BY page.id DESC"
            ),
        )
    };
}

/// The newest receipts that name the record ?2, at most ?3.
const NAMING: &str = concat!(
    shown_beginnings!(),
    "SELECT receipts.bytes FROM (
         SELECT own.id FROM shown CROSS JOIN receipts AS own ON own.id IN (
             SELECT receipt FROM named WHERE named.leaf = ?2 AND beginning = shown.beginning
             ORDER BY receipt DESC LIMIT ?3)
         ORDER BY own.id DESC LIMIT ?3
     ) AS page CROSS JOIN receipts ON receipts.id = page.id ORDER BY page.id DESC"
);

/// What a window is read with, and the receipt that it is read from.
fn window<'a>(from: &'a ReceiptsFrom, shown: &Shown) -> (&'static str, Option<&'a String>) {
    let ((all, only), id) = match from {
        ReceiptsFrom::Newest => (windows!("", "DESC"), None),
        ReceiptsFrom::Before(id) => (windows!(" AND id < ?4", "DESC"), Some(id)),
        ReceiptsFrom::After(id) => (windows!(" AND id > ?4", "ASC"), Some(id)),
    };
    match shown {
        Shown::All => (all, id),
        Shown::Only(_) => (only, id),
    }
}

impl Store {
    /// Closed receipts of the projects that are shown, newest first; of one deployment where it is named.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn receipts(
        &self,
        deployment: Option<&Link>,
        shown: &Shown,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<StoredReceipt>, WorkshopError> {
        let Some(of) = deployment else {
            let newest = ReceiptsFrom::Newest;
            return self.window(&newest, shown, limit, offset).await;
        };
        if !self.shows(of, shown).await? {
            return Ok(Vec::new());
        }
        sqlx::query(
            "SELECT * FROM receipts WHERE deployment = ? AND state = 'closed'
             ORDER BY id DESC LIMIT ? OFFSET ?",
        )
        .bind(of.to_string())
        .bind(limit)
        .bind(offset)
        .fetch_all(&self.read)
        .await
        .map_err(failed("read the receipts"))?
        .iter()
        .map(stored)
        .collect()
    }

    /// At most `limit` closed receipts from there on, newest first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn receipts_from(
        &self,
        from: &ReceiptsFrom,
        shown: &Shown,
        limit: u32,
    ) -> Result<Vec<StoredReceipt>, WorkshopError> {
        self.window(from, shown, limit, 0).await
    }

    async fn window(
        &self,
        from: &ReceiptsFrom,
        shown: &Shown,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<StoredReceipt>, WorkshopError> {
        let (sql, id) = window(from, shown);
        let mut query = sqlx::query(sql).bind(shown.list()).bind(limit).bind(offset);
        if let Some(id) = id {
            query = query.bind(id);
        }
        query
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the receipts"))?
            .iter()
            .map(stored)
            .collect()
    }

    /// Whether the answers of a deployment, which are all under one name, are of the projects that are shown.
    async fn shows(&self, deployment: &Link, shown: &Shown) -> Result<bool, WorkshopError> {
        if *shown == Shown::All {
            return Ok(true);
        }
        let sql = concat!(
            "SELECT ",
            project_of_name!("receipts.name"),
            " AS project FROM receipts WHERE deployment = ? LIMIT 1"
        );
        let row = sqlx::query(sql)
            .bind(deployment.to_string())
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read the receipts"))?;
        Ok(row.is_none_or(|row| shown.has(row.get("project"))))
    }

    /// How many answers a deployment gave; where it is more than `max`, one more than that.
    ///
    /// # Errors
    /// `store`.
    pub async fn receipts_of(&self, deployment: &Link, max: u32) -> Result<u64, WorkshopError> {
        let sql = "SELECT COUNT(*) AS count
                   FROM (SELECT 1 FROM receipts WHERE deployment = ? LIMIT ?)";
        sqlx::query(sql)
            .bind(deployment.to_string())
            .bind(i64::from(max) + 1)
            .fetch_one(&self.read)
            .await
            .map_err(failed("count the receipts"))
            .map(|row| row.get::<i64, _>("count").unsigned_abs())
    }

    /// Receipts of the projects that are shown whose spans name a record, newest first, at most `limit`.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn receipts_naming(
        &self,
        leaf: &Digest,
        shown: &Shown,
        limit: u32,
    ) -> Result<Vec<Receipt>, WorkshopError> {
        let rows = sqlx::query(NAMING)
            .bind(shown.list())
            .bind(leaf.to_string())
            .bind(limit)
            .fetch_all(&self.read)
            .await
            .map_err(failed("look for a record in the receipts"))?;
        rows.iter()
            .map(|row| {
                let bytes: Vec<u8> = row.get("bytes");
                parse("a receipt", &String::from_utf8_lossy(&bytes))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use lathe_evidence::receipt::{Ended, Part, Span};
    use lathe_evidence::statement::BreakerState;
    use sqlx::AssertSqlSafe;
    use sqlx::sqlite::SqlitePoolOptions;

    use super::super::receipts::{ClosedReceipt, OpenReceipt};
    use super::super::version::MIGRATIONS;
    use super::super::{Change, options};
    use super::*;
    use crate::people::{PeopleChange, ProjectRow};

    /// The layout before receipts were found by what they name.
    const BEFORE: i64 = 12;
    /// Names that answer in turn, and so do their projects: of the last one there is no project.
    const NAMES: [&str; 4] = ["care", "ward.care", "attic.care", "gone.care"];

    fn leaf() -> Digest {
        Digest::of(b"record")
    }

    fn only(projects: &[&str]) -> Shown {
        Shown::Only(projects.iter().map(|it| (*it).to_owned()).collect())
    }

    /// The changes of an answer; every third names the record, twice.
    fn answered(at: usize) -> [Change; 2] {
        let name = NAMES[at % NAMES.len()];
        let open = OpenReceipt {
            id: format!("r-{at:02}"),
            name: name.to_owned(),
            deployment: Digest::of(name.as_bytes()),
            model: Digest::of(b"model"),
            policy: Digest::of(b"policy"),
            prompt: Digest::of(b"prompt"),
            breaker: BreakerState::Closed,
            relayed: false,
            ledger_size: 1,
            opened_ms: 1,
        };
        let span = |start| Span {
            leaf: leaf(),
            part: Part::Prompt,
            start,
            bytes: 3,
            text: Digest::of(b"passage"),
        };
        let names = at.is_multiple_of(3);
        let receipt = Receipt {
            id: open.id.clone(),
            name: open.name.clone(),
            deployment: open.deployment,
            model: open.model,
            policy: open.policy,
            prompt: open.prompt,
            answer: Digest::of(b"answer"),
            ended: Ended::Stop,
            prompt_tokens: 1,
            answer_tokens: 1,
            breaker: open.breaker,
            ledger_size: 1,
            spans: if names {
                vec![span(0), span(9)]
            } else {
                Vec::new()
            },
            opened_ms: 1,
            closed_ms: 2,
            upstream: None,
        };
        let bytes = receipt.to_bytes().unwrap();
        let closed = ClosedReceipt {
            leaf: Receipt::leaf(&bytes),
            bytes,
            receipt,
            texts: None,
            shingles: Vec::new(),
        };
        [
            Change::ReceiptOpened(Box::new(open)),
            Change::ReceiptClosed(Box::new(closed)),
        ]
    }

    /// A store with two projects and 24 answers, of each name every fourth.
    async fn filled(folder: &std::path::Path) -> Store {
        let store = Store::open(&folder.join("s")).await.unwrap();
        for id in ["ward", "attic"] {
            let row = ProjectRow {
                id: id.to_owned(),
                name: id.to_owned(),
                created_ms: 1,
            };
            let change = Change::People(PeopleChange::ProjectIs(row));
            store.apply(&[change]).await.unwrap();
        }
        let changes: Vec<Change> = (0..24).flat_map(answered).collect();
        store.apply(&changes).await.unwrap();
        store
    }

    fn numbers<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<usize> {
        ids.map(|id| id.trim_start_matches("r-").parse().unwrap())
            .collect()
    }

    /// What a list shall have: the answers of these projects, newest first.
    fn expected(shown: &Shown, fits: impl Fn(usize) -> bool) -> Vec<usize> {
        let project = |at: usize| ["common", "ward", "attic", "common"][at % 4];
        let all = (0..24).rev();
        all.filter(|at| shown.has(project(*at)) && fits(*at))
            .collect()
    }

    #[tokio::test]
    async fn a_window_is_over_the_answers_that_are_shown() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        let before = ReceiptsFrom::Before("r-17".to_owned());
        let after = ReceiptsFrom::After("r-05".to_owned());
        for shown in [
            Shown::All,
            only(&[]),
            only(&["ward"]),
            only(&["common"]),
            only(&["attic", "ward"]),
            only(&["common", "attic", "ward", "other"]),
        ] {
            let list = async |from: &ReceiptsFrom| {
                let rows = store.receipts_from(from, &shown, 3).await.unwrap();
                numbers(rows.iter().map(|it| it.receipt.id.as_str()))
            };
            let all = expected(&shown, |_| true);
            let newest = list(&ReceiptsFrom::Newest).await;
            assert_eq!(newest, all[..all.len().min(3)], "{shown:?}");
            let older = expected(&shown, |at| at < 17);
            assert_eq!(
                list(&before).await,
                older[..older.len().min(3)],
                "{shown:?}"
            );
            let newer = expected(&shown, |at| at > 5);
            let nearest = &newer[newer.len().saturating_sub(3)..];
            assert_eq!(list(&after).await, nearest, "{shown:?}");
            let rows = store.receipts(None, &shown, 2, 1).await.unwrap();
            let ids = numbers(rows.iter().map(|it| it.receipt.id.as_str()));
            let second: Vec<usize> = all.iter().skip(1).take(2).copied().collect();
            assert_eq!(ids, second, "{shown:?}");
        }
        store.close().await;
    }

    #[tokio::test]
    async fn a_deployments_answers_are_shown_or_not_and_counted_to_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        let of = Digest::of(b"ward.care");
        for (shown, count) in [
            (Shown::All, 6),
            (only(&["ward"]), 6),
            (only(&["common"]), 0),
        ] {
            let rows = store.receipts(Some(&of), &shown, 9, 0).await.unwrap();
            assert_eq!(rows.len(), count, "{shown:?}");
        }
        assert_eq!(store.receipts_of(&of, 9).await.unwrap(), 6);
        assert_eq!(
            store.receipts_of(&of, 3).await.unwrap(),
            4,
            "one more than 3"
        );
        store.close().await;
    }

    #[tokio::test]
    async fn the_answers_that_name_a_record_are_found_once_each_and_the_newest() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        for shown in [Shown::All, only(&["ward"]), only(&["common", "attic"])] {
            let list = async |limit| {
                let rows = store.receipts_naming(&leaf(), &shown, limit).await.unwrap();
                numbers(rows.iter().map(|it| it.id.as_str()))
            };
            let all = expected(&shown, |at| at.is_multiple_of(3));
            assert_eq!(list(99).await, all, "{shown:?}");
            assert_eq!(list(2).await, all[..2], "{shown:?}");
        }
        let other = Digest::of(b"another");
        let none = store.receipts_naming(&other, &Shown::All, 9).await;
        assert!(none.unwrap().is_empty());
        store.close().await;
    }

    /// What a store had before answers were found by what they name is found afterwards, too.
    #[tokio::test]
    async fn answers_of_an_older_store_are_found_after_the_upgrade() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        let rows = store.receipts(None, &Shown::All, 99, 0).await.unwrap();
        let path = folder.path().join("older");
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .connect_with(options(&path).create_if_missing(true))
            .await
            .unwrap();
        MIGRATIONS.run_to(BEFORE, &pool).await.unwrap();
        for row in &rows {
            sqlx::query(
                "INSERT INTO receipts (id, state, name, deployment, opening, opened_ms, bytes)
                 VALUES (?, 'closed', ?, 'd', '{}', 1, ?)",
            )
            .bind(&row.receipt.id)
            .bind(&row.receipt.name)
            .bind(&row.bytes)
            .execute(&pool)
            .await
            .unwrap();
        }
        pool.close().await;
        let older = Store::open(&path).await.unwrap();
        let named = older.receipts_naming(&leaf(), &Shown::All, 99).await;
        let ids = numbers(named.unwrap().iter().map(|it| it.id.as_str()));
        assert_eq!(ids, expected(&Shown::All, |at| at.is_multiple_of(3)));
        older.close().await;
        store.close().await;
    }

    /// How a plan tells of the index that the newest of all are counted off from.
    const WALK: &str = "USING COVERING INDEX receipts_closed";

    /// No list reads through the receipts, or an index of them, from end to end.
    #[tokio::test]
    async fn a_window_is_read_from_its_indexes() {
        let folder = tempfile::tempdir().unwrap();
        let store = filled(folder.path()).await;
        let id = "r-17".to_owned();
        let froms = [
            ReceiptsFrom::Newest,
            ReceiptsFrom::Before(id.clone()),
            ReceiptsFrom::After(id),
        ];
        let shown = only(&["ward"]);
        let windows = froms.iter().map(|from| window(from, &shown).0);
        let whole = froms.iter().map(|from| window(from, &Shown::All).0);
        for sql in windows.chain(whole).chain([NAMING]) {
            let rows = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))
                .fetch_all(&store.read)
                .await
                .unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            for table in ["receipts", "own", "named"] {
                let scanned = plan
                    .iter()
                    .any(|it| it.starts_with(&format!("SCAN {table}")) && !it.contains(WALK));
                assert!(!scanned, "{sql}: {plan:#?}");
            }
        }
        store.close().await;
    }
}
