//! `/receipts`: the answers given, newest first; and receipts as rows of any list.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::receipt::Receipt;

use super::chain::word;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

#[derive(Template)]
#[template(path = "receipt_list.html")]
struct ReceiptsPage {
    frame: Frame,
    receipts: Vec<ReceiptRow>,
    offset: u32,
    pager: Pager,
}

/// `GET /receipts`.
pub(super) async fn list(
    State(state): State<AppState>,
    tongue: Tongue,
    page: Result<Query<PageNumber>, QueryRejection>,
) -> Response {
    let page = page.map(|Query(page)| page).unwrap_or_default();
    let say = tongue.say;
    let read = state.desk.receipts(None, PAGE_ROWS + 1, page.offset());
    let receipts = match read.await {
        Ok(receipts) => receipts,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let shown = receipts.iter().take(PAGE_ROWS as usize);
    let page = ReceiptsPage {
        frame: Frame::new(tongue, "receipts"),
        receipts: shown.map(|it| ReceiptRow::new(say, it)).collect(),
        offset: page.offset(),
        pager: page.pager("/receipts", receipts.len()),
    };
    page.frame.answer(StatusCode::OK, &page)
}

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
