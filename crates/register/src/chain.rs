//! Is this deployment whole?
//!
//! [`verify`] walks from the deployment's statement to everything it rests on: registration,
//! approval, verdict, evaluation, training, base model and datasets. It checks that all of them
//! speak of the same model, hashes every file again through [`Pieces`], computes the gate's verdict
//! anew from the report and the policy, and looks at time, withdrawals and the register's state. A
//! stored pass is never read back as one.
//!
//! The ledger itself (signatures, roles, order) is checked by whoever made the [`History`]. Whether
//! what runs in memory is what lies on disk is for the server.

mod approver;
mod behind;
mod denial;
mod files;
mod judge;
mod standing;
mod walk;

use std::io::Read;

use lathe_evidence::Digest;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{Deployment, Link};
use lathe_gate::Policy;
use lathe_ledger::History;

pub use approver::{Approver, approver};
pub use behind::{DataBehind, Leaves, TakenBack, data_behind, leaves_behind, withdrawn_behind};
pub use denial::{Denial, DenialKind};
pub use judge::{challengers, figures, judge};
pub use standing::restored_since;
pub use walk::{Judged, Said, Trunk, Walk, walk, walk_evaluation, walk_verdict};

/// The artifacts, as the caller can read them.
pub trait Pieces {
    /// The digest of the artifact's manifest, its files hashed now.
    ///
    /// # Errors
    /// Why it cannot be hashed, for people.
    fn manifest(&self, artifact: Digest) -> Result<Digest, String>;

    /// One file of the artifact, from its start: weights and records are more than is held at once.
    ///
    /// # Errors
    /// Why it cannot be opened, for people.
    fn open(&self, artifact: Digest, path: &str) -> Result<Box<dyn Read + '_>, String>;
}

/// A deployment that is whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The name it answers under.
    pub name: String,
    /// Its number in the register.
    pub number: String,
    /// The statement of the deployment.
    pub deployment: Link,
    /// The registration step it rests on.
    pub registration: Link,
    /// The approval it rests on.
    pub approval: Link,
    /// The verdict it rests on.
    pub verdict: Link,
    /// The evaluation judged.
    pub evaluation: Link,
    /// The training, of several stages the last; absent where a base model answers as it came.
    pub training: Option<Link>,
    /// The statements and adapters of all stages, the first one first; `training` is the last.
    pub stages: Vec<(Link, Digest)>,
    /// The base model's statement.
    pub base: Link,
    /// The statements of the datasets, those tuned on first.
    pub datasets: Vec<Link>,
    /// The digest of the base model's manifest.
    pub base_model: Digest,
    /// The digest of the adapter's manifest.
    pub adapter: Option<Digest>,
    /// The digests of the datasets' manifests, in the order of `datasets`.
    pub dataset_artifacts: Vec<Digest>,
    /// The digest of the manifest of the report's folder.
    pub report_artifact: Digest,
    /// The digest of the task it was measured on.
    pub task: Digest,
    /// The policy it was held against.
    pub policy: Policy,
    /// The report it was judged by.
    pub report: Report,
    /// Whether nobody but the workshop itself approved it: to be shown wherever it is shown.
    pub self_approved: bool,
    /// Who approved it, in words: a person, or whose key it was.
    pub approved_by: String,
    /// When verdict or approval goes stale, whichever is first, milliseconds since 1970.
    pub expires_ms: Option<i64>,
    /// Whether it is a demonstration, held to less.
    pub demonstration: bool,
}

impl Chain {
    /// The digest of the model: the adapter's manifest, or the base model's.
    pub fn model(&self) -> Digest {
        self.adapter.unwrap_or(self.base_model)
    }
}

/// A chain whose statements and files hold, and what has come over it since.
#[derive(Debug, Clone, PartialEq)]
pub struct Examined {
    /// The chain.
    pub chain: Chain,
    /// Evidence that was withdrawn or is past its time: a reason to restrict what answers. Never
    /// anything else.
    pub stale: Vec<Denial>,
}

/// Whether the deployment is whole at `now_ms`.
///
/// # Errors
/// Everything that is missing, altered, out of place, refused, withdrawn or expired, by name.
pub fn verify(
    history: &History,
    deployment: &Link,
    pieces: &dyn Pieces,
    now_ms: i64,
) -> Result<Chain, Vec<Denial>> {
    let examined = examine(history, deployment, pieces, now_ms)?;
    if examined.stale.is_empty() {
        Ok(examined.chain)
    } else {
        Err(examined.stale)
    }
}

