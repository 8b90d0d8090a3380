//! `/audit`: who did what, and what was refused, newest first. A page goes on from a row's number, so that
//! the last page costs no more than the first.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::people::AuditRow;
use serde::Deserialize;

use super::{Frame, PAGE_ROWS, Pager, Problem};
use crate::lang::{Say, Tongue};
use crate::{AppState, format};

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    at: String,
    at_text: String,
    event: String,
    by: String,
    what: String,
    /// The project it was about; empty for the whole workshop.
    project: String,
    outcome: String,
    is_bad: bool,
}

/// `?before=`: rows older than the one of this number.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Older {
    before: Option<i64>,
}

/// `GET /audit`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    from: Result<Query<Older>, QueryRejection>,
) -> Response {
    let before = from.map(|Query(it)| it.before).unwrap_or_default();
    let rows = match state.people.audit(before, PAGE_ROWS + 1).await {
        Ok(rows) => rows,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let say = tongue.say;
    let shown = rows.get(..PAGE_ROWS as usize).unwrap_or(&rows);
    let last = shown.last().filter(|_| rows.len() > shown.len());
    let page = AuditPage {
        frame: Frame::new(tongue, "audit"),
        rows: shown.iter().map(|it| row(say, it)).collect(),
        pager: Pager {
            earlier: before.map(|_| "/audit".to_owned()),
            later: last.map(|it| format!("/audit?before={}", it.id)),
        },
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn row(say: Say, row: &AuditRow) -> Row {
    let is_good = row.outcome == "done" || row.outcome.starts_with(['2', '3']);
    Row {
        at: format::moment(row.at_ms),
        at_text: format::moment_text(row.at_ms),
        event: say.name_of("web.audit.event", &row.event),
        by: who(say, &row.by),
        what: row.what.clone(),
        project: row.project.clone().unwrap_or_default(),
        outcome: row.outcome.clone(),
        is_bad: !is_good,
    }
}

/// Who it was, in the reader's language. What the audit has is a beginning that says what they are, and a name.
fn who(say: Say, by: &str) -> String {
    match by {
        "" => "–".to_owned(),
        "a key of the operator's file" => say.it("web.audit.by.file"),
        "anybody on this machine" => say.it("web.audit.by.anybody"),
        "a stranger" => say.it("web.audit.by.stranger"),
        _ => match by.split_once(' ') {
            Some((what @ ("person" | "key"), name)) => {
                say.of(&format!("web.audit.by.{what}"), name)
            }
            _ => by.to_owned(),
        },
    }
}
