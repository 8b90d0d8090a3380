//! Admission by type: only what the ledger proves becomes an [`Admitted`].
//!
//! `of` reads a deployment's chain from the ledger, with every file hashed anew, and is the only
//! way to an [`Admitted`] beside tests. What is refused is refused by name. The chain itself is
//! verified by `lathe_register`; measuring and the rules are elsewhere.

use std::collections::BTreeSet;
use std::path::PathBuf;

use lathe_data::task::TaskSpec;
use lathe_evidence::Digest;
use lathe_evidence::statement::{Cause, Link, Training};
use lathe_ledger::History;
use lathe_register::Denial;
use lathe_register::chain::{self, DenialKind, Examined};
use serde_json::json;

use crate::catalogue::DeploymentRow;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::key::digest_of;
use crate::objects;
use crate::order::{OrderId, StepError};
use crate::pack::Pack;
use crate::people::reach;
use crate::pieces::Folders;
use crate::steps;
use crate::store::orders::parse;
use crate::workshop::Workshop;

/// A value that passed the gate. Only this module makes one.
#[derive(Debug, Clone)]
pub struct Admitted<T> {
    inner: T,
}

impl<T> Admitted<T> {
    /// The admitted value.
    pub fn get(&self) -> &T {
        &self.inner
    }
}

/// The files of a model that may answer requests.
#[derive(Debug, Clone, PartialEq)]
pub struct DeployableFiles {
    /// The name it answers under: the `model` field of requests.
    pub name: String,
    /// The base model: a .gguf file or a Hugging Face folder.
    pub base: PathBuf,
    /// The adapter's folder in PEFT's format, if tuned.
    pub adapter: Option<PathBuf>,
    /// The system prompt it was tuned and measured with; the caller sends it.
    pub system: Option<String>,
    /// A user's message as it was measured, to try the model with.
    pub example: Option<String>,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// The order it came from.
    pub order: OrderId,
    /// When it was deployed, milliseconds since 1970.
    pub created_ms: i64,
    /// The statement of its deployment.
    pub deployment: Link,
    /// The digest of the model: the adapter's manifest, or the base model's.
    pub model: Digest,
    /// The digest of the policy it was admitted by.
    pub policy: Digest,
    /// The folder of the dataset it was tuned on, if tuned; of several the one it was measured on.
    pub dataset: Option<PathBuf>,
    /// The folders of the other datasets that its stages were tuned on.
    pub further_datasets: Vec<PathBuf>,
    /// The task it was tuned and measured on: renders records, reads answers.
    pub task: Option<TaskSpec>,
    /// The workshop's origin: the ContentProducer of what it answers (GB 45438).
    pub origin: String,
}

/// Why a model is not admitted: each piece that is missing or altered, by name.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The gate does not let it pass.
    #[error("the gate refuses {name}: {}", rules(verdict))]
    Gate {
        /// The name it was to answer under.
        name: String,
        /// How each rule fared.
        verdict: lathe_gate::Verdict,
    },
    /// The chain behind it does not hold.
    #[error("{name} is not admitted: {}", evidence(denials))]
    Chain {
        /// The name it was to answer under.
        name: String,
        /// What does not hold; never empty.
        denials: Vec<Denial>,
    },
    /// A file or a row cannot be read.
    #[error("{0}")]
    Unreadable(#[from] WorkshopError),
}

/// The rules that do not hold, with their figures.
fn rules(verdict: &lathe_gate::Verdict) -> String {
    let failed = verdict.findings.iter().filter(|finding| !finding.passed);
    let parts: Vec<String> = failed
        .map(|finding| match finding.figure {
            Some(figure) => format!("{} ({}: {figure:.4})", finding.rule, finding.evidence),
            None => format!("{} ({}: no figure)", finding.rule, finding.evidence),
        })
        .collect();
    parts.join("; ")
}

/// What does not hold. A rule that several pieces after one another break is told once, after the last of them.
fn evidence(denials: &[Denial]) -> String {
    let mut parts = Vec::new();
    for (at, denial) in denials.iter().enumerate() {
        let goes_on = denials
            .get(at + 1)
            .is_some_and(|next| (&next.rule, &next.figure) == (&denial.rule, &denial.figure));
        parts.push(match goes_on {
            true => denial.evidence.clone(),
            false => denial.to_string(),
        });
    }
    parts.join("; ")
}

