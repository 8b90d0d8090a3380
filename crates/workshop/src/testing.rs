//! A workshop in a folder of its own, for tests of this crate: nobody answers in it, and no order runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::home::Home;
use crate::rehearsal::Nobody;
use crate::workshop::{Workshop, WorkshopOptions};

/// An empty workshop, gone with the folder.
pub(crate) async fn shop() -> (tempfile::TempDir, Workshop) {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::locate(Some(folder.path().join("home"))).expect("a home");
    let options = WorkshopOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        key: None,
        worker: PathBuf::new(),
        approval: Default::default(),
        keeps_texts: false,
        scrub_every: Duration::from_secs(86_400),
    };
    let shop = Workshop::open(home, Arc::new(Nobody), options).await;
    (folder, shop.expect("it opens"))
}
