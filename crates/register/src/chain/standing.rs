//! Whether what was decided still counts: the register's state, the approval, time, withdrawals.

use std::collections::HashMap;

use lathe_evidence::Digest;
use lathe_evidence::statement::{
    ApprovalPolicy, Dataset, Decision, Deployment, Registration, RegistrationAction, Withdrawal,
    Withdrawn,
};
use lathe_ledger::History;

use super::behind::TakenBack;
use super::denial::{Denial, DenialKind};
use super::walk::{Said, Walk};
use crate::registrations;

/// Why the deployment does not stand, whatever the time.
pub(super) fn denials(history: &History, walk: &Walk<'_>) -> Vec<Denial> {
    let mut found = Vec::new();
    found.extend(replaced(history, walk));
    found.extend(restored(history, walk));
    found.extend(not_registered(history, walk));
    found.extend(not_approved(history, walk));
    found
}

/// A later deployment took the name.
fn replaced(history: &History, walk: &Walk<'_>) -> Option<Denial> {
    let name = &walk.deployment.what.name;
    let later = history.of_kind("deployment").rev().find(|entry| {
        let said = history.said::<Deployment>(&entry.link);
        said.is_some_and(|it| it.name == *name)
    })?;
    if later.link == walk.deployment.link {
        return None;
    }
    let why = format!(
        "the deployment in entry {} was replaced by entry {}",
        walk.deployment.index, later.index
    );
    let rule = "the newest deployment of a name answers";
    Some(Denial::new(DenialKind::Replaced, rule, why))
}

/// The home was put back from a backup after it was deployed: what the backup does not know of, a
/// newer deployment or a withdrawal, may have happened, so somebody has to deploy again.
fn restored(history: &History, walk: &Walk<'_>) -> Option<Denial> {
    let since = restored_since(history, walk.deployment.index)?;
    let why = format!(
        "the deployment in entry {} is from before the home was restored from a backup in entry {since}",
        walk.deployment.index
    );
    let rule = "what answers was deployed after the home was last restored";
    Some(Denial::new(DenialKind::Restored, rule, why))
}

/// The entry after `index` that says that the home was restored, if there is one.
pub fn restored_since(history: &History, index: u64) -> Option<u64> {
    let newest = history.of_kind("restored").next_back()?;
    (newest.index > index).then_some(newest.index)
}

/// The register has moved on, or never was there.
fn not_registered(history: &History, walk: &Walk<'_>) -> Option<Denial> {
    let registration = &walk.registration;
    let refuse = |why: String| {
        let rule = "the register holds the model as registered or changed";
        Some(Denial::new(DenialKind::NotRegistered, rule, why))
    };
    let number = &registration.what.number;
    let action = registration.what.action;
    if !matches!(
        action,
        RegistrationAction::Registered | RegistrationAction::Changed
    ) {
        return refuse(format!(
            "registration {number} is only {}",
            registrations::word(action)
        ));
    }
    let life = history.of_kind("registration").filter_map(|entry| {
        let said = history.said::<Registration>(&entry.link)?;
        (said.number == *number).then_some((entry, said))
    });
    let mut previous = None;
    let mut effective = None;
    for (entry, said) in life {
        if let Err(why) = registrations::may_follow(previous, said) {
            return refuse(format!(
                "registration {number}, entry {}: {why}",
                entry.index
            ));
        }
        previous = Some((entry.link, said));
        if said.action >= RegistrationAction::Registered {
            effective = Some((entry, said.action));
        }
    }
    match effective {
        Some((entry, _)) if entry.link == registration.link => None,
        Some((entry, action)) => refuse(format!(
            "registration {number} was {} in entry {}",
            registrations::word(action),
            entry.index
        )),
        None => refuse(format!("registration {number} is not in the register")),
    }
}

