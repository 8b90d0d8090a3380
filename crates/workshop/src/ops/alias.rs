//! `alias-…`: what a version of a registered model is called beside its number.
//!
//! `production` and `champion` are no labels that somebody puts somewhere: they are at the version that
//! answers. Setting one asks for admission, which reads the version's chain from the ledger, hashes every
//! file and computes the verdict anew; what is refused is refused with all that is missing. A version that
//! another one replaced comes back by running its order again, since that is what says so in the ledger.
//! Every other alias is a label in the store, and nothing answers because of it.

use lathe_evidence::statement::{BreakerState, Link};
use lathe_register::chain;
use serde_json::{Value, json};

use super::AliasRequest;
use crate::admission;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::reach;
use crate::pieces::Folders;
use crate::shelf::{self, LABEL_CHARS_MAX, LABELS_MAX, ShelfVersion};
use crate::steps;
use crate::store::Change;
use crate::store::labels::LabelRow;
use crate::workshop::Workshop;

/// Puts an alias at a version, or takes it away.
pub(super) async fn run(shop: &Workshop, asked: AliasRequest) -> Result<Value, WorkshopError> {
    let AliasRequest {
        name,
        alias,
        version,
    } = asked;
    match version {
        Some(version) => set(shop, name, alias, version).await,
        None => remove(shop, name, alias).await,
    }
}

/// Puts an alias at a version.
async fn set(
    shop: &Workshop,
    name: String,
    alias: String,
    version: u32,
) -> Result<Value, WorkshopError> {
    plain(&alias)?;
    let models = shop.shelf().await?;
    let model = models.iter().find(|it| it.name == name);
    let found = model.and_then(|it| it.version(version));
    let found = found.ok_or_else(|| unknown(&format!("version {version} of {name}")))?;
    if shelf::serves(&alias) {
        admit(shop, &name, &alias, found).await?;
    } else {
        let own = shop.store().labels().await?;
        let own = own.iter().filter(|it| it.name == name);
        let others = own.filter(|it| !it.label.eq_ignore_ascii_case(&alias));
        if others.count() >= LABELS_MAX {
            return Err(WorkshopError::new(
                "alias-invalid",
                format!(
                    "cannot call a version of {name} {alias}: it has {LABELS_MAX} aliases, the most"
                ),
                "remove one of them first",
            ));
        }
        let row = LabelRow {
            name: name.clone(),
            label: alias.clone(),
            model: found.model,
            set_ms: now_ms(),
        };
        shop.apply(&[Change::Labelled(row)]).await?;
    }
    Ok(json!({ "name": name, "alias": alias, "version": version, "model": found.model }))
}

/// Takes an alias away.
async fn remove(shop: &Workshop, name: String, alias: String) -> Result<Value, WorkshopError> {
    let models = shop.shelf().await?;
    let model = models.iter().find(|it| it.name == name);
    let found = model.and_then(|it| it.labelled(&alias));
    if found.is_some() && shelf::serves(&alias) {
        return Err(WorkshopError::new(
            "alias-refused",
            format!("cannot take the alias {alias} from {name}: it says which version answers"),
            format!(
                "let it answer no more: lathe breaker {name} open --reason \"…\"; or cancel its registration"
            ),
        ));
    }
    if found.is_none() {
        return Err(WorkshopError::new(
            "alias-unknown",
            format!("no version of {name} is called {alias}"),
            "list the versions with their aliases: GET /api/2.0/mlflow/model-versions/search",
        ));
    }
    let gone = Change::Unlabelled {
        name: name.clone(),
        label: alias.clone(),
    };
    shop.apply(&[gone]).await?;
    Ok(json!({ "name": name, "alias": alias, "removed": true }))
}

