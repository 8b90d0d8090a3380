//! `lathe order compare`: orders side by side, as tables or as JSON.

use lathe_evidence::report::Interval;
use lathe_workshop::compare::{self, Compared, Comparison, Difference, MetricRow, StepTime};
use lathe_workshop::store::Store;
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Home, OrderId, StepState};
use serde_json::Value;

use super::order::{state_text, step_state, tell_origin};
use super::print_json;
use crate::bars::duration;
use crate::fail::Failure;
use crate::table;

/// What the orders are called in the tables; there are never more.
const LETTERS: [&str; compare::ORDERS_COMPARED_MAX] = ["A", "B", "C", "D", "E", "F", "G", "H"];

/// Stands where there is no value.
const NOTHING: &str = "–";

/// Prints the orders side by side.
pub async fn run(store: &Store, home: &Home, ids: &[OrderId], json: bool) -> Result<(), Failure> {
    // They were found a moment ago, and orders are never removed.
    let Some(comparison) = compare::compare(store, home, ids).await? else {
        return Ok(());
    };
    if json {
        return print_json(&comparison);
    }
    let lang = Lang::from_env();
    for (order, letter) in comparison.orders.iter().zip(LETTERS) {
        head(lang, order, letter);
    }
    println!();
    metrics(lang, &comparison);
    for (order, letter) in comparison.orders.iter().zip(LETTERS) {
        if let Some(why) = order.unpaired {
            let key = format!("compare.unpaired.{}", why.as_str());
            let args = [("order", letter), ("first", LETTERS[0])];
            println!("{}", words::get(lang, &key, &args));
        }
    }
    println!();
    steps(lang, &comparison);
    println!();
    settings(lang, &comparison);
    Ok(())
}

fn head(lang: Lang, order: &Compared, letter: &str) {
    let state = state_text(lang, order.state, order.ending, None);
    let placed = table::minute(order.created_ms);
    println!("{letter}  {}  {}  {state}  {placed}", order.id, order.pack);
    if let Some(origin) = &order.origin {
        tell_origin(lang, &order.id, origin);
    }
    if order.demonstration {
        let args = [("order", letter)];
        println!("{}", words::get(lang, "cli.compare.demonstration", &args));
    }
}

/// A heading: the name of the rows, then the orders.
fn heading(lang: Lang, key: &str, orders: usize) -> Vec<String> {
    let letters = LETTERS[..orders].iter().map(|letter| (*letter).to_owned());
    std::iter::once(words::get(lang, key, &[]))
        .chain(letters)
        .collect()
}

fn print(heading: &[String], rows: &[Vec<String>], empty: &str) {
    let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    table::print(&heading, rows, empty);
}

fn metrics(lang: Lang, comparison: &Comparison) {
    let orders = comparison.orders.len();
    let mut heading = heading(lang, "cli.compare.metric", orders);
    for letter in &LETTERS[1..orders] {
        let args = [("order", *letter), ("first", LETTERS[0])];
        heading.push(words::get(lang, "cli.compare.against", &args));
    }
    let row = |row: &MetricRow| {
        let values = row.values.iter().map(|value| {
            value
                .as_ref()
                .map_or(NOTHING.to_owned(), |it| interval(it, figure))
        });
        let differences = row.differences[1..].iter().map(|it| {
            it.as_ref()
                .map_or(NOTHING.to_owned(), |it| difference(lang, it))
        });
        std::iter::once(row.metric.clone())
            .chain(values)
            .chain(differences)
            .collect()
    };
    let rows: Vec<Vec<String>> = comparison.metrics.iter().map(row).collect();
    print(&heading, &rows, &words::get(lang, "compare.none", &[]));
}

fn difference(lang: Lang, it: &Difference) -> String {
    let key = match it.beyond_chance {
        true => "compare.beyond",
        false => "compare.within",
    };
    let chance = words::get(lang, key, &[]);
    format!("{} {chance}", interval(&it.interval, signed))
}

/// A figure with its 95 % interval: `0.874 [0.852, 0.887]`.
fn interval(it: &Interval, text: impl Fn(f64) -> String) -> String {
    match it.low.zip(it.high) {
        Some((low, high)) => format!("{} [{}, {}]", text(it.value), text(low), text(high)),
        None => text(it.value),
    }
}

fn figure(value: f64) -> String {
    format!("{value:.3}")
}

fn signed(value: f64) -> String {
    format!("{value:+.3}")
}

fn steps(lang: Lang, comparison: &Comparison) {
    let heading = heading(lang, "cli.compare.step", comparison.orders.len());
    let time = |time: &Option<StepTime>| match time {
        Some(StepTime {
            state: StepState::Done,
            seconds: Some(seconds),
        }) => duration(*seconds),
        Some(other) => words::get(lang, &format!("state.{}", step_state(other.state)), &[]),
        None => NOTHING.to_owned(),
    };
    let rows: Vec<Vec<String>> = comparison
        .steps
        .iter()
        .map(|row| {
            let name = words::get(lang, &format!("step.{}", row.step), &[]);
            std::iter::once(name)
                .chain(row.times.iter().map(time))
                .collect()
        })
        .collect();
    print(&heading, &rows, NOTHING);
}

fn settings(lang: Lang, comparison: &Comparison) {
    let heading = heading(lang, "cli.compare.setting", comparison.orders.len());
    let value = |value: &Value| match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> = comparison
        .settings
        .iter()
        .map(|row| {
            std::iter::once(row.key.clone())
                .chain(row.values.iter().map(value))
                .collect()
        })
        .collect();
    print(&heading, &rows, &words::get(lang, "compare.same", &[]));
}
