//! What the product exports, before the packages that others verify with.

use super::home::FreshHome;
use super::result;
use crate::python;
use crate::shell::{self, Outcome};

/// The name that the pack's model answers under after the quick order.
const NAME: &str = "customer-care-demonstration";

/// Runs the quick order, exports what it left as anybody would, and hands it to the real Python
/// packages.
pub fn run() -> Outcome {
    let home = FreshHome::new("validators")?;
    home.run_order(&["--quick"])?;
    let out = home.path().join("exported");
    let failed = |error: std::io::Error| format!("writing {}: {error}", out.display());
    std::fs::create_dir_all(&out).map_err(failed)?;
    let keys = shell::output(&mut home.lathe(&["keys", "list", "--json"]))?;
    std::fs::write(out.join("keys.json"), keys).map_err(failed)?;
    shell::run(
        home.lathe(&["bundle", "export", NAME])
            .arg(out.join("bundle")),
    )?;
    shell::run(
        home.lathe(&["export", "model", NAME])
            .arg(out.join("weights")),
    )?;
    shell::run(
        home.lathe(&["export", "ml-bom", NAME, "--out"])
            .arg(out.join("ml-bom.json")),
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
