//! The adapter in the real `peft`, over the same base, against the answers that are served.

use super::home::FreshHome;
use super::result;
use crate::python;
use crate::shell::{self, Outcome};

/// Tunes on the quick records, serves, and asks both.
pub fn run() -> Outcome {
    let home = FreshHome::new("peft")?;
    let finished = home.run_order(&["--quick"])?;
    let name = finished.step("deploy")?["figures"]["name"]
        .as_str()
        .ok_or("the step deploy names no model")?;
    let (_up, url) = home.up()?;
    let printed = shell::output(
        python::PEERS
            .command("tests/python/peft_greedy.py")?
            .arg(home.file_of(&finished, "model", "gguf")?)
            .arg(home.object_of(&finished, "tune")?)
            .arg(home.object_of(&finished, "prepare")?.join("records.jsonl"))
            .env("LATHE_MODEL", name)
            .env(
                "LATHE_BASE_URL",
                format!("{}/v1", url.trim_end_matches('/')),
            ),
    )?;
    result::append(
        "the adapter in peft, f32, against the served answers",
        "cargo xtask acceptance peft",
        &format!("```text\n{}\n```", printed.trim_end()),
    )
}
