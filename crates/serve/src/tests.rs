//! The server as its callers see it, without sockets: requests go straight into the
//! router, over the tiny random model in `tests/fixtures`.

mod answers;
mod batching;
mod caller;
mod choices;
mod completions;
mod disconnects;
mod embeddings;
mod fixture;
mod health;
mod models;
mod prefixes;
mod receipts;
mod refusals;
mod streams;
mod tools;
mod tuned;
