//! Whole ledgers: rows of envelopes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_ledger::fuzz::history(bytes));
