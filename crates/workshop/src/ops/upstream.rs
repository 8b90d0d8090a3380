//! `upstream-…`: another server answers under a name here, or does so no more. Who decided it stands in
//! the ledger; that nobody saw its weights stands in every receipt.

use std::path::Path;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Upstream, UpstreamAction};
use serde_json::{Value, json};

use super::reasoned;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::upstream::{self, UPSTREAMS_MAX, UpstreamRequest, WEIGHTS_NOT_VERIFIED};
use crate::workshop::Workshop;

/// Adds one, or puts it in the place of the one that had its name.
pub(super) async fn add(shop: &Workshop, request: UpstreamRequest) -> Result<Value, WorkshopError> {
    reasoned(&request.reason)?;
    let wanted = upstream::said_of(&request, now_ms())?;
    let deployments = shop.store().deployments().await?;
    if deployments.iter().any(|row| row.name == wanted.name) {
        return Err(WorkshopError::new(
            "upstream-taken",
            format!(
                "cannot add {}: a model of this workshop answers under that name",
                wanted.name
            ),
            "give the upstream another name",
        ));
    }
    if let Some(file) = &request.key_file {
        keep_key(shop, &wanted.name, file)?;
    }
    let (said, link) = shop
        .apply_said(|speaker| {
            let standing = upstream::standing(speaker.history());
            if let Some(other) = &wanted.failover
                && !standing.contains_key(other)
            {
                return Err(unknown(other));
            }
            if standing.len() >= UPSTREAMS_MAX {
                return Err(WorkshopError::new(
                    "upstream-request",
                    format!(
                        "cannot add {}: there are {UPSTREAMS_MAX} upstreams, the most",
                        wanted.name
                    ),
                    "remove one with `lathe upstream remove NAME --reason \"…\"`",
                ));
            }
            let said = Upstream {
                at_ms: speaker.at_ms(),
                ..wanted
            };
            let link = speaker.say(&said.name, said.subject(), said.clone())?;
            Ok((Vec::new(), (said, link)))
        })
        .await?;
    upstream::tell_door(shop).await?;
    if !said.keyed {
        drop_key(shop, &said.name)?;
    }
    Ok(json!({
        "name": said.name,
        "url": said.url,
        "model": said.model,
        "remote": said.remote,
        "failover": said.failover,
        "weights": WEIGHTS_NOT_VERIFIED,
        "statement": link,
    }))
}

/// All that stand, each with how it is.
pub(super) async fn list(shop: &Workshop) -> Result<Value, WorkshopError> {
    let upstreams = upstream::views(shop).await?;
    Ok(json!({ "upstreams": upstreams }))
}

/// Takes one away: its name answers no more.
pub(super) async fn end(
    shop: &Workshop,
    name: String,
    reason: String,
) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let link = shop
        .apply_said(|speaker| {
            let (_, before) = upstream::standing(speaker.history())
                .remove(&name)
                .ok_or_else(|| unknown(&name))?;
            let said = Upstream {
                action: UpstreamAction::Removed,
                reason,
                at_ms: speaker.at_ms(),
                ..before
            };
            let link = speaker.say(&name, said.subject(), said)?;
            Ok((Vec::new(), link))
        })
        .await?;
    upstream::tell_door(shop).await?;
    drop_key(shop, &name)?;
    Ok(json!({ "name": name, "removed": true, "statement": link }))
}

/// The subject of the upstream of this name, which stands for its weights; `None` where there is none.
///
/// # Errors
/// `ledger-broken`.
pub(super) async fn subject_of(
    shop: &Workshop,
    name: &str,
) -> Result<Option<Digest>, WorkshopError> {
    let history = shop.store().ledger()?.read().await;
    let found = upstream::standing(&history).remove(name);
    Ok(found.map(|(_, said)| said.subject()))
}

/// Copies the key into the home, where the one before is replaced.
fn keep_key(shop: &Workshop, name: &str, file: &Path) -> Result<(), WorkshopError> {
    let key = upstream::read_key(file)?;
    let path = upstream::key_path(shop.home(), name);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| io_error("create the folder", folder, &error))?;
    }
    shop.home().write_secret(&path, key.reveal().as_bytes())
}

/// Takes the key out of the home, if there is one.
fn drop_key(shop: &Workshop, name: &str) -> Result<(), WorkshopError> {
    let path = upstream::key_path(shop.home(), name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_error("remove", &path, &error))
        }
        _ => Ok(()),
    }
}

fn unknown(name: &str) -> WorkshopError {
    WorkshopError::new(
        "upstream-unknown",
        format!("this workshop has no upstream {name}"),
        "list them with `lathe upstream list`",
    )
}
