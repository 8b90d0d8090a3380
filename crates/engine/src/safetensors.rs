//! Safetensors weights: one file, or shards behind an index.
