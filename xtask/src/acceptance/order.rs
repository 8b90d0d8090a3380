//! The whole order on the real pack, timed, with its figures.

use serde_json::Value;

use super::home::{Finished, FreshHome, PACK};
use super::result;
use crate::shell::Outcome;

/// What the README promises, in seconds.
const FULL_SECONDS_MAX: f64 = 30.0 * 60.0;
const QUICK_SECONDS_MAX: f64 = 3.0 * 60.0;

/// The full order.
pub fn full() -> Outcome {
    let home = FreshHome::new("customer-care")?;
    let finished = home.run_order(&[])?;
    result::append(
        "customer-care, full order from an empty home",
        &format!("lathe run {PACK} --exit --json"),
        &describe(&finished),
    )?;
    let r = metric(&finished, "tuned", "pearson_r")?;
    let valid = metric(&finished, "tuned", "valid_json")?;
    check(r >= 0.80, &format!("pearson_r {r} is below 0.80"))?;
    check(valid >= 0.99, &format!("valid_json {valid} is below 0.99"))?;
    check(
        finished.seconds <= FULL_SECONDS_MAX,
        &format!("took {:.0} s", finished.seconds),
    )
}

/// The demonstration on 400 records.
pub fn quick() -> Outcome {
    let home = FreshHome::new("quick")?;
    let finished = home.run_order(&["--quick"])?;
    result::append(
        "customer-care --quick from an empty home",
        &format!("lathe run {PACK} --quick --exit --json"),
        &describe(&finished),
    )?;
    check(
        finished.seconds <= QUICK_SECONDS_MAX,
        &format!("took {:.0} s", finished.seconds),
    )
}

fn check(holds: bool, otherwise: &str) -> Outcome {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

fn metric(finished: &Finished, subject: &str, name: &str) -> Result<f64, String> {
    finished.summary["metrics"][subject][name]
        .as_f64()
        .filter(|value| value.is_finite())
        .ok_or_else(|| format!("no finite {name} of {subject} in {}", finished.summary))
}

/// A table of metrics and one of steps.
fn describe(finished: &Finished) -> String {
    let mut text = format!(
        "{:.0} s in all.\n\n| | pearson_r | macro_f1 | valid_json |\n|---|---|---|---|\n",
        finished.seconds
    );
    for subject in ["base", "challenger", "tuned"] {
        let cell = |name| {
            metric(finished, subject, name).map_or("–".to_owned(), |value| format!("{value:.4}"))
        };
        text += &format!(
            "| {subject} | {} | {} | {} |\n",
            cell("pearson_r"),
            cell("macro_f1"),
            cell("valid_json")
        );
    }
    text += "\n| step | s | figure |\n|---|---|---|\n";
    for step in &finished.steps {
        text += &format!(
            "| {} | {} | {} |\n",
            plain(&step["step"]),
            step["seconds"]
                .as_f64()
                .map_or("–".to_owned(), |seconds| format!("{seconds:.1}")),
            plain(&step["figure"])
        );
    }
    text
}

fn plain(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('|', "/")
}
