//! `token-…`: keys of the API are issued, listed and taken back. Who may ask is said in the ledger.

use lathe_evidence::statement::{Access, AccessAction};
use serde_json::{Value, json};

use super::judge::unknown;
use super::reasoned;
use crate::error::WorkshopError;
use crate::people::{Right, reach};
use crate::store::{Change, Speaker};
use crate::token::{self, TOKENS_MAX, Token, TokenRequest, TokenRow};
use crate::workshop::Workshop;

/// Issues a key. The answer is the only place where it ever stands.
pub(super) async fn issue(shop: &Workshop, request: TokenRequest) -> Result<Value, WorkshopError> {
    if shop.people().project(&request.project).is_none() {
        return Err(unknown(&request.project));
    }
    if shop.tokens().all().len() >= TOKENS_MAX {
        return Err(WorkshopError::new(
            "token-request",
            format!("cannot issue a key: this workshop keeps {TOKENS_MAX}, its limit"),
            "let several callers share one",
        ));
    }
    let (key, digest) = token::new_key()?;
    let (row, link) = shop
        .apply_said(|speaker| {
            let row = token::row_of(request, digest, speaker.at_ms())?;
            let link = say(speaker, &row, AccessAction::Issued, "issued")?;
            let issued = Change::TokenIssued(Box::new(row.clone()));
            Ok((vec![issued], (row, link)))
        })
        .await?;
    shop.tokens().issued(row.clone());
    Ok(json!({
        "key": key,
        "id": row.id,
        "name": row.name,
        "scopes": row.scopes,
        "models": row.models,
        "project": row.project,
        "allowance": row.allowance,
        "expires_ms": row.expires_ms,
        "statement": link,
        "note": "this is the only time the key is shown",
    }))
}

/// All keys that were ever issued, the oldest first, with what was asked with them today.
pub(super) fn list(shop: &Workshop) -> Value {
    let shown = |token: &Token| {
        let row = token.row();
        let today = token.today();
        json!({
            "id": row.id,
            "name": row.name,
            "scopes": row.scopes,
            "models": row.models,
            "project": row.project,
            "allowance": row.allowance,
            "created_ms": row.created_ms,
            "expires_ms": row.expires_ms,
            "revoked_ms": row.revoked_ms,
            "last_used_ms": row.last_used_ms,
            "today": {
                "requests": today.requests,
                "prompt_tokens": today.prompt_tokens,
                "answer_tokens": today.answer_tokens,
            },
        })
    };
    let all = shop.tokens().all();
    let seen = reach::shown(Right::Operate);
    let all = all.iter().filter(|token| seen.has(token.project()));
    let tokens: Vec<Value> = all.map(|token| shown(token)).collect();
    json!({ "tokens": tokens })
}

/// Takes a key back: from here on it opens nothing.
pub(super) async fn revoke(
    shop: &Workshop,
    id: &str,
    reason: String,
) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let all = shop.tokens().all();
    let found = all.iter().find(|token| token.id() == id);
    let row = found.map(|token| token.row()).ok_or_else(|| {
        WorkshopError::new(
            "token-unknown",
            format!("this workshop has issued no key {id}"),
            "list them with `lathe token list`",
        )
    })?;
    if let Some(at_ms) = row.revoked_ms {
        return Ok(json!({ "id": id, "name": row.name, "revoked_ms": at_ms }));
    }
    let (at_ms, link) = shop
        .apply_said(|speaker| {
            let at_ms = speaker.at_ms();
            let link = say(speaker, &row, AccessAction::Revoked, &reason)?;
            let id = id.to_owned();
            Ok((vec![Change::TokenRevoked { id, at_ms }], (at_ms, link)))
        })
        .await?;
    shop.tokens().revoked(id, at_ms);
    Ok(json!({ "id": id, "name": row.name, "revoked_ms": at_ms, "statement": link }))
}

fn say(
    speaker: &mut Speaker<'_>,
    row: &TokenRow,
    action: AccessAction,
    reason: &str,
) -> Result<lathe_evidence::Digest, WorkshopError> {
    let said = Access {
        id: row.id.clone(),
        name: row.name.clone(),
        action,
        scopes: row.scopes.clone(),
        models: row.models.clone(),
        expires_ms: row.expires_ms,
        reason: reason.to_owned(),
        at_ms: speaker.at_ms(),
    };
    speaker.say(&row.name, row.digest, said)
}
