//! Every metric of some predictions, for a line about them before there is a report.

use std::collections::BTreeMap;

use lathe_data::prepare::Sealed;
use lathe_data::task::Task;

use crate::EvalError;
use crate::predictions::Predictions;
use crate::rows::Truths;

/// The metrics of `predictions` on `records`, which hold every record that was predicted.
///
/// # Errors
/// Predictions that do not fit the records, a task that scores nothing.
pub fn measure(
    task: &Task,
    records: &[Sealed],
    predictions: &Predictions,
) -> Result<BTreeMap<String, f64>, EvalError> {
    let mut truths = Truths::of(task, records)?;
    let rows = truths.rows(predictions)?;
    let metrics = truths.metrics(rows.iter());
    let named = metrics.into_iter();
    Ok(named
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use lathe_evidence::report::Role;

    #[test]
    fn good_predictions_measure_well() {
        let (task, records) = (testing::task(), testing::records(40));
        let predictions = testing::predictions(Role::Base, "base", &records, 0.1);
        let metrics = measure(&task, &records, &predictions).expect("they fit");
        let names: Vec<&str> = metrics.keys().map(String::as_str).collect();
        assert_eq!(names, ["macro_f1", "pearson_r", "valid_json"]);
        assert!(metrics["pearson_r"] > 0.9 && metrics["valid_json"] == 1.0);
    }
}
