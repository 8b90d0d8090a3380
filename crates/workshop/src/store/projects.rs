//! Projects and their members as rows, and which project a thing belongs to.
//!
//! A thing that is known by its content, a dataset or a model, may have been made in several projects and
//! belongs to all of them. A name belongs to the project whose id it begins with, and what is only known by a
//! name, answers and what is said of them, to the name's.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::orders::parse;
use super::{Store, failed};
use crate::error::WorkshopError;
use crate::order::{OrderId, StepName};
use crate::people::{Member, MemberRow, ProjectRow};

type Done = Result<(), sqlx::Error>;
type Tx<'a> = Transaction<'a, Sqlite>;

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types serialise")
}

/// The project of the name in a column, in SQL: as `People::project_of_name` has it. The column is said with
/// its table: projects have names, too.
macro_rules! project_of_name {
    ($column:literal) => {
        concat!(
            "COALESCE((SELECT id FROM projects
                       WHERE id = substr(",
            $column,
            ", 1, instr(",
            $column,
            ", '.') - 1)), 'common')"
        )
    };
}
pub(super) use project_of_name;

pub(super) async fn project_is(tx: &mut Tx<'_>, row: &ProjectRow) -> Done {
    sqlx::query(
        "INSERT INTO projects (id, name, created_ms) VALUES (?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET name = excluded.name",
    )
    .bind(&row.id)
    .bind(&row.name)
    .bind(row.created_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// Nothing is written where something came to belong to it meanwhile.
pub(super) async fn project_gone(tx: &mut Tx<'_>, id: &str) -> Done {
    sqlx::query("DELETE FROM members WHERE project = ?")
        .bind(id)
        .execute(&mut **tx)
        .await?;
    let done = sqlx::query(
        "DELETE FROM projects WHERE id = ?1
         AND NOT EXISTS (SELECT 1 FROM orders WHERE project = ?1)
         AND NOT EXISTS (SELECT 1 FROM belongs WHERE project = ?1)",
    )
    .bind(id)
    .execute(&mut **tx)
    .await?;
    match done.rows_affected() {
        0 => Err(sqlx::Error::RowNotFound),
        _ => Ok(()),
    }
}

pub(super) async fn member_is(tx: &mut Tx<'_>, row: &MemberRow) -> Done {
    sqlx::query(
        "INSERT INTO members (project, person, roles, denied, granted) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (project, person) DO UPDATE
         SET roles = excluded.roles, denied = excluded.denied, granted = excluded.granted",
    )
    .bind(&row.project)
    .bind(&row.person)
    .bind(json(&row.member.roles))
    .bind(json(&row.member.denied))
    .bind(json(&row.member.granted))
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn member_left(tx: &mut Tx<'_>, project: &str, person: &str) -> Done {
    sqlx::query("DELETE FROM members WHERE project = ? AND person = ?")
        .bind(project)
        .bind(person)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// A thing belongs to a project, to others as before.
pub(super) async fn belongs(tx: &mut Tx<'_>, thing: &str, project: &str) -> Done {
    sqlx::query("INSERT OR IGNORE INTO belongs (thing, project) VALUES (?, ?)")
        .bind(thing)
        .bind(project)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// What an order made belongs to its project.
pub(super) async fn made(tx: &mut Tx<'_>, thing: &str, order: &OrderId) -> Done {
    sqlx::query(
        "INSERT OR IGNORE INTO belongs (thing, project)
         SELECT ?1, project FROM orders WHERE id = ?2",
    )
    .bind(thing)
    .bind(&order.0)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// What an order takes over belongs to its project, too: it would have made the same.
pub(super) async fn reused(
    tx: &mut Tx<'_>,
    (step, input): (StepName, &str),
    order: &OrderId,
) -> Done {
    sqlx::query(
        "INSERT OR IGNORE INTO belongs (thing, project)
         SELECT effects.artifact, orders.project FROM effects, orders
         WHERE effects.step = ?1 AND effects.input = ?2 AND effects.artifact IS NOT NULL
           AND orders.id = ?3",
    )
    .bind(step.as_str())
    .bind(input)
    .bind(&order.0)
    .execute(&mut **tx)
    .await
    .map(drop)
}

fn member(row: &SqliteRow) -> Result<MemberRow, WorkshopError> {
    Ok(MemberRow {
        project: row.get("project"),
        person: row.get("person"),
        member: Member {
            roles: parse("a member's roles", row.get("roles"))?,
            denied: parse("what is denied to a member", row.get("denied"))?,
            granted: parse("what groups give a member", row.get("granted"))?,
        },
    })
}

impl Store {
    /// All projects, by id.
    ///
    /// # Errors
    /// `store`.
    pub async fn projects(&self) -> Result<Vec<ProjectRow>, WorkshopError> {
        let rows = sqlx::query("SELECT * FROM projects ORDER BY id")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the projects"))?;
        let project = |row: &SqliteRow| ProjectRow {
            id: row.get("id"),
            name: row.get("name"),
            created_ms: row.get("created_ms"),
        };
        Ok(rows.iter().map(project).collect())
    }

    /// All members of all projects.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn members(&self) -> Result<Vec<MemberRow>, WorkshopError> {
        sqlx::query("SELECT * FROM members ORDER BY project, person")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the members of projects"))?
            .iter()
            .map(member)
            .collect()
    }

    /// The projects that a thing known by its content, or a file, belongs to.
    ///
    /// # Errors
    /// `store`.
    pub async fn homes(&self, thing: &str) -> Result<Vec<String>, WorkshopError> {
        let sql = "SELECT project FROM belongs WHERE thing = ? ORDER BY project";
        self.projects_in(sql, thing).await
    }

    /// The projects that each of these things belongs to, in their order: one query for all.
    ///
    /// # Errors
    /// `store`.
    pub async fn homes_of(&self, things: &[&str]) -> Result<Vec<Vec<String>>, WorkshopError> {
        let rows = sqlx::query(
            "SELECT asked.key AS at, project FROM json_each(?) AS asked
             JOIN belongs ON thing = asked.value ORDER BY asked.key, project",
        )
        .bind(json(&things))
        .fetch_all(&self.read)
        .await
        .map_err(failed("look up projects"))?;
        let mut homes = vec![Vec::new(); things.len()];
        for row in &rows {
            let at = usize::try_from(row.get::<i64, _>("at")).unwrap_or(usize::MAX);
            if let Some(own) = homes.get_mut(at) {
                own.push(row.get("project"));
            }
        }
        Ok(homes)
    }

    /// The project of an order, of a key, of the name that an answer came from or that something was said of:
    /// the one row that `sql` finds for `id`.
    async fn projects_in(&self, sql: &'static str, id: &str) -> Result<Vec<String>, WorkshopError> {
        let rows = sqlx::query(sql)
            .bind(id)
            .fetch_all(&self.read)
            .await
            .map_err(failed("look up a project"))?;
        Ok(rows.iter().map(|row| row.get("project")).collect())
    }

    /// The project of an order; none where there is no such order.
    ///
    /// # Errors
    /// `store`.
    pub async fn project_of_order(&self, id: &str) -> Result<Vec<String>, WorkshopError> {
        self.projects_in("SELECT project FROM orders WHERE id = ?", id)
            .await
    }

    /// The project of a key of the API.
    ///
    /// # Errors
    /// `store`.
    pub async fn project_of_token(&self, id: &str) -> Result<Vec<String>, WorkshopError> {
        self.projects_in("SELECT project FROM tokens WHERE id = ?", id)
            .await
    }

    /// The project of the name that an answer came from.
    ///
    /// # Errors
    /// `store`.
    pub async fn project_of_receipt(&self, id: &str) -> Result<Vec<String>, WorkshopError> {
        let sql = concat!(
            "SELECT ",
            project_of_name!("receipts.name"),
            " AS project FROM receipts WHERE id = ?"
        );
        self.projects_in(sql, id).await
    }

    /// The project of the name whose answer something was said of.
    ///
    /// # Errors
    /// `store`.
    pub async fn project_of_feedback(&self, id: &str) -> Result<Vec<String>, WorkshopError> {
        let sql = concat!(
            "SELECT ",
            project_of_name!("feedback.name"),
            " AS project FROM feedback WHERE id = ?"
        );
        self.projects_in(sql, id).await
    }

    /// What stands in the way of deleting a project, each kind by its word with how many: what belongs to it, keys
    /// that open it, and what has a name that begins with its id, which would be the common one's without it.
    ///
    /// # Errors
    /// `store`.
    pub async fn project_holds(
        &self,
        project: &str,
    ) -> Result<Vec<(&'static str, u64)>, WorkshopError> {
        // A slash is what comes after a dot.
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM orders WHERE project = ?1) AS orders,
                    (SELECT COUNT(*) FROM belongs WHERE project = ?1) AS things,
                    (SELECT COUNT(*) FROM tokens WHERE project = ?1 AND revoked_ms IS NULL) AS keys,
                    (SELECT COUNT(*) FROM deployments
                     WHERE name >= ?1 || '.' AND name < ?1 || '/') AS deployments,
                    (SELECT COUNT(*) FROM receipts WHERE state = 'closed' AND beginning = ?1)
                    + (SELECT COUNT(*) FROM receipts WHERE state = 'open' AND beginning = ?1)
                    AS answers",
        )
        .bind(project)
        .fetch_one(&self.read)
        .await
        .map_err(failed("count what belongs to a project"))?;
        let count = |column| (column, row.get::<i64, _>(column).unsigned_abs());
        let all = ["orders", "things", "keys", "deployments", "answers"].map(count);
        Ok(all.into_iter().filter(|(_, count)| *count > 0).collect())
    }

    /// How much belongs to a project: orders, datasets, models, deployments.
    ///
    /// # Errors
    /// `store`.
    pub async fn project_counts(&self, project: &str) -> Result<[u64; 4], WorkshopError> {
        let row = sqlx::query(concat!(
            "SELECT (SELECT COUNT(*) FROM orders WHERE project = ?1) AS orders,
                    (SELECT COUNT(*) FROM belongs JOIN datasets ON digest = thing
                     WHERE project = ?1) AS datasets,
                    (SELECT COUNT(*) FROM belongs JOIN models ON digest = thing
                     WHERE project = ?1) AS models,
                    (SELECT COUNT(*) FROM deployments WHERE ",
            project_of_name!("deployments.name"),
            " = ?1) AS deployments"
        ))
        .bind(project)
        .fetch_one(&self.read)
        .await
        .map_err(failed("count what belongs to a project"))?;
        let count = |column: &str| row.get::<i64, _>(column).unsigned_abs();
        Ok(["orders", "datasets", "models", "deployments"].map(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::COMMON;
    use crate::people::project::name_in;
    use crate::store::Change;
    use crate::testing;

    #[tokio::test]
    async fn what_was_here_is_common_and_what_an_order_makes_is_its_projects() {
        let (_folder, shop) = testing::shop().await;
        let store = shop.store();
        let id = OrderId::new();
        store.apply(&[testing::placed(&id)]).await.unwrap();
        assert_eq!(store.project_of_order(&id.0).await.unwrap(), [COMMON]);
        assert!(store.project_of_order("none").await.unwrap().is_empty());
        let row = ProjectRow {
            id: "ward".to_owned(),
            name: "Ward 7".to_owned(),
            created_ms: 1,
        };
        shop.people().put_project(row).await.unwrap();
        let belongs = |project: &str| Change::Belongs {
            thing: "file".to_owned(),
            project: project.to_owned(),
        };
        store
            .apply(&[belongs("ward"), belongs("ward"), belongs(COMMON)])
            .await
            .unwrap();
        assert_eq!(store.homes("file").await.unwrap(), [COMMON, "ward"]);
        let common = vec![COMMON.to_owned()];
        store
            .apply(&[Change::Belongs {
                thing: "other".to_owned(),
                project: COMMON.to_owned(),
            }])
            .await
            .unwrap();
        let both = vec![COMMON.to_owned(), "ward".to_owned()];
        let homes = store.homes_of(&["other", "none", "file", "other"]).await;
        assert_eq!(homes.unwrap(), [common.clone(), Vec::new(), both, common]);
        assert!(store.homes_of(&[]).await.unwrap().is_empty());
        shop.stop().await;
    }

    /// The name's project is the same in SQL and in memory.
    #[tokio::test]
    async fn a_names_project_is_found_alike() {
        let (_folder, shop) = testing::shop().await;
        let row = ProjectRow {
            id: "ward".to_owned(),
            name: "Ward 7".to_owned(),
            created_ms: 1,
        };
        shop.people().put_project(row).await.unwrap();
        let own = name_in("ward", "care");
        for name in [&own[..], "care", "wards.care", "ward", "ft:ward.x", ".care"] {
            let row = sqlx::query(concat!(
                "SELECT ",
                project_of_name!("asked.name"),
                " AS project FROM (SELECT ?1 AS name) AS asked"
            ))
            .bind(name)
            .fetch_one(&shop.store().read)
            .await
            .unwrap();
            let found: String = row.get("project");
            assert_eq!(found, shop.people().project_of_name(name), "{name}");
            assert_eq!(found == "ward", name == own, "{name}");
        }
        testing::deploy(&shop, &own).await;
        let counts = shop.store().project_counts("ward").await.unwrap();
        assert_eq!(counts[3], 1);
        shop.stop().await;
    }
}
