//! Of what an operation is: the id or the name that it carries, for the audit. Not here: what is said with it —
//! reasons, passwords and texts of records are in no row.

use lathe_evidence::statement::{Decision, Withdrawn};

use super::{Operation, approve};

impl Operation {
    /// What it is done to; none where it names nothing.
    pub(super) fn object(&self) -> Option<String> {
        let object = match self {
            Operation::OrderPause { order }
            | Operation::OrderResume { order }
            | Operation::OrderCancel { order }
            | Operation::OrderClone { order, .. }
            | Operation::OrderClonePlan { order, .. } => order.to_string(),
            Operation::Alias(asked) => format!("{} {}", asked.name, asked.alias),
            Operation::BringBegin(asked) => asked.name.clone(),
            Operation::BringMake(asked) => format!("{} {}", asked.id, asked.name),
            Operation::BringEnd { id } | Operation::BringForget { id } => id.clone(),
            Operation::Withdraw { what, .. } => withdrawn(what),
            Operation::Approve { envelope } => {
                let (number, decision) = approve::said_of(envelope)?;
                format!("{number} {}", decided(decision))
            }
            Operation::Breaker { name, .. } | Operation::Flip { name } => name.clone(),
            Operation::BundleExport(asked) | Operation::ModelExport(asked) => asked.name.clone(),
            _ => return self.object_of_offices(),
        };
        Some(object)
    }

    /// Of what stands in the register, and of what is about who may come in.
    fn object_of_offices(&self) -> Option<String> {
        let object = match self {
            Operation::Decide {
                number, decision, ..
            } => format!("{number} {}", decided(*decision)),
            Operation::ApprovalDraft { number, .. }
            | Operation::Cancel { number, .. }
            | Operation::Filing { number, .. }
            | Operation::Dossier { number, .. } => number.clone(),
            Operation::FilingPackage { of, .. } => of.clone(),
            Operation::KeyAdd { name, .. } => name.clone(),
            Operation::KeyRetire { id, .. } | Operation::KeyCompromised { id, .. } => {
                id.to_string()
            }
            Operation::TokenCreate(asked) => asked.name.clone(),
            Operation::TokenRevoke { id, .. } => id.clone(),
            Operation::PersonAdd(asked) => asked.name.clone(),
            Operation::PersonRoles { name, .. }
            | Operation::PersonDisable { name }
            | Operation::PersonEnable { name }
            | Operation::PersonPassword { name, .. } => name.clone(),
            Operation::ProjectCreate(asked) => asked.id.clone(),
            Operation::ProjectShow { id }
            | Operation::ProjectRename { id, .. }
            | Operation::ProjectDelete { id } => id.clone(),
            Operation::ProjectMember {
                project, person, ..
            }
            | Operation::ProjectLeave { project, person } => format!("{project} {person}"),
            Operation::UpstreamAdd(asked) => asked.name.clone(),
            Operation::UpstreamRemove { name, .. } => name.clone(),
            Operation::FeedbackShow { id } => id.clone(),
            Operation::FeedbackEdit(asked) => asked.id.clone(),
            Operation::FeedbackReview(asked) => asked.ids.join(" "),
            Operation::FeedbackDataset(asked) => asked.name.clone(),
            Operation::FeedbackTune(asked) => asked.deployment.clone(),
            _ => return None,
        };
        Some(object)
    }

    /// As the audit tells it: the operation's `name`, and of what.
    pub(super) fn told(&self, name: &str) -> String {
        match self.object() {
            Some(object) => format!("{name} {object}"),
            None => name.to_owned(),
        }
    }
}

/// A decision, as operations write it.
fn decided(decision: Decision) -> &'static str {
    match decision {
        Decision::Approved => "approved",
        Decision::Rejected => "rejected",
    }
}

fn withdrawn(what: &Withdrawn) -> String {
    match what {
        Withdrawn::Leaf(digest) | Withdrawn::Dataset(digest) => digest.to_string(),
        Withdrawn::Agreement(name) => name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_evidence::Digest;
    use serde_json::{Value, json};

    fn told(operation: Value) -> String {
        let name = operation["do"].as_str().unwrap().to_owned();
        let operation: Operation = serde_json::from_value(operation).unwrap();
        operation.told(&name)
    }

    #[test]
    fn an_operation_is_told_with_its_object_and_without_secrets() {
        let added = told(
            json!({"do": "person-add", "name": "anna", "roles": ["tuner"],
                                "password": "correct horse battery"}),
        );
        assert_eq!(added, "person-add anna");
        assert_eq!(
            told(json!({"do": "order-clone", "order": "o1"})),
            "order-clone o1"
        );
        let leaf = Digest::of(b"leaf").to_string();
        let taken = told(json!({"do": "withdraw", "what": {"leaf": leaf}, "reason": "she asked"}));
        assert_eq!(taken, format!("withdraw {leaf}"));
        let decided = told(json!({"do": "decide", "number": "2026-0001",
                                  "decision": "approved", "reason": "well measured"}));
        assert_eq!(decided, "decide 2026-0001 approved");
        assert_eq!(told(json!({"do": "pending"})), "pending");
    }
}
