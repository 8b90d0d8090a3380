//! This engine's side of the rows of `cargo xtask bench` that tune on the pack's records.
//!
//!     tune_bench rows   PACK MODEL DATASET RECORDS [INSTRUCTION]
//!     tune_bench speed  PACK MODEL DATASET RECORDS [INSTRUCTION]
//!     tune_bench losses PACK MODEL DATASET STEPS OUT
//!
//! `rows` prints the first training records as token rows, one JSON object a line, for the peers.
//! `speed` tunes on the same records and prints one JSON object: tokens/s counts the tokens that a peer
//! would have to compute in all steps but the first, by the seconds of these. Labels are hard, as the peers' are; the loss is
//! the mean of the last quarter of the steps. INSTRUCTION takes the place of the pack's own.
//! `losses` tunes so many steps on the whole training split with hard labels, writes the first adapter
//! and the rows in the order of the steps to the folder OUT, and prints every step's loss.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use lathe_data::Dataset;
use lathe_data::task::{Example, Task};
use lathe_engine::{Adapter, LoadOptions, Model};
use lathe_tune::pack;
use lathe_tune::plan::Plan;
use lathe_tune::sft::{self, SftJob, SftSpec};
use lathe_workshop::pack::load;
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, pack, model, dataset, count, rest @ ..] = arguments.as_slice() else {
        return Err("usage: tune_bench rows|speed|losses PACK MODEL DATASET COUNT …".into());
    };
    let mut pack = load(Path::new(pack), false)?.pack;
    let losses = mode == "losses";
    if let (false, Some(instruction)) = (losses, rest.first()) {
        pack.task.system = Some(instruction.clone());
    }
    let task = Task::new(pack.task)?;
    let dataset = Dataset::load(Path::new(dataset))?;
    let examples = dataset
        .prepared
        .train
        .iter()
        .take(if losses { usize::MAX } else { count.parse()? })
        .map(|record| task.render(record))
        .collect::<Result<Vec<_>, _>>()?;
    let model = Model::load(Path::new(model), LoadOptions::for_tuning())?;
    match mode.as_str() {
        "rows" => rows(&model, &examples, &pack.tune.sft),
        "speed" => speed(&model, &examples, &pack.tune.sft),
        "losses" => {
            let out = rest.first().ok_or("losses needs a folder to write to")?;
            compare(
                &model,
                &examples,
                &pack.tune.sft,
                count.parse()?,
                Path::new(out),
            )
        }
        other => Err(format!("no mode '{other}'; there are rows, speed and losses").into()),
    }
}

fn rows(model: &Model, examples: &[Example], spec: &SftSpec) -> Result<(), Box<dyn Error>> {
    for row in &pack::pack(model, examples, spec)?.rows {
        println!(
            "{}",
            json!({"tokens": row.tokens, "answer_start": row.answer_start()})
        );
    }
    Ok(())
}

fn speed(model: &Model, examples: &[Example], spec: &SftSpec) -> Result<(), Box<dyn Error>> {
    let spec = SftSpec {
        epochs: 1.0,
        soft_number: None,
        ..spec.clone()
    };
    let packed = pack::pack(model, examples, &spec)?;
    let pool = lathe_kernel::Pool::new(lathe_kernel::default_threads());
    let folder = tempfile::tempdir()?;
    let job = SftJob {
        model,
        pool: &pool,
        packed: &packed,
        start: None,
        spec: &spec,
        base_name: "base",
        work_dir: &folder.path().join("work"),
        out_dir: &folder.path().join("out"),
    };
    let mut last = Instant::now();
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    let outcome = sft::run(&job, &mut |event| {
        seconds.push(last.elapsed().as_secs_f64());
        losses.push(event.loss);
        last = Instant::now();
    })?;
    let plan = Plan::new(
        packed.rows.len(),
        spec.batch_records,
        spec.epochs,
        spec.seed,
    );
    let of_batch = |batch: Vec<usize>| -> usize {
        batch.into_iter().map(|at| packed.rows.tokens_len(at)).sum()
    };
    let tokens: Vec<usize> = plan.batches(0).map(of_batch).collect();
    // The first step warms up, as it does for the peers.
    let (after_s, after): (f64, usize) = (seconds[1..].iter().sum(), tokens[1..].iter().sum());
    println!(
        "{}",
        json!({
            "threads": pool.threads(),
            "steps": outcome.steps,
            "tokens_per_s": (10.0 * after as f64 / after_s).round() / 10.0,
            "loss": mean(&losses[losses.len() - losses.len().div_ceil(4)..]),
            "peak_memory_mib": peak_memory_mib(),
        })
    );
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// What a peer needs to take the same steps, and the losses of ours.
fn compare(
    model: &Model,
    examples: &[Example],
    spec: &SftSpec,
    steps: usize,
    out: &Path,
) -> Result<(), Box<dyn Error>> {
    let steps_per_epoch = examples.len().div_ceil(spec.batch_records);
    let spec = SftSpec {
        soft_number: None,
        // Just under, so that rounding up gives these steps.
        epochs: (steps as f64 - 0.5) / steps_per_epoch as f64,
        ..spec.clone()
    };
    let packed = pack::pack(model, examples, &spec)?;
    let plan = Plan::new(
        packed.rows.len(),
        spec.batch_records,
        spec.epochs,
        spec.seed,
    );
    Adapter::new(&model.config, &spec.lora(), spec.seed)?.save_peft(&out.join("first"), "base")?;
    let order = plan.batches(0).enumerate().flat_map(|(step, batch)| {
        let line = |at: usize| {
            let row = packed.rows.get(at);
            json!({"step": step, "tokens": row.tokens, "answer_start": row.answer_start()})
        };
        batch
            .into_iter()
            .map(|at| line(at).to_string() + "\n")
            .collect::<Vec<_>>()
    });
    std::fs::write(out.join("order.jsonl"), order.collect::<String>())?;
    let pool = lathe_kernel::Pool::new(lathe_kernel::default_threads());
    let job = SftJob {
        model,
        pool: &pool,
        packed: &packed,
        start: None,
        spec: &spec,
        base_name: "base",
        work_dir: &out.join("work"),
        out_dir: &out.join("adapter"),
    };
    let (mut losses, mut rates) = (Vec::new(), Vec::new());
    sft::run(&job, &mut |event| {
        losses.push(event.loss);
        rates.push(event.learning_rate);
    })?;
    println!("{}", json!({"losses": losses, "learning_rates": rates}));
    Ok(())
}

/// The most memory this process has held, from the kernel's own count.
fn peak_memory_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
