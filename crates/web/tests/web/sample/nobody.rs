//! Real workshops in which nobody answers and no order runs, and the door that they stand behind.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lathe_workshop::{
    Admitted, Book, BoxFuture, DeployableFiles, Door, DoorError, Home, Workshop, WorkshopError,
    WorkshopOptions,
};

/// An empty workshop in this folder, or what was left there. `key` is the one that the home's own commands
/// present.
pub async fn workshop(home: &Path, key: Option<&str>) -> Result<Workshop, WorkshopError> {
    let options = WorkshopOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        key: key.map(str::to_owned),
        worker: PathBuf::new(),
        approval: Default::default(),
        keeps_texts: true,
        scrub_every: Duration::from_secs(86_400),
    };
    let home = Home::locate(Some(home.to_owned()))?;
    Workshop::open(home, Arc::new(Nobody), options).await
}

/// Lets everything be opened, and answers nothing.
struct Nobody;

impl Door for Nobody {
    fn open(
        &self,
        _: Admitted<DeployableFiles>,
        _: Arc<dyn Book>,
    ) -> BoxFuture<'_, Result<(), DoorError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn close<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
