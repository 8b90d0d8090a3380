//! Rules about which statements have to stand in the ledger before the verdict.

use super::{Evidence, Finding, finding};
use crate::policy::Policy;

/// One finding for each required kind of statement.
pub(super) fn findings(evidence: &Evidence<'_>, policy: &Policy) -> Vec<Finding> {
    let rows = policy.require.iter().map(|required| {
        let name = required.name();
        let cure = (!evidence.statements.contains(&name))
            .then(|| format!("run the order again so that its {name} statement enters the ledger"));
        finding(
            "require",
            format!("the chain holds a {name} statement"),
            format!("the chain: {}", evidence.statements.join(", ")),
            None,
            cure,
        )
    });
    rows.collect()
}
