//! Bounds of the server; a request beyond one is refused, never cut.

use crate::machine::memory_bytes;

/// How much the server takes on at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Answers decoded together in one step.
    pub slots_max: usize,
    /// Requests waiting for a slot; one more is answered 429.
    pub queue_requests_max: usize,
    /// Prompt tokens computed in one step over all requests, so that a long
    /// prompt does not stall those who already receive tokens.
    pub prefill_tokens_max: usize,
    /// Tokens that a step computes ahead for an answer that repeats what stood there before, while one or
    /// two are under way; 0 for none. They change how long an answer takes, and nothing of it.
    pub guessed_tokens_max: usize,
    /// How long a step should take while answers are under way: on a slow machine, or with a large
    /// model, it computes fewer prompt tokens than [`Limits::prefill_tokens_max`].
    pub step_ms_max: u64,
    /// Longest wait for a slot; after it a request is answered 503, and may come back.
    pub wait_ms_max: u64,
    /// Memory for the weights of all base models that are served, each counted once; by default seven tenths
    /// of the machine's or the container's. A model that does not fit is not opened, those that answer go on.
    pub weights_bytes_max: usize,
    /// Memory for all keys and values, by the blocks that are really held, what is shared counted
    /// once; by default a quarter of the machine's or the container's, 4 GiB at most. What was read
    /// lately is forgotten before an answer has to wait, and one request alone always runs.
    pub cache_bytes_max: usize,
    /// Of that memory, what may be taken by keys and values of what was read lately, from which
    /// requests that begin alike start; 0 keeps nothing.
    pub prefix_bytes_max: usize,
    /// Size of a request's body.
    pub body_bytes_max: usize,
    /// Longest time that the grammar of a constrained answer may take to compile, and wait for it.
    pub grammar_ms_max: u64,
    /// Longest silence of a stream, after which a comment says that it is alive.
    pub ping_ms: u64,
    /// Longest wait for the token of a health check.
    pub health_ms_max: u64,
    /// Requests that one upstream holds at once; one more is answered 429.
    pub upstream_requests_max: usize,
    /// How often every upstream is looked at.
    pub upstream_look_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            slots_max: 32,
            queue_requests_max: 256,
            prefill_tokens_max: 256,
            guessed_tokens_max: 5,
            step_ms_max: 100,
            wait_ms_max: 60_000,
            cache_bytes_max: cache_bytes_max(),
            weights_bytes_max: weights_bytes_max(),
            prefix_bytes_max: 256 << 20,
            body_bytes_max: 1 << 20,
            grammar_ms_max: 5_000,
            ping_ms: 5_000,
            health_ms_max: 10_000,
            upstream_requests_max: 256,
            upstream_look_ms: 5_000,
        }
    }
}

impl Limits {
    /// Requests held at once, running and waiting.
    pub fn requests_max(&self) -> usize {
        self.slots_max + self.queue_requests_max
    }
}

/// The default of [`Limits::cache_bytes_max`]: what is left is for weights, pages and a training order.
fn cache_bytes_max() -> usize {
    const MOST: usize = 4 << 30;
    memory_bytes().map_or(MOST, |bytes| (bytes / 4).min(MOST))
}

/// The default of [`Limits::weights_bytes_max`].
fn weights_bytes_max() -> usize {
    memory_bytes().map_or(usize::MAX, |bytes| bytes / 10 * 7)
}
