//! People, sessions, authors and the audit, as rows.

use lathe_evidence::Digest;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::orders::parse;
use super::{Store, failed, projects};
use crate::error::WorkshopError;
use crate::order::OrderId;
use crate::people::{
    AUDIT_ROWS_MAX, AuditOutcome, AuditRow, AuditSought, Kind, Origin, PeopleChange, PersonRow,
    SessionRow,
};

// What narrows the audit is written as its indexes are: the partial ones serve no other words.
const AUDIT_ALL: &str = "SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?";
const AUDIT_REFUSED: &str = "SELECT * FROM audit
    WHERE id < ? AND outcome <> 'done' AND outcome NOT GLOB '[23]*' ORDER BY id DESC LIMIT ?";
const AUDIT_BY: &str = "SELECT * FROM audit WHERE by_whom = ? AND id < ? ORDER BY id DESC LIMIT ?";
const AUDIT_REFUSED_BY: &str = "SELECT * FROM audit
    WHERE by_whom = ? AND id < ? AND outcome <> 'done' AND outcome NOT GLOB '[23]*'
    ORDER BY id DESC LIMIT ?";

type Done = Result<(), sqlx::Error>;
type Tx<'a> = Transaction<'a, Sqlite>;

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types serialise")
}

pub(super) async fn written(tx: &mut Tx<'_>, change: &PeopleChange) -> Done {
    match change {
        PeopleChange::PersonIs(row) => person_is(tx, row).await,
        PeopleChange::SessionBegun(row) => session_begun(tx, row).await,
        PeopleChange::SessionsEnded(all) => sessions_ended(tx, all).await,
        PeopleChange::SessionsUsed(all) => sessions_used(tx, all).await,
        PeopleChange::Audited(rows) => audited(tx, rows).await,
        PeopleChange::ProjectIs(row) => projects::project_is(tx, row).await,
        PeopleChange::ProjectGone(id) => projects::project_gone(tx, id).await,
        PeopleChange::MemberIs(row) => projects::member_is(tx, row).await,
        PeopleChange::MemberLeft { project, person } => {
            projects::member_left(tx, project, person).await
        }
    }
}

