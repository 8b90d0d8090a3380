//! CPU arithmetic for language models: packed matrix products, attention, norms and the other
//! row-wise operations, each with its backward pass, plus the thread pool they run on.
//!
//! The crate knows no model, no file format and no tokenizer; it sees matrices of `f32` in row-major
//! order. One operation is one file: the mathematics in its header, the fast path, and the tests
//! against a readable reference and against finite differences. It is the only crate of the project
//! that contains `unsafe`.
//!
//! Two promises hold everywhere and are tested bitwise: a result never depends on the number of
//! threads, and a row of [`matmul`] or [`attention::cached`] never depends on the other rows of the
//! call, on their number or on how a sequence was cut into chunks (attention says where a value that is not
//! finite reaches others).

#[cfg(target_endian = "big")]
compile_error!("words of bytes are read in little-endian order throughout");

pub mod adamw;
pub mod attention;
pub mod bf16;
pub mod bias;
mod buffer;
pub mod cross_entropy;
pub mod f16;
pub mod gain;
pub mod gated;
pub mod gemm;
pub mod isa;
pub mod mmap;
mod parallel;
pub mod pool;
pub mod probe;
pub mod quantised;
pub mod rmsnorm;
pub mod rope;
mod simd;
pub mod slab;
mod spans;
#[cfg(test)]
mod testing;

pub use gemm::{
    AdaptedProduct, LowRank, PackedMatrix, PartialLowRank, Precision, Product, matmul,
    matmul_adapted, matmul_group, matmul_low_rank, matmul_low_rank_parts, matmul_tn,
    matmul_tn_bf16,
};
pub use isa::Isa;
pub use mmap::Mmap;
pub use pool::{Pool, default_threads};
pub use quantised::{QuantisedMatrix, QuantisedProduct, largest_quantised, matmul_quantised};
