//! A recipe's search: trials in folders of their own, the winner to the end in the recipe's folder, and a
//! table of what was tried and what it cost.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;
use std::time::Instant;

use lathe_tune::recipe::Recipe;
use lathe_tune::recipe::search::{Next, Search, Trial};
use serde_json::json;

use super::super::recipe_files::of_tune;
use super::{Args, Run, Rung};
use crate::fail::{Failure, Outcome};

/// Name of the table in the recipe's folder.
const TABLE: &str = "search.json";

/// Searches, then runs the winner.
pub fn run(run: &Run<'_>, search: &Search) -> Outcome {
    let out = &run.settings().output_dir;
    let mut trials = search.trials(run.settings().seed).map_err(of_tune)?;
    let (mut higher, mut name) = (true, "");
    while let Some(next) = search.next(&trials, higher) {
        let began = Instant::now();
        let (metric, called, more) = one(run, &trials[next.trial], next)?;
        (higher, name) = (more, called);
        let trial = &mut trials[next.trial];
        trial.metrics.push(metric);
        trial.seconds += began.elapsed().as_secs_f64();
        tell(next, trial, called);
        keep(out, &trials, name, None)?;
    }
    let winner = search
        .winner(&trials, higher)
        .expect("a search has a trial");
    keep(out, &trials, name, Some(winner))?;
    let folder = out.join(folder_of(winner));
    // Its checkpoints: the run goes on from them.
    for entry in fs::read_dir(&folder).map_err(|error| failed("read", &folder, &error))? {
        let path = entry
            .map_err(|error| failed("read", &folder, &error))?
            .path();
        let to = out.join(path.file_name().expect("an entry has a name"));
        if !to.exists() {
            fs::rename(&path, &to).map_err(|error| failed("move", &path, &error))?;
        }
    }
    let recipe = recipe_of(run.args, &trials[winner], out)?;
    let whole = Run {
        recipe: &recipe,
        rung: None,
        ..*run
    };
    whole.run()
}

fn folder_of(trial: usize) -> String {
    format!("trial-{}", trial + 1)
}

/// Runs one trial to a rung.
fn one(run: &Run<'_>, trial: &Trial, next: Next) -> Result<(f64, &'static str, bool), Failure> {
    let out = run.settings().output_dir.join(folder_of(next.trial));
    let recipe = recipe_of(run.args, trial, &out)?;
    let rung = Rung {
        share: next.share,
        found: OnceCell::new(),
    };
    let of_trial = Run {
        recipe: &recipe,
        rung: Some(&rung),
        ..*run
    };
    of_trial.run()?;
    let found = rung.found.get().copied();
    Ok(found.expect("a run to a rung measures there"))
}

/// The recipe with a trial's values.
fn recipe_of(args: &Args, trial: &Trial, out: &Path) -> Result<Recipe, Failure> {
    let values = trial.values.iter();
    let values = values.map(|(key, value)| format!("{key}={value}"));
    let own = [
        "search=null".to_owned(),
        "resume_from_checkpoint=null".to_owned(),
        format!("output_dir={}", json!(out.display().to_string())),
    ];
    let overrides = args.overrides.iter().cloned().chain(values).chain(own);
    Recipe::load(&args.recipe, &overrides.collect::<Vec<_>>()).map_err(of_tune)
}

fn tell(next: Next, trial: &Trial, name: &str) {
    let metric = trial.metrics.last().copied().unwrap_or(f64::NAN);
    let values = trial.values.iter();
    let values: Vec<String> = values
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    eprintln!(
        "trial {:>3}  {:>5.1} %  {name} {metric:.4}  {:>6.0} s  {}",
        next.trial + 1,
        100.0 * next.share,
        trial.seconds,
        values.join(" ")
    );
}

/// Writes the table as it stands.
fn keep(out: &Path, trials: &[Trial], name: &str, winner: Option<usize>) -> Result<(), Failure> {
    let table = json!({
        "metric": name,
        "trials": trials,
        "winner": winner.map(|winner| winner + 1),
        "seconds": trials.iter().map(|trial| trial.seconds).sum::<f64>(),
    });
    let path = out.join(TABLE);
    fs::create_dir_all(out)
        .and_then(|()| fs::write(&path, format!("{table:#}\n")))
        .map_err(|error| failed("write", &path, &error))
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        "tune-file",
        format!("cannot {what} {}: {error}", path.display()),
        "check that the folder is writable and the disk not full",
    )
}
