//! GGUF files: the container, then as a model whose every tensor is read.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    lathe_engine::fuzz::gguf(bytes);
    lathe_engine::fuzz::gguf_model(bytes);
});
