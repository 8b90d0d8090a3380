//! Chat templates, compiled and rendered.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_engine::fuzz::chat_template(bytes));
