//! safetensors headers and shard indexes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = lathe_engine::safetensors::parse(bytes);
    let _ = lathe_engine::safetensors::parse_index(bytes);
});
