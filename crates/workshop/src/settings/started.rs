//! How the workshop was started: what only the program knows that opened it, handed over in one piece.
//!
//! Whoever fills it in tells addresses and names, never a secret. Not here: what the workshop itself was opened
//! with ([`crate::WorkshopOptions`]).

use crate::people::Kind;

/// How a workshop was started.
#[derive(Debug, Clone, Default)]
pub struct Started {
    /// The address that it listens at for people, as a URL; empty where nothing listens.
    pub url: String,
    /// It answers over TLS alone there.
    pub over_tls: bool,
    /// Every request presents a key, or comes from somebody who is logged in, whether or not there is one.
    pub asks_for_a_key: bool,
    /// Keys of a file of the operator's are taken.
    pub takes_key_file: bool,
    /// How long answers may go on when it is asked to end.
    pub drain_s: u64,
    /// How people sign in beside passwords of the workshop.
    pub sign_in: Vec<Kind>,
    /// What is logged, as a filter; none where nothing is.
    pub log: Option<String>,
    /// How lines of the log are written: `text` or `json`.
    pub log_format: &'static str,
    /// What is asked and answered is logged in clear.
    pub logs_texts: bool,
    /// Where what is decided is told to.
    pub audit_syslog: Option<String>,
    /// What is taken on at once; none where no model is served.
    pub limits: Option<RunningLimits>,
}

/// How much is taken on at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningLimits {
    /// Answers that are computed together.
    pub answers_max: u64,
    /// Requests that wait for one of them to end.
    pub queue_requests_max: u64,
    /// How long one waits at most.
    pub wait_ms_max: u64,
    /// Rows of a prompt that one step computes.
    pub step_rows_max: u64,
    /// How long a step should take.
    pub step_ms_max: u64,
    /// Memory for keys and values.
    pub cache_bytes_max: u64,
    /// Memory for weights; none where there is no bound.
    pub weights_bytes_max: Option<u64>,
    /// Size of a request's body.
    pub body_bytes_max: u64,
    /// Requests that one upstream holds at once.
    pub upstream_requests_max: u64,
}
