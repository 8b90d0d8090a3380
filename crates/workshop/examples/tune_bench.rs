//! One side of `cargo xtask bench train`: this engine's tuning, and the token rows for its peers.
//!
//! `tune_bench rows PACK MODEL DATASET RECORDS` prints the first training records as token rows, one
//! JSON object a line. `tune_bench speed PACK MODEL DATASET RECORDS` tunes on the same records and
//! prints one JSON object: tokens/s counts the same tokens a peer would have to compute, from the
//! median step.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use lathe_data::Dataset;
use lathe_data::task::{Example, Task};
use lathe_engine::{LoadOptions, Model};
use lathe_tune::pack;
use lathe_tune::sft::{self, SftJob, SftSpec};
use lathe_workshop::pack::load;
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, pack, model, dataset, records] = arguments.as_slice() else {
        return Err("usage: tune_bench rows|speed PACK MODEL DATASET RECORDS".into());
    };
    let pack = load(Path::new(pack), false)?.pack;
    let task = Task::new(pack.task)?;
    let dataset = Dataset::load(Path::new(dataset))?;
    let examples = dataset
        .prepared
        .train
        .iter()
        .take(records.parse()?)
        .map(|record| task.render(record))
        .collect::<Result<Vec<_>, _>>()?;
    let options = LoadOptions {
        trainable: true,
        ..LoadOptions::default()
    };
    let model = Model::load(Path::new(model), options)?;
    match mode.as_str() {
        "rows" => rows(&model, &examples, &pack.tune.sft),
        "speed" => speed(&model, &examples, &pack.tune.sft),
        other => Err(format!("no mode '{other}'; there are rows and speed").into()),
    }
}

fn rows(model: &Model, examples: &[Example], spec: &SftSpec) -> Result<(), Box<dyn Error>> {
    for row in pack::pack(model, examples, spec)?.rows {
        println!(
            "{}",
            json!({"tokens": row.tokens, "answer_start": row.answer_start})
        );
    }
    Ok(())
}

fn speed(model: &Model, examples: &[Example], spec: &SftSpec) -> Result<(), Box<dyn Error>> {
    let spec = SftSpec {
        epochs: 1.0,
        ..spec.clone()
    };
    let packed = pack::pack(model, examples, &spec)?;
    let tokens: usize = packed.rows.iter().map(|row| row.tokens.len()).sum();
    let pool = lathe_kernel::Pool::new(lathe_kernel::default_threads());
    let folder = tempfile::tempdir()?;
    let job = SftJob {
        model,
        pool: &pool,
        examples,
        spec: &spec,
        base_name: "base",
        work_dir: &folder.path().join("work"),
        out_dir: &folder.path().join("out"),
    };
    let mut last = Instant::now();
    let mut seconds = Vec::new();
    let outcome = sft::run(&job, &mut |_| {
        seconds.push(last.elapsed().as_secs_f64());
        last = Instant::now();
    })?;
    seconds.sort_by(f64::total_cmp);
    let step = seconds[seconds.len() / 2];
    let tokens_per_step = tokens as f64 * spec.epochs / outcome.steps as f64;
    println!(
        "{}",
        json!({
            "threads": pool.threads(),
            "steps": outcome.steps,
            "tokens_per_s": (10.0 * tokens_per_step / step).round() / 10.0,
            "rows_per_s": (10.0 * outcome.tokens as f64 / outcome.steps as f64 / step).round() / 10.0,
            "last_loss": outcome.final_loss,
            "peak_memory_mib": peak_memory_mib(),
        })
    );
    Ok(())
}

/// The most memory this process has held, from the kernel's own count.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
