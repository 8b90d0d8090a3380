//! Evidence: ids, digests, statement types and canonical bytes. No IO.

pub mod report;
