//! What an upstream streams: its events, cut as the first byte says, and what is gathered from them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_serve::fuzz::stream(bytes));
