//! The steps of an order as a list: state, figure, duration, progress with the time left.

use lathe_workshop::worker::PEAK_MEMORY;
use lathe_workshop::{
    Answering, AnsweringNow, Ending, Memory, OrderState, Progress, StepName, StepState, StepView,
};
use serde_json::{Map, Value};

use super::curve::MEAN_LOSS;
use super::fault::Fault;
use super::report::{figure_text, metric};
use super::took;
use crate::format;
use crate::lang::Say;

/// One step, ready to be placed.
pub(super) struct StepRow {
    pub key: &'static str,
    pub name: String,
    pub state: &'static str,
    pub state_text: String,
    pub figure: String,
    pub figures: Vec<(String, String)>,
    pub took: String,
    pub progress: Option<ProgressRow>,
    pub fault: Option<Fault>,
}

/// How far a running step is.
pub(super) struct ProgressRow {
    /// Share done in thousandths; none where the total is unknown.
    pub per_mille: Option<u64>,
    pub text: String,
    pub eta: String,
    /// What the working process holds; empty where it is not known.
    pub memory: String,
}

/// The rows of the steps of an order that stands so to its name.
pub(super) fn rows(say: Say, steps: Vec<StepView>, answering: Option<&Answering>) -> Vec<StepRow> {
    let mut rows: Vec<StepRow> = steps.into_iter().map(|step| row(say, step)).collect();
    // What the step found was so when it ended: that the model answers.
    let past = answering.filter(|it| it.now != AnsweringNow::Answers);
    let mut deployed = rows.iter_mut();
    let deployed = deployed.find(|row| row.key == StepName::Deploy.as_str());
    if let (Some(it), Some(row)) = (past, deployed)
        && !row.figure.is_empty()
    {
        row.figure = say.of("web.steps.deployed", &it.name);
    }
    rows
}

fn row(say: Say, step: StepView) -> StepRow {
    let is_running = step.state == StepState::Running;
    let figure = step
        .figure
        .map(|figure| say.pick(&figure.en, &figure.zh).to_owned());
    StepRow {
        key: step.name.as_str(),
        name: say.it_of("step", step.name),
        state: step_state(step.state),
        state_text: say.it_of("state", step_state(step.state)),
        figure: figure.unwrap_or_default(),
        figures: figure_rows(say, &step.figures),
        // A step that neither runs nor ended was interrupted; it has no duration yet.
        took: if is_running || step.ended_ms.is_some() {
            took(say, step.started_ms, step.ended_ms)
        } else {
            String::new()
        },
        progress: step
            .progress
            .filter(|_| is_running)
            .map(|progress| progress_row(say, &progress)),
        fault: step.error.as_ref().map(|it| Fault::new(say, it)),
    }
}

fn progress_row(say: Say, progress: &Progress) -> ProgressRow {
    let is_bytes = progress.unit == "unit.bytes";
    let amount = |number: u64| {
        if is_bytes {
            format::file_size(number)
        } else {
            format::count(number)
        }
    };
    let done = amount(progress.done);
    let text = match progress.total {
        0 => done,
        total => format!("{done} / {}", amount(total)),
    };
    let text = if is_bytes {
        text
    } else {
        format!("{text} {}", say.it(&progress.unit))
    };
    let eta = progress.eta_s.filter(|eta| eta.is_finite() && *eta >= 0.0);
    let eta = eta.map(|eta| {
        say.of(
            "web.steps.left",
            format::duration(say, (eta * 1000.0) as u64),
        )
    });
    let per_mille = (progress.total > 0)
        .then(|| (u128::from(progress.done) * 1000 / u128::from(progress.total)).min(1000) as u64);
    ProgressRow {
        per_mille,
        text,
        eta: eta.unwrap_or_default(),
        memory: progress
            .memory
            .map_or_else(String::new, |it| memory(say, "web.steps.memory", it)),
    }
}

/// What a process holds, and the most it has held, in the words of `key`.
pub(super) fn memory(say: Say, key: &str, memory: Memory) -> String {
    say.with(
        key,
        &[
            ("now", &format::bytes(memory.now_bytes)),
            ("peak", &format::bytes(memory.peak_bytes)),
        ],
    )
}

/// Decimals of a fraction.
const PLACES: usize = 4;
/// From here on a fraction of four decimals says next to nothing.
const FRACTION_MIN: f64 = 1e-3;

