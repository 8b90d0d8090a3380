//! `upstream-…`: another server answers under a name here, or does so no more. Who decided it stands in
//! the ledger; that nobody saw its weights stands in every receipt.

use lathe_evidence::Digest;
use lathe_evidence::statement::{Upstream, UpstreamAction};
use serde_json::{Value, json};

use super::reasoned;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::upstream::{self, Secret, UPSTREAMS_MAX, UpstreamRequest, WEIGHTS_NOT_VERIFIED};
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
    // Read before anything is said, kept only once all of it was taken: one that is refused leaves the key
    // of the one that stands.
    let key = request.key_file.as_deref().map(upstream::read_key);
    let key = key.transpose()?;
    let (said, link) = shop
        .apply_said(|speaker| {
            let standing = upstream::standing(speaker.history());
            if let Some(other) = &wanted.failover
                && !standing.contains_key(other)
            {
                return Err(unknown(other));
            }
            if standing.len() >= UPSTREAMS_MAX && !standing.contains_key(&wanted.name) {
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
    let kept = match &key {
        Some(key) => keep_key(shop, &said.name, key),
        None => drop_key(shop, &said.name),
    };
    if let Err(error) = kept {
        // Whatever lies there now was meant for another address.
        drop_key(shop, &said.name)?;
        return Err(error);
    }
    upstream::tell_door(shop).await?;
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

/// Keeps the key in the home, where the one before is replaced.
fn keep_key(shop: &Workshop, name: &str, key: &Secret) -> Result<(), WorkshopError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Operation;
    use crate::testing;

    fn asked(name: &str) -> UpstreamRequest {
        UpstreamRequest {
            name: name.to_owned(),
            url: "http://127.0.0.1:9".to_owned(),
            model: None,
            key_file: None,
            remote: false,
            failover: None,
            retries: 0,
            connect_ms_max: 100,
            silence_ms_max: 100,
            reason: "a test".to_owned(),
        }
    }

    async fn added(shop: &Workshop, name: &str) -> Result<Value, WorkshopError> {
        shop.operate(Operation::UpstreamAdd(asked(name))).await
    }

    #[tokio::test]
    async fn one_that_is_refused_leaves_the_key_of_the_one_that_stands() {
        let (folder, shop) = testing::shop().await;
        let keyed = async |key: &str, failover: Option<&str>| {
            let file = folder.path().join(key);
            std::fs::write(&file, key).expect("written");
            let request = UpstreamRequest {
                key_file: Some(file),
                failover: failover.map(str::to_owned),
                ..asked("big")
            };
            shop.operate(Operation::UpstreamAdd(request)).await
        };
        let kept = || std::fs::read_to_string(upstream::key_path(shop.home(), "big")).ok();
        keyed("sk-a", None).await.expect("it is added");
        let refused = keyed("sk-b", Some("nosuch")).await.expect_err("refused");
        assert_eq!(refused.code(), "upstream-unknown");
        assert_eq!(kept().as_deref(), Some("sk-a"));
        keyed("sk-b", None).await.expect("it is replaced");
        assert_eq!(kept().as_deref(), Some("sk-b"));
        added(&shop, "big").await.expect("it asks without a key");
        assert_eq!(kept(), None);
    }

    #[tokio::test]
    async fn one_of_the_most_there_may_be_is_replaced_and_no_other_comes() {
        let (_folder, shop) = testing::shop().await;
        for nth in 0..UPSTREAMS_MAX {
            let name = format!("it-{nth}");
            added(&shop, &name).await.expect("it is added");
        }
        added(&shop, "it-0").await.expect("it is replaced");
        let refused = added(&shop, "one-more").await.expect_err("refused");
        assert_eq!(refused.code(), "upstream-request");
    }

    #[tokio::test]
    async fn a_model_and_an_upstream_never_have_one_name() {
        let (_folder, shop) = testing::shop().await;
        added(&shop, "big").await.expect("it is added");
        let history = shop.store().ledger().expect("a ledger").read().await;
        let refused = upstream::leaves_free(&history, "big").expect_err("it stands");
        assert_eq!(refused.code(), "upstream-taken");
        upstream::leaves_free(&history, "small").expect("nobody has it");
        drop(history);
        // However it came to be: the model goes first, open or not.
        testing::deploy(&shop, "big").await;
        let (_, attested) = upstream::all(&shop).await.expect("a ledger").remove(0);
        assert_eq!(attested.expect_err("refused").code(), "upstream-taken");
        let listed = list(&shop).await.expect("a list");
        assert_eq!(listed["upstreams"][0]["state"], "refused");
        let refused = added(&shop, "big").await.expect_err("a model has it");
        assert_eq!(refused.code(), "upstream-taken");
    }
}
