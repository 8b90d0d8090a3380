//! Rules about what the licences of the base model and of the data permit.

use super::{Evidence, Finding, finding};
use crate::licence::permits;
use crate::policy::{LicenceRules, Policy};

/// A finding for the base model and one for the data.
pub(super) fn findings(evidence: &Evidence<'_>, policy: &Policy) -> Vec<Finding> {
    let Some(rules) = &policy.licences else {
        return Vec::new();
    };
    let base = (evidence.base.name.as_str(), evidence.base.licence.as_str());
    let data = evidence
        .datasets
        .iter()
        .map(|dataset| (dataset.name.as_str(), dataset.licence.as_str()));
    vec![
        judge("licences.base", "the base model", rules, vec![base]),
        judge("licences.data", "the data", rules, data.collect()),
    ]
}

/// The first licence that does not permit the use decides; nothing to look at permits nothing.
fn judge(key: &str, what: &str, rules: &LicenceRules, terms: Vec<(&str, &str)>) -> Finding {
    let purpose = rules.purpose.name();
    let rule = format!("the licence of {what} permits {purpose} use");
    let refused = terms
        .iter()
        .find_map(|(name, licence)| Some((name, licence, permits(licence, rules).err()?)));
    if let Some((name, licence, reason)) = refused {
        let cure = format!(
            "use {what} under other terms, or name a signed permission in gate.licences.allow"
        );
        return finding(
            key,
            rule,
            format!("{name}, {licence}: {reason}"),
            None,
            Some(cure),
        );
    }
    let all: Vec<String> = terms
        .iter()
        .map(|(name, licence)| format!("{name}, {licence}"))
        .collect();
    let cure = all
        .is_empty()
        .then(|| "run the order again: no statement says what it was made of".to_owned());
    finding(key, rule, all.join("; "), None, cure)
}
