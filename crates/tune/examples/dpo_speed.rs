//! Speed of preference tuning (DPO) on pairs that share their prompt.
//!
//!     cargo run --release -p lathe-tune --example dpo_speed -- MODEL PAIRS.jsonl [STEPS] [BATCH]
//!
//! PAIRS.jsonl holds lines {"prompt", "chosen", "rejected"} of rendered text, as
//! benches/peers/dpo_pairs.py writes them. Takes 12 steps of 8 pairs where nothing else is said, and
//! prints one JSON object. A step is everything: reference, forward, backward, optimizer. tokens/s
//! counts what a peer has to compute, prompt and answer of both sides without padding, from the
//! mean step after the first; loss is that of the last step.

use std::error::Error;
use std::fs::read_to_string;
use std::path::Path;
use std::time::Instant;

use lathe_engine::{LoadOptions, Model};
use lathe_kernel::{Pool, default_threads};
use lathe_tune::learn::{self, Job};
use lathe_tune::spec::SftSpec;
use lathe_tune::{Dpo, DpoPair, TuneError};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Line {
    prompt: String,
    chosen: String,
    rejected: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, pairs, rest @ ..] = arguments.as_slice() else {
        return Err("usage: dpo_speed MODEL PAIRS.jsonl [STEPS] [BATCH]".into());
    };
    let number = |at: usize, usual: usize| rest.get(at).map_or(Ok(usual), |text| text.parse());
    let (steps, batch_pairs) = (number(0, 12)?, number(1, 8)?);
    let model = Model::load(Path::new(model), LoadOptions::for_tuning())?;
    let pairs = read(&model, Path::new(pairs))?;
    let pool = Pool::new(default_threads());
    let spec = SftSpec {
        batch_records: batch_pairs,
        rows_max: 2048,
        // Just under, so that rounding up gives these steps.
        epochs: (steps as f64 - 0.5) / pairs.len().div_ceil(batch_pairs) as f64,
        learning_rate: 5e-4,
        ..SftSpec::default()
    };
    let of_a_pair = pairs.iter().map(DpoPair::tokens).sum::<usize>() as f64 / pairs.len() as f64;
    let mut run = Dpo::new((&model, None), &pool, pairs, &spec, 0.1)?;
    let (mut seconds, mut loss) = (Vec::new(), f64::NAN);
    let folder = tempfile::tempdir()?;
    let mut job = Job {
        spec: &spec,
        base_name: "base",
        work_dir: &folder.path().join("work"),
        out_dir: &folder.path().join("out"),
        watch: None,
        place: None,
    };
    let mut start = Instant::now();
    learn::run(&mut job, &mut run, &mut |event| {
        seconds.push(start.elapsed().as_secs_f64());
        start = Instant::now();
        loss = event.loss;
    })?;
    let steps = seconds.len();
    let pairs_per_s = batch_pairs as f64 / mean_after_first(&seconds);
    println!(
        "{}",
        json!({
            "steps": steps,
            "tokens_per_s": (of_a_pair * pairs_per_s).round(),
            "pairs_per_s": pairs_per_s,
            "peak_mib": peak_mib(),
            "loss": loss,
        })
    );
    Ok(())
}

fn read(model: &Model, path: &Path) -> Result<Vec<DpoPair>, Box<dyn Error>> {
    let end = *model.config.eos.first().ok_or(TuneError::NoEndToken)?;
    let pair = |(at, line): (usize, &str)| {
        let line: Line = serde_json::from_str(line)?;
        let (id, answers) = (at.to_string(), [&line.chosen[..], &line.rejected]);
        let pair = DpoPair::encode(&model.tokenizer, end, &id, &line.prompt, answers)?;
        Ok(pair)
    };
    read_to_string(path)?
        .lines()
        .enumerate()
        .map(pair)
        .collect()
}

/// The mean, the first left out where there are more: steps are of different lengths.
fn mean_after_first(values: &[f64]) -> f64 {
    let values = &values[usize::from(values.len() > 1)..];
    values.iter().sum::<f64>() / values.len() as f64
}

/// The most memory this process has held, where the system says so.
fn peak_mib() -> Option<u64> {
    let status = read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}
