//! Training data in every form and format but parquet, and `dataset_info.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lathe_data::samples::fuzz(bytes));
