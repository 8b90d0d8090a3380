//! Archives inside archives: bounds, links, paths that climb.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_data::archive::fuzz(bytes));
