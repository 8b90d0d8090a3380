//! Which right an operation asks for, and which operations change something. Whether somebody has the right
//! is the table's business (`people`), and that they are asked for it the web's.

use super::{Operation, Right};
use crate::token::{Scope, TokenRequest};

impl Operation {
    /// The right that whoever asks for it needs.
    pub fn right(&self) -> Right {
        match self {
            Operation::Pending {}
            | Operation::FilingCheck { .. }
            | Operation::FilingPackage { folder: None, .. }
            | Operation::Keys {}
            | Operation::Checkpoint {}
            | Operation::Upstreams {}
            | Operation::Packs {}
            | Operation::PackShow { .. }
            | Operation::Projects {}
            | Operation::ProjectShow { .. }
            | Operation::Dossier { .. } => Right::Look,
            Operation::FeedbackList(_)
            | Operation::FeedbackShow { .. }
            | Operation::DataCompare { .. } => Right::Records,
            Operation::Flip { .. } => Right::Ask,
            Operation::OrderPause { .. }
            | Operation::OrderResume { .. }
            | Operation::OrderCancel { .. }
            | Operation::OrderClone { .. }
            | Operation::OrderClonePlan { .. }
            | Operation::OrderPlan(_)
            | Operation::OrderRecipe(_)
            | Operation::FeedbackTune(_) => Right::Tune,
            Operation::Withdraw { .. }
            | Operation::FeedbackReview(_)
            | Operation::FeedbackEdit(_)
            | Operation::FeedbackDataset(_)
            | Operation::BringBegin(_)
            | Operation::BringEnd { .. }
            | Operation::Brought {}
            | Operation::BringForget { .. }
            | Operation::BringLook(_)
            | Operation::BringMake(_) => Right::Data,
            Operation::ApprovalDraft { .. }
            | Operation::Approve { .. }
            | Operation::Decide { .. } => Right::Approve,
            Operation::TokenCreate(asked) => issuing(asked),
            Operation::Cancel { .. }
            | Operation::Alias(_)
            | Operation::Filing { .. }
            | Operation::FilingPackage { .. }
            | Operation::Breaker { .. }
            | Operation::KeyAdd { .. }
            | Operation::KeyRetire { .. }
            | Operation::KeyCompromised { .. }
            | Operation::KeyRotate { .. }
            | Operation::Tokens {}
            | Operation::TokenRevoke { .. }
            | Operation::UpstreamAdd(_)
            | Operation::UpstreamRemove { .. }
            | Operation::LedgerExport { .. }
            | Operation::BundleExport(_)
            | Operation::ModelExport(_)
            | Operation::BundleImport(_)
            | Operation::Restored { .. } => Right::Operate,
            Operation::People {}
            | Operation::PersonAdd(_)
            | Operation::PersonRoles { .. }
            | Operation::PersonDisable { .. }
            | Operation::PersonEnable { .. }
            | Operation::PersonPassword { .. }
            | Operation::ProjectCreate(_)
            | Operation::ProjectRename { .. }
            | Operation::ProjectDelete { .. }
            | Operation::ProjectMember { .. }
            | Operation::ProjectLeave { .. } => Right::People,
        }
    }

    /// Whether it changes something, or shows what few may see: it stands in the audit.
    pub(super) fn changes(&self) -> bool {
        !matches!(
            self,
            Operation::Pending {}
                | Operation::FilingCheck { .. }
                | Operation::FilingPackage { folder: None, .. }
                | Operation::Keys {}
                | Operation::Tokens {}
                | Operation::People {}
                | Operation::Projects {}
                | Operation::ProjectShow { .. }
                | Operation::Checkpoint {}
                | Operation::Upstreams {}
                | Operation::Dossier { .. }
                | Operation::ApprovalDraft { .. }
                | Operation::FeedbackList(_)
                | Operation::FeedbackShow { .. }
                | Operation::Packs {}
                | Operation::PackShow { .. }
                | Operation::OrderPlan(_)
                | Operation::OrderClonePlan { .. }
                | Operation::OrderRecipe(_)
                | Operation::Brought {}
                | Operation::BringLook(_)
                | Operation::DataCompare { .. }
        )
    }
}

/// For issuing a key. One that opens everything lets people in, too.
fn issuing(asked: &TokenRequest) -> Right {
    match asked.scopes.contains(&Scope::Admin) {
        true => Right::People,
        false => Right::Operate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Allowance;

    #[test]
    fn an_operator_issues_no_key_that_opens_everything() {
        let issue = |scope| {
            Operation::TokenCreate(TokenRequest {
                name: "n".to_owned(),
                scopes: vec![Scope::Answer, scope],
                models: Vec::new(),
                project: crate::people::COMMON.to_owned(),
                expires_days: None,
                allowance: Allowance::default(),
            })
        };
        assert_eq!(issue(Scope::Metrics).right(), Right::Operate);
        assert_eq!(issue(Scope::Admin).right(), Right::People);
    }

    #[test]
    fn writing_into_a_folder_is_more_than_reading() {
        let package = |folder: Option<&str>| Operation::FilingPackage {
            of: "2026-0001".to_owned(),
            answers: Default::default(),
            folder: folder.map(Into::into),
            lang: "en".to_owned(),
        };
        assert_eq!(package(None).right(), Right::Look);
        assert_eq!(package(Some("out")).right(), Right::Operate);
        assert!(package(Some("out")).changes() && !package(None).changes());
    }
}
