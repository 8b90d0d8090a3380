//! The GGUF container: header, metadata, tensor table.

pub mod blocks;
