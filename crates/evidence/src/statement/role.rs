//! Who may say what: the roles a key can have.

use serde::{Deserialize, Serialize};

/// A role. What each may sign stands in the table of predicates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Names the workshop's keys.
    Root,
    /// Gives data and takes it back.
    DataOwner,
    /// Tunes models.
    Tuner,
    /// Measures models and holds them against policies.
    Evaluator,
    /// Decides that a model may be used.
    Approver,
    /// Keeps the register.
    Registrar,
    /// Runs what was approved.
    Operator,
    /// Reads and signs nothing that changes anything.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 8] = [
        Role::Root,
        Role::DataOwner,
        Role::Tuner,
        Role::Evaluator,
        Role::Approver,
        Role::Registrar,
        Role::Operator,
        Role::Auditor,
    ];

    /// Its name, as it is written.
    pub fn name(&self) -> &'static str {
        match self {
            Role::Root => "root",
            Role::DataOwner => "data-owner",
            Role::Tuner => "tuner",
            Role::Evaluator => "evaluator",
            Role::Approver => "approver",
            Role::Registrar => "registrar",
            Role::Operator => "operator",
            Role::Auditor => "auditor",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_written_ones() {
        for role in Role::ALL {
            let written = serde_json::to_value(role).unwrap();
            assert_eq!(written, role.name());
        }
    }
}
