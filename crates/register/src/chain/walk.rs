//! From a deployment to everything it rests on, by the statements alone.
//!
//! A walk that succeeds says that every statement is there and that all of them speak of the same
//! model, base, datasets, task and number. Files, time and the gate are looked at elsewhere; a trace
//! of an answer given long ago needs no more than this.

use lathe_evidence::Digest;
use lathe_evidence::merkle;
use lathe_evidence::statement::{
    Approval, BaseModel, Dataset, DatasetUse, Deployment, Evaluation, Link, Predicate,
    Registration, Training, Verdict,
};
use lathe_gate::Policy;
use lathe_ledger::History;
use lathe_ledger::history::Entry;

use super::denial::{Denial, DenialKind};

/// The most steps a registration's life may have.
const STEPS_MAX: usize = 10_000;

/// The most stages a model may have been tuned in.
const STAGES_MAX: usize = 64;

/// A statement in its place.
#[derive(Debug)]
pub struct Said<'h, T> {
    /// What names it.
    pub link: Link,
    /// Its place in the ledger.
    pub index: u64,
    /// The id of the key that signed it.
    pub signer: Digest,
    /// The digest of its first subject.
    pub subject: Digest,
    /// What it says.
    pub what: &'h T,
}

impl<T> Clone for Said<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

// By hand: a derive would ask for a `T` that can be copied, of which only the place is.
impl<T> Copy for Said<'_, T> {}

/// What an evaluation rests on.
#[derive(Debug, Clone)]
pub struct Trunk<'h> {
    /// The evaluation.
    pub evaluation: Said<'h, Evaluation>,
    /// The training, of several stages the last; absent where a base model is measured as it came.
    pub training: Option<Said<'h, Training>>,
    /// The stages that it goes on from, the first one first.
    pub earlier: Vec<Said<'h, Training>>,
    /// The base model.
    pub base: Said<'h, BaseModel>,
    /// The datasets tuned on, of several the one measured on first; then that one if it is another.
    pub datasets: Vec<Said<'h, Dataset>>,
}

/// What a verdict rests on.
#[derive(Debug, Clone)]
pub struct Judged<'h> {
    /// The verdict.
    pub verdict: Said<'h, Verdict>,
    /// The policy that it kept.
    pub policy: Policy,
    /// The evaluation judged, and what that rests on.
    pub trunk: Trunk<'h>,
}

/// What a deployment rests on.
#[derive(Debug, Clone)]
pub struct Walk<'h> {
    /// The deployment.
    pub deployment: Said<'h, Deployment>,
    /// The registration step it names.
    pub registration: Said<'h, Registration>,
    /// The steps before it, newest first.
    pub steps: Vec<Said<'h, Registration>>,
    /// The approval.
    pub approval: Said<'h, Approval>,
    /// The verdict, and what that rests on.
    pub judged: Judged<'h>,
}

impl<'h> Trunk<'h> {
    /// All stages, the first one first.
    pub fn stages(&self) -> impl Iterator<Item = &Said<'h, Training>> {
        self.earlier.iter().chain(&self.training)
    }

    /// The digest of the model.
    pub fn model(&self) -> Digest {
        self.evaluation.what.model
    }

    /// The kinds of statement before the verdict, as the gate takes them.
    pub fn statements(&self) -> Vec<&'static str> {
        let mut kinds = vec!["base-model", "dataset"];
        kinds.extend(self.training.iter().map(|_| "training"));
        kinds.push("evaluation");
        kinds
    }
}

impl Judged<'_> {
    /// The ids of the keys that signed any of it.
    pub fn signers(&self) -> Vec<Digest> {
        let trunk = &self.trunk;
        let mut signers = vec![
            self.verdict.signer,
            trunk.evaluation.signer,
            trunk.base.signer,
        ];
        signers.extend(trunk.stages().map(|it| it.signer));
        signers.extend(trunk.datasets.iter().map(|it| it.signer));
        signers
    }
}

/// The statement that `link` names, with its place.
fn said<'h, T>(
    history: &'h History,
    link: &Link,
    by: &str,
    kind: &str,
) -> Result<Said<'h, T>, Denial>
where
    &'h T: TryFrom<&'h Predicate>,
{
    let rule = format!("{by} names a {kind} in the ledger");
    let missing = |why: String| Denial::new(DenialKind::Missing, &rule, why);
    let Some(entry) = history.lookup(link) else {
        return Err(missing(format!("the {kind} {link} is not in the ledger")));
    };
    if let Some(by) = entry.void {
        let why = format!(
            "the {kind} in entry {} is void: entry {by} says its key was stolen",
            entry.index
        );
        return Err(missing(why));
    }
    let what = <&T>::try_from(&entry.statement.predicate).map_err(|_| {
        missing(format!(
            "entry {} is a {}, not a {kind}",
            entry.index,
            entry.kind()
        ))
    })?;
    Ok(Said {
        link: *link,
        index: entry.index,
        signer: entry.signer,
        subject: entry.statement.subject(),
        what,
    })
}

