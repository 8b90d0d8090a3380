//! Orders as a list has them: narrowed, sorted, a window of them. Everything is read from one index,
//! never from the orders' packs.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::orders::{parse, parse_word, place};
use super::{Store, failed};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::listing::{OrdersAsked, OrdersSort};
use crate::order::{CANCELLED, Ending, OrderId, OrderState, OrderSummary, REJECTED, Title};
use crate::people::Shown;

/// Packs that are offered for narrowing a list.
const PACKS_MAX: u32 = 200;

const DOING: &str = "list the orders";

/// How a row of `orders`, called so, ended that was not finished; null for the others.
macro_rules! ending {
    ($orders:literal) => {
        concat!(
            "(CASE ",
            $orders,
            ".state WHEN 'failed' THEN COALESCE(
                 (SELECT CASE CASE WHEN json_valid(error) THEN json_extract(error, '$.code') END
                         WHEN ?8 THEN 'rejected' WHEN ?9 THEN 'cancelled' END
                  FROM steps WHERE order_id = ",
            $orders,
            ".id AND state = 'failed' LIMIT 1), 'error') END)"
        )
    };
}

/// The window is chosen before the steps are looked at: those of other orders are not read, but where an ending is
/// asked for: then those of orders that failed.
macro_rules! listed {
    ($order:literal, $project:literal, $origin:literal) => {
        concat!(
            "SELECT listed.*, COALESCE(
                 (SELECT name FROM steps WHERE order_id = listed.id
                  AND state NOT IN ('done', 'reused') ORDER BY position LIMIT 1), 'ask') AS step,
                 CASE WHEN listed.state = 'queued' THEN
                 (SELECT COUNT(*) FROM orders AS ahead
                  WHERE ahead.state = 'queued' AND ahead.id <= listed.id) END AS place,
                 (SELECT SUM(MAX(COALESCE(ended_ms, CASE state WHEN 'running' THEN ?7 END) - started_ms, 0))
                  FROM steps WHERE order_id = listed.id) AS worked, ",
            ending!("listed"),
            " AS ending, ",
            $origin,
            " AS origin
             FROM (SELECT id, state, pack, title_en, title_zh, demonstration, created_ms, ended_ms, ",
            $project,
            " AS project
                   FROM orders
                   WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR pack = ?2)
                     AND (?6 IS NULL OR ",
            $project,
            " IN (SELECT value FROM json_each(?6)))
                     AND (?3 IS NULL OR title_en LIKE ?3 ESCAPE '\\' OR title_zh LIKE ?3 ESCAPE '\\'
                          OR pack LIKE ?3 ESCAPE '\\' OR deployment LIKE ?3 ESCAPE '\\'
                          OR id LIKE ?3 ESCAPE '\\')
                     AND (?10 IS NULL OR ",
            ending!("orders"),
            " = ?10)
                   ORDER BY ",
            $order,
            " LIMIT ?4 OFFSET ?5) AS listed ORDER BY ",
            $order
        )
    };
}

macro_rules! sorted {
    ($sort:ident, $project:literal, $origin:literal) => {
        match $sort {
            OrdersSort::Newest => listed!("id DESC", $project, $origin),
            OrdersSort::Oldest => listed!("id", $project, $origin),
            OrdersSort::Pack => listed!("pack, id DESC", $project, $origin),
            OrdersSort::Longest => {
                listed!(
                    "ended_ms IS NULL, ended_ms - created_ms DESC, id DESC",
                    $project,
                    $origin
                )
            }
        }
    };
}

/// In a home of an earlier version, read before a daemon brought it up to date, everything is common.
fn sql(sort: OrdersSort, has_projects: bool) -> &'static str {
    match has_projects {
        true => sorted!(
            sort,
            "project",
            "(SELECT origin FROM orders AS own WHERE own.id = listed.id)"
        ),
        false => sorted!(sort, "'common'", "NULL"),
    }
}

/// What LIKE finds anywhere in a text; what it would take for a pattern stands for itself.
pub(super) fn pattern(text: &str) -> String {
    let mut pattern = "%".to_owned();
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

fn summary(row: &SqliteRow) -> Result<OrderSummary, WorkshopError> {
    let state = parse_word("an order's state", row.get("state"))?;
    Ok(OrderSummary {
        id: OrderId(row.get("id")),
        pack: row.get("pack"),
        title: Title {
            en: row.get("title_en"),
            zh: row.get("title_zh"),
        },
        project: row.get("project"),
        demonstration: row.get("demonstration"),
        state,
        step: parse_word("a step", row.get("step"))?,
        position: (state == OrderState::Queued).then(|| place(row)),
        created_ms: row.get("created_ms"),
        ended_ms: row.get("ended_ms"),
        worked_ms: row.get::<Option<i64>, _>("worked").unwrap_or(0),
        answering: None,
        ending: row
            .get::<Option<String>, _>("ending")
            .map(|word| parse_word("how an order ended", word))
            .transpose()?,
        origin: row
            .get::<Option<String>, _>("origin")
            .map(|text| parse("an order's origin", &text))
            .transpose()?,
    })
}

impl Store {
    /// Orders, newest first, with the step each stands at.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn orders(
        &self,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<OrderSummary>, WorkshopError> {
        self.orders_asked(&OrdersAsked::default(), &Shown::All, limit, offset)
            .await
    }

    /// The orders that are asked for, of the projects that are shown, with the step each stands at.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn orders_asked(
        &self,
        asked: &OrdersAsked,
        shown: &Shown,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<OrderSummary>, WorkshopError> {
        let shown = match &asked.project {
            Some(one) if shown.has(one) => Shown::Only(vec![one.clone()]),
            Some(_) => Shown::Only(Vec::new()),
            None => shown.clone(),
        };
        sqlx::query(sql(asked.sort, self.has_projects().await?))
            .bind(asked.state.as_ref().map(super::write::word))
            .bind(asked.pack.as_deref())
            .bind(asked.sought().as_deref().map(pattern))
            .bind(limit)
            .bind(offset)
            .bind(shown.list())
            .bind(now_ms())
            .bind(REJECTED)
            .bind(CANCELLED)
            .bind(asked.ending.map(Ending::as_str))
            .fetch_all(&self.read)
            .await
            .map_err(failed(DOING))?
            .iter()
            .map(summary)
            .collect()
    }

    /// The names of the packs that orders of the projects that are shown were placed with, at most
    /// `PACKS_MAX`.
    ///
    /// # Errors
    /// `store`.
    pub async fn packs(&self, shown: &Shown) -> Result<Vec<String>, WorkshopError> {
        let sql = "SELECT DISTINCT pack FROM orders
             WHERE (?1 IS NULL OR project IN (SELECT value FROM json_each(?1)))
             ORDER BY pack LIMIT ?2";
        let rows = sqlx::query(sql)
            .bind(shown.list())
            .bind(PACKS_MAX)
            .fetch_all(&self.read)
            .await
            .map_err(failed(DOING))?;
        Ok(rows.iter().map(|row| row.get("pack")).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::{Output, StepError, StepName};
    use crate::store::Change;
    use crate::store::change::{Finished, NewOrder};

    fn placed(id: &str, pack: &str, zh: &str, at_ms: i64) -> Change {
        placed_in(id, pack, zh, at_ms, crate::people::COMMON)
    }

    fn placed_in(id: &str, pack: &str, zh: &str, at_ms: i64, project: &str) -> Change {
        let order = NewOrder {
            id: OrderId(id.to_owned()),
            pack: pack.to_owned(),
            title: Title {
                en: format!("Title of {pack}"),
                zh: zh.to_owned(),
            },
            demonstration: false,
            offline: false,
            folder: "p".to_owned(),
            pack_sha256: "0".repeat(64),
            spec: "{}".to_owned(),
            origin: None,
            project: project.to_owned(),
        };
        Change::Placed {
            order: Box::new(order),
            at_ms,
        }
    }

    fn done(id: &str, at_ms: i64) -> Change {
        Change::OrderIs {
            order: OrderId(id.to_owned()),
            state: OrderState::Done,
            at_ms,
        }
    }

    async fn four(folder: &std::path::Path) -> Store {
        let store = Store::open(&folder.join("s")).await.unwrap();
        let changes = [
            placed("1", "care", "客户情绪", 10),
            placed("2", "100%_care", "客户评价", 20),
            placed("3", "other", "质检", 30),
            placed("4", "care", "客户情绪", 40),
            done("1", 1000),
            done("3", 50),
        ];
        store.apply(&changes).await.unwrap();
        store
    }

    #[test]
    fn lists_are_narrowed_and_sorted() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = four(folder.path()).await;
            let all = OrdersAsked::default();
            let text = |text: &str| OrdersAsked {
                text: Some(text.to_owned()),
                ..all.clone()
            };
            let sorted = |sort| OrdersAsked {
                sort,
                ..all.clone()
            };
            let state = OrdersAsked {
                state: Some(OrderState::Queued),
                ..all.clone()
            };
            let pack = OrdersAsked {
                pack: Some("care".to_owned()),
                ..all.clone()
            };
            for (asked, expected) in [
                (all.clone(), "4321"),
                (sorted(OrdersSort::Oldest), "1234"),
                (sorted(OrdersSort::Pack), "2413"),
                (sorted(OrdersSort::Longest), "1342"),
                (state, "42"),
                (pack, "41"),
                (text("客户"), "421"),
                (text("TITLE OF OTHER"), "3"),
                (text("0%_c"), "2"),
                (text("%"), "2"),
                (text("nothing"), ""),
            ] {
                let rows = store.orders_asked(&asked, &Shown::All, 9, 0).await.unwrap();
                let ids: String = rows.iter().map(|row| row.id.0.as_str()).collect();
                assert_eq!(ids, expected, "{asked:?}");
            }
            let second = store.orders_asked(&all, &Shown::All, 1, 1).await.unwrap();
            assert_eq!(second[0].id.0, "3");
            let queued = store.orders(1, 0).await.unwrap();
            assert_eq!(queued[0].position, Some(2));
            let packs = store.packs(&Shown::All).await.unwrap();
            assert_eq!(packs, ["100%_care", "care", "other"]);
            store.close().await;
        });
    }

    #[test]
    fn a_list_has_what_is_shown_and_counts_its_window_over_that() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = four(folder.path()).await;
            let changes = [
                placed_in("5", "care", "客户情绪", 50, "ward"),
                placed_in("6", "scans", "影像", 60, "ward"),
            ];
            store.apply(&changes).await.unwrap();
            let only = |projects: &[&str]| {
                Shown::Only(projects.iter().map(|it| (*it).to_owned()).collect())
            };
            let in_ward = OrdersAsked {
                project: Some("ward".to_owned()),
                ..OrdersAsked::default()
            };
            let all = OrdersAsked::default();
            for (asked, shown, expected) in [
                (&all, Shown::All, "654321"),
                (&all, only(&["ward"]), "65"),
                (&all, only(&["ward", "common"]), "654321"),
                (&all, only(&[]), ""),
                (&in_ward, Shown::All, "65"),
                (&in_ward, only(&["ward"]), "65"),
                (&in_ward, only(&["common"]), ""),
            ] {
                let rows = store.orders_asked(asked, &shown, 9, 0).await.unwrap();
                let ids: String = rows.iter().map(|row| row.id.0.as_str()).collect();
                assert_eq!(ids, expected, "{asked:?} {shown:?}");
                let own = rows.iter().all(|row| shown.has(&row.project));
                assert!(own, "{rows:?}");
            }
            let ward = only(&["ward"]);
            let second = store.orders_asked(&all, &ward, 1, 1).await.unwrap();
            assert_eq!(second[0].id.0, "5", "the window is over what is shown");
            assert_eq!(store.packs(&ward).await.unwrap(), ["care", "scans"]);
            store.close().await;
        });
    }

    /// An order that waited a thousand hours for its turn and then worked for seconds has worked for seconds.
    #[test]
    fn what_an_order_waited_is_not_what_it_worked() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = four(folder.path()).await;
            let begins = |step, at_ms| Change::StepBegins {
                order: OrderId("4".to_owned()),
                step,
                input: "aa".to_owned(),
                at_ms,
            };
            let finished = Finished {
                order: OrderId("4".to_owned()),
                step: StepName::Model,
                input: "aa".to_owned(),
                output: Output::default(),
                artifact: None,
                registers: Vec::new(),
            };
            let began_ms = 3_600_000_000;
            let changes = [
                begins(StepName::Model, began_ms),
                Change::StepDone {
                    finished: Box::new(finished),
                    at_ms: began_ms + 4_000,
                },
                begins(StepName::Data, now_ms() - 60_000),
            ];
            store.apply(&changes).await.unwrap();
            let rows = store.orders(1, 0).await.unwrap();
            // The step that runs counts up to now.
            let worked_s = rows[0].worked_ms / 1000;
            assert!((64..94).contains(&worked_s), "{rows:?}");
            assert_eq!(store.orders(1, 1).await.unwrap()[0].worked_ms, 0);
            store.close().await;
        });
    }

    /// What an approver rejected, or somebody cancelled, is told from what failed, and found apart from it.
    #[test]
    fn what_somebody_ended_is_no_failed_order_in_a_list() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = four(folder.path()).await;
            let fails = |id: &str, error| Change::StepFails {
                order: OrderId(id.to_owned()),
                step: StepName::Deploy,
                error,
                at_ms: 60,
            };
            let coded = |code: &str| StepError {
                code: code.to_owned(),
                text: "the approval of 2026-0001 was refused: no".to_owned(),
                next: String::new(),
            };
            let rejection = StepError::rejection("2026-0001", "too curt");
            let changes = [
                fails("2", coded("gate-refused")),
                fails("3", coded(CANCELLED)),
                fails("4", rejection),
            ];
            store.apply(&changes).await.unwrap();
            let (error, rejected) = (Some(Ending::Error), Some(Ending::Rejected));
            let cancelled = Some(Ending::Cancelled);
            for (state, ending, expected) in [
                (None, None, "4321"),
                (Some(OrderState::Failed), None, "432"),
                (Some(OrderState::Failed), error, "2"),
                (None, rejected, "4"),
                (None, cancelled, "3"),
                (Some(OrderState::Done), rejected, ""),
            ] {
                let asked = OrdersAsked {
                    state,
                    ending,
                    ..OrdersAsked::default()
                };
                let rows = store.orders_asked(&asked, &Shown::All, 9, 0).await.unwrap();
                let ids: String = rows.iter().map(|row| row.id.0.as_str()).collect();
                assert_eq!(ids, expected, "{asked:?}");
                for row in rows {
                    let told = match &row.id.0[..] {
                        "2" => error,
                        "3" => cancelled,
                        "4" => rejected,
                        _ => None,
                    };
                    assert_eq!(row.ending, told, "{row:?}");
                }
            }
            // Run again it is a new attempt.
            let again = Change::StepWaits {
                order: OrderId("4".to_owned()),
                step: StepName::Deploy,
                at_ms: None,
            };
            let queued = Change::OrderIs {
                order: OrderId("4".to_owned()),
                state: OrderState::Queued,
                at_ms: 70,
            };
            store.apply(&[again, queued]).await.unwrap();
            assert_eq!(store.orders(1, 0).await.unwrap()[0].ending, None);
            store.close().await;
        });
    }

    /// A page of a list reads the index and never an order's pack.
    #[test]
    fn a_list_is_read_from_its_index() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = four(folder.path()).await;
            for sort in OrdersSort::ALL {
                let plan = format!("EXPLAIN QUERY PLAN {}", sql(sort, true));
                let rows = sqlx::query(sqlx::AssertSqlSafe(plan))
                    .fetch_all(&store.read)
                    .await
                    .unwrap();
                let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
                let covered = plan
                    .iter()
                    .any(|line| line.contains("orders USING COVERING INDEX orders_listed"));
                assert!(covered, "{sort:?}: {plan:#?}");
            }
            store.close().await;
        });
    }
}
