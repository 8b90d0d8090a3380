//! Package index pages, JSON and HTML.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_data::fetch::fuzz_index(bytes));
