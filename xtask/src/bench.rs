//! `cargo xtask bench [NAME]`: speed beside the peers, both sides in the same run.
//!
//! `train`: records of customer-care, LoRA r=16 on all linear layers, 16 records a step. This engine
//! and PyTorch (bf16 and f32) alternate [`TURNS`] times on the same token rows; what is printed are
//! medians, and the range of the ratio to the best peer.
//! `ledger`: a million entries hashed, logged and proved.
//! `receipts`: what a receipt costs a request.

mod ledger;
mod receipts;

use std::path::Path;

use serde_json::Value;

use crate::acceptance::{FreshHome, PACK, append};
use crate::python;
use crate::shell::{self, Outcome};

/// Records a side tunes on in a turn: eight steps.
const RECORDS: &str = "128";
/// How often the sides alternate.
const TURNS: usize = 3;

/// Runs the named row, or all.
pub fn run(arguments: &[String]) -> Outcome {
    match arguments {
        [] => train()
            .and_then(|()| ledger::run())
            .and_then(|()| receipts::run()),
        [name] if name == "train" => train(),
        [name] if name == "ledger" => ledger::run(),
        [name] if name == "receipts" => receipts::run(),
        _ => Err(format!(
            "no bench {arguments:?}; there are: train, ledger, receipts"
        )),
    }
}

fn train() -> Outcome {
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "lathe",
        "--package",
        "lathe-workshop",
        "--bins",
        "--examples",
    ]))?;
    let home = FreshHome::new("bench")?;
    let finished = home.run_order(&["--quick"])?;
    let model = home.file_of(&finished, "model", "gguf")?;
    let dataset = home.object_of(&finished, "prepare")?;
    let rows = home.path().join("rows.jsonl");
    std::fs::write(
        &rows,
        shell::output(&mut tune_bench("rows", &model, &dataset))?,
    )
    .map_err(|error| format!("writing {}: {error}", rows.display()))?;

    let (mut ours, mut bf16, mut f32) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        ours.push(figures(&mut tune_bench("speed", &model, &dataset))?);
        bf16.push(peer(&model, &rows, "bf16")?);
        f32.push(peer(&model, &rows, "f32")?);
    }
    report(&ours, &bf16, &f32)
}

fn tune_bench(mode: &str, model: &Path, dataset: &Path) -> std::process::Command {
    let mut command = shell::command(
        shell::target_dir().join("release/examples/tune_bench"),
        &[mode, PACK],
    );
    command.arg(model).arg(dataset).arg(RECORDS);
    command
}

fn peer(model: &Path, rows: &Path, precision: &str) -> Result<Value, String> {
    let mut command = python::PEERS.command("benches/peers/train_lora.py")?;
    figures(
        command
            .arg(model)
            .arg(rows)
            .args(["--steps", "8", "--dtype", precision]),
    )
}

/// The JSON object a side prints last.
fn figures(command: &mut std::process::Command) -> Result<Value, String> {
    let printed = shell::output(command)?;
    let line = printed.lines().last().ok_or("a side printed nothing")?;
    eprintln!("  {line}");
    serde_json::from_str(line).map_err(|error| format!("'{line}' is not JSON: {error}"))
}

fn report(ours: &[Value], bf16: &[Value], f32: &[Value]) -> Outcome {
    let ratios: Vec<f64> = ours
        .iter()
        .zip(bf16.iter().zip(f32))
        .map(|(ours, (bf16, f32))| speed(ours) / speed(bf16).max(speed(f32)))
        .collect();
    let row = |name: &str, side: &[Value]| {
        format!(
            "| {name} | {:.0} | {} |\n",
            median(side.iter().map(speed).collect()),
            median(
                side.iter()
                    .filter_map(|turn| turn["peak_memory_mib"].as_f64())
                    .collect()
            )
        )
    };
    let name = |side: &[Value]| side[0]["peer"].as_str().unwrap_or("peer").to_owned();
    let table = format!(
        "| | tokens/s | peak MiB |\n|---|---|---|\n{}{}{}\nRatio to the best peer {:.2} ({:.2} to {:.2}), {TURNS} alternating turns of {RECORDS} records in steps of 16.\n",
        row("lathe", ours),
        row(&name(bf16), bf16),
        row(&name(f32), f32),
        median(ratios.clone()),
        ratios.iter().copied().fold(f64::INFINITY, f64::min),
        ratios.iter().copied().fold(0.0, f64::max),
    );
    append(
        "LoRA tuning on customer-care beside PyTorch",
        "cargo xtask bench train",
        &table,
    )
}

fn speed(turn: &Value) -> f64 {
    turn["tokens_per_s"].as_f64().unwrap_or(f64::NAN)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
