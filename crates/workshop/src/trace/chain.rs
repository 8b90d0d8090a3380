//! From a deployment to all it rests on, by the links of the statements.

use std::collections::BTreeSet;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Link, Training};
use lathe_ledger::History;
use lathe_register::chain::approver;

use super::{ChainView, Said};

/// What the deployment of this link rests on. What is not there is left out, not judged.
pub fn chain_of(history: &History, deployment: &Link) -> ChainView {
    let deployment: Option<Said<lathe_evidence::statement::Deployment>> =
        Said::of(history, deployment);
    let registration: Option<Said<lathe_evidence::statement::Registration>> = deployment
        .as_ref()
        .and_then(|it| Said::of(history, &it.said.registration));
    let approval: Option<Said<lathe_evidence::statement::Approval>> = registration
        .as_ref()
        .and_then(|it| Said::of(history, it.said.approval.as_ref()?));
    let verdict = deployment.as_ref().map(|it| it.said.verdict);
    let mut chain = rests(history, verdict.as_ref());
    let signers: Vec<Digest> = approved(&chain).into_iter().collect();
    chain.self_approved = approval.as_ref().is_some_and(|it| {
        let by = approver(history, &it.signer, &it.said);
        by.is_itself(&signers, &it.signer)
    });
    ChainView {
        deployment,
        registration,
        approval,
        ..chain
    }
}

/// What a model rests on that somebody has to decide about, from its verdict.
pub fn candidate_of(history: &History, verdict: &Link) -> ChainView {
    rests(history, Some(verdict))
}

/// What a verdict rests on, and the verdict.
fn rests(history: &History, verdict: Option<&Link>) -> ChainView {
    let verdict: Option<Said<lathe_evidence::statement::Verdict>> =
        verdict.and_then(|it| Said::of(history, it));
    let evaluation: Option<Said<lathe_evidence::statement::Evaluation>> = verdict
        .as_ref()
        .and_then(|it| Said::of(history, &it.said.evaluation));
    let training: Option<Said<lathe_evidence::statement::Training>> = evaluation
        .as_ref()
        .and_then(|it| Said::of(history, it.said.training.as_ref()?));
    let base = evaluation
        .as_ref()
        .and_then(|it| Said::of(history, &it.said.base));
    let earlier = earlier(history, training.as_ref());
    let stages = earlier.iter().chain(&training);
    let tuned_on = stages.flat_map(|it| it.said.datasets.iter().map(|it| it.statement));
    let mut links: Vec<Link> = tuned_on.collect();
    let mut known = BTreeSet::new();
    links.retain(|link| known.insert(*link));
    let measured = evaluation.as_ref().map(|it| it.said.dataset);
    match links.iter().position(|link| Some(*link) == measured) {
        // As the register has it: what the task is about comes first.
        Some(place) => links[..=place].rotate_right(1),
        None if training.is_none() => links.extend(measured),
        None => {}
    }
    ChainView {
        datasets: links
            .iter()
            .filter_map(|it| Said::of(history, it))
            .collect(),
        deployment: None,
        registration: None,
        approval: None,
        verdict,
        evaluation,
        training,
        earlier,
        base,
        withdrawn: Vec::new(),
        self_approved: false,
    }
}

/// The stages that a training goes on from, the first one first.
fn earlier(history: &History, last: Option<&Said<Training>>) -> Vec<Said<Training>> {
    let mut stages: Vec<Said<Training>> = Vec::new();
    let mut previous = last.and_then(|it| it.said.previous.clone());
    // A statement names earlier ones only, so this ends.
    while let Some(stage) = previous.and_then(|it| Said::<Training>::of(history, &it.statement)) {
        previous = stage.said.previous.clone();
        stages.push(stage);
    }
    stages.reverse();
    stages
}

/// The keys that signed what was approved.
fn approved(chain: &ChainView) -> BTreeSet<Digest> {
    let mut signers = BTreeSet::new();
    signers.extend(chain.verdict.as_ref().map(|it| it.signer));
    signers.extend(chain.evaluation.as_ref().map(|it| it.signer));
    signers.extend(chain.training.iter().map(|it| it.signer));
    signers.extend(chain.earlier.iter().map(|it| it.signer));
    signers.extend(chain.base.as_ref().map(|it| it.signer));
    signers.extend(chain.datasets.iter().map(|it| it.signer));
    signers
}
