//! Ctrl-C and its kin: the first asks the process to end in order, the second
//! ends it at once (what was running resumes all the same).

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::fail::{EXIT_INTERRUPTED, Failure};
use lathe_workshop::people::reach;

/// Becomes true once the process is asked to end.
#[derive(Debug, Clone)]
pub struct Interrupt {
    asked: watch::Receiver<bool>,
    // Keeps the channel open when the listening task ends.
    _sender: Arc<watch::Sender<bool>>,
}

impl Interrupt {
    /// Listens for SIGINT, SIGTERM and SIGHUP. Within a tokio runtime.
    pub fn listen() -> Result<Interrupt, Failure> {
        let hangup = SignalKind::hangup();
        Interrupt::listen_to(&[SignalKind::interrupt(), SignalKind::terminate(), hangup])
    }

    /// Listens for SIGINT and SIGTERM, where SIGHUP means something else. Within a tokio runtime.
    pub fn listen_but_to_hangup() -> Result<Interrupt, Failure> {
        Interrupt::listen_to(&[SignalKind::interrupt(), SignalKind::terminate()])
    }

    fn listen_to(kinds: &[SignalKind]) -> Result<Interrupt, Failure> {
        let sender = Arc::new(watch::Sender::new(false));
        for kind in kinds.iter().copied() {
            let mut signals = signal(kind).map_err(|error| {
                Failure::new("signal", format!("cannot listen for signals: {error}"), "")
            })?;
            let sender = sender.clone();
            reach::spawn(async move {
                while signals.recv().await.is_some() {
                    if sender.send_replace(true) {
                        std::process::exit(i32::from(EXIT_INTERRUPTED));
                    }
                }
            });
        }
        Ok(Interrupt {
            asked: sender.subscribe(),
            _sender: sender,
        })
    }

    /// Whether the process was asked to end.
    pub fn asked(&self) -> bool {
        *self.asked.borrow()
    }

    /// Resolves when the process is asked to end.
    pub async fn wait(&mut self) {
        // The sender lives in self, so the channel cannot close.
        let _ = self.asked.wait_for(|asked| *asked).await;
    }
}
