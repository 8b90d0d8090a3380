//! What a home exports, before the packages that others verify with.

use super::home::FreshHome;
use super::result;
use crate::python;
use crate::shell::{self, Outcome};

/// Runs the quick order, exports its evidence and hands it to the real Python packages.
pub fn run() -> Outcome {
    let home = FreshHome::new("validators")?;
    home.run_order(&["--quick"])?;
    let out = home.path().join("exported");
    shell::run(
        shell::cargo(&[
            "run",
            "--release",
            "--locked",
            "--package",
            "lathe-verify",
            "--example",
            "export",
            "--",
        ])
        .arg(home.path())
        .arg(&out),
    )?;
    let printed = shell::output(
        python::VALIDATORS
            .command("tests/python/validators.py")?
            .arg(&out),
    )?;
    let outside = shell::output(
        shell::cargo(&[
            "run",
            "--release",
            "--locked",
            "--package",
            "lathe-verify",
            "--",
        ])
        .arg(home.path()),
    )?;
    result::append(
        "exported evidence before other people's validators",
        "cargo xtask acceptance validators",
        &format!(
            "```text\n{}\n```\n\n`lathe-verify` on the same home:\n\n```text\n{}\n```",
            printed.trim_end(),
            outside.trim_end()
        ),
    )
}