async fn person_is(tx: &mut Tx<'_>, row: &PersonRow) -> Done {
    sqlx::query(
        "INSERT INTO people (name, display, password, roles, denied, created_ms, password_ms, disabled_ms,
                             origin_kind, origin_way, origin_subject)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET display = excluded.display, password = excluded.password,
             roles = excluded.roles, denied = excluded.denied, password_ms = excluded.password_ms,
             disabled_ms = excluded.disabled_ms",
    )
    .bind(&row.name)
    .bind(&row.display)
    .bind(&row.password)
    .bind(json(&row.roles))
    .bind(json(&row.denied))
    .bind(row.created_ms)
    .bind(row.password_ms)
    .bind(row.disabled_ms)
    .bind(row.origin.as_ref().map(|it| it.kind.name()))
    .bind(row.origin.as_ref().map(|it| &it.way))
    .bind(row.origin.as_ref().map(|it| &it.subject))
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn session_begun(tx: &mut Tx<'_>, row: &SessionRow) -> Done {
    sqlx::query(
        "INSERT INTO sessions (digest, person, agent, created_ms, seen_ms) VALUES (?, ?, ?, ?, ?)",
    )
    .bind(row.digest.to_string())
    .bind(&row.person)
    .bind(&row.agent)
    .bind(row.created_ms)
    .bind(row.seen_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

async fn sessions_ended(tx: &mut Tx<'_>, all: &[Digest]) -> Done {
    for digest in all {
        sqlx::query("DELETE FROM sessions WHERE digest = ?")
            .bind(digest.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn sessions_used(tx: &mut Tx<'_>, all: &[(Digest, i64)]) -> Done {
    for (digest, seen_ms) in all {
        sqlx::query("UPDATE sessions SET seen_ms = ? WHERE digest = ?")
            .bind(seen_ms)
            .bind(digest.to_string())
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn audited(tx: &mut Tx<'_>, rows: &[AuditRow]) -> Done {
    for row in rows {
        sqlx::query(
            "INSERT INTO audit (at_ms, event, by_whom, what, outcome, project)
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(row.at_ms)
        .bind(&row.event)
        .bind(&row.by)
        .bind(&row.what)
        .bind(&row.outcome)
        .bind(&row.project)
        .execute(&mut **tx)
        .await?;
    }
    sqlx::query("DELETE FROM audit WHERE id <= (SELECT MAX(id) FROM audit) - ?")
        .bind(AUDIT_ROWS_MAX)
        .execute(&mut **tx)
        .await
        .map(drop)
}

/// Keeps who placed an order.
pub(super) async fn authored(tx: &mut Tx<'_>, order: &OrderId, by: &str) -> Done {
    sqlx::query("INSERT OR IGNORE INTO order_authors (order_id, by_whom) VALUES (?, ?)")
        .bind(&order.0)
        .bind(by)
        .execute(&mut **tx)
        .await
        .map(drop)
}

fn person(row: &SqliteRow) -> Result<PersonRow, WorkshopError> {
    Ok(PersonRow {
        name: row.get("name"),
        display: row.get("display"),
        origin: origin(row)?,
        password: row.get("password"),
        roles: parse("a person's roles", row.get("roles"))?,
        denied: parse("what is denied to a person", row.get("denied"))?,
        created_ms: row.get("created_ms"),
        password_ms: row.get("password_ms"),
        disabled_ms: row.get("disabled_ms"),
    })
}

fn origin(row: &SqliteRow) -> Result<Option<Origin>, WorkshopError> {
    let Some(way) = row.get::<Option<String>, _>("origin_way") else {
        return Ok(None);
    };
    let kind: String = row.get("origin_kind");
    let kind = Kind::ALL.into_iter().find(|it| it.name() == kind);
    let kind = kind.ok_or_else(|| {
        WorkshopError::new(
            "store-unreadable",
            "the store holds a person whose origin is of an unknown kind",
            "use the version of Lathe that wrote this home",
        )
    })?;
    Ok(Some(Origin {
        kind,
        way,
        subject: row.get("origin_subject"),
    }))
}

fn session(row: &SqliteRow) -> Result<SessionRow, WorkshopError> {
    let digest: String = row.get("digest");
    let digest: Digest = digest.parse().map_err(|error| {
        WorkshopError::new(
            "store-unreadable",
            format!("the store holds a session's digest that is none: {error}"),
            "use the version of Lathe that wrote this home",
        )
    })?;
    Ok(SessionRow {
        digest,
        person: row.get("person"),
        agent: row.get("agent"),
        created_ms: row.get("created_ms"),
        seen_ms: row.get("seen_ms"),
    })
}

impl Store {
    /// All people, by name.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn people(&self) -> Result<Vec<PersonRow>, WorkshopError> {
        sqlx::query("SELECT * FROM people ORDER BY name")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the people"))?
            .iter()
            .map(person)
            .collect()
    }

    /// All sessions that were not ended.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn sessions(&self) -> Result<Vec<SessionRow>, WorkshopError> {
        sqlx::query("SELECT * FROM sessions ORDER BY created_ms")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the sessions"))?
            .iter()
            .map(session)
            .collect()
    }

    /// Who placed an order; none of an order from before that was kept.
    ///
    /// # Errors
    /// `store`.
    pub async fn author(&self, order: &OrderId) -> Result<Option<String>, WorkshopError> {
        let row = sqlx::query("SELECT by_whom FROM order_authors WHERE order_id = ?")
            .bind(&order.0)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read who placed an order"))?;
        Ok(row.map(|row| row.get("by_whom")))
    }

    /// Rows of the audit that are sought, the newest first; older than the one of number `before` where it is
    /// given. Each way of seeking has an index, so that rows that are not sought cost nothing.
    ///
    /// # Errors
    /// `store`.
    pub async fn audit(
        &self,
        sought: &AuditSought,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<AuditRow>, WorkshopError> {
        let before = before.unwrap_or(i64::MAX);
        let (all, by) = match sought.outcome {
            AuditOutcome::All => (AUDIT_ALL, AUDIT_BY),
            AuditOutcome::Refused => (AUDIT_REFUSED, AUDIT_REFUSED_BY),
        };
        let mut found = Vec::new();
        if sought.who.is_none() {
            found = sqlx::query(all)
                .bind(before)
                .bind(limit)
                .fetch_all(&self.read)
                .await
                .map_err(failed("read the audit"))?;
        }
        for name in sought.names() {
            let rows = sqlx::query(by)
                .bind(name)
                .bind(before)
                .bind(limit)
                .fetch_all(&self.read)
                .await
                .map_err(failed("read the audit of one person or key"))?;
            found.extend(rows);
        }
        let mut rows: Vec<AuditRow> = found.iter().map(audit_row).collect();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
        rows.truncate(limit as usize);
        Ok(rows)
    }
}

fn audit_row(row: &SqliteRow) -> AuditRow {
    AuditRow {
        id: row.get("id"),
        at_ms: row.get("at_ms"),
        event: row.get("event"),
        by: row.get("by_whom"),
        what: row.get("what"),
        outcome: row.get("outcome"),
        project: row.get("project"),
    }
}
