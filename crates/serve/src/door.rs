//! The door: the cheap handle through which models are opened and asked.
//!
//! A clone shares the same scheduler thread and the same models. Not here:
//! the HTTP handlers (`api`) and the decoding loop (`scheduler`).

use axum::Router;

/// Bounds of the server; a request beyond one is refused, never cut.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Requests decoded together in one step.
    pub slots_max: usize,
    /// Requests waiting for a slot; one more is answered 429.
    pub queue_requests_max: usize,
    /// Prompt tokens computed in one step over all requests, so that a long
    /// prompt does not stall those who already receive tokens.
    pub prefill_tokens_max: usize,
    /// Size of a request's body.
    pub body_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            slots_max: 16,
            queue_requests_max: 256,
            prefill_tokens_max: 256,
            body_bytes_max: 4 << 20,
        }
    }
}

/// Cheap handle to the server; see the module's documentation.
#[derive(Clone)]
pub struct Door {}

impl Door {
    /// Starts the scheduler thread with a compute pool of `threads` threads
    /// and the default [`Limits`]. No model is open yet.
    pub fn new(threads: usize) -> Door {
        Door::with_limits(threads, Limits::default())
    }

    /// As [`Door::new`], with limits of one's own.
    pub fn with_limits(_threads: usize, _limits: Limits) -> Door {
        todo!()
    }

    /// `/v1/models`, `/v1/chat/completions` and `/health`, state applied, to
    /// be merged with the daemon's pages.
    pub fn router(&self) -> Router {
        todo!()
    }

    /// Says where the daemon listens, for `base_url` (`http://ADDR:PORT/v1`).
    pub fn listening_on(&self, _address: std::net::SocketAddr) {
        todo!()
    }

    /// Refuses new requests, lets running ones end, then stops the scheduler
    /// thread. Requests still running after `deadline` are ended with an
    /// error.
    pub async fn shutdown(&self, _deadline: std::time::Duration) {
        todo!()
    }
}
