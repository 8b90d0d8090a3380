//! The whole router without a socket, over a written-down workshop.

mod api;
mod pages;
mod sample;