/// Refuses two members that have to agree and do not.
fn same<T: PartialEq + std::fmt::Display>(
    what: &str,
    found: (&str, T),
    expected: (&str, T),
) -> Result<(), Denial> {
    if found.1 == expected.1 {
        return Ok(());
    }
    let evidence = format!(
        "{} is {}, {} is {}",
        found.0, found.1, expected.0, expected.1
    );
    Err(Denial::new(DenialKind::Mismatch, what, evidence))
}

/// Walks from a deployment.
///
/// # Errors
/// The first statement that is missing or speaks of something else.
pub fn walk<'h>(history: &'h History, deployment: &Link) -> Result<Walk<'h>, Denial> {
    let deployment: Said<'_, Deployment> = said(history, deployment, "the caller", "deployment")?;
    let by = "the deployment";
    let registration: Said<'_, Registration> =
        said(history, &deployment.what.registration, by, "registration")?;
    let approval = registration.what.approval.ok_or_else(|| {
        let why = format!(
            "the registration step in entry {} names no approval",
            registration.index
        );
        Denial::new(
            DenialKind::NotApproved,
            "the registration rests on an approval",
            why,
        )
    })?;
    let approval: Said<'_, Approval> = said(history, &approval, "the registration", "approval")?;
    let judged = walk_verdict(history, &deployment.what.verdict)?;
    let steps = steps(history, registration)?;
    let walk = Walk {
        deployment,
        registration,
        steps,
        approval,
        judged,
    };
    check_deployment(history, &walk)?;
    check_registration(&walk)?;
    Ok(walk)
}

/// Walks from a verdict: what is known of a model before anybody decided about it.
///
/// # Errors
/// The first statement that is missing or speaks of something else.
pub fn walk_verdict<'h>(history: &'h History, verdict: &Link) -> Result<Judged<'h>, Denial> {
    let verdict: Said<'_, Verdict> = said(history, verdict, "what was decided", "verdict")?;
    let policy = Policy::from_canonical(&verdict.what.policy).map_err(|error| {
        let why = format!("the verdict in entry {}: {error}", verdict.index);
        Denial::new(DenialKind::Mismatch, "the verdict keeps its policy", why)
    })?;
    let trunk = walk_evaluation(history, &verdict.what.evaluation)?;
    let rule = "verdict and evaluation speak of the same model";
    let model = ("the model measured", trunk.model());
    same(rule, ("the verdict's subject", verdict.subject), model)?;
    Ok(Judged {
        verdict,
        policy,
        trunk,
    })
}

/// Walks from an evaluation: what is known of a model before the gate.
///
/// # Errors
/// The first statement that is missing or speaks of something else.
pub fn walk_evaluation<'h>(history: &'h History, evaluation: &Link) -> Result<Trunk<'h>, Denial> {
    let evaluation: Said<'_, Evaluation> = said(history, evaluation, "the verdict", "evaluation")?;
    let base: Said<'_, BaseModel> = said(
        history,
        &evaluation.what.base,
        "the evaluation",
        "base-model",
    )?;
    let (earlier, training) = stages(history, &evaluation)?;
    let tuned: Vec<&Training> = earlier.iter().chain(&training).map(|it| it.what).collect();
    let trunk = Trunk {
        datasets: datasets(history, &evaluation, &tuned)?,
        evaluation,
        training,
        earlier,
        base,
    };
    check_trunk(&trunk)?;
    Ok(trunk)
}

/// The datasets behind an evaluation, in the trunk's order, whatever else it rests on.
///
/// # Errors
/// The first statement on the way that is missing or speaks of something else.
pub(super) fn datasets_behind<'h>(
    history: &'h History,
    evaluation: &Link,
) -> Result<Vec<Said<'h, Dataset>>, Denial> {
    let evaluation: Said<'_, Evaluation> = said(history, evaluation, "the verdict", "evaluation")?;
    let (earlier, training) = stages(history, &evaluation)?;
    let tuned: Vec<&Training> = earlier.iter().chain(&training).map(|it| it.what).collect();
    datasets(history, &evaluation, &tuned)
}

/// The stages of the training that was measured: those before the last, and the last.
type Stages<'h> = (Vec<Said<'h, Training>>, Option<Said<'h, Training>>);

