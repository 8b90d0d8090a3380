//! The weights alone: a deployed model's files with OpenSSF signatures beside them and its bill of
//! materials, for people who serve or scan them with other tools. What an exported file does
//! elsewhere, nobody here sees.

use std::fs;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_ledger::model_signing::{FILE_NAME, ModelKey};
use lathe_register::chain::Chain;
use lathe_register::ml_bom::ml_bom;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::ExportRequest;
use super::export::{copy, durable, object, stumbled, whole};
use super::views::{BOM, PUBLIC_KEY};
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects;
use crate::people::reach;
use crate::workshop::Workshop;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportedModel {
    /// The folder.
    pub folder: PathBuf,
    /// The folders in it that hold an artifact, with its digest.
    pub signed: Vec<(String, Digest)>,
    /// The public key of the signatures, in PEM.
    pub public_key: String,
}

impl Workshop {
    /// The bill of materials of what is deployed under a name; none where nothing is. Every file is
    /// hashed anew first.
    ///
    /// # Errors
    /// `bundle-broken`, naming what does not hold; the ledger's.
    pub async fn ml_bom(&self, name: &str) -> Result<Option<Value>, WorkshopError> {
        let history = self.store().ledger()?.read().await;
        let (home, name) = (self.home().clone(), name.to_owned());
        let made = reach::spawn_blocking(move || {
            let chain = whole(&history, &home, &name)?;
            Ok(ml_bom(&history, &chain))
        });
        match made.await.map_err(stumbled)? {
            Ok(bom) => Ok(Some(bom)),
            Err(error) if WorkshopError::code(&error) == "deployment-unknown" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes the weights that answer under a name into a new folder, signed.
    ///
    /// # Errors
    /// `deployment-unknown`; `bundle-broken`, naming what does not hold; `bundle-exists`; the ledger's
    /// and the file system's.
    pub async fn export_model(
        &self,
        request: &ExportRequest,
    ) -> Result<ExportedModel, WorkshopError> {
        let key = self.store().ledger()?.model_key().await;
        let history = self.store().ledger()?.read().await;
        let (home, asked) = (self.home().clone(), request.clone());
        let write = move || {
            let chain = whole(&history, &home, &asked.name)?;
            let bom = ml_bom(&history, &chain);
            write(&home, &asked.folder, &key, &chain, &bom)
        };
        reach::spawn_blocking(write).await.map_err(stumbled)?
    }
}

/// Writes it beside `to` and renames it, so that it is whole or not there.
fn write(
    home: &Home,
    to: &Path,
    key: &ModelKey,
    chain: &Chain,
    bom: &Value,
) -> Result<ExportedModel, WorkshopError> {
    let draft = super::export::draft(to)?;
    let mut parts = vec![("base".to_owned(), chain.base_model)];
    parts.extend(chain.adapter.map(|digest| ("adapter".to_owned(), digest)));
    let put = |path: &Path, text: &str| {
        durable(path, text.as_bytes()).map_err(|error| io_error("write", path, &error))
    };
    for (part, digest) in &parts {
        let object = object(home, *digest)?;
        let folder = draft.join(part);
        copy(&objects::path(home, &digest.to_string()), &folder, &object)?;
        let signed = key.sign(&digest.to_string(), &object.manifest);
        put(&folder.join(FILE_NAME), &signed)?;
    }
    let public_key = key.public_pem();
    put(&draft.join(PUBLIC_KEY), &public_key)?;
    put(&draft.join(BOM), &format!("{bom:#}\n"))?;
    fs::rename(&draft, to).map_err(|error| io_error("write", to, &error))?;
    Ok(ExportedModel {
        folder: to.to_owned(),
        signed: parts,
        public_key,
    })
}
