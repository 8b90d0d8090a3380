//! What a dry run foresaw of a recipe, beside what the run of that recipe then took.
//!
//! ```text
//! <home's cache>/plans/<digest of the recipe>.json    what was foreseen; may be deleted
//! <output folder>/run.json                            the same, and what was taken
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_tune::Outcome as Tuned;
use lathe_tune::recipe::Settings;
use serde_json::{Value, json};

use super::super::recipe_files::Files;
use crate::fail::Failure;

/// Name of the account in the output folder.
pub const RUN: &str = "run.json";

/// Keeps what was foreseen, for the run that follows.
pub fn keep(files: &Files, settings: &Settings, foreseen: &Value) -> Result<(), Failure> {
    let path = path(files, settings);
    let folder = path.parent().expect("it lies in a folder");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, foreseen.to_string()))
        .map_err(|error| failed(&path, &error))
}

/// Writes what was taken beside what was foreseen, which is null where there was no dry run; gives both.
pub fn compare(
    files: &Files,
    settings: &Settings,
    tuned: &Tuned,
    seconds: f64,
) -> Result<Value, Failure> {
    let foreseen = fs::read(path(files, settings)).ok();
    let foreseen = foreseen.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let both = json!({
        "foreseen": foreseen,
        "took": {
            "steps": tuned.steps,
            "seconds": seconds.round(),
            "peak_mib": peak_mib(),
            "resumed_from": tuned.resumed_from,
        },
    });
    let path = settings.output_dir.join(RUN);
    fs::write(&path, format!("{both:#}\n")).map_err(|error| failed(&path, &error))?;
    Ok(both)
}

/// Another recipe is another file; two runs of one are foreseen alike.
fn path(files: &Files, settings: &Settings) -> PathBuf {
    let name = Digest::of(format!("{settings:?}").as_bytes());
    files.cache.join("plans").join(format!("{name}.json"))
}

/// The most memory the process has held, as Linux counts it.
pub fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        "tune-file",
        format!("cannot write {}: {error}", path.display()),
        "check that the folder is writable and the disk not full",
    )
}
