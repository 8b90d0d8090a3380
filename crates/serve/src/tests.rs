//! The server as its callers see it, without sockets: requests go straight into the
//! router, over the tiny random model in `tests/fixtures`.

mod answers;
mod batching;
mod caller;
mod choices;
mod completions;
mod disconnects;
mod draining;
mod embeddings;
mod fake_upstream;
mod feedback;
mod figures;
mod fixture;
mod fuzzed;
mod grammar_bombs;
mod grammars;
mod health;
mod keys;
mod models;
mod openapi;
mod pains;
mod prefixes;
mod receipts;
mod refusals;
mod streams;
mod tools;
mod tuned;
mod upstream_faults;
mod upstreams;

pub(crate) use caller::open_door;
pub(crate) use tuned::door_with_two_adapters;
