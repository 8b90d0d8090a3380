//! Tuning: from examples and a base model to an adapter.
//!
//! Every stage is one loop ([`learn`]) over something that learns ([`learner`]): an adapter from rows
//! ([`sft`], continued pretraining too), all weights or the last blocks ([`full`]), an adapter from pairs
//! ([`dpo`]) or from judged answers ([`kto`]). An order of a pack runs `sft`, and before and after it on
//! the same adapter what its pack asks for ([`stages`]); a [`recipe`] runs any. The
//! pieces stand beside them, one file each: [`pack`] turns examples into token rows, [`plan`] says
//! which rows make up which step, [`batching`] cuts a step into bounded micro-batches, [`adamw`],
//! [`schedule`] and [`clip`] move the weights, [`checkpoint`] makes the work survive a kill,
//! [`batch_order`] commits to what was trained on, [`trainer_log`] writes the curve; [`merge`] turns base and
//! adapter into a model for other tools, in few bits by what its records ask for ([`calibrate`]).
//!
//! Same examples, spec, seed and machine kind give the same weights, bit for bit, resumed or not.
//! What is absent: the model's arithmetic (`lathe-engine`), the choice of records (`lathe-data`),
//! any judgement of the result (`lathe-eval`, `lathe-gate`).

pub mod adamw;
mod answers;
pub mod batch_order;
pub mod batching;
pub mod calibrate;
pub mod chat;
pub mod checkpoint;
pub mod clip;
pub mod dialogue;
pub mod dpo;
pub mod error;
mod files;
pub mod full;
pub mod kto;
pub mod learn;
pub mod learner;
pub mod loss_picture;
pub mod merge;
pub mod pack;
pub mod plan;
pub mod preview;
pub mod recipe;
pub mod rows;
pub mod schedule;
pub mod sft;
pub mod soft_number;
pub mod spec;
pub mod stages;
#[cfg(test)]
mod testing;
pub mod token_cache;
pub mod token_stream;
pub mod trainer_log;
#[cfg(test)]
mod vectors;
pub mod voice;

pub use dpo::{Dpo, DpoPair};
pub use error::TuneError;
pub use learn::{Outcome, TuneEvent};
pub use preview::Preview;
pub use sft::{SftJob, SftSpec};
pub use voice::Voice;
