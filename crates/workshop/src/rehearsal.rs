//! A copy of a home in which evidence may be broken, to see what happens then.
//!
//! The store is copied whole and the artifacts are linked, so that it costs little; what is changed
//! is copied first. Nothing of the home itself is touched, and the copy is removed when dropped.
//! Nobody answers in it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lathe_evidence::Digest;
use lathe_evidence::statement::Withdrawn;

use crate::admission;
use crate::admission::{Admitted, DeployableFiles};
use crate::book::{Book, Opening};
use crate::catalogue::DeploymentRow;
use crate::door::{BoxFuture, Door, DoorError};
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects;
use crate::ops::{Operation, order_again};
use crate::order::{OrderId, StepError};
use crate::store::Store;
use crate::workshop::{Workshop, WorkshopOptions};

/// A copy of a home.
pub struct Rehearsal {
    home: Home,
    folder: PathBuf,
}

/// What came of taking a record back.
pub struct Restricted {
    /// What a caller of the deployment hears from then on.
    pub heard: String,
    /// The command that tunes again without the record.
    pub again: String,
}

/// What is done to a copy stays there: nobody answers.
pub(crate) struct Nobody;

impl Door for Nobody {
    fn open(
        &self,
        _model: Admitted<DeployableFiles>,
        _book: Arc<dyn Book>,
    ) -> BoxFuture<'_, Result<(), DoorError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn close<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}

impl Rehearsal {
    /// Copies a home, into its own folder for passing things.
    ///
    /// # Errors
    /// `home-io`, `store`.
    pub async fn of(home: &Home) -> Result<Rehearsal, WorkshopError> {
        let folder = home.tmp().join(format!("rehearsal-{}", OrderId::new()));
        let copy = Home::locate(Some(folder.clone()))?;
        copy.create()?;
        // From here on it is removed whatever happens.
        let rehearsal = Rehearsal { home: copy, folder };
        Store::copy(&home.store(), &rehearsal.home.store()).await?;
        for name in ["objects", "keys", "salt.seed"] {
            link(&home.root().join(name), &rehearsal.home.root().join(name))?;
        }
        Ok(rehearsal)
    }

    /// Opens the copy as a workshop.
    ///
    /// # Errors
    /// Those of [`Workshop::open`].
    pub async fn open(&self) -> Result<Workshop, WorkshopError> {
        let options = WorkshopOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            key: None,
            worker: PathBuf::new(),
            approval: Default::default(),
            keeps_texts: false,
            scrub_every: Duration::from_secs(86_400),
        };
        Workshop::open(self.home.clone(), Arc::new(Nobody), options).await
    }

    /// Flips one bit in the middle of the weights that answer as `name`, asks for admission, and
    /// puts the bit back. Returns the file and what admission said.
    ///
    /// # Errors
    /// `home-io`; `home-unknown` where nothing is deployed as `name`.
    pub async fn flip(
        &self,
        shop: &Workshop,
        name: &str,
    ) -> Result<(PathBuf, StepError), WorkshopError> {
        let row = deployed(shop, name).await?;
        let digest = row.adapter.as_ref().unwrap_or(&row.base);
        let file = largest(&objects::path(&self.home, digest))?;
        flip_bit(&file)?;
        let refused = admission::of(shop, row).await.map(drop).err();
        flip_bit(&file)?;
        let shown = file.strip_prefix(&self.folder).unwrap_or(&file).to_owned();
        match refused {
            Some(refused) => Ok((shown, refused)),
            None => Err(WorkshopError::new(
                "internal",
                format!("{} was altered and admitted all the same", file.display()),
                "this is a mistake in Lathe; please report it",
            )),
        }
    }
}

impl Rehearsal {
    /// Takes a record back in the copy, and asks for an answer of `name`.
    ///
    /// # Errors
    /// Those of the withdrawal; `internal` where an answer would begin all the same.
    pub async fn withdraw(
        &self,
        shop: &Workshop,
        name: &str,
        leaf: Digest,
        reason: &str,
    ) -> Result<Restricted, WorkshopError> {
        let row = deployed(shop, name).await?;
        let operation = Operation::Withdraw {
            what: Withdrawn::Leaf(leaf),
            reason: reason.to_owned(),
        };
        shop.operate(operation).await?;
        let model = row.model()?;
        let opening = Opening {
            name: name.to_owned(),
            deployment: row.link.unwrap_or(model),
            model,
            policy: model,
            prompt: Digest::of(b""),
            accepts_restricted: false,
            relayed: false,
        };
        let Err(refused) = shop.book().open(opening).await else {
            return Err(WorkshopError::new(
                "internal",
                format!("a record was withdrawn and {name} answers all the same"),
                "this is a mistake in Lathe; please report it",
            ));
        };
        let order = shop.store().order(&row.order).await?;
        Ok(Restricted {
            heard: format!("{}: {}", refused.code, refused.text),
            again: order.map_or_else(String::new, |order| order_again(&order.id)),
        })
    }

    /// A text in which the copy's own place is left out: nobody needs to know where it was.
    pub fn without_place(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.folder.display()), "")
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        // What is left of it is swept by the next daemon at the latest.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn deployed(shop: &Workshop, name: &str) -> Result<DeploymentRow, WorkshopError> {
    let rows = shop.store().deployments().await?;
    rows.into_iter()
        .find(|row| row.name == name)
        .ok_or_else(|| {
            WorkshopError::new(
                "not-found",
                format!("nothing is deployed as {name}"),
                "list what is with `lathe model list`",
            )
        })
}

/// Links a file, or the files of a folder.
fn link(from: &Path, to: &Path) -> Result<(), WorkshopError> {
    let failed = |error: &std::io::Error| io_error("link", from, error);
    if from.is_dir() {
        fs::create_dir_all(to).map_err(|error| failed(&error))?;
        for entry in fs::read_dir(from).map_err(|error| failed(&error))? {
            let entry = entry.map_err(|error| failed(&error))?;
            link(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if from.is_file() && fs::hard_link(from, to).is_err() {
        // Another file system, or one without links.
        fs::copy(from, to).map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// The largest file of a folder.
fn largest(folder: &Path) -> Result<PathBuf, WorkshopError> {
    let failed = |error: std::io::Error| io_error("read", folder, &error);
    let mut best: Option<(u64, PathBuf)> = None;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let size = entry.metadata().map_err(failed)?.len();
        if best.as_ref().is_none_or(|(largest, _)| size > *largest) {
            best = Some((size, entry.path()));
        }
    }
    best.map(|(_, path)| path)
        .ok_or_else(|| failed(std::io::Error::from(std::io::ErrorKind::NotFound)))
}

/// Flips one bit in the middle of a file of its own: the link to the home's file is given up first.
fn flip_bit(file: &Path) -> Result<(), WorkshopError> {
    let failed = |error: std::io::Error| io_error("alter", file, &error);
    let mut bytes = fs::read(file).map_err(failed)?;
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
    fs::remove_file(file).map_err(failed)?;
    fs::write(file, bytes).map_err(failed)
}
