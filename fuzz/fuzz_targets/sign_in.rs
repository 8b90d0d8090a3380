//! sign-in.yaml, and what a provider says of somebody.
#![no_main]

use lathe_workshop::people::outside;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    outside::fuzz(bytes);
    outside::fuzz_claims(bytes);
});
