//! GGUF files, opened as a model.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = lathe_engine::RawModel::from_gguf(bytes.to_vec());
});
