//! Whose turn it is at this machine's one slot, and how a turn is ended early.
//!
//! The queue begins and ends turns; whoever sets an order aside asks here. What an order's state
//! becomes is written by the queue alone while it is the order's turn, so that nobody's word is
//! overwritten by the other's.

use tokio::sync::{Mutex, MutexGuard, watch};

use crate::order::OrderId;
use crate::queue::Halt;

/// The turn at the slot.
#[derive(Debug)]
pub(crate) struct Turn {
    deciding: Mutex<()>,
    at_work: watch::Sender<Option<OrderId>>,
    pause: watch::Sender<bool>,
}

impl Turn {
    /// Nobody's turn.
    pub fn new() -> Turn {
        Turn {
            deciding: Mutex::new(()),
            at_work: watch::Sender::new(None),
            pause: watch::Sender::new(false),
        }
    }

    /// Held while it is decided which order is next, or that one is not.
    pub async fn decide(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock().await
    }

    /// It is this order's turn; the caller decides.
    pub fn begin(&self, order: &OrderId) {
        self.pause.send_replace(false);
        self.at_work.send_replace(Some(order.clone()));
    }

    /// It is nobody's turn; the order's state is written.
    pub fn end(&self) {
        self.at_work.send_replace(None);
    }

    /// Asks that the order be set aside if it is its turn, which is answered; the caller decides.
    pub fn ask_to_pause(&self, order: &OrderId) -> bool {
        let is_its_turn = self.at_work.borrow().as_ref() == Some(order);
        if is_its_turn {
            self.pause.send_replace(true);
        }
        is_its_turn
    }

    /// Returns once it is no longer this order's turn.
    pub async fn over(&self, order: &OrderId) {
        let mut at_work = self.at_work.subscribe();
        // An error would mean that the sender is gone, and with it every turn.
        let _ = at_work.wait_for(|now| now.as_ref() != Some(order)).await;
    }

    /// What may interrupt the steps of the order whose turn it is.
    pub fn signals(&self, stop: watch::Receiver<bool>) -> Signals {
        Signals {
            stop,
            pause: self.pause.subscribe(),
        }
    }
}

/// What may interrupt a step.
#[derive(Debug)]
pub(crate) struct Signals {
    stop: watch::Receiver<bool>,
    pause: watch::Receiver<bool>,
}

impl Signals {
    /// Whether this process is to end.
    pub fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Whether the order whose turn it is is to be set aside.
    pub fn pausing(&self) -> bool {
        *self.pause.borrow()
    }

    /// Returns once this process is to end. Cancel safe.
    pub async fn stopped(&mut self) {
        // An error means that the workshop is gone, which is an end as well.
        let _ = self.stop.changed().await;
    }

    /// Returns why the running step is to end, once it is. Cancel safe.
    pub async fn interrupted(&mut self) -> Halt {
        tokio::select! {
            // Somebody's wish outlasts this process, so it is heard first.
            biased;
            _ = self.pause.wait_for(|wanted| *wanted) => Halt::Paused,
            _ = self.stop.changed() => Halt::Stopped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_order_at_work_is_interrupted() {
        let turn = Turn::new();
        let (_stop, stopped) = watch::channel(false);
        let mut signals = turn.signals(stopped);
        let (first, second) = (OrderId::new(), OrderId::new());
        turn.begin(&first);
        assert!(!turn.ask_to_pause(&second) && !signals.pausing());
        assert!(turn.ask_to_pause(&first) && signals.pausing());
        assert!(matches!(signals.interrupted().await, Halt::Paused));
        turn.end();
        turn.over(&first).await;
        // The next one is not set aside for what was wanted of the last.
        turn.begin(&second);
        assert!(!signals.pausing());
    }

    #[tokio::test]
    async fn an_end_of_the_process_interrupts_too() {
        let turn = Turn::new();
        let (stop, stopped) = watch::channel(false);
        let mut signals = turn.signals(stopped);
        turn.begin(&OrderId::new());
        stop.send_replace(true);
        assert!(matches!(signals.interrupted().await, Halt::Stopped));
        assert!(signals.stopping());
    }
}
