//! `cargo xtask bench ledger`: a million entries hashed, logged and proved by one thread.

use serde_json::Value;

use crate::acceptance::append;
use crate::shell::{self, Outcome};

/// The project's own bound: seconds for a million leaves on one core.
const TOTAL_S_MAX: f64 = 60.0;

/// Builds the bench, runs it once, and writes its row.
pub fn run() -> Outcome {
    let name = "ledger_bench";
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "lathe-ledger",
        "--features",
        "fixture",
        "--example",
        name,
    ]))?;
    let program = shell::target_dir().join("release/examples").join(name);
    let found = shell::last_object(&mut shell::command(program, &[]))?;
    let number = |name: &str| found[name].as_f64().unwrap_or(f64::NAN);
    append(
        "The ledger on one core",
        "cargo xtask bench ledger",
        &table(&found, number),
    )?;
    let total_s = number("total_s");
    if total_s < TOTAL_S_MAX {
        return Ok(());
    }
    Err(format!("{total_s} s, more than {TOTAL_S_MAX} s"))
}

fn table(found: &Value, number: impl Fn(&str) -> f64) -> String {
    let leaves = number("leaves");
    let row = |what: &str, seconds: f64, count: f64| {
        format!(
            "| {what} | {seconds:.2} | {:.0} |\n",
            1e6 * seconds / count * 1e3
        )
    };
    format!(
        "{leaves:.0} entries of {} bytes, one thread.\n\n| | s | ns each |\n|---|---|---|\n{}{}{}{}\n\
         Signatures apart: {:.0} statements sealed and taken in in {:.2} s, read and verified again in {:.2} s.\n",
        found["bytes_each"],
        row("hashed as leaves", number("hash_s"), leaves),
        row("logged in the tree, with its root", number("log_s"), leaves),
        row(
            "inclusion proved and verified for each",
            number("prove_s"),
            leaves
        ),
        row("all", number("total_s"), leaves),
        number("signed"),
        number("seal_s"),
        number("read_s"),
    )
}
