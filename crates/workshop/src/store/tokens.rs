//! Keys of the API and their use, as rows.

use lathe_evidence::Digest;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::orders::parse;
use super::write::signed;
use super::{Store, failed};
use crate::error::WorkshopError;
use crate::people::COMMON;
use crate::token::{DayUse, TokenRow, TokenUse};

type Done = Result<(), sqlx::Error>;
type Tx<'a> = Transaction<'a, Sqlite>;

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("our own types serialise")
}

pub(super) async fn issued(tx: &mut Tx<'_>, token: &TokenRow) -> Done {
    sqlx::query(
        "INSERT INTO tokens (id, name, digest, scopes, models, project, allowance, created_ms,
                             expires_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&token.id)
    .bind(&token.name)
    .bind(token.digest.to_string())
    .bind(json(&token.scopes))
    .bind(json(&token.models))
    .bind(&token.project)
    .bind(json(&token.allowance))
    .bind(token.created_ms)
    .bind(token.expires_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn revoked(tx: &mut Tx<'_>, id: &str, at_ms: i64) -> Done {
    sqlx::query("UPDATE tokens SET revoked_ms = ? WHERE id = ?")
        .bind(at_ms)
        .bind(id)
        .execute(&mut **tx)
        .await
        .map(drop)
}

pub(super) async fn all_used(tx: &mut Tx<'_>, all: &[TokenUse]) -> Done {
    for token in all {
        used(tx, token).await?;
    }
    Ok(())
}

async fn used(tx: &mut Tx<'_>, token: &TokenUse) -> Done {
    sqlx::query("UPDATE tokens SET last_used_ms = COALESCE(?, last_used_ms) WHERE id = ?")
        .bind(token.last_used_ms)
        .bind(&token.id)
        .execute(&mut **tx)
        .await?;
    for day in &token.days {
        sqlx::query(
            "INSERT OR REPLACE INTO token_use (token, day, requests, prompt_tokens, answer_tokens)
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(&token.id)
        .bind(day.day)
        .bind(signed(day.requests))
        .bind(signed(day.prompt_tokens))
        .bind(signed(day.answer_tokens))
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

fn token(row: &SqliteRow) -> Result<TokenRow, WorkshopError> {
    let digest: String = row.get("digest");
    let digest: Digest = digest.parse().map_err(|error| {
        WorkshopError::new(
            "store-unreadable",
            format!("the store holds a key's digest that is none: {error}"),
            "use the version of Lathe that wrote this home",
        )
    })?;
    Ok(TokenRow {
        id: row.get("id"),
        name: row.get("name"),
        digest,
        scopes: parse("a key's scopes", row.get("scopes"))?,
        models: parse("a key's models", row.get("models"))?,
        // A home of an earlier version, read before a daemon brought it up to date, has no such column.
        project: row.try_get("project").unwrap_or_else(|_| COMMON.to_owned()),
        allowance: parse("a key's allowance", row.get("allowance"))?,
        created_ms: row.get("created_ms"),
        expires_ms: row.get("expires_ms"),
        revoked_ms: row.get("revoked_ms"),
        last_used_ms: row.get("last_used_ms"),
    })
}

impl Store {
    /// All keys that were ever issued, the oldest first.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn tokens(&self) -> Result<Vec<TokenRow>, WorkshopError> {
        sqlx::query("SELECT * FROM tokens ORDER BY created_ms, id")
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the keys of the API"))?
            .iter()
            .map(token)
            .collect()
    }

    /// What was asked on a day (days since 1970, by UTC), by key.
    ///
    /// # Errors
    /// `store`.
    pub async fn token_use(&self, day: i64) -> Result<Vec<(String, DayUse)>, WorkshopError> {
        let rows = sqlx::query("SELECT * FROM token_use WHERE day = ?")
            .bind(day)
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the use of keys"))?;
        let count = |row: &SqliteRow, column: &str| row.get::<i64, _>(column).unsigned_abs();
        let used = rows.iter().map(|row| {
            let used = DayUse {
                day,
                requests: count(row, "requests"),
                prompt_tokens: count(row, "prompt_tokens"),
                answer_tokens: count(row, "answer_tokens"),
            };
            (row.get("token"), used)
        });
        Ok(used.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change;
    use crate::token::{Allowance, Scope};

    #[tokio::test]
    async fn a_key_and_its_use_survive_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let store = Store::open(&path).await.unwrap();
        let row = TokenRow {
            id: "id".to_owned(),
            name: "the shop".to_owned(),
            digest: Digest::of(b"key"),
            scopes: vec![Scope::Answer, Scope::Feedback],
            models: vec!["triage".to_owned()],
            project: "ward".to_owned(),
            allowance: Allowance {
                tokens_per_day: Some(9),
                ..Allowance::default()
            },
            created_ms: 1,
            expires_ms: Some(5),
            revoked_ms: None,
            last_used_ms: None,
        };
        let used = |requests| DayUse {
            day: 3,
            requests,
            prompt_tokens: 20,
            answer_tokens: 30,
        };
        let uses = |last_used_ms, requests| {
            Change::TokensUsed(vec![TokenUse {
                id: "id".to_owned(),
                last_used_ms,
                days: vec![used(requests)],
            }])
        };
        let issued = Change::TokenIssued(Box::new(row.clone()));
        store.apply(&[issued, uses(Some(4), 1)]).await.unwrap();
        // A day is written whole each time, and not using a key forgets nothing.
        store.apply(&[uses(None, 2)]).await.unwrap();
        let revoked = Change::TokenRevoked {
            id: "id".to_owned(),
            at_ms: 8,
        };
        store.apply(&[revoked]).await.unwrap();
        store.close().await;
        let store = Store::open(&path).await.unwrap();
        let stored = TokenRow {
            revoked_ms: Some(8),
            last_used_ms: Some(4),
            ..row
        };
        assert_eq!(store.tokens().await.unwrap(), [stored]);
        let found = store.token_use(3).await.unwrap();
        assert_eq!(found, [("id".to_owned(), used(2))]);
        assert!(store.token_use(4).await.unwrap().is_empty());
        store.close().await;
    }
}