/// The figures of a step with their names, those that stand in others by their dotted paths.
fn figure_rows(say: Say, figures: &Map<String, Value>) -> Vec<(String, String)> {
    let mut rows = Vec::with_capacity(figures.len());
    for (name, value) in figures {
        flatten(say, name, value, &mut rows);
    }
    rows
}

/// Lists of plain values stay on one line.
fn flatten(say: Say, path: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let is_deep = |value: &Value| value.is_object() || value.is_array();
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members {
                flatten(say, &format!("{path}.{name}"), value, rows);
            }
        }
        Value::Array(items) if items.iter().any(is_deep) => {
            for (place, value) in items.iter().enumerate() {
                flatten(say, &format!("{path}.{place}"), value, rows);
            }
        }
        plain => rows.push(figure_row(say, path, plain)),
    }
}

/// A figure with its name and its unit; those that every worker's step has are named in words.
fn figure_row(say: Say, name: &str, value: &Value) -> (String, String) {
    let named = match name {
        PEAK_MEMORY => say.it("web.steps.peak"),
        MEAN_LOSS => say.it("web.curve.loss.mean"),
        _ => path_named(say, name),
    };
    if let (Some(metric), Some(figure)) = (measured(say, name), value.as_f64()) {
        return (named, figure_text(metric, figure));
    }
    let figure = match (name, value.as_u64(), value.as_f64()) {
        (PEAK_MEMORY, Some(bytes), _) => format::bytes(bytes),
        ("bytes", Some(bytes), _) => format::file_size(bytes),
        ("tokens_per_s", _, Some(speed)) => say.of("web.curve.tokens", format::whole(speed)),
        _ => plain(value),
    };
    (named, figure)
}

/// The metric at the end of a path, or whose interval's end that is; none where the path names none.
fn measured(say: Say, path: &str) -> Option<&str> {
    let mut parts = path.rsplit('.');
    let last = parts.next()?;
    let name = match last {
        "value" | "low" | "high" => parts.next()?,
        name => name,
    };
    is_metric(say, name).then_some(name)
}

/// Whether the catalogue has a name for it.
fn is_metric(say: Say, name: &str) -> bool {
    metric(say, name) != name
}

/// A path as it is, or in the words of the catalogue where it names a metric.
fn path_named(say: Say, path: &str) -> String {
    if measured(say, path).is_none() {
        return path.to_owned();
    }
    let parts: Vec<String> = path.split('.').map(|part| metric(say, part)).collect();
    parts.join(" · ")
}

/// A figure as text: strings without quotes, a dash for nothing, fractions with as many digits as say something.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) if text.is_empty() => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => format::count(whole),
            (None, Some(fraction)) => fraction_text(fraction),
            (None, None) => number.to_string(),
        },
        Value::Array(items) if items.is_empty() => "–".to_owned(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            items.join(", ")
        }
        other => other.to_string(),
    }
}

fn fraction_text(fraction: f64) -> String {
    let size = fraction.abs();
    if fraction == 0.0 {
        "0".to_owned()
    } else if size < FRACTION_MIN {
        format::small(fraction)
    } else if size >= 100.0 {
        format::decimals(fraction, 1)
    } else {
        format::decimals(fraction, PLACES)
    }
}

/// The name of a step's state, for the style sheet and the catalogue.
pub(super) fn step_state(state: StepState) -> &'static str {
    match state {
        StepState::Waiting => "waiting",
        StepState::Running => "running",
        StepState::Done => "done",
        StepState::Reused => "reused",
        StepState::Failed => "failed",
    }
}

/// The name of an order's state, for the style sheet and the catalogue.
pub(super) fn order_state(state: OrderState) -> &'static str {
    match state {
        OrderState::Queued => "queued",
        OrderState::Running => "running",
        OrderState::Waiting => "waiting",
        OrderState::Paused => "paused",
        OrderState::Done => "done",
        OrderState::Failed => "failed",
    }
}

