//! A whole workshop's evidence, changed in every way, and the binary that has to notice.

mod command;
mod mutation;
mod world;
