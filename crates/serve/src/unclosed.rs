//! A book that knows how many of its receipts are open, so that a server that goes down waits for them.

use std::sync::Arc;

use lathe_evidence::receipt::Receipt;
use lathe_workshop::{Book, BookError, BoxFuture, Opened, Opening, ReceiptDraft, Refused};
use tokio::sync::watch;

/// How many receipts are open, over all models.
#[derive(Debug, Clone)]
pub(crate) struct Unclosed {
    count: Arc<watch::Sender<usize>>,
}

impl Default for Unclosed {
    fn default() -> Self {
        Unclosed {
            count: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Unclosed {
    /// `book`, counted.
    pub(crate) fn counting(&self, book: Arc<dyn Book>) -> Arc<dyn Book> {
        Arc::new(Counted {
            book,
            unclosed: self.clone(),
        })
    }

    /// Resolves when none is open.
    pub(crate) async fn none(&self) {
        // The sender lives in self, so the channel cannot close.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

struct Counted {
    book: Arc<dyn Book>,
    unclosed: Unclosed,
}

impl Book for Counted {
    fn open(&self, opening: Opening) -> BoxFuture<'_, Result<Opened, Refused>> {
        Box::pin(async move {
            let opened = self.book.open(opening).await?;
            self.unclosed.count.send_modify(|count| *count += 1);
            Ok(opened)
        })
    }

    /// Every receipt that was opened is closed once, well or not: see [`crate::receipt`].
    fn close(&self, draft: ReceiptDraft) -> BoxFuture<'_, Result<Receipt, BookError>> {
        Box::pin(async move {
            let closed = self.book.close(draft).await;
            let one_less = |count: &mut usize| *count = count.saturating_sub(1);
            self.unclosed.count.send_modify(one_less);
            closed
        })
    }

    fn valid(&self, name: &str, valid: bool) {
        self.book.valid(name, valid);
    }

    fn keeps_texts(&self) -> bool {
        self.book.keeps_texts()
    }
}
