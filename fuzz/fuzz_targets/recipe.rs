//! A recipe in the words of LLaMA-Factory, read into an order.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_workshop::draft::recipe::fuzz(bytes));
