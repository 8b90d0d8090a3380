//! From a deployment to all it rests on, by the links of the statements.

use std::collections::BTreeSet;

use lathe_evidence::Digest;
use lathe_evidence::statement::Link;
use lathe_ledger::History;

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
    let verdict: Option<Said<lathe_evidence::statement::Verdict>> = deployment
        .as_ref()
        .and_then(|it| Said::of(history, &it.said.verdict));
    let evaluation: Option<Said<lathe_evidence::statement::Evaluation>> = verdict
        .as_ref()
        .and_then(|it| Said::of(history, &it.said.evaluation));
    let training: Option<Said<lathe_evidence::statement::Training>> = evaluation
        .as_ref()
        .and_then(|it| Said::of(history, it.said.training.as_ref()?));
    let base = evaluation
        .as_ref()
        .and_then(|it| Said::of(history, &it.said.base));
    let links: Vec<Link> = match (&training, &evaluation) {
        (Some(it), _) => it.said.datasets.iter().map(|it| it.statement).collect(),
        (None, Some(it)) => vec![it.said.dataset],
        (None, None) => Vec::new(),
    };
    let mut chain = ChainView {
        datasets: links
            .iter()
            .filter_map(|it| Said::of(history, it))
            .collect(),
        deployment,
        registration,
        approval,
        verdict,
        evaluation,
        training,
        base,
        self_approved: false,
    };
    chain.self_approved = chain
        .approval
        .as_ref()
        .is_some_and(|it| approved(&chain).contains(&it.signer));
    chain
}

/// The keys that signed what was approved.
fn approved(chain: &ChainView) -> BTreeSet<Digest> {
    let mut signers = BTreeSet::new();
    signers.extend(chain.verdict.as_ref().map(|it| it.signer));
    signers.extend(chain.evaluation.as_ref().map(|it| it.signer));
    signers.extend(chain.training.as_ref().map(|it| it.signer));
    signers.extend(chain.base.as_ref().map(|it| it.signer));
    signers.extend(chain.datasets.iter().map(|it| it.signer));
    signers
}
