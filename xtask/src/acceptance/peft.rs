//! The adapter in the real `peft`, over the same base, against the answers that are served.

use std::path::PathBuf;

use super::home::{Finished, FreshHome};
use super::result;
use crate::python;
use crate::shell::{self, Outcome};

/// Tunes on the quick records, serves, and asks both.
pub fn run() -> Outcome {
    let home = FreshHome::new("peft")?;
    let finished = home.run_order(&["--quick"])?;
    let (_up, url) = home.up()?;
    let object = |step: &str| object(&home, &finished, step);
    let printed = shell::output(
        python::PEERS
            .command("tests/python/peft_greedy.py")?
            .arg(find(&object("model")?, "gguf")?)
            .arg(object("tune")?)
            .arg(object("prepare")?.join("records.jsonl"))
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

/// The folder of the artifact a step made.
fn object(home: &FreshHome, finished: &Finished, step: &str) -> Result<PathBuf, String> {
    let digest = finished.step(step)?["output"]
        .as_str()
        .ok_or_else(|| format!("step {step} has no output"))?;
    Ok(home.path().join("objects").join(digest))
}

/// The file with the given ending in a folder.
fn find(folder: &std::path::Path, ending: &str) -> Result<PathBuf, String> {
    std::fs::read_dir(folder)
        .map_err(|error| format!("reading {}: {error}", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|found| found == ending))
        .ok_or_else(|| format!("no .{ending} in {}", folder.display()))
}
