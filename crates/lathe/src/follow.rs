//! Following an order to its end: a bar for the running step, a line for each
//! finished one, and at the end the answers, the metrics and where to go on.

use std::time::Duration;

use lathe_evidence::report::{Report, Subject};
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{OrderId, OrderState, OrderView, StepError, StepState, StepView, Title};
use serde_json::{Map, Value, json};

use crate::bars::{Bar, duration};
use crate::client::Client;
use crate::fail::Failure;
use crate::interrupt::Interrupt;

/// How often the daemon is asked.
const EVERY: Duration = Duration::from_millis(150);

/// How an order that was followed ended.
#[derive(Debug)]
pub enum Ended {
    /// Every step is done.
    Done,
    /// A step failed.
    Failed(StepError),
    /// Somebody has to decide before it goes on.
    Waiting,
    /// Somebody set it aside.
    Paused,
    /// Ctrl-C.
    Interrupted,
}

/// How it is told.
#[derive(Debug, Clone, Copy)]
pub struct Telling {
    /// The language of the lines.
    pub lang: Lang,
    /// JSON objects instead of lines and bars.
    pub json: bool,
}

/// Follows `order` until it ends, Ctrl-C, or `halted` says why the daemon cannot go on.
pub fn follow(
    client: &Client,
    order: &OrderId,
    telling: Telling,
    interrupt: &Interrupt,
    halted: &dyn Fn() -> Option<Failure>,
) -> Result<Ended, Failure> {
    let bar = Bar::new(telling.lang, !telling.json);
    let mut told = 0;
    let ended = loop {
        let view = client.order(order)?;
        while let Some(step) = view.steps.get(told).filter(|step| is_finished(step)) {
            tell_step(step, &view, telling, &bar);
            told += 1;
        }
        match view.state {
            OrderState::Done => break Ended::Done,
            OrderState::Failed => break Ended::Failed(error_of(&view)),
            OrderState::Waiting => break Ended::Waiting,
            OrderState::Paused => break Ended::Paused,
            OrderState::Queued | OrderState::Running => {}
        }
        if interrupt.asked() {
            break Ended::Interrupted;
        }
        if let Some(failure) = halted() {
            bar.clear();
            return Err(failure);
        }
        show_running(&view, told, telling.lang, &bar);
        std::thread::sleep(EVERY);
    };
    bar.clear();
    Ok(ended)
}

/// The step that runs, or that the order waits for its turn.
fn show_running(view: &OrderView, told: usize, lang: Lang, bar: &Bar) {
    let running = view.steps.get(told);
    match running.filter(|step| step.state == StepState::Running) {
        Some(step) => bar.show(&name(step, lang), step.progress.as_ref()),
        None if view.state == OrderState::Queued => {
            let place = view.position.unwrap_or(1).to_string();
            let text = words::get(lang, "state.queued.place", &[("place", &place)]);
            bar.show(&text, None);
        }
        None => {}
    }
}

fn is_finished(step: &StepView) -> bool {
    matches!(step.state, StepState::Done | StepState::Reused)
}

fn error_of(view: &OrderView) -> StepError {
    let error = view.steps.iter().find_map(|step| step.error.clone());
    error.unwrap_or_else(|| StepError {
        code: "order-failed".to_owned(),
        text: format!("the order {} failed", view.id),
        next: format!("look at its log: lathe order log {}", view.id),
    })
}

/// A text in the language asked for.
pub fn in_lang(title: &Title, lang: Lang) -> &str {
    match lang {
        Lang::En => &title.en,
        Lang::Zh => &title.zh,
    }
}

fn name(step: &StepView, lang: Lang) -> String {
    words::get(lang, &format!("step.{}", step.name), &[])
}

fn seconds(step: &StepView) -> f64 {
    match (step.started_ms, step.ended_ms) {
        (Some(started), Some(ended)) => (ended - started).max(0) as f64 / 1000.0,
        _ => 0.0,
    }
}

