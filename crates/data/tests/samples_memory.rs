//! Large files of training data are streamed. A process of its own: the peak of memory is the
//! whole process's, and no other test may raise it.

#![cfg(target_os = "linux")]

use std::io::{BufWriter, Write as _};

use lathe_data::samples::SampleSource;

const RECORDS: u64 = 50_000;
/// Far less than any of the files, far more than a record and the blocks read ahead.
const GROWN_KIB_MAX: u64 = 16 << 10;

/// The most memory this process ever held.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn fifty_megabytes_take_no_more_memory_than_a_few_blocks() {
    let folder = tempfile::tempdir().unwrap();
    let answer = "x".repeat(950);
    let object = format!("{{\"prompt\":\"p\",\"completion\":\"{answer}\"}}");
    let row = format!("p,\"{answer}\"");
    let before_kib = peak_kib().unwrap();
    for (name, head, record, between, tail) in [
        ("list.json", "[", &object, ",\n", "]"),
        ("lines.jsonl", "", &object, "\n", ""),
        ("table.csv", "prompt,completion\n", &row, "\n", ""),
    ] {
        let path = folder.path().join(name);
        let mut file = BufWriter::new(std::fs::File::create(&path).unwrap());
        file.write_all(head.as_bytes()).unwrap();
        for number in 0..RECORDS {
            let between = if number == 0 { "" } else { between };
            write!(file, "{between}{record}").unwrap();
        }
        file.write_all(tail.as_bytes()).unwrap();
        file.into_inner().unwrap();
        let source = SampleSource::detect(&path).unwrap();
        let numbers = source.read().unwrap().map(|sample| sample.unwrap().0);
        assert_eq!(numbers.last(), Some(RECORDS), "{name}");
    }
    let grown_kib = peak_kib().unwrap() - before_kib;
    assert!(
        grown_kib < GROWN_KIB_MAX,
        "reading held {grown_kib} KiB more"
    );
}