/// Like [`verify`], but tells evidence that was withdrawn or has expired apart from evidence that
/// does not hold.
///
/// # Errors
/// Everything that is missing, altered, out of place or refused, by name.
pub fn examine(
    history: &History,
    deployment: &Link,
    pieces: &dyn Pieces,
    now_ms: i64,
) -> Result<Examined, Vec<Denial>> {
    let walk = walk(history, deployment).map_err(|denial| vec![denial])?;
    let mut denials = standing::denials(history, &walk);
    let found = files::read(&walk.judged.trunk, pieces, &mut denials);
    let mut stale = standing::expired(&walk, now_ms);
    stale.extend(standing::withdrawn(
        history,
        &walk.judged.trunk.datasets,
        &found.leaves,
    ));
    let report = found.report.and_then(|report| {
        judge::hold(
            &walk.judged,
            report,
            walk.deployment.what.demonstration,
            &mut denials,
        )
    });
    match report {
        Some(report) if denials.is_empty() => Ok(Examined {
            chain: chain(history, &walk, report),
            stale,
        }),
        _ => {
            denials.extend(stale);
            Err(denials)
        }
    }
}

/// What has come over the evidence of a deployment since it was said: it was withdrawn, or is past its
/// time. Asked of older deployments too, whose models are still handed out; whether one may answer is for
/// [`verify`]. Only the leaves of its datasets are read, and those only where single records were
/// withdrawn.
///
/// # Errors
/// What of its statements is missing or out of place, or cannot be read.
pub fn stale(
    history: &History,
    deployment: &Link,
    pieces: &dyn Pieces,
    now_ms: i64,
) -> Result<Vec<Denial>, Vec<Denial>> {
    let walk = walk(history, deployment).map_err(|denial| vec![denial])?;
    let trunk = &walk.judged.trunk;
    let mut denials = Vec::new();
    let leaves = match standing::records_withdrawn(history) {
        true => files::leaves(&trunk.datasets, pieces, &mut denials),
        false => Vec::new(),
    };
    if !denials.is_empty() {
        return Err(denials);
    }
    let mut stale = standing::expired(&walk, now_ms);
    stale.extend(standing::withdrawn(history, &trunk.datasets, &leaves));
    Ok(stale)
}

/// The deployments that count: the newest of each name. Older ones were replaced.
pub fn current(history: &History) -> Vec<Link> {
    let mut names = std::collections::BTreeMap::new();
    for entry in history.of_kind("deployment") {
        if let Some(said) = history.said::<Deployment>(&entry.link) {
            names.insert(said.name.as_str(), entry.link);
        }
    }
    names.into_values().collect()
}

fn chain(history: &History, walk: &Walk<'_>, report: Report) -> Chain {
    let Walk {
        deployment,
        registration,
        approval,
        judged,
        ..
    } = walk;
    let (verdict, trunk) = (&judged.verdict, &judged.trunk);
    let ends = [approval.what.expires_ms, verdict.what.expires_ms];
    let decided = approver(history, &approval.signer, approval.what);
    Chain {
        name: deployment.what.name.clone(),
        number: registration.what.number.clone(),
        deployment: deployment.link,
        registration: registration.link,
        approval: approval.link,
        verdict: verdict.link,
        evaluation: trunk.evaluation.link,
        training: trunk.training.as_ref().map(|it| it.link),
        stages: trunk.stages().map(|it| (it.link, it.subject)).collect(),
        base: trunk.base.link,
        datasets: trunk.datasets.iter().map(|it| it.link).collect(),
        base_model: trunk.base.subject,
        adapter: deployment.what.adapter,
        dataset_artifacts: trunk.datasets.iter().map(|it| it.subject).collect(),
        report_artifact: trunk.evaluation.subject,
        task: trunk.evaluation.what.task,
        policy: judged.policy.clone(),
        report,
        self_approved: decided.is_itself(&judged.signers(), &approval.signer),
        approved_by: decided.to_string(),
        expires_ms: ends.into_iter().flatten().min(),
        demonstration: deployment.what.demonstration,
    }
}
