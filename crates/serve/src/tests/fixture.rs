//! An admitted tiny model: the real way in, with a minimal report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lathe_evidence::report::{Bootstrap, Interval, Report, Role, Subject};
use lathe_gate::{Bound, Policy, Rule, Threshold};
use lathe_workshop::admission::admit;
use lathe_workshop::{Admitted, DeployableFiles, OrderId};

/// The random model of `tests/fixtures/make_tiny_model.py`.
pub fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model")
}

/// `base` under `name`, admitted by a report that passes.
pub fn admitted(name: &str, base: PathBuf, adapter: Option<PathBuf>) -> Admitted<DeployableFiles> {
    let files = DeployableFiles {
        name: name.to_owned(),
        base,
        adapter,
        system: Some("Say how the customer feels.".to_owned()),
        example: Some("The camera is great.".to_owned()),
        demonstration: true,
        order: OrderId::new(),
        created_ms: 1_750_000_000_000,
    };
    admit(&passing_report(), &policy(), files).expect("the report passes the policy")
}

fn policy() -> Policy {
    let threshold = Threshold {
        metric: "valid_json".to_owned(),
        rule: Rule::AtLeast(0.9),
        bound: Bound::Value,
    };
    Policy {
        thresholds: vec![threshold],
    }
}

fn passing_report() -> Report {
    let valid = Interval {
        value: 1.0,
        low: None,
        high: None,
    };
    let tuned = Subject {
        role: Role::Tuned,
        name: "tiny".to_owned(),
        note: "A random model; the figure is made up for tests.".to_owned(),
        records: 1,
        predictions_sha256: None,
        metrics: BTreeMap::from([("valid_json".to_owned(), valid)]),
        slices: Vec::new(),
    };
    Report {
        version: Report::VERSION,
        demonstration: true,
        primary_metric: "valid_json".to_owned(),
        records: 1,
        groups: 1,
        subjects: vec![tuned],
        paired: Vec::new(),
        worst: Vec::new(),
        bootstrap: Bootstrap {
            resamples: 0,
            seed: 0,
        },
    }
}
