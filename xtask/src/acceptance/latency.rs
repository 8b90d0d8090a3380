//! `cargo xtask acceptance latency`: how long people wait for a first token while the same machine tunes.
//!
//! Three quick orders make three models over one base. Three callers, one a model, ask one question after
//! the other; alone at first, then while a fourth order is in the middle of tuning. The bound is the one
//! that docs/guide/operations.md states.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::caller::{Caller, get};
use super::home::{FreshHome, wait_until};
use super::result;
use crate::shell::{self, Outcome};

/// Questions of each caller.
const QUESTIONS: usize = 40;
/// Tokens of an answer.
const ANSWER_TOKENS: usize = 16;
/// What the 99th percentile of the first token stays under while an order tunes; operations.md says so.
const FIRST_TOKEN_P99_MS_MAX: f64 = 1000.0;
/// The models beside the first, each tuned with a seed of its own.
const OTHERS: [(&str, &str); 2] = [("second", "2"), ("third", "3")];
/// Far more than the time of the measurement.
const EPOCHS: &str = "tune.sft.epochs=50";
/// Longest wait for an order.
const ORDER_MAX: Duration = Duration::from_secs(1800);

/// Measures both.
pub fn run() -> Outcome {
    let home = FreshHome::new("latency")?;
    let finished = home.run_order(&["--quick"])?;
    let first = finished.step("deploy")?["figures"]["name"].as_str();
    let first = first.ok_or("the step deploy names no model")?.to_owned();
    let order = finished.summary["order"]
        .as_str()
        .ok_or("the order's summary does not name it")?
        .to_owned();
    let (up, url) = home.up()?;
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut models = vec![first];
    for (name, seed) in OTHERS {
        let (name_is, seed_is) = (format!("name={name}"), format!("tune.sft.seed={seed}"));
        let id = clone(&home, &order, &[&name_is, &seed_is])?;
        wait_for(address, &id, |view| view["state"] == "done")?;
        models.push(deployed(&show(address, &id)?)?);
    }
    let alone = ask(address, &models)?;
    let long = clone(&home, &order, &["name=fourth", "tune.sft.seed=4", EPOCHS])?;
    let tunes = |view: &Value| {
        let steps = view["steps"].as_array().into_iter().flatten();
        let mut tune = steps.filter(|step| step["name"] == "tune");
        // Its first steps are behind it.
        tune.any(|step| step["state"] == "running" && step["progress"]["done"].as_u64() > Some(1))
    };
    wait_for(address, &long, tunes)?;
    let beside = ask(address, &models)?;
    let still = tunes(&show(address, &long)?);
    drop(up);
    if !still {
        return Err("the order was done before the questions were".to_owned());
    }
    report(&alone, &beside)
}

/// Clones an order with settings changed; the new one's id.
fn clone(home: &FreshHome, order: &str, settings: &[&str]) -> Result<String, String> {
    let mut arguments = vec!["order", "clone", order, "--json"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    let printed = shell::output(&mut home.lathe(&arguments))?;
    let said: Value = serde_json::from_str(&printed)
        .map_err(|error| format!("{arguments:?}: {error}: {printed}"))?;
    let id = said["order"].as_str();
    id.map(str::to_owned)
        .ok_or_else(|| format!("the clone of {order} has no id: {said}"))
}

/// An order as the daemon tells it, with the progress of its running step.
fn show(address: &str, order: &str) -> Result<Value, String> {
    let answer = get(address, &format!("/api/orders/{order}"))?;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    serde_json::from_str(body).map_err(|error| format!("the order {order}: {error}: {answer}"))
}

/// The name under which an order's model answers: that of a demonstration says so.
fn deployed(view: &Value) -> Result<String, String> {
    let mut steps = view["steps"].as_array().into_iter().flatten();
    let deploy = steps.find(|step| step["name"] == "deploy");
    let name = deploy.and_then(|step| step["figures"]["name"].as_str());
    name.map(str::to_owned)
        .ok_or_else(|| format!("the order's step deploy names no model: {view}"))
}

/// Waits until an order is as wanted; one that failed never will be.
fn wait_for(address: &str, order: &str, wanted: impl Fn(&Value) -> bool) -> Result<(), String> {
    let mut failed = None;
    wait_until(&format!("the order {order}'s turn"), ORDER_MAX, || {
        thread::sleep(Duration::from_millis(500));
        match show(address, order) {
            Ok(view) if view["state"] == "failed" => failed = Some(view.to_string()),
            Ok(view) => return wanted(&view),
            Err(why) => failed = Some(why),
        }
        true
    })?;
    failed.map_or(Ok(()), Err)
}

/// Every model is asked by a caller of its own, all at the same time; first tokens in ms, sorted.
fn ask(address: &str, models: &[String]) -> Result<Vec<f64>, String> {
    let mut all = Vec::new();
    let asked = thread::scope(|scope| {
        let callers: Vec<_> = (0..)
            .zip(models)
            .map(|(number, model)| {
                scope.spawn(move || {
                    let caller = Caller::new(address, model, number);
                    let took = (0..QUESTIONS).map(|at| caller.first_token(at, ANSWER_TOKENS));
                    took.collect::<Result<Vec<Duration>, String>>()
                })
            })
            .collect();
        let joined = callers.into_iter().map(|caller| caller.join());
        joined.collect::<Vec<_>>()
    });
    for took in asked {
        let took = took.map_err(|_| "a caller stumbled".to_owned())??;
        all.extend(took.iter().map(|took| took.as_secs_f64() * 1000.0));
    }
    all.sort_by(f64::total_cmp);
    Ok(all)
}

/// The value below which this share of a sorted list lies.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted[place.clamp(1, sorted.len()) - 1]
}

fn report(alone: &[f64], beside: &[f64]) -> Outcome {
    let row = |what: &str, all: &[f64]| {
        let (half, most) = (percentile(all, 0.5), percentile(all, 0.99));
        format!("| {what} | {half:.0} | {most:.0} |\n")
    };
    let body = format!(
        "Three models over one base, a caller each, {QUESTIONS} questions one after the other, answers of \
         {ANSWER_TOKENS} tokens. First token in ms; under {FIRST_TOKEN_P99_MS_MAX:.0} at the 99th percentile passes:\n\n\
         | | p50 | p99 |\n|---|---|---|\n{}{}",
        row("nothing else runs", alone),
        row("an order tunes", beside)
    );
    result::append(
        "answers beside an order that tunes",
        "cargo xtask acceptance latency",
        &body,
    )?;
    let p99 = percentile(beside, 0.99);
    if p99 < FIRST_TOKEN_P99_MS_MAX {
        Ok(())
    } else {
        Err(format!(
            "the first token took {p99:.0} ms at the 99th percentile"
        ))
    }
}
