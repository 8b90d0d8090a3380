//! The workshop: orders, their steps, the store, the workers and the queue.
//!
//! An order is a pack (files) run from base model and data to a served model.
//! Each step is keyed by the digest of its inputs; what is finished is reused,
//! what was interrupted resumes. One process per home writes (see [`home`]);
//! every change of state is one [`store::Change`] in one transaction.
//!
//! What is not here: arithmetic (engine), the HTTP interface (serve, web), the
//! command line (lathe), and the rules a model is held against (gate).

pub mod admission;
mod answering;
pub mod audit;
pub mod backup;
mod behind;
pub mod book;
mod breakers;
pub mod bring;
pub mod bundle;
pub mod catalogue;
mod clock;
pub mod compare;
mod dataset;
pub mod door;
pub mod draft;
pub mod error;
pub mod executor;
pub mod feedback;
pub mod health;
pub mod home;
mod identity;
mod key;
pub mod keyring;
mod ledger;
pub mod lesson;
pub mod listing;
pub mod machine;
mod memory;
pub mod models;
pub mod note;
pub mod objects;
pub mod ops;
pub mod order;
pub mod pack;
mod pause;
pub mod people;
mod pieces;
mod place;
mod queue;
mod receipts;
pub mod rehearsal;
mod sample;
mod scrub;
#[cfg(feature = "unproved")]
pub mod seed;
pub mod settings;
pub mod shelf;
pub mod steps;
pub mod store;
#[cfg(test)]
mod testing;
pub mod token;
pub mod trace;
pub mod tuning;
mod turn;
pub mod upstream;
pub mod view;
mod withdrawn;
pub mod words;
pub mod worker;
pub mod workshop;

pub use admission::{Admitted, DeployableFiles};
pub use book::{Book, BookError, Opened, Opening, ReceiptDraft, Refused, Texts};
pub use catalogue::{DatasetRequest, DatasetView, DeploymentView, ModelView};
pub use door::{BoxFuture, Door, DoorError};
pub use error::WorkshopError;
pub use home::Home;
pub use lathe_tune::preview;
pub use listing::{OrdersAsked, OrdersSort, ReceiptsFrom};
pub use models::{ModelDetail, ModelKind, ModelRow, ModelsAsked};
pub use ops::Operation;
pub use order::{
    Answering, AnsweringNow, CurvePoint, Ending, LogLine, Memory, OrderId, OrderRequest,
    OrderState, OrderSummary, OrderView, Origin, Output, Progress, SettingChange, StepError,
    StepName, StepState, StepView, Title,
};
pub use people::People;
pub use token::{Caller, Token, TokenRequest, Tokens};
pub use upstream::{Attested, Upstream, UpstreamHealth, UpstreamView};
pub use workshop::{Workshop, WorkshopOptions};
