//! `quality`: that nothing was paid for speed with quality.
//!
//! On the text of the pack's records: hidden states against f32 dequantised weights (cosine at every
//! layer's end, of all rows together and as the mean of each row's own), and perplexity against
//! llama.cpp's on the same file. The mean training loss of the last twenty of a hundred steps: of an
//! adapter against PyTorch's, same order of data, same first adapter, no dropout; of full tuning whose
//! products multiply bytes against the same in bfloat16.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::ours::{self, Order};
use super::rows::{Bits, Shape};
use super::{llama_cpp, models};
use crate::acceptance::{PACK, append};
use crate::shell::{self, Outcome};
use crate::{bounded, python};

/// Steps of the comparison of losses; the last [`TAIL`] are compared.
const STEPS: usize = 100;
const TAIL: usize = 20;
/// How far perplexity and loss may be apart, as a share.
const APART_MAX: f64 = 0.01;
/// How long one measurement may take.
const MEASUREMENT_MAX: Duration = Duration::from_secs(1800);
/// The least cosine of hidden states.
const COSINE_MIN: f64 = 0.999;

/// Measures, appends the figures, fails where a rule is broken.
pub fn run() -> Outcome {
    let order = ours::order()?;
    let text = text_of_records(order)?;
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
    let [bytes, bf16] = ["bytes", "bf16"].map(|products| full_loss(products, &text));
    let (bytes, bf16) = (bytes?, bf16?);
    say(
        "full tuning's loss, steps 82-101: products of bytes, and ours in bfloat16 beside"
            .to_owned(),
        bytes,
        bf16,
        "within 1 %",
        near(bytes, bf16),
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
    object(&mut command)
}

/// The mean loss of the last steps of full tuning on a text.
fn full_loss(products: &str, text: &Path) -> Result<f64, String> {
    let mut command = Command::new(ours::example("full_speed")?);
    command.arg(models::base(Shape::SmolLm2)?);
    command.args([&STEPS.to_string(), products]).arg(text);
    let report = object(command.current_dir(shell::root()))?;
    let loss = report["loss"].as_f64();
    loss.ok_or_else(|| format!("full tuning gave no loss: {report}"))
}

/// The JSON object that a command prints last, within the limit.
fn object(command: &mut Command) -> Result<Value, String> {
    let printed = bounded::measure(command, MEASUREMENT_MAX, &log())?;
    shell::object_of(&printed)
        .ok_or_else(|| format!("`{}` printed no JSON object", shell::describe(command)))
}

/// Where the output of the command that runs is kept.
fn log() -> PathBuf {
    shell::target_dir().join("bench/quality.log")
}

/// The sentences of the prepared records as one text.
fn text_of_records(order: &Order) -> Result<PathBuf, String> {
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
    let sentences: Vec<String> = text.lines().filter_map(sentence).collect();
    let to = order.home.path().join("sentences.txt");
    std::fs::write(&to, sentences.join("\n"))
        .map_err(|error| format!("{}: {error}", to.display()))?;
    Ok(to)
}

/// What llama.cpp's tool says of windows of 512 tokens.
fn llama_perplexity(model: &Path, text: &Path) -> Result<f64, String> {
    let mut command = shell::command(
        llama_cpp::program("llama-perplexity")?,
        &["-c", "512", "-b", "512"],
    );
    command.arg("-m").arg(model).arg("-f").arg(text);
    let printed = bounded::measure_all(&mut command, MEASUREMENT_MAX, &log())?;
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
    let ours = object(&mut command)?;
    let rates = folder.join("rates.json");
    std::fs::write(&rates, ours.to_string())
        .map_err(|error| format!("{}: {error}", rates.display()))?;
    let mut script = python::PEERS.command("benches/peers/train_lora.py")?;
    // In f32: what bf16 does to PyTorch's own loss is more than the rule allows.
    let script = script.arg(&order.model).arg(&folder).arg(&rates);
    let theirs = object(script.args(["--dtype", "f32"]))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_is_within_a_hundredth_either_way() {
        assert!(near(1.0, 1.0) && near(1.0099, 1.0) && near(0.9901, 1.0));
        assert!(!near(1.0101, 1.0) && !near(0.9899, 1.0) && !near(f64::NAN, 1.0));
    }

    #[test]
    fn the_tail_is_the_mean_of_the_last_losses() {
        let losses: Vec<usize> = (1..=STEPS).collect();
        let side = serde_json::json!({ "losses": losses });
        assert_eq!(tail(&side).unwrap(), 90.5);
        assert!(tail(&serde_json::json!({"losses": [1.0]})).is_err());
    }
}
