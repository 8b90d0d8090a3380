//! `cargo xtask acceptance [NAME]`: full orders on the real pack and the real Python packages.
//!
//! Slow on purpose and therefore outside `ci`. Each scenario works in a fresh home under the target
//! folder, keeps one shared download cache between scenarios, and appends what it saw to
//! `benches/results/<date>-<machine>.md` with the command that made it.

mod caller;
mod harness;
mod home;
mod kill;
mod latency;
mod merge;
mod order;
mod peft;
mod result;
mod soak;
mod upstream;
mod validators;
mod vanish;

pub use home::{FreshHome, PACK, wait_until};
pub use result::append;

use crate::shell::{self, Outcome};

/// A scenario: its name, what it shows, how it is run.
type Scenario = (&'static str, &'static str, fn() -> Outcome);

const SCENARIOS: &[Scenario] = &[
    (
        "quick",
        "the order on 400 records, from an empty home",
        order::quick,
    ),
    (
        "customer-care",
        "the full order, from an empty home, with its figures",
        order::full,
    ),
    (
        "peft",
        "the adapter in peft gives the served answers",
        peft::run,
    ),
    (
        "merge",
        "merged models in transformers and llama.cpp give the tune's answers",
        merge::run,
    ),
    (
        "harness",
        "lm-evaluation-harness gives through /v1/completions what transformers gives",
        harness::run,
    ),
    (
        "kill",
        "kill -9 at each step and inside tuning: the same adapter",
        kill::run,
    ),
    (
        "validators",
        "model-signing, in-toto and CycloneDX accept what is exported",
        validators::run,
    ),
    (
        "upstream",
        "llama-server behind the door: the same answers, freed by hanging up, its death told",
        upstream::run,
    ),
    (
        "vanish",
        "a thousand callers hang up mid-stream: every place is free within a second",
        vanish::run,
    ),
    (
        "latency",
        "three models answer while an order tunes: the first token within its bound",
        latency::run,
    ),
    (
        "soak",
        "twice the callers that the server holds: answered or refused, memory flat",
        soak::run,
    ),
];

/// Runs the named scenario, or all.
pub fn run(arguments: &[String]) -> Outcome {
    if let [name, options @ ..] = arguments
        && name == "soak"
        && !options.is_empty()
    {
        let minutes = soak::minutes(options)?;
        build()?;
        return soak::run_for(minutes);
    }
    let wanted: Vec<_> = match arguments {
        [] => SCENARIOS.iter().collect(),
        [name] => SCENARIOS
            .iter()
            .filter(|(known, ..)| known == name)
            .collect(),
        _ => return Err(format!("acceptance takes one name, got {arguments:?}")),
    };
    if wanted.is_empty() {
        return Err(format!("no scenario {arguments:?}\n{}", list()));
    }
    build()?;
    for (name, what, scenario) in wanted {
        eprintln!("\n── {name}: {what}");
        scenario().map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(())
}

/// The program that all scenarios run.
fn build() -> Outcome {
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--package",
        "lathe",
        "--locked",
    ]))
}

fn list() -> String {
    SCENARIOS
        .iter()
        .map(|(name, what, _)| format!("  {name:<16}{what}\n"))
        .collect()
}