/// The gate's refusal as the error of a step.
pub(crate) fn gate_refuses(name: &str, verdict: &lathe_gate::Verdict) -> StepError {
    Refusal::Gate {
        name: name.to_owned(),
        verdict: verdict.clone(),
    }
    .into()
}

impl From<Refusal> for StepError {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        let (code, cures) = match refusal {
            Refusal::Gate { verdict, .. } => {
                let failed = verdict.findings.into_iter().filter(|it| !it.passed);
                let cures: Vec<String> = failed.map(|finding| finding.cure).collect();
                ("gate-refused", cures)
            }
            Refusal::Chain { denials, .. } => {
                let code = denials.first().map_or("chain-missing", |it| it.code);
                let mut cures: Vec<String> = denials.into_iter().map(|it| it.cure).collect();
                cures.dedup();
                (code, cures)
            }
            Refusal::Unreadable(error) => return error.into(),
        };
        StepError {
            code: code.to_owned(),
            text,
            next: cures.join("; "),
        }
    }
}

/// Admits a deployment of this workshop: its chain is read from the ledger, its files are hashed.
///
/// # Errors
/// The refusal, by name.
pub(crate) async fn of(
    shop: &Workshop,
    row: DeploymentRow,
) -> Result<Admitted<DeployableFiles>, StepError> {
    let order = shop.store().order(&row.order).await?.ok_or_else(|| {
        WorkshopError::new(
            "order-unknown",
            format!(
                "the order {} of {} is not in the store",
                row.order, row.name
            ),
            "run the order again",
        )
    })?;
    let pack: Pack = parse("an order's pack", &order.spec)?;
    let history = shop.store().ledger()?.read().await;
    let home = shop.home().clone();
    // Hashing the weights takes a moment: not on an async thread.
    let admitted = reach::spawn_blocking(move || admit(&history, &home, &row, pack.task, now_ms()))
        .await
        .map_err(|error| StepError {
            code: "daemon-crashed".to_owned(),
            text: format!("admission stumbled: {error}"),
            next: "this is a mistake in Lathe; please report it".to_owned(),
        })?;
    Ok(admitted?)
}

/// How the evidence of a deployment looks now.
#[derive(Debug)]
pub(crate) enum Look {
    /// It holds.
    Whole,
    /// It holds, but was withdrawn or is past its time.
    Stale(Cause, StepError),
    /// It does not hold.
    Broken(StepError),
}

/// Looks at a deployment anew: its chain and every file behind it.
///
/// # Errors
/// `ledger-broken`; what cannot be looked at.
pub(crate) async fn look(shop: &Workshop, row: &DeploymentRow) -> Result<Look, WorkshopError> {
    let history = shop.store().ledger()?.read().await;
    let (home, row) = (shop.home().clone(), row.clone());
    reach::spawn_blocking(move || match examine(&history, &home, &row, now_ms()) {
        Ok(examined) => stale(&row.name, examined.stale),
        Err(refusal) => Look::Broken(refusal.into()),
    })
    .await
    .map_err(|error| {
        WorkshopError::new(
            "daemon-crashed",
            format!("looking at the evidence stumbled: {error}"),
            "this is a mistake in Lathe; please report it",
        )
    })
}

fn stale(name: &str, denials: Vec<Denial>) -> Look {
    let Some(first) = denials.first() else {
        return Look::Whole;
    };
    let cause = match first.kind {
        DenialKind::Withdrawn => Cause::Withdrawn,
        _ => Cause::Expired,
    };
    let name = name.to_owned();
    Look::Stale(cause, Refusal::Chain { name, denials }.into())
}

/// Whether a deployment may be closed again: why not, otherwise.
///
/// # Errors
/// As [`look`].
pub(crate) async fn whole(
    shop: &Workshop,
    row: &DeploymentRow,
) -> Result<Result<(), StepError>, WorkshopError> {
    Ok(match look(shop, row).await? {
        Look::Whole => Ok(()),
        Look::Stale(_, why) | Look::Broken(why) => Err(why),
    })
}

