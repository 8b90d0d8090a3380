//! The whole router without a socket, over a written-down workshop.

mod api;
mod openapi;
mod pages;
mod people;
mod sample;
mod upstreams;
