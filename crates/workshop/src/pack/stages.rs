//! The stages of a pack: which steps an order of it has, and which data each of them reads.
//!
//! A pack has the supervised stage; before it may stand continued pretraining, after it preference
//! tuning, which may also stand alone, and at the end corrections of earlier answers. All of them tune one adapter:
//! each goes on from what the one before made, and the last one's is measured and served.

use lathe_data::DataSpec;
use serde_json::Value;

use super::Pack;
use crate::order::StepName;

/// A data source of a pack, and the steps that bring it in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DataOf<'p> {
    /// The source.
    pub spec: &'p DataSpec,
    /// The step that fetches it.
    pub fetched: StepName,
    /// The step that makes a dataset of it.
    pub prepared: StepName,
}

impl Pack {
    /// The steps that tune, in the order they run.
    pub fn stages(&self) -> Vec<StepName> {
        let before = self.tune.pretrain.as_ref().map(|_| StepName::Pretrain);
        let supervised = (!self.tune.preference_only).then_some(StepName::Tune);
        let after = self.tune.preference.as_ref().map(|_| StepName::Preference);
        let corrected = self
            .tune
            .corrections
            .as_ref()
            .map(|_| StepName::Corrections);
        let stages = before.into_iter().chain(supervised).chain(after);
        stages.chain(corrected).collect()
    }

    /// The stage whose losses are the order's curve: the supervised one, where there is one.
    pub fn curve_stage(&self) -> StepName {
        match self.tune.preference_only {
            true => StepName::Preference,
            false => StepName::Tune,
        }
    }

    /// Refuses stages that cannot be run after one another.
    pub(super) fn check_stages(&self) -> Result<(), String> {
        let tune = &self.tune;
        match (tune.preference_only, &tune.preference) {
            (true, None) => {
                Err("`tune.preference_only` is true and there is no `tune.preference`".to_owned())
            }
            (true, Some(_)) if tune.pretrain.is_some() => Err(
                "`tune.preference_only` is true and there is a `tune.pretrain` beside it"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// The step whose adapter is measured and served.
    pub fn last_stage(&self) -> StepName {
        self.stages().pop().unwrap_or(StepName::Tune)
    }

    /// The stage whose adapter a stage goes on from; none for the first one.
    pub fn stage_before(&self, step: StepName) -> Option<StepName> {
        let stages = self.stages();
        let place = stages.iter().position(|stage| *stage == step)?;
        place.checked_sub(1).map(|before| stages[before])
    }

    /// The data that a step fetches, prepares or tunes on; none for the other steps.
    pub fn data_of(&self, step: StepName) -> Option<DataOf<'_>> {
        let own = DataOf {
            spec: &self.data,
            fetched: StepName::Data,
            prepared: StepName::Prepare,
        };
        match step {
            StepName::Data | StepName::Prepare | StepName::Tune => Some(own),
            StepName::PretrainData | StepName::PretrainPrepare | StepName::Pretrain => {
                let pretrain = self.tune.pretrain.as_ref()?;
                Some(DataOf {
                    spec: &pretrain.data,
                    fetched: StepName::PretrainData,
                    prepared: StepName::PretrainPrepare,
                })
            }
            StepName::PreferenceData | StepName::PreferencePrepare | StepName::Preference => {
                match &self.tune.preference.as_ref()?.data {
                    Some(spec) => Some(DataOf {
                        spec,
                        fetched: StepName::PreferenceData,
                        prepared: StepName::PreferencePrepare,
                    }),
                    None => Some(own),
                }
            }
            StepName::CorrectionsData | StepName::CorrectionsPrepare | StepName::Corrections => {
                let corrections = self.tune.corrections.as_ref()?;
                Some(DataOf {
                    spec: &corrections.data,
                    fetched: StepName::CorrectionsData,
                    prepared: StepName::CorrectionsPrepare,
                })
            }
            _ => None,
        }
    }
}

/// The steps that an order has by its pack as JSON text.
pub(crate) fn steps_of(spec: &str) -> Vec<StepName> {
    let spec: Value = serde_json::from_str(spec).unwrap_or_default();
    let asks = |pointer: &str| spec.pointer(pointer).is_some_and(|it| !it.is_null());
    let has = |step: &StepName| match step {
        StepName::PretrainData | StepName::PretrainPrepare | StepName::Pretrain => {
            asks("/tune/pretrain")
        }
        StepName::PreferenceData | StepName::PreferencePrepare => asks("/tune/preference/data"),
        StepName::Preference => asks("/tune/preference"),
        StepName::CorrectionsData | StepName::CorrectionsPrepare | StepName::Corrections => {
            asks("/tune/corrections")
        }
        StepName::Tune => spec.pointer("/tune/preference_only") != Some(&Value::Bool(true)),
        _ => true,
    };
    StepName::KNOWN.into_iter().filter(has).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn pack(tune: Value) -> Pack {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack");
        let mut pack = crate::pack::load(&folder, false).unwrap().pack;
        pack.tune = serde_json::from_value(tune).unwrap();
        pack
    }

    fn data(name: &str) -> Value {
        json!({"name": name, "source": "file:x.jsonl", "licence": "MIT", "owner": "us"})
    }

    #[test]
    fn steps_are_stored_by_the_names_that_are_printed() {
        for step in StepName::KNOWN {
            assert_eq!(json!(step), step.as_str());
        }
    }

    #[test]
    fn a_plain_pack_has_the_steps_that_every_order_has() {
        let pack = pack(json!({}));
        assert_eq!(steps_of(&json!(pack).to_string()), StepName::ALL);
        assert_eq!(pack.stages(), [StepName::Tune]);
        assert_eq!(pack.stage_before(StepName::Tune), None);
        assert!(!json!(pack).to_string().contains("preference"));
    }

    #[test]
    fn each_stage_goes_on_from_the_one_before_and_reads_its_own_data() {
        let pack = pack(json!({
            "pretrain": {"data": data("texts"), "text": "{{ t }}"},
            "preference": {"data": data("pairs"), "rejected": "{{ r }}"},
            "corrections": {"data": data("corrected")},
        }));
        assert_eq!(steps_of(&json!(pack).to_string()), StepName::KNOWN);
        let stages = [
            StepName::Pretrain,
            StepName::Tune,
            StepName::Preference,
            StepName::Corrections,
        ];
        assert_eq!(pack.stages(), stages);
        assert_eq!(pack.last_stage(), StepName::Corrections);
        let names = stages.map(|it| pack.data_of(it).unwrap().spec.name.as_str());
        assert_eq!(names, ["texts", "feelings", "pairs", "corrected"]);
        assert_eq!(pack.stage_before(StepName::Pretrain), None);
        assert_eq!(pack.stage_before(StepName::Tune), Some(StepName::Pretrain));
        for step in StepName::KNOWN {
            if let Some(of) = pack.data_of(step) {
                assert!(of.fetched < of.prepared && of.fetched <= step);
            }
        }
    }

    #[test]
    fn preferences_without_a_source_are_of_the_packs_own_records() {
        let pack = pack(json!({"preference": {"rejected": "{}"}}));
        let steps = steps_of(&json!(pack).to_string());
        assert!(
            steps.contains(&StepName::Preference) && !steps.contains(&StepName::PreferenceData)
        );
        let of = pack.data_of(StepName::Preference).unwrap();
        assert_eq!(
            (of.spec.name.as_str(), of.prepared),
            ("feelings", StepName::Prepare)
        );
    }
}