/// Reads the chain behind `row` from the ledger and hashes its files.
fn examine(
    history: &History,
    home: &Home,
    row: &DeploymentRow,
    at_ms: i64,
) -> Result<Examined, Refusal> {
    let link = row.link.ok_or_else(|| {
        WorkshopError::new(
            "chain-missing",
            format!("{} was deployed before there was a ledger", row.name),
            "run the order again, so that its statements are said",
        )
    })?;
    let pieces = Folders::new(home.objects());
    let examined = chain::examine(history, &link, &pieces, at_ms);
    let examined = examined.map_err(|denials| Refusal::Chain {
        name: row.name.clone(),
        denials,
    })?;
    if examined.chain.name != row.name {
        return Err(altered_row(row, "name").into());
    }
    Ok(examined)
}

/// A row of the store that says something else than the ledger.
fn altered_row(row: &DeploymentRow, what: &str) -> WorkshopError {
    WorkshopError::new(
        "chain-mismatch",
        format!(
            "the store's row of {} has another {what} than its chain",
            row.name
        ),
        "run the order again, so that the row is written anew",
    )
}

/// Admits what `row` names, if its chain holds. What was withdrawn or has expired since is admitted
/// too: its breaker is restricted, which the scrubber sees to before the door opens.
fn admit(
    history: &History,
    home: &Home,
    row: &DeploymentRow,
    task: TaskSpec,
    at_ms: i64,
) -> Result<Admitted<DeployableFiles>, Refusal> {
    let chain = examine(history, home, row, at_ms)?.chain;
    if digest_of(&json!(task)) != chain.task {
        return Err(altered_row(row, "task").into());
    }
    let folder = |digest: &Digest| objects::path(home, &digest.to_string());
    let stages = chain.stages.iter().map(|(link, _)| link);
    let stages = stages.filter_map(|link| history.said::<Training>(link));
    let tuned_on: BTreeSet<Digest> = stages
        .flat_map(|stage| stage.datasets.iter().map(|used| used.dataset))
        .collect();
    let further = chain.dataset_artifacts.iter().skip(1);
    let further = further.filter(|dataset| tuned_on.contains(dataset));
    let inner = DeployableFiles {
        name: chain.name.clone(),
        base: steps::model::weights(&folder(&chain.base_model))?,
        adapter: chain.adapter.as_ref().map(folder),
        system: task.system.clone(),
        example: row.task.examples.first().cloned(),
        demonstration: chain.demonstration,
        order: row.order.clone(),
        created_ms: row.created_ms,
        deployment: chain.deployment,
        model: chain.model(),
        policy: chain.policy.digest(),
        dataset: chain.dataset_artifacts.first().map(folder),
        further_datasets: further.map(folder).collect(),
        task: Some(task),
        origin: history.origin().to_owned(),
    };
    Ok(Admitted { inner })
}

/// For the tests of whoever answers requests: files of which nothing is proved.
#[cfg(feature = "unproved")]
pub fn unproved(files: DeployableFiles) -> Admitted<DeployableFiles> {
    Admitted { inner: files }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(kind: DenialKind, rule: &str, evidence: &str) -> Denial {
        Denial {
            kind,
            code: kind.code(),
            rule: rule.to_owned(),
            evidence: evidence.to_owned(),
            figure: String::new(),
            cure: "run the order again".to_owned(),
        }
    }

    #[test]
    fn what_several_pieces_break_is_told_once() {
        let altered = |what| denial(DenialKind::Altered, "every file hashes to it", what);
        let refused: StepError = Refusal::Chain {
            name: "care".to_owned(),
            denials: vec![
                altered("the adapter is altered"),
                altered("the weights hash to something else"),
                denial(
                    DenialKind::Withdrawn,
                    "nothing was withdrawn",
                    "a record was",
                ),
            ],
        }
        .into();
        assert_eq!(
            refused.text,
            "care is not admitted: the adapter is altered; the weights hash to something else; \
             asked: every file hashes to it; a record was; asked: nothing was withdrawn"
        );
        assert_eq!(refused.next, "run the order again");
    }
}
