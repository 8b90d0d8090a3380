//! tokenizer.json, and the tokenizer it builds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_engine::fuzz::tokenizer(bytes));
