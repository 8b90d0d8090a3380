//! `gate check`: whether every rule of a pack's policy can bite, given what the pack measures.

use lathe_data::task::ChatForm;
use lathe_eval::ChallengerSpec;
use lathe_eval::metrics::{ANSWER_LOGPROB, MACRO_F1, PEARSON_R, PREFERENCE_MARGIN, VALID_JSON};
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
    let metrics = match pack.task.chat {
        Some(form) => of_words(form),
        None => {
            let mut metrics = vec![metric(VALID_JSON, 0.0)];
            metrics.extend(targets.number.as_ref().map(|_| metric(PEARSON_R, -1.0)));
            metrics.extend(targets.class.as_ref().map(|_| metric(MACRO_F1, 0.0)));
            metrics
        }
    };
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

/// What is measured of answers in free words.
fn of_words(form: ChatForm) -> Vec<Metric> {
    let metric = |name: &str, max: f64| Metric {
        name: name.to_owned(),
        min: f64::NEG_INFINITY,
        max,
    };
    let mut metrics = vec![metric(ANSWER_LOGPROB, 0.0)];
    if form == ChatForm::Preference {
        metrics.push(metric(PREFERENCE_MARGIN, f64::INFINITY));
    }
    metrics
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_sample_pack_uses_every_section_of_the_gate_and_every_rule_bites() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/customer-care");
        for quick in [false, true] {
            let pack = crate::pack::load(&folder, quick).unwrap().pack;
            assert_eq!(orphans(&pack), [], "quick: {quick}");
            let gate = &pack.gate;
            assert_eq!(gate.require.len(), 4);
            assert!(gate.licences.is_some() && gate.expires_days.is_some());
            let data = gate.data;
            assert!(data.personal_max_share.is_some() && data.harmful_max_share.is_some());
            assert!(data.duplicates_max_share.is_some() && data.overlap_max_records.is_some());
            let sliced = gate.thresholds.iter().any(|it| it.slice.is_some());
            assert_eq!(sliced, !quick, "400 records are too few for slices");
        }
    }

    #[test]
    fn a_rule_that_cannot_bite_is_named() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/customer-care");
        let mut pack = crate::pack::load(&folder, false).unwrap().pack;
        pack.evaluate.slices.clear();
        let places: Vec<String> = orphans(&pack).into_iter().map(|it| it.place).collect();
        assert_eq!(
            places,
            ["thresholds[2]"],
            "a slice that the report does not have"
        );
        pack.gate.thresholds.remove(2);
        pack.gate.data.personal_max_share = Some(1.0.try_into().unwrap());
        let places: Vec<String> = orphans(&pack).into_iter().map(|it| it.place).collect();
        assert_eq!(places, ["data.personal_max_share"], "no share is above one");
    }
}
