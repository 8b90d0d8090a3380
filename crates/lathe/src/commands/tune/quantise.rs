//! The stage that learns nothing: a base, with an adapter or without, in blocks of 4 or 8 bits that are
//! chosen by the recipe's records, as a GGUF folder.

use std::path::PathBuf;

use lathe_tune::calibrate;
use lathe_tune::merge::{self, Form, MergeJob};
use serde_json::json;

use super::super::Printing;
use super::super::merge::{calibration, merge_and_tell};
use super::super::recipe_files::of_tune;
use super::Run;
use crate::fail::Outcome;

/// Runs it, or says what it would take in.
pub(super) fn run(run: &Run<'_>) -> Outcome {
    let (settings, base) = (run.settings(), &run.brought.base);
    let (form, format) = (Form::Gguf, settings.block_type());
    calibrate::check(form, format).map_err(of_tune)?;
    let adapters = settings.adapter_name_or_path.iter();
    let adapters: Vec<(PathBuf, f32)> = adapters.map(|it| (PathBuf::from(it), 1.0)).collect();
    let template = settings.template.as_deref();
    let raw = merge::open(base, &adapters, template).map_err(of_tune)?;
    let table = run.brought.table();
    let (spec, around) = (settings.calibration(), (run.files, run.pool));
    let set = calibration::of_recipe(run.recipe, &raw, table.as_ref(), spec, around)?;
    drop(raw);
    if run.args.dry_run {
        return run.print(&json!({
            "type": format.name(),
            "calibration": set.counts,
        }));
    }
    let prompts = merge::PROMPTS.map(str::to_owned);
    let job = MergeJob {
        base,
        adapters: &adapters,
        template,
        out: &settings.output_dir,
        form,
        format,
        prompts: &prompts,
        system: None,
        calibration: Some(&set),
        pool: run.pool,
    };
    let json = run.args.json;
    merge_and_tell(&job, &settings.model_name_or_path, Printing { json })
}
