//! From a source to a prepared dataset: fetch, read, check, dedupe, derive, split, seal, render.
//!
//! One module for each step. [`source`] names where bytes come from, [`fetch`] brings them into a
//! content-addressed cache, [`reader`] turns a file into records, [`prepare`] checks, splits and
//! seals them with leaves and a root, [`dataset`] keeps the result as a folder, [`task`] turns a
//! record into prompt and answer and reads an answer back. From an answer back to the records: [`spans`].
//! [`samples`] streams training data in the forms that other tools have.
//! [`scan`] looks for personal data and harmful words on the way.
//!
//! No clock and no randomness of its own: seeds are passed in, and the same order gives the same
//! bytes. What comes from outside is bounded ([`bounds`]) and never trusted.

pub mod archive;
pub mod bounds;
pub mod dataset;
pub mod ends;
pub mod error;
pub mod fetch;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod nearest;
pub mod prepare;
pub mod reader;
pub mod samples;
pub mod scan;
pub mod shingles;
pub mod source;
pub mod spans;
pub mod spec;
pub mod task;
pub mod template;
mod tokens;

pub use dataset::Dataset;
pub use error::DataError;
pub use source::Source;
pub use spec::DataSpec;
