//! `lathe-serve` answers `/v1` with admitted models, and hands on what is asked of an attested upstream
//! (`relay`), whose answers say that nobody verified the weights; with nothing else.
//!
//! It has one door ([`Door`]), one thread that computes (`scheduler`) and
//! the OpenAI-shaped HTTP interface in front of it (`api`). Beside it stand [`tuning`], through which
//! orders are placed, and [`feedback`], by which callers speak of answers.
//!
//! What is deliberately absent: opening sockets (the daemon merges
//! [`Door::router`] with its pages and listens), deciding what may be served
//! (`lathe_workshop::admission`), and any arithmetic (`lathe_engine`).

mod answerer;
mod api;
mod asker;
mod door;
pub mod feedback;
mod grammar;
mod limits;
mod machine;
mod meters;
mod observe;
mod place;
mod receipt;
mod relay;
mod scheduler;
mod served;
#[cfg(test)]
mod tests;
pub mod tuning;
mod unclosed;

pub use door::Door;
pub use limits::Limits;
pub use relay::fuzz;
