//! Language models on a CPU: weight files, tokenizer, chat template, adapter,
//! forward and backward.
//!
//! A model comes in as a GGUF file or a Hugging Face folder ([`weights`]), is
//! packed for the machine ([`model`]), tuned through a LoRA adapter
//! ([`train`]), and answers ([`infer`], [`generate`]). Tuning, evaluation and
//! serving run the same block code on the same packed weights.
//!
//! What is absent on purpose: no network, no pickle, no code from a model's
//! folder, no GPU, no automatic conversion between formats. Bytes that come
//! from outside are parsed with bounds and never make the parser panic or
//! allocate more than the bytes present justify.

pub mod adapter;
pub mod config;
pub mod error;
pub mod generate;
pub mod gguf;
pub mod infer;
pub mod model;
pub mod random;
pub mod safetensors;
pub mod sampling;
pub mod template;
pub mod tokenizer;
pub mod train;
pub mod weights;

pub use adapter::{Adapter, AdapterTensor, LoraSpec};
pub use config::{Architecture, Config};
pub use error::EngineError;
pub use generate::GenerateSpec;
pub use model::Model;
pub use sampling::{Sampler, Sampling};
pub use template::{ChatTemplate, Message};
pub use tokenizer::{StreamDecoder, Tokenizer};
pub use train::{Batch, LossSum, Segment, Target};
pub use weights::{RawModel, open};
