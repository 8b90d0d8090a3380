//! GGUF files that claim what is not so, each refused for the right reason.

#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use gguf_writer::GgufWriter;
use lathe_engine::gguf::{Gguf, Value};

/// A file with one F32 tensor of four values.
fn sound() -> GgufWriter {
    GgufWriter::default()
        .string("general.architecture", "llama")
        .unsigned("llama.block_count", 3)
        .float("llama.rope.freq_base", 10_000.0)
        .strings("words", ["a", "b", "ü"])
        .tensor("t", &[2, 2], 0, &[0; 16])
}

fn refused(file: &[u8], reason: &str) {
    let error = Gguf::parse(file).expect_err("is refused").to_string();
    assert!(error.contains(reason), "{error:?} does not say {reason:?}");
}

/// The sound file with eight bytes replaced where `at` says, counted from the first `needle`.
fn patched(needle: &[u8], after: usize, value: u64) -> Vec<u8> {
    let mut file = sound().finish();
    let found = file
        .windows(needle.len())
        .position(|window| window == needle);
    let at = found.expect("the needle is in the file") + after;
    file[at..at + 8].copy_from_slice(&value.to_le_bytes());
    file
}

#[test]
fn a_sound_file_is_read() {
    let file = sound().finish();
    let gguf = Gguf::parse(&file).expect("parses");
    assert_eq!(
        gguf.string("general.architecture").expect("a string"),
        Some("llama")
    );
    assert_eq!(
        gguf.unsigned("llama.block_count").expect("a number"),
        Some(3)
    );
    assert_eq!(
        gguf.float("llama.rope.freq_base").expect("a number"),
        Some(10_000.0)
    );
    assert_eq!(gguf.string("absent").expect("nothing"), None);
    let words = gguf.array("words").expect("an array").expect("is there");
    assert_eq!(
        words.strings().expect("strings").collect::<Vec<_>>(),
        ["a", "b", "ü"]
    );
    assert_eq!(words.iter().nth(2), Some(Value::String("ü")));
    let tensor = gguf.tensor("t").expect("is there");
    assert_eq!(tensor.shape, [2, 2]);
    assert_eq!(tensor.bytes, file.len() - 32..file.len() - 16);
    let error = gguf.string("words").expect_err("is an array").to_string();
    assert!(error.contains("\"words\" should be a string"), "{error}");
}

#[test]
fn another_magic_or_version_is_refused() {
    refused(b"", "ends early");
    refused(b"GGML\x03\0\0\0", "does not begin with GGUF");
    refused(&patched(b"GGUF", 4, 1), "GGUF version \"1\"");
    // The version of a big-endian file.
    refused(&patched(b"GGUF", 4, 3 << 24), "GGUF version \"50331648\"");
}

#[test]
fn counts_that_cannot_fit_are_refused_before_anything_is_made_for_them() {
    refused(
        &patched(b"GGUF", 8, u64::MAX),
        "18446744073709551615 tensors",
    );
    refused(
        &patched(b"GGUF", 16, 1 << 40),
        "1099511627776 metadata entries",
    );
    refused(
        &patched(b"words", 5 + 8, 1 << 60),
        "1152921504606846976 array elements",
    );
    refused(
        &patched(b"general.arch", 20 + 4, u64::MAX),
        "bytes of a string",
    );
}

#[test]
fn sizes_that_overflow_or_exceed_the_file_are_refused() {
    let shape = |shape: &[u64]| sound().tensor("u", shape, 0, &[]).finish();
    refused(&shape(&[1 << 32, 1 << 32]), "does not lie within");
    refused(&shape(&[1 << 62, 4]), "does not lie within");
    refused(&shape(&[u64::MAX]), "does not lie within");
    refused(&shape(&[100]), "does not lie within");
    refused(&shape(&[0, 4]), "a dimension of size 0");
    refused(&shape(&[1, 1, 1, 1, 1]), "5 dimensions");
    refused(&shape(&[]), "0 dimensions");
}

#[test]
fn rows_that_are_no_whole_blocks_are_refused() {
    let file = sound().tensor("q", &[2, 16], 8, &[0; 34]).finish();
    refused(&file, "does not lie within");
}

#[test]
fn types_are_refused_by_name() {
    let kind = |kind| sound().tensor("u", &[256], kind, &[0; 512]).finish();
    refused(&kind(11), "\"Q3_K of u\"");
    refused(&kind(4), "\"Q4_2 of u\"");
    refused(&kind(99), "\"number 99 of u\"");
}

#[test]
fn tensors_may_not_share_bytes() {
    // The second tensor begins where the first does.
    let mut file = sound().tensor("u", &[2, 2], 0, &[0; 16]).finish();
    let at = file.len() - 64 - 8;
    let name = file
        .windows(9)
        .rposition(|window| window == b"\x01\0\0\0\0\0\0\0u")
        .expect("u");
    let offset = name + 9 + 4 + 16 + 4;
    assert!(offset <= at);
    file[offset..offset + 8].copy_from_slice(&0u64.to_le_bytes());
    refused(&file, "\"t\" and \"u\" overlap");
    file[offset..offset + 8].copy_from_slice(&16u64.to_le_bytes());
    refused(&file, "not aligned to 32");
}

#[test]
fn names_may_not_occur_twice() {
    refused(
        &sound().unsigned("llama.block_count", 3).finish(),
        "occurs twice",
    );
    refused(
        &sound().tensor("t", &[1], 0, &[0; 4]).finish(),
        "occurs twice",
    );
}

#[test]
fn an_alignment_that_is_no_power_of_two_is_refused() {
    refused(
        &sound().unsigned("general.alignment", 24).finish(),
        "general.alignment is 24",
    );
    refused(
        &sound().unsigned("general.alignment", 0).finish(),
        "general.alignment is 0",
    );
    refused(
        &sound().unsigned("general.alignment", 1 << 31).finish(),
        "general.alignment is",
    );
}
