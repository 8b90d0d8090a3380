//! The whole router without a socket, over a written-down workshop.

mod api;
mod forms;
mod openapi;
mod pages;
mod sample;
mod upstreams;
