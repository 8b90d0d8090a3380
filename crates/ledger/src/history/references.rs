//! What a statement names: the other statements it rests on, and its own subject.
//!
//! That a name leads to an earlier statement of the right kind is the ledger's; that the two speak
//! of the same model is the register's.

use lathe_evidence::Digest;
use lathe_evidence::statement::{Link, Predicate, Statement, Withdrawn};

/// A link of a statement: the member it stands in, and the kind of statement it must lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// The member: `evaluation`.
    pub member: &'static str,
    /// The kind it must be of: `evaluation`.
    pub kind: &'static str,
    /// What it names.
    pub link: Link,
}

/// The statements that `said` rests on, all of this ledger. `imported` names one of another ledger,
/// which is not among them.
pub fn references(said: &Predicate) -> Vec<Reference> {
    let to = |member, kind, link: &Link| Reference {
        member,
        kind,
        link: *link,
    };
    match said {
        Predicate::Training(it) => {
            let base = to("base", "base-model", &it.base);
            let datasets = it
                .datasets
                .iter()
                .map(|dataset| to("datasets", "dataset", &dataset.statement));
            let previous = it.previous.iter();
            let previous = previous.map(|stage| to("previous", "training", &stage.statement));
            std::iter::once(base)
                .chain(datasets)
                .chain(previous)
                .collect()
        }
        Predicate::Evaluation(it) => {
            let training = it.training.iter();
            let mut found = vec![
                to("base", "base-model", &it.base),
                to("dataset", "dataset", &it.dataset),
            ];
            found.extend(training.map(|link| to("training", "training", link)));
            found
        }
        Predicate::Verdict(it) => vec![to("evaluation", "evaluation", &it.evaluation)],
        Predicate::Approval(it) => vec![to("verdict", "verdict", &it.verdict)],
        Predicate::Registration(it) => {
            let mut found = vec![to("verdict", "verdict", &it.verdict)];
            found.extend(
                it.previous
                    .iter()
                    .map(|link| to("previous", "registration", link)),
            );
            found.extend(
                it.approval
                    .iter()
                    .map(|link| to("approval", "approval", link)),
            );
            found
        }
        Predicate::Deployment(it) => {
            let mut found = vec![
                to("registration", "registration", &it.registration),
                to("verdict", "verdict", &it.verdict),
            ];
            let previous = it.previous.iter();
            found.extend(previous.map(|link| to("previous", "deployment", link)));
            found
        }
        Predicate::Workshop(_)
        | Predicate::Key(_)
        | Predicate::BaseModel(_)
        | Predicate::Dataset(_)
        | Predicate::Withdrawal(_)
        | Predicate::Breaker(_)
        | Predicate::Receipts(_)
        | Predicate::Filing(_)
        | Predicate::Restored(_)
        | Predicate::Imported(_)
        | Predicate::Access(_)
        | Predicate::Upstream(_) => Vec::new(),
    }
}

/// The subject that a statement must have by what it says itself; `None` where that is not to be
/// seen from the statement alone.
pub fn expected_subject(statement: &Statement) -> Option<Digest> {
    Some(match &statement.predicate {
        Predicate::Workshop(it) => it.key.id,
        Predicate::Key(it) => it.key.id,
        Predicate::Deployment(it) => it.adapter.unwrap_or(it.base_model),
        Predicate::Withdrawal(it) => match &it.what {
            Withdrawn::Leaf(digest) | Withdrawn::Dataset(digest) => *digest,
            Withdrawn::Agreement(name) => Digest::of(name.as_bytes()),
        },
        Predicate::Receipts(it) => it.root,
        Predicate::Restored(it) => it.root,
        Predicate::Upstream(it) => it.subject(),
        Predicate::BaseModel(_)
        | Predicate::Dataset(_)
        | Predicate::Training(_)
        | Predicate::Evaluation(_)
        | Predicate::Verdict(_)
        | Predicate::Registration(_)
        | Predicate::Approval(_)
        | Predicate::Breaker(_)
        | Predicate::Filing(_)
        | Predicate::Imported(_)
        | Predicate::Access(_) => return None,
    })
}
