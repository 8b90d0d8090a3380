//! Admission by type: only what the ledger proves becomes an [`Admitted`].
//!
//! [`of`] reads a deployment's chain from the ledger, with every file hashed anew, and is the only
//! way to an [`Admitted`] beside tests. What is refused is refused by name. The chain itself is
//! verified by `lathe_register`; measuring and the rules are elsewhere.

use std::path::PathBuf;

use lathe_data::task::TaskSpec;
use lathe_evidence::Digest;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{BaseModel, Dataset, Deployment, Evaluation, Link, Verdict};
use lathe_gate::{Evidence, Policy};
use lathe_ledger::history::History;
use serde_json::json;

use crate::catalogue::DeploymentRow;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::key::digest_of;
use crate::objects;
use crate::order::{OrderId, StepError};
use crate::pack::Pack;
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
    /// The folder of the dataset it was tuned on, if tuned.
    pub dataset: Option<PathBuf>,
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
    /// A file is missing or altered.
    #[error("{what} in {} is altered or incomplete: its files hash to {found}", folder.display())]
    Altered {
        /// Which piece.
        what: &'static str,
        /// Where.
        folder: PathBuf,
        /// What its files hash to.
        found: Digest,
    },
    /// A statement is not in the ledger, or no longer stands.
    #[error("the ledger has no standing {what} of {name}")]
    Unsaid {
        /// Which kind of statement.
        what: &'static str,
        /// The name it was to answer under.
        name: String,
    },
    /// A file or a row cannot be read.
    #[error("{0}")]
    Unreadable(#[from] WorkshopError),
}

