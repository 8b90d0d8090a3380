//! Bounds of the server; a request beyond one is refused, never cut.

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
    /// Memory that running answers may take for keys and values at their longest;
    /// requests that would exceed it wait. One request alone always runs.
    pub cache_bytes_max: usize,
    /// Memory for keys and values of what was read lately, from which requests that
    /// begin alike start; 0 keeps nothing.
    pub prefix_bytes_max: usize,
    /// Size of a request's body.
    pub body_bytes_max: usize,
    /// Longest silence of a stream, after which a comment says that it is alive.
    pub ping_ms: u64,
    /// Longest wait for the token of a health check.
    pub health_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            slots_max: 32,
            queue_requests_max: 256,
            prefill_tokens_max: 256,
            cache_bytes_max: 4 << 30,
            prefix_bytes_max: 256 << 20,
            body_bytes_max: 1 << 20,
            ping_ms: 5_000,
            health_ms_max: 10_000,
        }
    }
}

impl Limits {
    /// Requests held at once, running and waiting.
    pub fn requests_max(&self) -> usize {
        self.slots_max + self.queue_requests_max
    }
}