fn tell_step(step: &StepView, view: &OrderView, telling: Telling, bar: &Bar) {
    let figure = step.figure.clone().unwrap_or_default();
    if telling.json {
        let line = json!({
            "step": step.name,
            "state": step.state,
            "seconds": seconds(step),
            "demonstration": view.demonstration,
            "figure": figure.en,
            "figures": step.figures,
            "artifact": step.artifact,
        });
        println!("{line}");
        return;
    }
    bar.print(&line(step, in_lang(&figure, telling.lang), telling.lang));
}

/// One finished step: "✓ prepare      3,708 rows, …   (reused)".
fn line(step: &StepView, figure: &str, lang: Lang) -> String {
    let name = name(step, lang);
    // Two columns a Chinese character; the names have no mixed scripts.
    let wide = name.chars().count() * if name.is_ascii() { 1 } else { 2 };
    let pad = " ".repeat(13_usize.saturating_sub(wide));
    let end = if step.state == StepState::Reused {
        words::get(lang, "cli.reused", &[])
    } else {
        format!("({})", duration(seconds(step)))
    };
    format!("✓ {name}{pad} {figure}  {end}")
}

/// Prints questions and answers, then the page and a curl line.
pub fn tell_end(view: &OrderView, lang: Lang, stays_up: bool) {
    let asked = view
        .steps
        .iter()
        .find_map(|step| step.figures.get("answers"))
        .and_then(Value::as_array);
    for one in asked.into_iter().flatten() {
        let part = |name: &str| one.get(name).and_then(Value::as_str).unwrap_or_default();
        println!();
        println!(
            "  {} {}",
            words::get(lang, "cli.question", &[]),
            part("question")
        );
        println!(
            "  {} {}",
            words::get(lang, "cli.answer", &[]),
            part("answer")
        );
        println!(
            "  {} {}",
            words::get(lang, "cli.expected", &[]),
            part("expected")
        );
    }
    println!();
    if view.demonstration {
        println!("{}", words::get(lang, "cli.demonstration", &[]));
    }
    if stays_up {
        println!("{}", words::get(lang, "cli.page", &[("url", &view.url)]));
        println!("{}", curl(view));
    }
}

/// The first question again, for a shell: with the system message, which the server never adds.
fn curl(view: &OrderView) -> String {
    let base = view.url.split("/orders/").next().unwrap_or_default();
    let figure = |pointer: &str| {
        let figures = view
            .steps
            .iter()
            .map(|step| Value::Object(step.figures.clone()));
        let mut found = figures.filter_map(|figures| figures.pointer(pointer).cloned());
        found.find_map(|value| value.as_str().map(str::to_owned))
    };
    let message = |role: &str, content: String| json!({ "role": role, "content": content });
    let system = figure("/system").map(|text| message("system", text));
    let question = figure("/answers/0/question").unwrap_or_else(|| "Hello".to_owned());
    let messages: Vec<Value> = system
        .into_iter()
        .chain([message("user", question)])
        .collect();
    let body = json!({ "model": view.deployment, "messages": messages }).to_string();
    // A single quote inside single quotes: close, escape, open again.
    let body = body.replace('\'', r"'\''");
    format!("curl -s {base}/v1/chat/completions -H 'content-type: application/json' -d '{body}'")
}

/// The last line of `--json`: the order and its metrics, every number finite.
pub fn last_line(order: &OrderId, report: &Report) -> Value {
    let mut metrics = Map::new();
    let best = report.best_challenger(&report.primary_metric);
    for (name, subject) in [
        ("base", report.base()),
        ("tuned", report.tuned()),
        ("challenger", best),
    ] {
        if let Some(subject) = subject {
            metrics.insert(name.to_owned(), Value::Object(finite(subject)));
        }
    }
    json!({ "order": order, "metrics": metrics })
}

fn finite(subject: &Subject) -> Map<String, Value> {
    subject
        .metrics
        .iter()
        .filter(|(_, interval)| interval.value.is_finite())
        .map(|(name, interval)| (name.clone(), interval.value.into()))
        .collect()
}
