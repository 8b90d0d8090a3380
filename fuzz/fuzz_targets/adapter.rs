//! The two files of an adapter, for a small model: config, a zero byte, weights.
#![no_main]

use lathe_engine::Config;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static MODEL: LazyLock<Config> = LazyLock::new(|| {
    Config::from_json(include_bytes!("../../tests/fixtures/tiny-model/config.json"))
        .expect("the fixture's config is sound")
});

fuzz_target!(|bytes: &[u8]| lathe_engine::fuzz::adapter(bytes, &MODEL));