fn stages<'h>(
    history: &'h History,
    evaluation: &Said<'h, Evaluation>,
) -> Result<Stages<'h>, Denial> {
    let Some(link) = &evaluation.what.training else {
        return Ok((Vec::new(), None));
    };
    let training: Said<'_, Training> = said(history, link, "the evaluation", "training")?;
    Ok((earlier(history, &training)?, Some(training)))
}

/// The stages before `last`, the first one first. Each goes on from the adapter that the one before
/// it made.
fn earlier<'h>(
    history: &'h History,
    last: &Said<'h, Training>,
) -> Result<Vec<Said<'h, Training>>, Denial> {
    let mut stages = Vec::new();
    let mut at = *last;
    while let Some(previous) = &at.what.previous {
        if stages.len() == STAGES_MAX {
            let why = format!("the training in entry {} has too many stages", last.index);
            let rule = "the stages of a training are bounded";
            return Err(Denial::new(DenialKind::Mismatch, rule, why));
        }
        let link = &previous.statement;
        let stage: Said<'_, Training> = said(history, link, "the training", "training")?;
        same(
            "a stage goes on from the adapter that the one before it made",
            ("the adapter gone on from", previous.model),
            ("the earlier training's subject", stage.subject),
        )?;
        stages.push(stage);
        at = stage;
    }
    stages.reverse();
    Ok(stages)
}

/// The datasets tuned on, then the one measured on; each once. Of several that were tuned on the one
/// measured on comes first: its records are what the task is about.
fn datasets<'h>(
    history: &'h History,
    evaluation: &Said<'h, Evaluation>,
    stages: &[&'h Training],
) -> Result<Vec<Said<'h, Dataset>>, Denial> {
    let mut found: Vec<Said<'h, Dataset>> = Vec::new();
    for used in stages.iter().flat_map(|it| &it.datasets) {
        let dataset: Said<'_, Dataset> = said(history, &used.statement, "the training", "dataset")?;
        check_use(used, &dataset)?;
        if found.iter().all(|it| it.link != dataset.link) {
            found.push(dataset);
        }
    }
    let asked = &evaluation.what.dataset;
    match found.iter().position(|it| it.link == *asked) {
        Some(place) => found[..=place].rotate_right(1),
        None => found.push(said(history, asked, "the evaluation", "dataset")?),
    }
    Ok(found)
}

fn check_use(used: &DatasetUse, dataset: &Said<'_, Dataset>) -> Result<(), Denial> {
    let rule = "training and dataset speak of the same records";
    let digests = ("the dataset's subject", dataset.subject);
    same(rule, ("the dataset tuned on", used.dataset), digests)?;
    let roots = ("the dataset's root", dataset.what.root);
    same(rule, ("the root tuned on", used.root), roots)
}

fn check_trunk(trunk: &Trunk<'_>) -> Result<(), Denial> {
    let model = ("the model measured", trunk.model());
    let Some(training) = &trunk.training else {
        let rule = "a model without a training is a base model";
        return same(rule, model, ("the base model", trunk.base.subject));
    };
    let rule = "training and evaluation speak of the same model";
    same(rule, model, ("the training's subject", training.subject))?;
    trunk
        .stages()
        .try_for_each(|stage| check_stage(trunk, stage))
}

/// A stage is of the trunk's base model and names what it learnt from.
fn check_stage(trunk: &Trunk<'_>, training: &Said<'_, Training>) -> Result<(), Denial> {
    same(
        "training and evaluation rest on the same base model",
        ("the base of the training", training.what.base),
        ("the base of the evaluation", trunk.evaluation.what.base),
    )?;
    same(
        "the training names the base model's own digest",
        ("its base model", training.what.base_model),
        ("the base model's subject", trunk.base.subject),
    )?;
    let empty = training.what.batch_order_root == merkle::root(&[]);
    if empty || training.what.steps == 0 || training.what.datasets.is_empty() {
        let why = format!(
            "the training in entry {} names no batches of records",
            training.index
        );
        let rule = "the training commits to the records of every step";
        return Err(Denial::new(DenialKind::Mismatch, rule, why));
    }
    Ok(())
}

