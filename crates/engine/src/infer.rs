//! Inference over a key-value cache.
