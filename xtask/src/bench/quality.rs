//! `quality`: that nothing was paid for speed with quality.
//!
//! Hidden states of held text against f32 dequantised weights (cosine at every layer's end, of all
//! rows together and as the mean of each row's own), perplexity against llama.cpp's on the same file
//! and text, and the mean training loss of the last twenty of a hundred
//! steps against PyTorch's, same order of data, same first adapter, no dropout.

use std::path::Path;

use serde_json::Value;

use super::ours::{self, Order};
use super::rows::{Bits, Shape};
use super::{llama_cpp, models};
use crate::acceptance::{PACK, append};
use crate::python;
use crate::shell::{self, Outcome};

/// Steps of the comparison of losses; the last [`TAIL`] are compared.
const STEPS: usize = 100;
const TAIL: usize = 20;
/// How far perplexity and loss may be apart, as a share.
const APART_MAX: f64 = 0.01;
/// The least cosine of hidden states.
const COSINE_MIN: f64 = 0.999;

/// Measures, appends the figures, fails where a rule is broken.
pub fn run() -> Outcome {
    let order = ours::order()?;
    let text = held_text(order)?;
    let mut body = "| | ours | theirs | rule | |\n|---|---|---|---|---|\n".to_owned();
    let mut broken = Vec::new();
    let mut say = |what: String, ours: f64, theirs: f64, rule: &str, holds: bool| {
        let verdict = if holds { "holds" } else { "broken" };
        let line = format!("| {what} | {ours:.4} | {theirs:.4} | {rule} | {verdict} |\n");
        eprint!("{line}");
        body.push_str(&line);
        if !holds {
            broken.push(what);
        }
    };
    for bits in [Bits::Four, Bits::Eight] {
        let model = models::answers(Shape::SmolLm2, bits)?;
        let cosines = speed("layers", &model, Some(&text))?;
        for (of, key) in [
            ("least cosine of a layer's end", "least_cosine"),
            ("the same by row, mean", "least_row_mean"),
        ] {
            let cosine = cosines[key].as_f64().unwrap_or(0.0);
            let what = format!("{bits:?} bits: {of}");
            say(what, cosine, 1.0, "≥ 0.999", cosine >= COSINE_MIN);
        }
        let ours = speed("perplexity", &model, Some(&text))?["perplexity"]
            .as_f64()
            .unwrap_or(f64::NAN);
        let theirs = llama_perplexity(&model, &text)?;
        say(
            format!("{bits:?} bits: perplexity, llama.cpp's beside"),
            ours,
            theirs,
            "within 1 %",
            near(ours, theirs),
        );
    }
    let (ours, theirs) = losses(order)?;
    say(
        "training loss, steps 81-100, PyTorch's in f32 beside".to_owned(),
        ours,
        theirs,
        "within 1 %",
        near(ours, theirs),
    );
    append(
        "quality beside the peers",
        "cargo xtask bench quality",
        &body,
    )?;
    if broken.is_empty() {
        Ok(())
    } else {
        Err(format!("broken: {}", broken.join("; ")))
    }
}

fn near(ours: f64, theirs: f64) -> bool {
    (ours / theirs - 1.0).abs() <= APART_MAX
}

fn speed(mode: &str, model: &Path, text: Option<&Path>) -> Result<Value, String> {
    let mut command = shell::command(ours::example("speed")?, &[mode]);
    command.arg(model).args(text);
    shell::last_object(&mut command)
}

/// The sentences of the held-out records as one text.
fn held_text(order: &Order) -> Result<std::path::PathBuf, String> {
    let path = order.dataset.join("records.jsonl");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let sentence = |line: &str| {
        Some(
            serde_json::from_str::<Value>(line).ok()?["fields"]["text"]
                .as_str()?
                .to_owned(),
        )
    };
    let held: Vec<String> = text.lines().filter_map(sentence).collect();
    let to = order.home.path().join("held.txt");
    std::fs::write(&to, held.join("\n")).map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(to)
}

/// What llama.cpp's tool says of windows of 512 tokens.
fn llama_perplexity(model: &Path, text: &Path) -> Result<f64, String> {
    let mut command = shell::command(
        llama_cpp::program("llama-perplexity")?,
        &["-c", "512", "-b", "512"],
    );
    command.arg("-m").arg(model).arg("-f").arg(text);
    let printed = shell::all_output(&mut command)?;
    let after = printed
        .split("PPL = ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next());
    after
        .and_then(|figure| figure.parse().ok())
        .ok_or_else(|| format!("llama-perplexity printed no perplexity: {printed}"))
}

/// Mean losses of the last steps, ours and PyTorch's.
fn losses(order: &Order) -> Result<(f64, f64), String> {
    let folder = order.home.path().join("losses");
    std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut command = shell::command(ours::example("tune_bench")?, &["losses", PACK]);
    command
        .arg(&order.model)
        .arg(&order.dataset)
        .arg(STEPS.to_string())
        .arg(&folder);
    let ours = shell::last_object(&mut command)?;
    let rates = folder.join("rates.json");
    std::fs::write(&rates, ours.to_string())
        .map_err(|error| format!("{}: {error}", rates.display()))?;
    let mut script = python::PEERS.command("benches/peers/train_lora.py")?;
    // In f32: what bf16 does to PyTorch's own loss is more than the rule allows.
    let script = script.arg(&order.model).arg(&folder).arg(&rates);
    let theirs = shell::last_object(script.args(["--dtype", "f32"]))?;
    Ok((tail(&ours)?, tail(&theirs)?))
}

fn tail(side: &Value) -> Result<f64, String> {
    let losses: Vec<f64> = side["losses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect();
    if losses.len() != STEPS {
        return Err(format!("{} steps instead of {STEPS}", losses.len()));
    }
    Ok(losses[STEPS - TAIL..].iter().sum::<f64>() / TAIL as f64)
}
