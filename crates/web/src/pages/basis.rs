//! What a decision about a waiting model rests on, in figures: the tuned model's, the best challenger's, and that of
//! the model which answers under the name now, from its own report.

use lathe_evidence::report::{Interval, Report, Subject};
use lathe_workshop::store::PendingRow;
use lathe_workshop::{DeploymentView, WorkshopError};

use super::report;
use crate::AppState;
use crate::lang::Say;

/// The figures, and what speaks against the model.
pub(super) struct Basis {
    pub figures: Vec<Measured>,
    /// Each in a sentence; empty where nothing does.
    pub worse: Vec<String>,
    /// Its figures prove nothing about production.
    pub demonstration: bool,
}

/// The primary metric of one model.
pub(super) struct Measured {
    pub name: String,
    pub value: String,
    pub note: String,
}

impl Basis {
    /// Read from the report of the order that waits, and from that of the one whose model answers now.
    pub(super) async fn read(
        state: &AppState,
        say: Say,
        row: &PendingRow,
        answers: Option<&DeploymentView>,
    ) -> Result<Option<Basis>, WorkshopError> {
        let Some(report) = state.desk.report(&row.order).await? else {
            return Ok(None);
        };
        let now = match answers.filter(|it| it.order != row.order) {
            Some(it) => state.desk.report(&it.order).await?,
            None => None,
        };
        Ok(Some(Basis::new(say, &report, now.as_ref())))
    }

    fn new(say: Say, report: &Report, now: Option<&Report>) -> Basis {
        let metric = &report.primary_metric;
        let of = |subject: Option<&Subject>| subject?.metrics.get(metric).copied();
        let tuned = of(report.tuned());
        let best = of(report.best_challenger(metric));
        let now = of(now.and_then(|it| it.tuned()));
        let figures = [
            ("web.role.tuned", tuned),
            ("web.role.best_challenger", best),
            ("web.pending.now", now),
        ];
        let figures = figures
            .into_iter()
            .filter_map(|(role, it)| Some(measured(say, role, metric, &it?)));
        let against = [
            ("web.pending.worse.now", now),
            ("web.pending.worse.challenger", best),
        ];
        let worse = against.into_iter().filter_map(|(key, other)| {
            let (own, other) = (tuned?.value, other?.value);
            report::is_below(metric, own, other).then(|| {
                let own = report::figure_text(metric, own);
                let other = report::figure_text(metric, other);
                say.with(key, &[("own", &own), ("other", &other)])
            })
        });
        Basis {
            figures: figures.collect(),
            worse: worse.collect(),
            demonstration: report.demonstration,
        }
    }
}

fn measured(say: Say, role: &str, metric: &str, interval: &Interval) -> Measured {
    let figure = report::figure(say, metric, interval);
    Measured {
        name: format!("{} · {}", say.it(role), report::metric(say, metric)),
        value: figure.text,
        note: match interval.low.zip(interval.high) {
            Some(_) => say.of("web.report.tile", figure.interval),
            None => figure.interval,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;
    use serde_json::json;

    fn report(tuned: f64, challenger: f64) -> Report {
        let subject = |role: &str, value: f64| {
            json!({
                "role": role, "name": role, "note": "", "records": 9, "predictions_sha256": null,
                "metrics": {"accuracy": {"value": value, "low": value - 0.1, "high": value + 0.1}},
                "slices": [],
            })
        };
        let report = json!({
            "version": 1, "demonstration": true, "primary_metric": "accuracy", "records": 9,
            "groups": 9, "paired": [], "worst": [], "bootstrap": {"resamples": 10, "seed": 1},
            "subjects": [subject("tuned", tuned), subject("challenger", challenger)],
        });
        serde_json::from_value(report).expect("a report")
    }

    #[test]
    fn what_is_worse_than_what_answers_or_than_a_challenger_is_said_to_be() {
        let say = Say::new(Lang::En);
        let waits = report(0.571, 0.5);
        let basis = Basis::new(say, &waits, Some(&report(1.0, 0.5)));
        assert_eq!(
            basis.worse,
            ["Worse than what answers now: 0.571 against 1.000"]
        );
        let values: Vec<&str> = basis.figures.iter().map(|it| &it.value[..]).collect();
        assert_eq!(values, ["0.571", "0.500", "1.000"]);
        assert!(basis.figures[0].note.contains("0.471 … 0.671"));
        assert!(basis.demonstration);
        // Nothing answers, and a challenger is better.
        let basis = Basis::new(say, &report(0.571, 0.6), None);
        assert_eq!(
            basis.worse,
            ["Worse than the best challenger: 0.571 against 0.600"]
        );
        assert_eq!(basis.figures.len(), 2);
        // What reads as the same figure is not called worse.
        let same = Basis::new(say, &report(0.5711, 0.5714), Some(&waits));
        assert!(same.worse.is_empty(), "{:?}", same.worse);
    }
}
