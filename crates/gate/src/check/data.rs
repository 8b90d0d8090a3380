//! Rules about what the scan of the data found. With several datasets the worst one decides.

use lathe_evidence::statement::Dataset;

use super::{Evidence, Finding, finding};
use crate::policy::Policy;

/// One finding for each rule that the policy gives.
pub(super) fn findings(evidence: &Evidence<'_>, policy: &Policy) -> Vec<Finding> {
    let rules = &policy.data;
    let share = |limit: Option<crate::policy::Share>| limit.map(crate::policy::Share::get);
    let asked = [
        (&PERSONAL, share(rules.personal_max_share)),
        (&HARMFUL, share(rules.harmful_max_share)),
        (&DUPLICATES, share(rules.duplicates_max_share)),
        (
            &OVERLAP,
            rules.overlap_max_records.map(|limit| limit as f64),
        ),
    ];
    asked
        .into_iter()
        .filter_map(|(rule, limit)| Some(judge(rule, limit?, evidence.datasets)))
        .collect()
}

/// A rule about a scan.
struct DataRule {
    key: &'static str,
    /// The rule in words, up to its limit.
    words: &'static str,
    /// The figure of a dataset, in the unit of the limit.
    figure: fn(&Dataset) -> f64,
    cure: &'static str,
}

const PERSONAL: DataRule = DataRule {
    key: "data.personal_max_share",
    words: "the share of records with personal data is at most",
    figure: |data| part(data.scan.personal_records, data.train + data.test),
    cure: "take the records with personal data out, or replace what identifies a person",
};

const HARMFUL: DataRule = DataRule {
    key: "data.harmful_max_share",
    words: "the share of records with harmful words is at most",
    figure: |data| part(data.scan.harmful, data.train + data.test),
    cure: "take the records with harmful words out, or another source",
};

const DUPLICATES: DataRule = DataRule {
    key: "data.duplicates_max_share",
    words: "the share of rows that repeat an earlier one is at most",
    figure: |data| {
        let repeated = data.scan.duplicates;
        part(repeated, data.train + data.test + repeated)
    },
    cure: "remove repeated rows from the source",
};

const OVERLAP: DataRule = DataRule {
    key: "data.overlap_max_records",
    words: "the held-out records whose text is trained on too are at most",
    figure: |data| data.scan.overlap as f64,
    cure: "give data.dedupe, or a data.split.group that keeps like texts together",
};

fn part(some: u64, all: u64) -> f64 {
    some as f64 / all.max(1) as f64
}

fn judge(rule: &DataRule, limit: f64, datasets: &[&Dataset]) -> Finding {
    let words = format!("{} {limit}", rule.words);
    let found = |evidence: String, figure: Option<f64>, cure: Option<String>| Finding {
        limit: Some(limit),
        ..finding(rule.key, words.clone(), evidence, figure, cure)
    };
    if let Some(unscanned) = datasets.iter().find(|it| it.scan.version == 0) {
        let cure = "run the order again: its data is scanned when it is prepared";
        let evidence = format!("{}: not scanned", unscanned.name);
        return found(evidence, None, Some(cure.to_owned()));
    }
    let worst = datasets
        .iter()
        .map(|data| (data, (rule.figure)(data)))
        .max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((data, figure)) = worst else {
        let cure = "run the order again: no statement says what it was tuned on";
        return found("no dataset".to_owned(), None, Some(cure.to_owned()));
    };
    let cure = (figure > limit).then(|| rule.cure.to_owned());
    let records = data.train + data.test;
    let evidence = format!("the scan of {}, {records} records", data.name);
    found(evidence, Some(figure), cure)
}