/// The approval says no, or comes from somebody who may not say yes.
fn not_approved(history: &History, walk: &Walk<'_>) -> Option<Denial> {
    let approval = &walk.approval;
    let number = &approval.what.number;
    let refuse = |rule: &str, why: String| Some(Denial::new(DenialKind::NotApproved, rule, why));
    if approval.what.decision != Decision::Approved {
        let why = format!(
            "the approval of {number} in entry {} says rejected",
            approval.index
        );
        return refuse("an approver said that it may be used", why);
    }
    if approval.index > walk.registration.index {
        let why = format!("the approval of {number} came after the registration");
        return refuse("approval comes before registration", why);
    }
    let mut signers = walk.judged.signers();
    signers.extend(walk.steps.iter().map(|step| step.signer));
    if history.approval_policy() == ApprovalPolicy::TwoPerson && signers.contains(&approval.signer)
    {
        let key = history.key(&approval.signer);
        let owner = key.map_or_else(|| approval.signer.short(), |key| key.record.name.clone());
        let why = format!("{owner} approved {number} and signed what was approved");
        return refuse(
            "two persons: who approves signed nothing of what is approved",
            why,
        );
    }
    None
}

/// What is past its time at `now_ms`.
pub(super) fn expired(walk: &Walk<'_>, now_ms: i64) -> Vec<Denial> {
    let ends = [
        (
            "the verdict",
            walk.judged.verdict.index,
            walk.judged.verdict.what.expires_ms,
        ),
        (
            "the approval",
            walk.approval.index,
            walk.approval.what.expires_ms,
        ),
    ];
    let past = ends.into_iter().filter_map(|(what, index, end)| {
        let end_ms = end.filter(|end| now_ms >= *end)?;
        let hours = (now_ms - end_ms) / 3_600_000;
        let why = format!("{what} in entry {index} is past its time");
        let denial = Denial::new(DenialKind::Expired, &format!("{what} still holds"), why);
        Some(denial.with_figure(format!("expired {hours} hours ago")))
    });
    past.collect()
}

/// Whether single records were ever withdrawn.
pub(super) fn records_withdrawn(history: &History) -> bool {
    let mut said = history.of_kind("withdrawal");
    said.any(|entry| {
        let said = history.said::<Withdrawal>(&entry.link);
        said.is_some_and(|it| matches!(it.what, Withdrawn::Leaf(_)))
    })
}

/// What of the data was withdrawn; `leaves` are those of each dataset, in their order.
pub(super) fn withdrawn(
    history: &History,
    datasets: &[Said<'_, Dataset>],
    leaves: &[HashMap<Digest, u64>],
) -> Vec<Denial> {
    let found = taken(history, datasets, leaves);
    found.into_iter().map(|it| it.denial).collect()
}

/// The same with the entries that say so.
pub(super) fn taken(
    history: &History,
    datasets: &[Said<'_, Dataset>],
    leaves: &[HashMap<Digest, u64>],
) -> Vec<TakenBack> {
    let mut found = Vec::new();
    for entry in history.of_kind("withdrawal") {
        let Some(said) = history.said::<Withdrawal>(&entry.link) else {
            continue;
        };
        for (place, dataset) in datasets.iter().enumerate() {
            let what = match &said.what {
                Withdrawn::Leaf(leaf) => {
                    let line = leaves.get(place).and_then(|leaves| leaves.get(leaf));
                    line.map(|line| format!("record {line}, leaf {leaf},"))
                }
                Withdrawn::Dataset(digest) => {
                    taken_back(history, digest, dataset).then(|| "the whole".to_owned())
                }
                Withdrawn::Agreement(name) => (dataset.what.agreement.as_ref() == Some(name))
                    .then(|| format!("the agreement {name:?}")),
            };
            if let Some(what) = what {
                let why = format!(
                    "{what} of dataset {} was withdrawn in entry {}: {}",
                    dataset.what.name, entry.index, said.reason
                );
                let rule = "all data may still be used";
                found.push(TakenBack {
                    dataset: dataset.subject,
                    withdrawal: entry.link,
                    denial: Denial::new(DenialKind::Withdrawn, rule, why),
                });
            }
        }
    }
    found
}

/// Whether withdrawing the dataset version `withdrawn` takes `dataset` back: it is that version, or
/// another one made from the same file.
fn taken_back(history: &History, withdrawn: &Digest, dataset: &Said<'_, Dataset>) -> bool {
    if *withdrawn == dataset.subject {
        return true;
    }
    let said = history
        .find("dataset", withdrawn)
        .and_then(|entry| history.said::<Dataset>(&entry.link));
    said.is_some_and(|it| it.file == dataset.what.file)
}
