//! `keys`: who may sign what. Keys come, retire, are declared stolen; the workshop's own rotates.
//!
//! Approvers' private keys are made and stay on their own machines: only the public half comes here.

use lathe_evidence::Digest;
use lathe_evidence::statement::{Key, KeyAction, KeyRecord, Role};
use lathe_ledger::history::History;
use lathe_ledger::{PublicKey, SigningKey};
use serde_json::{Value, json};

use super::reasoned;
use crate::error::WorkshopError;
use crate::keyring::Keyring;
use crate::store::Speaker;
use crate::workshop::Workshop;

/// All keys that the ledger knows, or knew, and the public key of `model.sig`.
pub(super) async fn list(shop: &Workshop) -> Result<Value, WorkshopError> {
    let model_key = shop.store().ledger()?.model_key().await.public_pem();
    let history = shop.store().ledger()?.read().await;
    let mut keys: Vec<_> = history.keys().collect();
    keys.sort_by_key(|key| key.added);
    let keys: Vec<Value> = keys
        .into_iter()
        .map(|key| {
            json!({
                "id": key.record.id,
                "name": key.record.name,
                "roles": key.record.roles,
                "public": key.record.public,
                "stands": key.stands(),
                "added": key.added,
                "retired": key.retired,
                "compromised": key.compromised,
            })
        })
        .collect();
    Ok(json!({
        "origin": history.origin(),
        "approval": history.approval_policy(),
        "keys": keys,
        "model_key": model_key,
    }))
}

/// Says what happened to a key.
fn say(
    speaker: &mut Speaker<'_>,
    key: KeyRecord,
    action: KeyAction,
    reason: &str,
) -> Result<Digest, WorkshopError> {
    let (id, name) = (key.id, key.name.clone());
    let said = Key {
        key,
        action,
        reason: reason.to_owned(),
        at_ms: speaker.at_ms(),
    };
    speaker.say(&name, id, said)
}

/// Adds somebody's public key.
pub(super) async fn add(
    shop: &Workshop,
    public: &str,
    name: &str,
    roles: &[Role],
) -> Result<Value, WorkshopError> {
    let key = PublicKey::from_text(public).map_err(|error| {
        WorkshopError::new(
            "key-unreadable",
            format!("the public key cannot be read: {error}"),
            "name the .pub file that `lathe keys new FILE` wrote beside the key",
        )
    })?;
    let record = key.to_record(name, roles);
    let link = shop
        .apply_said(|speaker| {
            let link = say(speaker, record.clone(), KeyAction::Added, "added")?;
            Ok((Vec::new(), link))
        })
        .await?;
    Ok(json!({ "key": record, "statement": link }))
}

/// What the ledger knows of a key.
fn record(history: &History, id: &Digest) -> Result<KeyRecord, WorkshopError> {
    let known = history.key(id).map(|key| key.record.clone());
    known.ok_or_else(|| {
        WorkshopError::new(
            "key-unknown",
            format!("the ledger knows no key {id}"),
            "list them with `lathe keys list`",
        )
    })
}

/// Retires a key: what it signed before stands.
pub(super) async fn retire(
    shop: &Workshop,
    id: Digest,
    reason: String,
) -> Result<Value, WorkshopError> {
    end(shop, id, KeyAction::Retired, reason).await
}

/// Declares a key stolen: nothing that it signed stands, and what rests on that no longer answers.
pub(super) async fn compromised(
    shop: &Workshop,
    id: Digest,
    reason: String,
) -> Result<Value, WorkshopError> {
    let said = end(shop, id, KeyAction::Compromised, reason).await?;
    shop.scrub().await?;
    Ok(said)
}

async fn end(
    shop: &Workshop,
    id: Digest,
    action: KeyAction,
    reason: String,
) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let link = shop
        .apply_said(|speaker| {
            let key = record(speaker.history(), &id)?;
            if speaker.signer() == id {
                return Err(WorkshopError::new(
                    "key-own",
                    "this is the key that the workshop signs with",
                    "rotate it first: lathe keys rotate --reason \"…\"",
                ));
            }
            let link = say(speaker, key, action, &reason)?;
            Ok((Vec::new(), link))
        })
        .await?;
    Ok(json!({ "key": id, "action": action, "statement": link }))
}

/// A new key for the workshop: added by the old one, which it then retires.
pub(super) async fn rotate(shop: &Workshop, reason: String) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    // The file first: a process killed here finds a key more than it needs, which harms nobody.
    let new: SigningKey = Keyring::make(shop.home())?;
    let id = new.id();
    let old = shop
        .apply_said(|speaker| {
            let old = record(speaker.history(), &speaker.signer())?;
            let added = new.public().to_record("workshop", &old.roles);
            say(speaker, added, KeyAction::Added, &reason)?;
            speaker.sign_with(new);
            say(speaker, old.clone(), KeyAction::Retired, &reason)?;
            Ok((Vec::new(), old.id))
        })
        .await?;
    Ok(json!({ "key": id, "retired": old }))
}
