//! What waits for somebody's approval, with the commands that decide: on the register, on the
//! registration and on the order. An approver's key never comes here: only where the workshop's own key signs
//! what people decide does one decide on the page.

use lathe_workshop::store::PendingRow;

use super::playground::encoded;
use crate::format;

/// A model that waits.
pub(super) struct Pending {
    pub number: String,
    pub name: String,
    pub href: String,
    pub order_href: String,
    pub at: String,
    pub at_text: String,
    pub approve: String,
    pub reject: String,
    /// Where the decision of whoever is logged in goes.
    pub decide_href: String,
}

impl Pending {
    /// The row as it is shown.
    pub(super) fn new(row: &PendingRow) -> Pending {
        let number = &row.number;
        Pending {
            href: format!("/register/{}", encoded(number)),
            decide_href: format!("/register/{}/decide", encoded(number)),
            order_href: format!("/orders/{}", row.order),
            at: format::moment(row.at_ms),
            at_text: format::moment_text(row.at_ms),
            approve: format!("lathe approve {number} --key KEY-FILE --reason \"…\""),
            reject: format!("lathe approve {number} --key KEY-FILE --reject --reason \"…\""),
            number: row.number.clone(),
            name: row.name.clone(),
        }
    }
}
