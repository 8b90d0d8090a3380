//! tokenizer.json.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = lathe_engine::Tokenizer::from_json(bytes);
});
