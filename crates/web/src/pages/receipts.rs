//! Receipts as rows of a list.

use lathe_evidence::receipt::Receipt;

use super::chain::word;
use super::short;
use crate::format;
use crate::lang::Say;

/// A receipt in a list.
pub(super) struct ReceiptRow {
    pub href: String,
    pub id: String,
    pub name: String,
    pub ended: String,
    pub tokens: String,
    pub at: String,
    pub at_text: String,
}

impl ReceiptRow {
    /// The row of a receipt.
    pub(super) fn new(say: Say, receipt: &Receipt) -> ReceiptRow {
        let tokens = [
            ("prompt", format::count(receipt.prompt_tokens)),
            ("answer", format::count(receipt.answer_tokens)),
        ];
        let tokens = tokens
            .each_ref()
            .map(|(name, count)| (*name, count.as_str()));
        ReceiptRow {
            href: format!("/receipts/{}", receipt.id),
            id: short(&receipt.id).to_owned(),
            name: receipt.name.clone(),
            ended: say.it_of("web.ended", word(receipt.ended)),
            tokens: say.with("web.receipt.tokens", &tokens),
            at: format::moment(receipt.closed_ms),
            at_text: format::moment_text(receipt.closed_ms),
        }
    }
}
