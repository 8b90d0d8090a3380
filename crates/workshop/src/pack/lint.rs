//! `gate check`: whether every rule of a pack's policy can bite, given what the pack measures.

use lathe_eval::ChallengerSpec;
use lathe_eval::metrics::{MACRO_F1, PEARSON_R, VALID_JSON};
use lathe_gate::{Challenger, Metric, Orphan, Setting, lint};

use super::Pack;

/// The rules of the pack's gate that can never hold, or never refuse.
pub fn orphans(pack: &Pack) -> Vec<Orphan> {
    lint(&pack.gate, &setting(pack))
}

/// What an order of this pack will measure.
fn setting(pack: &Pack) -> Setting {
    let targets = &pack.task.targets;
    let metric = |name: &str, min: f64| Metric {
        name: name.to_owned(),
        min,
        max: 1.0,
    };
    let mut metrics = vec![metric(VALID_JSON, 0.0)];
    metrics.extend(targets.number.as_ref().map(|_| metric(PEARSON_R, -1.0)));
    metrics.extend(targets.class.as_ref().map(|_| metric(MACRO_F1, 0.0)));
    let names: Vec<String> = metrics.iter().map(|metric| metric.name.clone()).collect();
    let challengers = pack.evaluate.challengers.iter();
    let challengers = challengers.map(|spec| match spec {
        ChallengerSpec::LinearNgrams(_) => Challenger {
            name: spec.name().to_owned(),
            metrics: names.clone(),
            measured: true,
        },
        ChallengerSpec::Published(published) => Challenger {
            name: spec.name().to_owned(),
            metrics: published.metrics.keys().cloned().collect(),
            measured: false,
        },
    });
    Setting {
        challengers: challengers.collect(),
        slices: pack.evaluate.slices.clone(),
        metrics,
    }
}
