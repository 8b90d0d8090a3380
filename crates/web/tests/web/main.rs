//! The whole router without a socket, over a written-down workshop.

mod account;
mod actions;
mod answering;
mod api;
mod approvals;
mod doors;
mod forms;
mod lists;
mod models;
mod openapi;
mod pages;
mod people;
mod playground;
mod problems;
mod projects;
mod refusals;
mod rights;
mod sample;
mod settings;
mod traces;
mod upstreams;
