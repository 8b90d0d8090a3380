//! `cargo xtask bench [--only ROW]... [--json]`: speed beside the peers, both sides in the same run.
//!
//! A row is one kind of work with a goal and the ratio it passes at ([`rows`]). Every peer of a row is
//! measured in the first turn; the best of them then alternates with this engine for [`measure::TURNS`]
//! turns in all. A line of JSON a row goes to standard output with `--json`, a table under
//! `benches/results` always. Environments and builds of the peers lie under the target folder and are
//! made when first needed (several gigabytes, half an hour).
//!
//! `cargo xtask bench serve` measures servers under many callers; `cargo xtask bench ledger | receipts |
//! quality | pages` what has no peer.

mod ledger;
pub mod llama_cpp;
mod measure;
pub mod models;
mod ours;
mod pages;
mod peers;
mod quality;
mod receipts;
mod rows;
pub mod serve;

use crate::acceptance::append;
use crate::shell::Outcome;
use measure::Measured;
use rows::Row;

/// Runs the named measurement, or the rows that are asked for.
pub fn run(arguments: &[String]) -> Outcome {
    match arguments.first().map(String::as_str) {
        Some("ledger") => return ledger::run(),
        Some("receipts") => return receipts::run(),
        Some("pages") => return pages::run(&arguments[1..]),
        Some("quality") => return quality::run(),
        Some("serve") => return serve::run(&arguments[1..]),
        _ => {}
    }
    let (mut only, mut json) = (Vec::new(), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--json" => json = true,
            "--only" => only.push(rest.next().ok_or("--only needs the name of a row")?.clone()),
            other => {
                return Err(format!(
                    "no option '{other}'; there are --only ROW and --json"
                ));
            }
        }
    }
    let all = rows::all();
    if let Some(unknown) = only
        .iter()
        .find(|name| !all.iter().any(|row| row.matches(name)))
    {
        let names: Vec<&str> = all.iter().map(|row| row.name.as_str()).collect();
        return Err(format!(
            "no row '{unknown}'; there are {}",
            names.join(", ")
        ));
    }
    let chosen: Vec<&Row> = all
        .iter()
        .filter(|row| only.is_empty() || only.iter().any(|name| row.matches(name)))
        .collect();
    run_rows(&chosen, json)
}

fn run_rows(chosen: &[&Row], json: bool) -> Outcome {
    let measured = chosen.iter().map(|row| {
        let line = measure::measure(row);
        eprintln!("  {}", line.sentence());
        if json {
            println!("{}", line.json());
        }
        line
    });
    let measured: Vec<Measured> = measured.collect();
    append("beside the peers", "cargo xtask bench", &table(&measured))?;
    all_pass(&measured)
}

/// Writes rows that were measured together, with a table beside them.
fn run_table(
    title: &str,
    command: &str,
    measured: &[Measured],
    beside: &str,
    json: bool,
) -> Outcome {
    if json {
        measured.iter().for_each(|line| println!("{}", line.json()));
    }
    append(title, command, &format!("{}{beside}", table(measured)))?;
    all_pass(measured)
}

/// Fails with the names of the rows that fall short.
fn all_pass(measured: &[Measured]) -> Outcome {
    let short: Vec<&str> = measured
        .iter()
        .filter(|line| !line.passes())
        .map(|line| line.row.as_str())
        .collect();
    if short.is_empty() {
        Ok(())
    } else {
        Err(format!("these rows do not pass: {}", short.join(", ")))
    }
}

/// The results as Markdown: figures first, then how each side was run.
fn table(measured: &[Measured]) -> String {
    let mut text =
        "| row | ours | best peer | | ratio | passes at | goal |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    measured
        .iter()
        .for_each(|line| text.push_str(&line.table_row()));
    text.push_str("\nHow the sides were run, and what was measured once beside:\n\n");
    measured
        .iter()
        .for_each(|line| text.push_str(&line.footnote()));
    text
}
