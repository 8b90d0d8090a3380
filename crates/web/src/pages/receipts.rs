//! `/receipts`: the answers given, newest first; and receipts as rows of any list.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::receipt::Receipt;
use lathe_workshop::{ReceiptsFrom, WorkshopError};
use serde::Deserialize;

use super::chain::word;
use super::playground::encoded;
use super::{Frame, PAGE_ROWS, Pager, Problem, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

#[derive(Template)]
#[template(path = "receipt_list.html")]
struct ReceiptsPage {
    frame: Frame,
    receipts: Vec<ReceiptRow>,
    /// Nothing was ever answered here.
    nothing_yet: bool,
    pager: Pager,
}

/// `?before=ID` or `?after=ID`: from where the list is read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Place {
    before: Option<String>,
    after: Option<String>,
}

impl Place {
    fn from(self) -> ReceiptsFrom {
        match self {
            Place {
                before: Some(id), ..
            } => ReceiptsFrom::Before(id),
            Place {
                after: Some(id), ..
            } => ReceiptsFrom::After(id),
            _ => ReceiptsFrom::Newest,
        }
    }
}

/// `GET /receipts`.
pub(super) async fn list(
    State(state): State<AppState>,
    tongue: Tongue,
    place: Result<Query<Place>, QueryRejection>,
) -> Response {
    let from = place.map(|Query(place)| place.from()).unwrap_or_default();
    let say = tongue.say;
    let (from, receipts) = match read(&state, from).await {
        Ok(read) => read,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let (shown, pager) = window(&from, &receipts);
    let page = ReceiptsPage {
        frame: Frame::new(tongue, "receipts"),
        receipts: shown.iter().map(|it| ReceiptRow::new(say, it)).collect(),
        nothing_yet: receipts.is_empty() && from == ReceiptsFrom::Newest,
        pager,
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// One receipt more than is shown. Who turned back to the beginning gets the newest, a whole page of
/// them, rather than the few that are newer than what was left.
async fn read(
    state: &AppState,
    from: ReceiptsFrom,
) -> Result<(ReceiptsFrom, Vec<Receipt>), WorkshopError> {
    let receipts = state.desk.receipts_from(&from, PAGE_ROWS + 1).await?;
    let few = receipts.len() <= PAGE_ROWS as usize;
    if few && matches!(from, ReceiptsFrom::After(_)) {
        let newest = ReceiptsFrom::Newest;
        let receipts = state.desk.receipts_from(&newest, PAGE_ROWS + 1).await?;
        return Ok((newest, receipts));
    }
    Ok((from, receipts))
}

/// What is shown of what was read, and the links to its neighbours.
fn window<'a>(from: &ReceiptsFrom, read: &'a [Receipt]) -> (&'a [Receipt], Pager) {
    let more = read.len() > PAGE_ROWS as usize;
    // Read towards the newest, the one too many is the first.
    let shown = match from {
        ReceiptsFrom::After(_) if more => &read[1..],
        _ => &read[..read.len().min(PAGE_ROWS as usize)],
    };
    let href = |side: &str, it: &Receipt| format!("/receipts?{side}={}", encoded(&it.id));
    let earlier = match from {
        ReceiptsFrom::Newest => None,
        _ => Some(
            shown
                .first()
                .map_or_else(|| "/receipts".to_owned(), |it| href("after", it)),
        ),
    };
    let later = (more || matches!(from, ReceiptsFrom::After(_))).then(|| shown.last());
    let later = later.flatten().map(|it| href("before", it));
    (shown, Pager { earlier, later })
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
