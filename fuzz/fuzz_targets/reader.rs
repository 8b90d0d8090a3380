//! Tables: csv, tsv, jsonl, json, xlsx, parquet.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_data::reader::fuzz(bytes));
