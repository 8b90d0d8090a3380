//! `/audit`: who did what, and what was refused, newest first. A page goes on from a row's number, so that
//! the last page costs no more than the first.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::audit::ANYBODY;
use lathe_workshop::people::{AuditRow, COMMON};
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
        what: what(say, &row.what),
        project: row
            .project
            .as_deref()
            .map_or_else(String::new, |it| projects(say, it)),
        outcome: say.name_of("web.audit.outcome", &row.outcome),
        is_bad: !is_good,
    }
}

/// What was done, in the reader's language where it is no path and no operation, which are called the same everywhere.
fn what(say: Say, what: &str) -> String {
    let name = match what {
        "log in" => "login",
        "log out" => "logout",
        "end a session" => "session",
        "end all other sessions" => "sessions",
        _ => return what.to_owned(),
    };
    say.it_of("web.audit.what", name)
}

/// The projects by their ids; the common one as people call it.
fn projects(say: Say, ids: &str) -> String {
    let called = ids.split(", ").map(|id| match id {
        COMMON => say.it("web.projects.common"),
        _ => id.to_owned(),
    });
    called.collect::<Vec<_>>().join(", ")
}

/// Who it was, in the reader's language. What the audit has is a beginning that says what they are, and a name.
pub(super) fn who(say: Say, by: &str) -> String {
    match by {
        "" => "–".to_owned(),
        "a key of the operator's file" => say.it("web.audit.by.file"),
        ANYBODY => say.it("web.audit.by.anybody"),
        "a stranger" => say.it("web.audit.by.stranger"),
        _ => match by.split_once(' ') {
            Some((what @ ("person" | "key"), name)) => {
                say.of(&format!("web.audit.by.{what}"), name)
            }
            _ => by.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn a_row_is_told_in_the_reader_s_language() {
        let told = |lang, what: &str, outcome: &str| {
            let line = AuditRow::now("login", "person anna", what, outcome);
            let line = line.within(&[COMMON.to_owned(), "bank".to_owned()]);
            let row = row(Say::new(lang), &line);
            (row.what, row.outcome, row.project)
        };
        let own = |it: [&str; 3]| (it[0].to_owned(), it[1].to_owned(), it[2].to_owned());
        assert_eq!(
            told(Lang::Zh, "log in", "done"),
            own(["登录", "已完成", "公共项目, bank"])
        );
        assert_eq!(
            told(Lang::Zh, "decide 2026-0001", "right-denied"),
            own(["decide 2026-0001", "无此权限", "公共项目, bank"])
        );
        assert_eq!(
            told(Lang::En, "log in", "done"),
            own(["log in", "done", "Common, bank"])
        );
    }
}