/// The rules that do not hold, with their figures.
fn rules(verdict: &lathe_gate::Verdict) -> String {
    let parts: Vec<String> = verdict
        .findings
        .iter()
        .filter(|finding| !finding.passed)
        .map(|finding| match finding.figure {
            Some(figure) => format!("{} ({}: {figure:.4})", finding.rule, finding.evidence),
            None => format!("{} ({}: no figure)", finding.rule, finding.evidence),
        })
        .collect();
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
        match refusal {
            Refusal::Gate { verdict, .. } => {
                let failed = verdict.findings.into_iter().filter(|it| !it.passed);
                let cures: Vec<String> = failed.map(|finding| finding.cure).collect();
                StepError {
                    code: "gate-refused".to_owned(),
                    text,
                    next: cures.join("; "),
                }
            }
            Refusal::Altered { folder, .. } => StepError {
                code: "artifact-altered".to_owned(),
                text,
                next: format!(
                    "remove {} and run the order again: it is made anew",
                    folder.display()
                ),
            },
            Refusal::Unsaid { .. } => StepError {
                code: "chain-broken".to_owned(),
                text,
                next: "run the order again: it says what is missing".to_owned(),
            },
            Refusal::Unreadable(error) => error.into(),
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
    let admitted =
        tokio::task::spawn_blocking(move || admit(&history, &home, &row, pack.task, now_ms()))
            .await
            .map_err(|error| StepError {
                code: "daemon-crashed".to_owned(),
                text: format!("admission stumbled: {error}"),
                next: "this is a mistake in Lathe; please report it".to_owned(),
            })?;
    Ok(admitted?)
}

/// Admits what `row` names, if its chain holds.
fn admit(
    history: &History,
    home: &Home,
    row: &DeploymentRow,
    task: TaskSpec,
    now_ms: i64,
) -> Result<Admitted<DeployableFiles>, Refusal> {
    let unsaid = |what| Refusal::Unsaid {
        what,
        name: row.name.clone(),
    };
    let link = row.link.ok_or_else(|| unsaid("deployment"))?;
    let chain = prove(history, home, &link, &row.name, now_ms)?;
    if digest_of(&json!(task)) != chain.task {
        return Err(unsaid("evaluation on the task it answers"));
    }
    let folder = |digest: &Digest| objects::path(home, &digest.to_string());
    let inner = DeployableFiles {
        name: row.name.clone(),
        base: steps::model::weights(&folder(&chain.base))?,
        adapter: chain.adapter.as_ref().map(folder),
        system: task.system.clone(),
        example: row.task.examples.first().cloned(),
        demonstration: chain.demonstration,
        order: row.order.clone(),
        created_ms: row.created_ms,
        deployment: link,
        model: chain.adapter.unwrap_or(chain.base),
        policy: chain.policy,
        dataset: Some(folder(&chain.dataset)),
        task: Some(task),
        origin: history.origin().to_owned(),
    };
    Ok(Admitted { inner })
}

/// What a chain that holds says.
pub(crate) struct Proved {
    base: Digest,
    adapter: Option<Digest>,
    dataset: Digest,
    policy: Digest,
    task: Digest,
    demonstration: bool,
}

/// Reads the chain of a deployment and hashes its files.
///
/// # Errors
/// The first piece that is missing or altered.
pub(crate) fn prove(
    history: &History,
    home: &Home,
    link: &Link,
    name: &str,
    at_ms: i64,
) -> Result<Proved, Refusal> {
    let unsaid = |what| Refusal::Unsaid {
        what,
        name: name.to_owned(),
    };
    let deployment = history
        .said::<Deployment>(link)
        .ok_or_else(|| unsaid("deployment"))?;
    let verdict = history
        .said::<Verdict>(&deployment.verdict)
        .ok_or_else(|| unsaid("verdict"))?;
    let evaluated = history
        .get(&verdict.evaluation)
        .ok_or_else(|| unsaid("evaluation"))?;
    let evaluation = history
        .said::<Evaluation>(&verdict.evaluation)
        .ok_or_else(|| unsaid("evaluation"))?;
    let base = history
        .said::<BaseModel>(&evaluation.base)
        .ok_or_else(|| unsaid("base model"))?;
    let dataset = history
        .said::<Dataset>(&evaluation.dataset)
        .ok_or_else(|| unsaid("dataset"))?;
    let prepared = history
        .get(&evaluation.dataset)
        .ok_or_else(|| unsaid("dataset"))?;
    let policy = Policy::from_canonical(&verdict.policy).map_err(|_| unsaid("policy"))?;
    let dataset_digest = prepared.statement.subject();
    intact(home, "the base model", &deployment.base_model)?;
    if let Some(adapter) = &deployment.adapter {
        intact(home, "the adapter", adapter)?;
    }
    intact(home, "the dataset", &dataset_digest)?;
    let report = evaluated.statement.subject();
    intact(home, "the report", &report)?;
    let path = objects::path(home, &report.to_string()).join(steps::evaluate::REPORT);
    let text = std::fs::read_to_string(&path)
        .map_err(|error| crate::home::io_error("read", &path, &error))?;
    let report: Report = parse("a report", &text)?;
    let evidence = Evidence {
        report: &report,
        base,
        datasets: &[dataset],
        statements: &["base-model", "dataset", "training", "evaluation"],
        at_ms,
    };
    let judged = lathe_gate::check(&evidence, &policy);
    if !judged.passed {
        return Err(Refusal::Gate {
            name: name.to_owned(),
            verdict: judged,
        });
    }
    Ok(Proved {
        base: deployment.base_model,
        adapter: deployment.adapter,
        dataset: dataset_digest,
        policy: policy.digest(),
        task: deployment.task,
        demonstration: deployment.demonstration,
    })
}

/// Hashes an artifact anew, so that what answers is what was measured.
fn intact(home: &Home, what: &'static str, digest: &Digest) -> Result<(), Refusal> {
    let folder = objects::path(home, &digest.to_string());
    let found = objects::manifest_of(&folder)?.digest();
    if found == *digest {
        return Ok(());
    }
    Err(Refusal::Altered {
        what,
        folder,
        found,
    })
}

/// For the tests of whoever answers requests: files of which nothing is proved.
#[cfg(feature = "unproved")]
pub fn unproved(files: DeployableFiles) -> Admitted<DeployableFiles> {
    Admitted { inner: files }
}
