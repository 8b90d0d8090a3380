//! `/audit`: who did what, and what was refused, newest first; narrowed to one of them, and to what was refused.
//! A page goes on from a row's number, so that the last page costs no more than the first.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::audit::ANYBODY;
use lathe_workshop::people::{AuditOutcome, AuditRow, AuditSought, COMMON};
use serde::Deserialize;

use super::playground::encoded;
use super::{Frame, PAGE_ROWS, Pager, Problem};
use crate::lang::{Say, Tongue};
use crate::{AppState, format};

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    rows: Vec<Row>,
    pager: Pager,
    /// Who is sought, in the reader's language; empty for everybody.
    who: String,
    is_refused: bool,
    /// Whether anything is sought.
    narrows: bool,
}

struct Row {
    at: String,
    at_text: String,
    event: String,
    by: String,
    /// To the rows of who it was; none where nobody is known.
    by_href: Option<String>,
    what: String,
    /// The project it was about; empty for the whole workshop.
    project: String,
    outcome: String,
    is_bad: bool,
}

/// `?before=&who=&outcome=`: rows older than the one of this number, of somebody, with an outcome.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Older {
    before: Option<i64>,
    who: Option<String>,
    #[serde(default)]
    outcome: AuditOutcome,
}

/// `GET /audit`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    from: Result<Query<Older>, QueryRejection>,
) -> Response {
    let from = from.map(|Query(it)| it).unwrap_or_default();
    let (say, before) = (tongue.say, from.before);
    let meant = from.who.as_deref().map(|it| meant(say, it.trim()));
    let sought = AuditSought::new(meant.as_deref(), from.outcome);
    let rows = state.people.audit_of(&sought, before, PAGE_ROWS + 1).await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let shown = rows.get(..PAGE_ROWS as usize).unwrap_or(&rows);
    let last = shown.last().filter(|_| rows.len() > shown.len());
    let page = AuditPage {
        frame: Frame::new(tongue, "audit"),
        rows: shown.iter().map(|it| row(say, it)).collect(),
        pager: Pager {
            earlier: before.map(|_| href(&sought, None)),
            later: last.map(|it| href(&sought, Some(it.id))),
        },
        who: sought
            .who
            .as_deref()
            .map_or_else(String::new, |it| who(say, it)),
        is_refused: sought.outcome == AuditOutcome::Refused,
        narrows: sought != AuditSought::default(),
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// The page of what is sought, from the row of number `before` on.
fn href(sought: &AuditSought, before: Option<i64>) -> String {
    let mut asked = Vec::new();
    asked.extend(before.map(|id| format!("before={id}")));
    asked.extend(
        sought
            .who
            .as_deref()
            .map(|it| format!("who={}", encoded(it))),
    );
    if sought.outcome == AuditOutcome::Refused {
        asked.push("outcome=refused".to_owned());
    }
    match asked.is_empty() {
        true => "/audit".to_owned(),
        false => format!("/audit?{}", asked.join("&")),
    }
}

fn row(say: Say, row: &AuditRow) -> Row {
    let is_good = row.outcome == "done" || row.outcome.starts_with(['2', '3']);
    Row {
        at: format::moment(row.at_ms),
        at_text: format::moment_text(row.at_ms),
        event: say.name_of("web.audit.event", &row.event),
        by: who(say, &row.by),
        by_href: (!row.by.is_empty())
            .then(|| href(&AuditSought::new(Some(&row.by), AuditOutcome::All), None)),
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

/// How the audit names who comes with a key of the file that the operator keeps.
const FILE: &str = "a key of the operator's file";
/// How it names who is not logged in.
const STRANGER: &str = "a stranger";

/// Who it was, in the reader's language. What the audit has is a beginning that says what they are, and a name.
pub(super) fn who(say: Say, by: &str) -> String {
    match by {
        "" => "–".to_owned(),
        FILE => say.it("web.audit.by.file"),
        ANYBODY => say.it("web.audit.by.anybody"),
        STRANGER => say.it("web.audit.by.stranger"),
        _ => match by.split_once(' ') {
            Some((what @ ("person" | "key"), name)) => {
                say.of(&format!("web.audit.by.{what}"), name)
            }
            _ => by.to_owned(),
        },
    }
}

/// Who is meant by what [`who`] says of them, as the audit has it; what says nothing of that kind stays as it is.
fn meant(say: Say, told: &str) -> String {
    for by in [FILE, ANYBODY, STRANGER] {
        if who(say, by) == told {
            return by.to_owned();
        }
    }
    for what in ["person", "key"] {
        let begins = say.of(&format!("web.audit.by.{what}"), "");
        if let Some(name) = told.strip_prefix(&begins) {
            return format!("{what} {}", name.trim());
        }
    }
    told.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn who_is_told_is_who_is_meant() {
        for lang in [Lang::En, Lang::Zh] {
            let say = Say::new(lang);
            for by in [FILE, ANYBODY, STRANGER, "person anna", "key the shop"] {
                assert_eq!(meant(say, &who(say, by)), by);
            }
            assert_eq!(meant(say, "anna"), "anna");
        }
        let sought = AuditSought::new(Some("key a&b"), AuditOutcome::Refused);
        let next = href(&sought, Some(7));
        assert_eq!(next, "/audit?before=7&who=key%20a%26b&outcome=refused");
    }

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
