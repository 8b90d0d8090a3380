//! Pain 10: tokenising stalls and eats memory (LLaMA-Factory 3939, 7510, 9531). A process of its
//! own: the peak of memory is the whole process's, and no other test may raise it.

#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use lathe_data::samples::SampleSource;
use lathe_engine::Model;
use lathe_engine::model::LoadOptions;
use lathe_kernel::Pool;
use lathe_tune::dialogue::{Dialogues, Masking};
use lathe_tune::pack::Packed;
use lathe_tune::spec::SftSpec;
use lathe_tune::token_cache::TokenCache;

const MB: usize = 1_000_000;
/// Less than half of what the larger file has more; its tokens and weights as plain lists are many times
/// that.
const GROWN_KIB_MAX: u64 = 8 << 10;

/// The most memory this process ever held.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux says it");
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|text| text.parse().ok()).expect("a number")
}

fn write(path: &Path, bytes: usize) {
    let mut file = BufWriter::new(File::create(path).expect("created"));
    let (mut written, mut number) = (0, 0);
    while written < bytes {
        let line = format!(
            "{{\"instruction\":\"What becomes of part number {number}?\",\"output\":\"{}\"}}\n",
            "It is made and used. ".repeat(30)
        );
        file.write_all(line.as_bytes()).expect("written");
        written += line.len();
        number += 1;
    }
    file.into_inner().expect("written");
}

#[test]
fn pain_10_a_larger_file_takes_no_more_memory() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
    let model = Model::load(&fixture, LoadOptions::default()).expect("the fixture loads");
    let dialogues = Dialogues::new(&model, Masking::default()).expect("a way to write");
    let folder = tempfile::tempdir().expect("a folder");
    let (cache_folder, pool) = (folder.path().join("tokens"), Pool::new(2));
    let cache = TokenCache {
        folder: &cache_folder,
        pool: &pool,
    };
    let spec = SftSpec::default();
    // Makes the rows, opens them again, and reads every one as a run does.
    let peak_after = |bytes: usize| {
        let path = folder.path().join(format!("{bytes}.jsonl"));
        write(&path, bytes);
        let source = SampleSource::detect(&path).expect("alpaca");
        let mut told = 0;
        cache
            .rows(&source, &dialogues, &mut |_| told += 1)
            .expect("rows");
        assert!(told > 1, "told as it goes on");
        let rows = cache
            .rows(&source, &dialogues, &mut |_| panic!("they are there"))
            .expect("rows");
        let packed = Packed::of(rows, &spec).expect("packs");
        assert!(packed.prefix_len > 0);
        let tokens: usize = packed.rows.iter().map(|row| row.tokens.len()).sum();
        assert!(tokens > bytes / 4);
        peak_kib()
    };
    let small = peak_after(4 * MB);
    let large = peak_after(24 * MB);
    let grown_kib = large - small;
    assert!(grown_kib < GROWN_KIB_MAX, "it grew by {grown_kib} KiB");
}
