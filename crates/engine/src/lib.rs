//! Language models on a CPU: weight files, tokenizer, chat template, adapter,
//! forward and backward.
//!
//! A model comes in as a GGUF file or a Hugging Face folder ([`weights`]), is
//! packed for the machine ([`model`]), tuned through a LoRA adapter
//! ([`train`]) or wholly ([`full`]), and answers ([`infer`], [`generate`]). Tuning, evaluation and
//! serving run the same block code on the same packed weights.
//!
//! What is absent on purpose: no network, no pickle, no code from a model's
//! folder, no GPU, no automatic conversion between formats. Bytes that come
//! from outside are parsed with bounds and never make the parser panic or
//! allocate more than the bytes present justify.

pub mod adapter;
pub mod agreement;
pub mod architecture;
pub mod batch;
mod block;
pub mod choices;
pub mod config;
pub mod error;
pub mod export;
pub mod full;
pub mod fuzz;
pub mod generate;
pub mod gguf;
mod head;
pub mod importance;
pub mod infer;
pub mod likelihoods;
mod linear;
pub mod log_softmax;
pub mod model;
pub mod packed_adapter;
pub mod pairs;
pub mod parameters;
pub mod random;
mod rows;
pub mod safetensors;
pub mod sampling;
mod standing;
pub mod template;
pub mod tokenizer;
pub mod train;
pub mod weights;

pub use adapter::{Adapter, AdapterTensor, LoraSpec, Part};
pub use agreement::{Agreement, Trace};
pub use architecture::{Activation, Architecture};
pub use batch::{Batch, LossSum, Segment, Target};
pub use choices::Choices;
pub use config::{Config, Window};
pub use error::EngineError;
pub use full::FullTrainer;
pub use generate::{GenerateSpec, generate_greedy};
pub use importance::{Importance, Inputs};
pub use infer::{
    AdapterRun, Chunk, KvCache, Logits, MeanPooling, Scratch, forward, forward_mixed, last_states,
};
pub use likelihoods::{Fidelity, Likelihoods};
pub use linear::ByteProducts;
pub use log_softmax::LogSoftmax;
pub use model::{LoadOptions, Model};
pub use packed_adapter::PackedAdapter;
pub use pairs::AnswerBatch;
pub use parameters::{Parameter, Parameters};
pub use sampling::{Sampler, Sampling};
pub use template::{CallForm, ChatTemplate, Message};
pub use tokenizer::{StreamDecoder, Tokenizer};
pub use train::{LogProbs, PairLoss, Trainer};
pub use weights::{RawModel, TokenWork, open};
