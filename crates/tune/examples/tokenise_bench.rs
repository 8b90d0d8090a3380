//! How long a large file of alpaca records takes to become rows, and how much memory.
//!
//! ```text
//! cargo run --release -p lathe-tune --example tokenise_bench -- MODEL MEGABYTES FOLDER
//! ```
//!
//! Makes FOLDER/alpaca.jsonl of that size unless it is there, of words drawn as natural text has
//! them (a few often, many rarely), and tokenises it into FOLDER/tokens: the first call, then again
//! from the cache. Prints seconds, tokens, the size of the cache and the peak of memory after each.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use lathe_data::samples::SampleSource;
use lathe_engine::random::Random;
use lathe_kernel::{Pool, default_threads};
use lathe_tune::dialogue::{Dialogues, Masking};
use lathe_tune::token_cache::TokenCache;
use serde_json::json;

const WORDS: &str = "the of and to in is you that it was for on are as with his they at be this from \
    have or by one had not but what all were when we there can an your which their said if do will \
    each about how up out them then she many some so these would other into has more her two like \
    him see time could no make than first been its who now people my made over did down only way \
    find use may water long little very after words called just where most know machine pressure \
    valve temperature bearing replacement invoice customer delivery contract treatment diagnosis \
    measurement calibration tolerance specification certificate responsibility environment";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, megabytes, folder] = &arguments[..] else {
        return Err("give MODEL MEGABYTES FOLDER".into());
    };
    let (megabytes, folder): (u64, &Path) = (megabytes.parse()?, folder.as_ref());
    fs::create_dir_all(folder)?;
    let data = folder.join("alpaca.jsonl");
    if !data.exists() {
        write(&data, megabytes * 1_000_000)?;
    }
    let model = lathe_engine::open(model.as_ref())?;
    let dialogues = Dialogues::new(&model, Masking::default())?;
    let pool = Pool::new(default_threads());
    let cache = TokenCache {
        folder: &folder.join("tokens"),
        pool: &pool,
    };
    let source = SampleSource::detect(&data)?;
    for call in ["first", "again"] {
        let began = Instant::now();
        let mut tokenised = 0;
        let rows = cache.rows(&source, &dialogues, &mut |told| tokenised = told.records)?;
        let tokens: usize = (0..rows.len()).map(|at| rows.tokens_len(at)).sum();
        let report = json!({
            "call": call,
            "threads": pool.threads(),
            "megabytes": fs::metadata(&data)?.len() / 1_000_000,
            "records": rows.len(),
            "tokenised": tokenised,
            "tokens": tokens,
            "seconds": (began.elapsed().as_secs_f64() * 10.0).round() / 10.0,
            "peak_mib": peak_mib(),
        });
        println!("{report}");
    }
    Ok(())
}

fn write(path: &Path, bytes: u64) -> Result<(), Box<dyn Error>> {
    let words: Vec<&str> = WORDS.split_whitespace().collect();
    let mut random = Random::new(1);
    let mut text = |count: u64| {
        let word = |_| {
            let share = f64::from(random.next_f32());
            words[(share * share * words.len() as f64) as usize]
        };
        (0..count).map(word).collect::<Vec<_>>().join(" ")
    };
    let mut file = BufWriter::new(File::create(path)?);
    let (mut written, mut number) = (0, 0_u64);
    while written < bytes {
        let record = json!({
            "instruction": format!("{} {number}?", text(8)),
            "input": text(number % 40),
            "output": format!("{}. {}.", text(30), text(number % 90)),
        });
        let line = format!("{record}\n");
        file.write_all(line.as_bytes())?;
        (written, number) = (written + line.len() as u64, number + 1);
    }
    Ok(file.flush()?)
}

/// The most memory the process has held, as Linux counts it.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
