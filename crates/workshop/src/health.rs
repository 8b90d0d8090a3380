//! How a home stands: who holds it, whether this version reads its store, whether its ledger holds and
//! can be continued. Everything is looked at and nothing is changed.
//!
//! Not here: whether every artifact is whole and every chain holds, which takes reading all of it
//! (`lathe-verify`), and what to say about it (the command `doctor`).

use lathe_evidence::Digest;
use lathe_ledger::history::Trust;

use crate::catalogue::ModelView;
use crate::error::WorkshopError;
use crate::home::{Holder, Home};
use crate::ledger;
use crate::store::Store;

/// Models that are listed.
const MODELS_MAX: u32 = 200;

/// How a home stands.
#[derive(Debug)]
pub struct Health {
    /// The process that holds it, if one does.
    pub holder: Option<Holder>,
    /// Its store; `None` where nothing was ever stored.
    pub store: Option<StoreHealth>,
}

/// How a store stands.
#[derive(Debug)]
pub struct StoreHealth {
    /// Its layout.
    pub schema: i64,
    /// What was read; `None` where the layout is not the one that this version knows.
    pub content: Option<Content>,
}

/// What a store of the known layout holds.
#[derive(Debug)]
pub struct Content {
    /// Models, newest first.
    pub models: Vec<ModelView>,
    /// Names that are deployed.
    pub deployed: Vec<String>,
    /// The ledger; `None` before it began; what does not hold of it, in sentences.
    pub ledger: Option<Result<LedgerHealth, Vec<String>>>,
}

/// A ledger that holds under its signed checkpoint.
#[derive(Debug)]
pub struct LedgerHealth {
    /// Its origin.
    pub origin: String,
    /// How many entries it has.
    pub entries: u64,
    /// When the newest was written, milliseconds since 1970.
    pub newest_ms: i64,
    /// The id of the key in this home that continues it, or why there is none.
    pub signs: Result<Digest, WorkshopError>,
}

impl Health {
    /// Looks.
    ///
    /// # Errors
    /// The lock or the store cannot be read.
    pub async fn of(home: &Home) -> Result<Health, WorkshopError> {
        let holder = home.holder()?;
        if !home.store().is_file() {
            return Ok(Health {
                holder,
                store: None,
            });
        }
        let store = Store::open_read_only(&home.store()).await?;
        let looked = look(&store, home).await;
        store.close().await;
        Ok(Health {
            holder,
            store: Some(looked?),
        })
    }
}

async fn look(store: &Store, home: &Home) -> Result<StoreHealth, WorkshopError> {
    let schema = store.schema().await?;
    if schema != Store::schema_known() {
        return Ok(StoreHealth {
            schema,
            content: None,
        });
    }
    let models = store.models(MODELS_MAX, 0).await?;
    let deployed = store.deployments().await?;
    let ledger = match store.verify_ledger(&Trust::default()).await? {
        None => None,
        Some(Err(problems)) => Some(Err(problems.iter().map(ToString::to_string).collect())),
        Some(Ok(history)) => Some(Ok(LedgerHealth {
            origin: history.origin().to_owned(),
            entries: history.len(),
            newest_ms: history.last_ms(),
            signs: ledger::signing_key(&history, home).map(|key| key.id()),
        })),
    };
    let content = Content {
        models,
        deployed: deployed.into_iter().map(|row| row.name).collect(),
        ledger,
    };
    Ok(StoreHealth {
        schema,
        content: Some(content),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lathe_evidence::statement::ApprovalPolicy;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn an_empty_home_a_whole_one_and_one_without_its_key() {
        runtime().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let home = Home::locate(Some(folder.path().join("home"))).unwrap();
            assert!(Health::of(&home).await.unwrap().store.is_none());
            assert!(!home.root().exists(), "looking makes nothing");

            home.create().unwrap();
            let store = Store::open(&home.store()).await.unwrap();
            ledger::open(&store, &home, ApprovalPolicy::default())
                .await
                .unwrap();
            store.close().await;
            let ledger = |health: Health| health.store.unwrap().content.unwrap().ledger.unwrap();
            let whole = ledger(Health::of(&home).await.unwrap()).unwrap();
            assert_eq!(whole.entries, 1);
            assert!(whole.signs.is_ok());

            fs::remove_dir_all(home.keys()).unwrap();
            let keyless = ledger(Health::of(&home).await.unwrap()).unwrap();
            assert_eq!(keyless.signs.unwrap_err().code(), "ledger-key-missing");
        });
    }
}
