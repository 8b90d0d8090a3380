//! What people do in a workshop, and the one table of who may do what.
//!
//! A right is denied unless a role has it; a right that is denied to a person stays denied whatever roles
//! they have. Which page or path asks for which right stands in the web; which operation, beside the
//! operations.

use serde::{Deserialize, Serialize};

/// What a person does in the workshop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonRole {
    /// Places orders and tunes.
    Tuner,
    /// Decides about models that others had tuned.
    Approver,
    /// Brings data, judges what callers say of answers, takes data back.
    DataOwner,
    /// Runs the workshop: breakers, upstreams, keys, bundles.
    Operator,
    /// Reads everything, the audit too, and changes nothing.
    Auditor,
    /// Says who may come in and do what.
    Administrator,
}

impl PersonRole {
    /// All roles.
    pub const ALL: [PersonRole; 6] = [
        PersonRole::Tuner,
        PersonRole::Approver,
        PersonRole::DataOwner,
        PersonRole::Operator,
        PersonRole::Auditor,
        PersonRole::Administrator,
    ];

    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            PersonRole::Tuner => "tuner",
            PersonRole::Approver => "approver",
            PersonRole::DataOwner => "data-owner",
            PersonRole::Operator => "operator",
            PersonRole::Auditor => "auditor",
            PersonRole::Administrator => "administrator",
        }
    }
}

/// What may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Right {
    /// See orders, reports, the register, the ledger.
    Look,
    /// See records and the texts of answers.
    Records,
    /// Ask models.
    Ask,
    /// Place orders, and pause, resume and clone them.
    Tune,
    /// Bring data and take it back, judge corrections.
    Data,
    /// Decide about models that wait.
    Approve,
    /// Breakers, upstreams, keys, bundles, filings.
    Operate,
    /// See the audit.
    Audit,
    /// Say who may come in and do what.
    People,
}

impl Right {
    /// All rights.
    pub const ALL: [Right; 9] = [
        Right::Look,
        Right::Records,
        Right::Ask,
        Right::Tune,
        Right::Data,
        Right::Approve,
        Right::Operate,
        Right::Audit,
        Right::People,
    ];

    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Right::Look => "look",
            Right::Records => "records",
            Right::Ask => "ask",
            Right::Tune => "tune",
            Right::Data => "data",
            Right::Approve => "approve",
            Right::Operate => "operate",
            Right::Audit => "audit",
            Right::People => "people",
        }
    }

    /// The table: the roles that have it.
    pub fn holders(self) -> &'static [PersonRole] {
        use PersonRole::{Administrator, Approver, Auditor, DataOwner, Operator, Tuner};
        match self {
            Right::Look => &PersonRole::ALL,
            Right::Records => &[Tuner, Approver, DataOwner, Auditor],
            Right::Ask => &[Tuner, Approver, DataOwner, Operator],
            Right::Tune => &[Tuner],
            Right::Data => &[DataOwner],
            Right::Approve => &[Approver],
            Right::Operate => &[Operator],
            Right::Audit => &[Auditor, Administrator],
            Right::People => &[Administrator],
        }
    }

    /// Whether somebody has it over a thing, whose roles and denials in the whole workshop are `wide`, and in
    /// the thing's project `within`, where they have a part in it.
    pub fn is_allowed(
        self,
        wide: (&[PersonRole], &[Right]),
        within: Option<(&[PersonRole], &[Right])>,
    ) -> bool {
        let (roles, denied) = within.unwrap_or_default();
        let is_denied = wide.1.contains(&self) || denied.contains(&self);
        !is_denied && (self.is_held(wide.0, &[]) || self.is_held(roles, &[]))
    }

    /// Whether somebody with these roles has it, to whom these rights are denied.
    pub fn is_held(self, roles: &[PersonRole], denied: &[Right]) -> bool {
        !denied.contains(&self) && self.holders().iter().any(|role| roles.contains(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_written_ones() {
        for role in PersonRole::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), role.name());
        }
        for right in Right::ALL {
            assert_eq!(serde_json::to_value(right).unwrap(), right.name());
        }
    }

    #[test]
    fn nothing_is_allowed_by_default_and_a_denial_wins() {
        for right in Right::ALL {
            assert!(!right.is_held(&[], &[]), "{}", right.name());
            assert!(right.is_held(&PersonRole::ALL, &[]), "{}", right.name());
            assert!(!right.is_held(&PersonRole::ALL, &[right]));
        }
        assert!(Right::Look.is_held(&[PersonRole::Auditor], &[Right::Ask]));
    }

    #[test]
    fn a_project_allows_more_and_a_denial_wins_wherever_it_stands() {
        use PersonRole::{Approver, Auditor, Tuner};
        type Part<'a> = (&'a [PersonRole], &'a [Right]);
        let none: Part<'_> = (&[], &[]);
        let tunes: Part<'_> = (&[Tuner], &[]);
        let cases: [(Part<'_>, Option<Part<'_>>, bool); 11] = [
            // Nothing is allowed by default, in a project or without one.
            (none, None, false),
            (none, Some(none), false),
            // Either is enough.
            (tunes, None, true),
            (tunes, Some(none), true),
            (none, Some(tunes), true),
            ((&[Auditor], &[]), Some((&[Approver, Tuner], &[])), true),
            // The wrong role is none.
            ((&[Auditor], &[]), Some((&[Approver], &[])), false),
            // Denied in the workshop, in the project, in both.
            ((&[Tuner], &[Right::Tune]), Some(tunes), false),
            (tunes, Some((&[Tuner], &[Right::Tune])), false),
            ((&[], &[Right::Tune]), Some(tunes), false),
            // What is denied is that right alone.
            (tunes, Some((&[], &[Right::Look])), true),
        ];
        for (at, (wide, within, allowed)) in cases.into_iter().enumerate() {
            assert_eq!(Right::Tune.is_allowed(wide, within), allowed, "case {at}");
        }
        for right in Right::ALL {
            let all: Part<'_> = (&PersonRole::ALL, &[]);
            assert!(right.is_allowed(none, Some(all)) && right.is_allowed(all, None));
            assert!(!right.is_allowed(all, Some((&PersonRole::ALL, &[right]))));
            assert!(!right.is_allowed((&PersonRole::ALL, &[right]), Some(all)));
        }
    }

    #[test]
    fn who_tunes_decides_nothing_and_who_reads_changes_nothing() {
        assert!(!Right::Approve.is_held(&[PersonRole::Tuner], &[]));
        let changes = [
            Right::Tune,
            Right::Data,
            Right::Approve,
            Right::Operate,
            Right::People,
        ];
        for right in changes {
            assert!(!right.is_held(&[PersonRole::Auditor], &[]));
        }
    }
}
