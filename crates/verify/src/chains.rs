//! Judging deployments: the chain of each that counts, and that what answers is one of them.

use std::io::Read;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Deployment, Link};
use lathe_ledger::History;
use lathe_register::chain::{self, Pieces};

use crate::Findings;
use crate::findings::Mismatch;
use crate::objects::Objects;
use crate::store::Material;

impl Pieces for Objects {
    fn manifest(&self, artifact: Digest) -> Result<Digest, String> {
        Objects::manifest(self, artifact).map(|it| it.digest())
    }

    fn open(&self, artifact: Digest, path: &str) -> Result<Box<dyn Read + '_>, String> {
        Ok(Box::new(Objects::open(self, artifact, path)?))
    }
}

/// Verifies the newest deployment of every name.
pub fn check(
    material: &Material,
    history: &History,
    objects: &Objects,
    at_ms: i64,
    findings: &mut Findings,
) {
    let current = chain::current(history);
    let carried = |link: &Link| {
        let link = Some(link.to_string());
        material.served.iter().any(|(_, it)| *it == link)
    };
    for link in &current {
        if material.is_bundle && !carried(link) {
            continue;
        }
        let Some(said) = history.said::<Deployment>(link) else {
            continue;
        };
        let what = format!("deployment {}", said.name);
        match chain::verify(history, link, objects, at_ms) {
            Ok(chain) => {
                let number = &chain.number;
                let approved = if chain.self_approved {
                    "self-approved".to_owned()
                } else {
                    format!("approved by {}", chain.approved_by)
                };
                let records: u64 = chain
                    .datasets
                    .iter()
                    .filter_map(|link| history.said::<lathe_evidence::statement::Dataset>(link))
                    .map(|dataset| dataset.train)
                    .sum();
                let text = format!(
                    "registered as {number}, {approved}, from {records} training records; its verdict comes out the same"
                );
                findings.holds(what, text);
            }
            Err(denials) => {
                for denial in denials {
                    findings.fails(what.clone(), denial.code, denial.to_string());
                }
            }
        }
    }
    check_served(material, history, &current, findings);
}

/// What answers under a name is that name's newest deployment.
fn check_served(material: &Material, history: &History, current: &[Link], findings: &mut Findings) {
    for (name, link) in &material.served {
        let link: Option<Link> = link.as_ref().and_then(|it| it.parse().ok());
        let said = link.and_then(|it| history.said::<Deployment>(&it));
        let newest = link.is_some_and(|it| current.contains(&it));
        if !newest || said.is_none_or(|it| it.name != *name) {
            let text = "the store's row names no deployment that counts under this name";
            findings.fails(format!("deployment {name}"), Mismatch::Row.code(), text);
        }
    }
}