/// Lets a version answer if all that asks for holds: it is the one that was deployed last, its evidence is
/// whole and its breaker is closed.
async fn admit(
    shop: &Workshop,
    name: &str,
    alias: &str,
    version: &ShelfVersion,
) -> Result<(), WorkshopError> {
    let refuse = |why: &str, next: &str| {
        let number = version.number;
        let text = format!("version {number} of {name} does not become {alias}: {why}");
        Err(WorkshopError::new("alias-refused", text, next))
    };
    let Some(link) = version.deployment else {
        return refuse(&version.why, &version.next);
    };
    let rows = shop.store().deployments().await?;
    let row = rows.into_iter().find(|row| row.name == name);
    let Some(row) = row.filter(|row| row.link == Some(link)) else {
        let (why, next) = missing(shop, link).await?;
        return refuse(&why, &next);
    };
    if let Err(why) = admission::whole(shop, &row).await? {
        return refuse(&why.text, &why.next);
    }
    let breaker = shop.breakers().of(name);
    if let Some(moved) = breaker.filter(|it| it.state != BreakerState::Closed) {
        let why = format!("its breaker is not closed: {}", moved.reason);
        let next = format!("once that is mended: lathe breaker {name} close --reason \"…\"");
        return refuse(&why, &next);
    }
    if !shop.is_open(name)
        && let Err(why) = steps::deploy::reopen(shop, row).await
    {
        return refuse(&why.text, &why.next);
    }
    Ok(())
}

/// What a deployment lacks that does not have its name.
async fn missing(shop: &Workshop, link: Link) -> Result<(String, String), WorkshopError> {
    let history = shop.store().ledger()?.read().await;
    let pieces = Folders::new(shop.home().objects());
    let verified =
        reach::spawn_blocking(move || chain::verify(&history, &link, &pieces, now_ms()).map(drop));
    Ok(match verified.await.map_err(shelf::stumbled)? {
        Err(denials) => shelf::told(&denials),
        Ok(()) => (
            "its name was given to another deployment".to_owned(),
            "run the order again: a fresh deployment takes the name".to_owned(),
        ),
    })
}

/// An alias is a word that no client takes for something else: neither a number nor `latest`.
fn plain(alias: &str) -> Result<(), WorkshopError> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    let digits = alias.strip_prefix(['v', 'V']).unwrap_or(alias);
    let is_number = digits.chars().all(|letter| letter.is_ascii_digit());
    let taken = ["latest", "main"]
        .iter()
        .any(|it| it.eq_ignore_ascii_case(alias));
    let fits = (1..=LABEL_CHARS_MAX).contains(&alias.chars().count());
    if fits && alias.chars().all(is_word) && !is_number && !taken {
        return Ok(());
    }
    Err(WorkshopError::new(
        "alias-invalid",
        "cannot take this for an alias: it is no word of its own",
        "write at most 100 letters, digits, - and _; not a number, v and a number, latest or main",
    ))
}

fn unknown(what: &str) -> WorkshopError {
    WorkshopError::new(
        "model-unknown",
        format!("this workshop has no {what}"),
        "list the registered models: GET /api/2.0/mlflow/registered-models/search",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Operation;
    use crate::testing;

    #[test]
    fn an_alias_is_a_word_of_its_own() {
        for good in ["shadow", "a-b_C9", "v1x", "production"] {
            assert!(plain(good).is_ok(), "{good}");
        }
        let long = "a".repeat(LABEL_CHARS_MAX + 1);
        for bad in [
            "",
            "7",
            "v7",
            "V7",
            "v",
            "Latest",
            "main",
            "a/b",
            "a b",
            "模",
            long.as_str(),
        ] {
            assert_eq!(plain(bad).unwrap_err().code(), "alias-invalid", "{bad}");
        }
    }

    #[tokio::test]
    async fn what_is_not_in_the_register_gets_no_alias() {
        let (_folder, shop) = testing::shop().await;
        // A row without statements is no registered model.
        testing::deploy(&shop, "m").await;
        for alias in ["production", "shadow"] {
            let asked = |version| {
                let (name, alias) = ("m".to_owned(), alias.to_owned());
                Operation::Alias(AliasRequest {
                    name,
                    alias,
                    version,
                })
            };
            let refused = shop.operate(asked(Some(1))).await.unwrap_err();
            assert_eq!(refused.code(), "model-unknown");
            let refused = shop.operate(asked(None)).await.unwrap_err();
            assert_eq!(refused.code(), "alias-unknown");
        }
        shop.stop().await;
    }
}
