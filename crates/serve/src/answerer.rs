//! Who answers a request, as far as its receipt cares: an admitted model, or another server.
//!
//! The two are apart by type down to here, and what the receipt says of them differs: a model's digests
//! are of files that were hashed, an upstream's stand for the word of whoever added it.

use std::sync::Arc;

use lathe_data::spans::SpanIndex;
use lathe_data::task::Task;
use lathe_evidence::Digest;
use lathe_evidence::receipt::Relayed;
use lathe_workshop::{Book, Opening};

use crate::relay::Relay;
use crate::served::Served;

/// Who answers.
#[derive(Clone)]
pub(crate) enum Answerer {
    /// An admitted model.
    Model(Arc<Served>),
    /// Another server, whose weights nobody verified.
    Upstream(Arc<Relay>),
}

impl From<Arc<Served>> for Answerer {
    fn from(served: Arc<Served>) -> Answerer {
        Answerer::Model(served)
    }
}

impl From<Arc<Relay>> for Answerer {
    fn from(relay: Arc<Relay>) -> Answerer {
        Answerer::Upstream(relay)
    }
}

impl Answerer {
    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Answerer::Model(served) => &served.files().name,
            Answerer::Upstream(relay) => &relay.upstream().name,
        }
    }

    /// What the book is told of an answer that begins.
    pub(crate) fn opening(&self, prompt: Digest, accepts_restricted: bool) -> Opening {
        let (deployment, model, policy) = match self {
            Answerer::Model(served) => {
                let files = served.files();
                (files.deployment, files.model, files.policy)
            }
            Answerer::Upstream(relay) => {
                let upstream = relay.upstream();
                (upstream.link, upstream.subject, upstream.subject)
            }
        };
        Opening {
            name: self.name().to_owned(),
            deployment,
            model,
            policy,
            prompt,
            accepts_restricted,
            relayed: self.relayed().is_some(),
        }
    }

    /// What is known of an upstream before it answers; none of a model.
    pub(crate) fn relayed(&self) -> Option<Relayed> {
        match self {
            Answerer::Model(_) => None,
            Answerer::Upstream(_) => Some(Relayed::unknown()),
        }
    }

    /// The workshop's origin.
    pub(crate) fn origin(&self) -> &str {
        match self {
            Answerer::Model(served) => &served.files().origin,
            Answerer::Upstream(relay) => &relay.upstream().origin,
        }
    }

    /// Where its receipts go.
    pub(crate) fn book(&self) -> &Arc<dyn Book> {
        match self {
            Answerer::Model(served) => served.book(),
            Answerer::Upstream(relay) => relay.book(),
        }
    }

    /// What it was tuned to answer, if that is known.
    pub(crate) fn task(&self) -> Option<&Task> {
        match self {
            Answerer::Model(served) => served.task(),
            Answerer::Upstream(_) => None,
        }
    }

    /// What the records say that it was tuned on, if they are known.
    pub(crate) fn spans(&self) -> Option<&SpanIndex> {
        match self {
            Answerer::Model(served) => served.spans(),
            Answerer::Upstream(_) => None,
        }
    }
}