fn check_deployment(history: &History, walk: &Walk<'_>) -> Result<(), Denial> {
    let (deployment, trunk) = (&walk.deployment, &walk.judged.trunk);
    let adapter = trunk.training.as_ref().map(|it| it.subject.to_string());
    let rule = "what is deployed is what was measured";
    let none = || "none".to_owned();
    same(
        rule,
        (
            "the adapter deployed",
            deployment
                .what
                .adapter
                .map_or_else(none, |it| it.to_string()),
        ),
        ("the adapter trained", adapter.unwrap_or_else(none)),
    )?;
    let base = ("the base model measured", trunk.base.subject);
    same(
        rule,
        ("the base model deployed", deployment.what.base_model),
        base,
    )?;
    let task = ("the task measured", trunk.evaluation.what.task);
    same(rule, ("the task deployed", deployment.what.task), task)?;
    check_previous(history, deployment)?;
    let Some(entry) = history.get(&deployment.link) else {
        return Ok(());
    };
    let subjects: Vec<Digest> = entry
        .statement
        .subjects
        .iter()
        .map(|it| it.digest.sha256)
        .collect();
    let expected = match deployment.what.adapter {
        Some(adapter) => vec![adapter, deployment.what.base_model],
        None => vec![deployment.what.base_model],
    };
    if subjects == expected
        || (subjects.len() == 2 && subjects == [expected[0], deployment.what.base_model])
    {
        return Ok(());
    }
    let why = format!(
        "the deployment in entry {} has other subjects",
        deployment.index
    );
    Err(Denial::new(
        DenialKind::Mismatch,
        "the deployment is about its model and base",
        why,
    ))
}

/// The deployment names as its predecessor the one that had the name when it was said, or none.
fn check_previous(history: &History, deployment: &Said<'_, Deployment>) -> Result<(), Denial> {
    let named = |link: Option<Link>| link.map_or_else(|| "none".to_owned(), |it| it.to_string());
    let stood = |entry: &&Entry| entry.void.is_none_or(|by| by > deployment.index);
    let earlier = history.entries().iter().rev();
    let earlier = earlier.skip_while(|it| it.index >= deployment.index);
    let before = earlier.filter(stood).find(|entry| {
        let said = <&Deployment>::try_from(&entry.statement.predicate);
        said.is_ok_and(|it| it.name == deployment.what.name)
    });
    same(
        "a deployment names the one that it takes the name from",
        ("the predecessor named", named(deployment.what.previous)),
        ("the one that had the name", named(before.map(|it| it.link))),
    )
}

/// Registration, approval and deployment are of one number, name, verdict and model.
fn check_registration(walk: &Walk<'_>) -> Result<(), Denial> {
    let Walk {
        deployment,
        registration,
        approval,
        judged,
        ..
    } = walk;
    let model = judged.trunk.model();
    let rule = "the registration is of the model deployed";
    let subject = ("the model", model);
    same(
        rule,
        ("the registration's subject", registration.subject),
        subject,
    )?;
    let name = ("the name deployed", deployment.what.name.as_str());
    same(
        rule,
        ("the name registered", registration.what.name.as_str()),
        name,
    )?;
    let verdict = ("the verdict deployed", judged.verdict.link);
    same(
        rule,
        ("the verdict registered", registration.what.verdict),
        verdict,
    )?;
    let rule = "the approval is of the model registered";
    same(rule, ("the approval's subject", approval.subject), subject)?;
    same(
        rule,
        ("the verdict approved", approval.what.verdict),
        verdict,
    )?;
    let number = ("the number registered", registration.what.number.as_str());
    same(
        rule,
        ("the number approved", approval.what.number.as_str()),
        number,
    )?;
    let rule = "the steps of a registration are of one number";
    for step in &walk.steps {
        same(
            rule,
            ("an earlier step's number", step.what.number.as_str()),
            number,
        )?;
    }
    check_review(walk, model)
}

/// What was handed in and reviewed is what is registered: back to where it was last handed in, the
/// steps are of this model and this verdict.
fn check_review(walk: &Walk<'_>, model: Digest) -> Result<(), Denial> {
    use lathe_evidence::statement::RegistrationAction::{Reviewed, Submitted};
    let rule = "what was handed in and reviewed is what is registered";
    for step in &walk.steps {
        if !matches!(step.what.action, Submitted | Reviewed) {
            break;
        }
        let subject = ("an earlier step's subject", step.subject);
        same(rule, subject, ("the model", model))?;
        let verdict = ("an earlier step's verdict", step.what.verdict);
        let judged = ("the verdict deployed", walk.judged.verdict.link);
        same(rule, verdict, judged)?;
        if step.what.action == Submitted {
            // Steps before it are of a model that was handed in and then overtaken.
            break;
        }
    }
    Ok(())
}

/// The steps before `last`, newest first.
fn steps<'h>(
    history: &'h History,
    last: Said<'h, Registration>,
) -> Result<Vec<Said<'h, Registration>>, Denial> {
    let mut steps = Vec::new();
    let mut at = last;
    while let Some(previous) = &at.what.previous {
        if steps.len() == STEPS_MAX {
            let why = format!(
                "registration {} has more than {STEPS_MAX} steps",
                last.what.number
            );
            let rule = "a registration's life is bounded";
            return Err(Denial::new(DenialKind::NotRegistered, rule, why));
        }
        at = said(history, previous, "the registration", "registration")?;
        steps.push(at);
    }
    Ok(steps)
}