/// The state of an order in words, with its place in the queue, or with the step it stands at where
/// that says something. One that was rejected or cancelled did not fail: somebody decided.
pub(super) fn order_state_text(
    say: Say,
    state: OrderState,
    ending: Option<Ending>,
    step: Option<StepName>,
    position: Option<u32>,
) -> String {
    if let Some(place) = position {
        return say.with("state.queued.place", &[("place", &place.to_string())]);
    }
    if let Some(ending) = ending.and_then(Ending::willed) {
        return say.it_of("state", ending.as_str());
    }
    let text = say.it_of("state", order_state(state));
    match (state, step) {
        (OrderState::Queued | OrderState::Done, _) | (_, None) => text,
        (_, Some(step)) => format!("{text} · {}", say.it_of("step", step)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;
    use serde_json::json;

    fn progress(done: u64, total: u64, unit: &str, eta_s: Option<f64>) -> ProgressRow {
        let unit = unit.to_owned();
        progress_row(
            Say::new(Lang::En),
            &Progress {
                done,
                total,
                unit,
                eta_s,
                memory: None,
            },
        )
    }

    #[test]
    fn progress_says_what_is_counted_and_what_is_left() {
        let row = progress(1_204, 2_966, "unit.records", Some(61.0));
        assert_eq!(row.per_mille, Some(405));
        assert_eq!(row.text, "1,204 / 2,966 records");
        assert!(row.eta.contains("1 min 1 s"), "{}", row.eta);
    }

    #[test]
    fn progress_without_a_total_or_a_sane_estimate_stays_silent() {
        let row = progress(2048, 0, "unit.bytes", Some(f64::INFINITY));
        assert_eq!(
            (row.per_mille, row.text.as_str(), row.eta.as_str()),
            (None, "2.0 kB", "")
        );
        assert_eq!(progress(5, 3, "unit.steps", None).per_mille, Some(1000));
    }

    #[test]
    fn memory_is_told_in_words_and_units() {
        let say = Say::new(Lang::En);
        let held = Memory {
            now_bytes: 512 << 20,
            peak_bytes: 3 << 29,
        };
        let told = memory(say, "web.steps.memory", held);
        assert_eq!(told, "512.0 MiB of memory, at most 1.5 GiB");
        let row = figure_row(say, PEAK_MEMORY, &json!(3_u64 << 29));
        assert_eq!(row, ("Memory at most".to_owned(), "1.5 GiB".to_owned()));
        let other = figure_row(say, "bytes", &json!(1024));
        assert_eq!(other, ("bytes".to_owned(), "1.0 kB".to_owned()));
        let other = figure_row(say, "rows", &json!(1024));
        assert_eq!(other, ("rows".to_owned(), "1,024".to_owned()));
    }

    #[test]
    fn figures_have_their_units_and_stand_one_a_line() {
        let figures = json!({
            "final_loss": 0.283_712_345, "tokens_per_s": 268.412_345, "resumed_from": null,
            "metrics": {"pearson_r": 0.031_234_567, "by": [1, 2]},
            "answers": [{"valid": true}], "tuned": {"valid_json": {"low": 0.8667}},
        });
        let figures = figures.as_object().expect("an object");
        let rows = figure_rows(Say::new(Lang::En), figures);
        let row = |name: &str| {
            let row = rows.iter().find(|it| it.0 == name);
            row.map(|it| it.1.as_str())
        };
        let mean = "Mean loss of the last 10 % of the steps";
        assert_eq!(row(mean), Some("0.2837"));
        assert_eq!(row("tokens_per_s"), Some("268 tokens/s"));
        assert_eq!(row("resumed_from"), Some("–"));
        assert_eq!(row("metrics · Pearson r"), Some("0.031"));
        assert_eq!(row("tuned · Valid answers · low"), Some("86.7 %"));
        assert_eq!(row("metrics.by"), Some("1, 2"));
        assert_eq!(row("answers.0.valid"), Some("true"));
        let rows = figure_rows(Say::new(Lang::Zh), figures);
        assert!(rows.iter().any(|it| it.0.contains("平均损失")), "{rows:?}");
    }

    #[test]
    fn figures_read_as_text() {
        assert_eq!(plain(&json!("Q4_1")), "Q4_1");
        assert_eq!(plain(&json!(3708)), "3,708");
        assert_eq!(plain(&json!(-0.25)), "−0.2500");
        assert_eq!(plain(&json!([1, 2])), "1, 2");
        assert_eq!(plain(&json!([])), "–");
        assert_eq!(plain(&json!("")), "–");
        assert_eq!(plain(&json!(0.0)), "0");
        assert_eq!(plain(&json!(1234.56789)), "1234.6");
        assert_eq!(plain(&json!(0.000_012_345)), "1.2e-5");
    }
}
