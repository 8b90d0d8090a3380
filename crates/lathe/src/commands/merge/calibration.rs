//! Records by which a written model's blocks are chosen, and what that kept.

use std::path::Path;

use lathe_engine::RawModel;
use lathe_kernel::Pool;
use lathe_tune::calibrate::{CalibrationSet, CalibrationSpec, Measured, RoundingLoss};
use lathe_tune::recipe::Recipe;
use lathe_tune::recipe::lesson::{self, Tokenising};
use lathe_tune::recipe::table::Table;
use lathe_tune::token_cache::TokenCache;
use serde_json::json;

use super::super::recipe_files::{Files, of_tune, tokenising_bar};
use super::super::say;
use crate::fail::Failure;
use crate::table;

/// Takes records of a recipe's data, `table` being its file if it names one, for a model that `raw` is
/// and speaks as.
pub fn of_recipe(
    recipe: &Recipe,
    raw: &RawModel,
    data: Option<&Table<'_>>,
    spec: CalibrationSpec,
    (files, pool): (&Files, &Pool),
) -> Result<CalibrationSet, Failure> {
    let mut tokenising = Tokenising {
        cache: TokenCache {
            folder: &files.tokens(),
            pool,
        },
        on: &mut tokenising_bar(),
    };
    let rows = lesson::rows(recipe, raw, data, None, &mut tokenising).map_err(of_tune)?;
    CalibrationSet::of(rows, spec, &raw.config).map_err(of_tune)
}

/// The same of a file, laid out as it looks.
pub fn of_file(
    file: &Path,
    raw: &RawModel,
    spec: CalibrationSpec,
    around: (&Files, &Pool),
) -> Result<CalibrationSet, Failure> {
    // What is not said here has no part in reading.
    let yaml = json!({
        "stage": "quantize",
        "model_name_or_path": ".",
        "train_file": file,
        "output_dir": ".",
        "export_quantization_maxlen": spec.tokens_max,
    });
    let recipe = Recipe::parse(&yaml.to_string(), &[], Path::new("")).map_err(of_tune)?;
    of_recipe(&recipe, raw, Some(&Table::File(file)), spec, around)
}

/// Prints what rounding cost.
pub fn print(loss: &RoundingLoss) {
    let heading = ["weights", "nll", "perplexity", "kl", "same"];
    let heading = heading.map(|name| say(&format!("cli.quantise.{name}")));
    let heading = heading.each_ref().map(String::as_str);
    let row = |name: &str, found: &Measured| {
        vec![
            say(&format!("cli.quantise.{name}")),
            format!("{:.4}", found.nll),
            format!("{:.3}", found.perplexity),
            format!("{:.5}", found.mean_kl),
            format!("{:.1} %", 100.0 * found.same_tokens),
        ]
    };
    let rows = [
        row("unquantised", &loss.unquantised),
        row("plain", &loss.plain),
        row("calibrated", &loss.calibrated),
    ];
    table::print(&heading, &rows, "");
}
