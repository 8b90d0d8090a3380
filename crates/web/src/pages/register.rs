//! `/register` and `/register/{number}`: the workshop's own register (算法登记), open to all.
//!
//! A registration is never called a filing: that is the authority's act, and shown only with its
//! number, date and document.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, VARY};
use axum::response::{Html, IntoResponse, Response};
use lathe_evidence::statement::RegistrationAction;
use lathe_workshop::trace::{RegistrationView, Said};

use super::breaker::BreakerBadge;
use super::chain::{self, EntryLink, Link, word};
use super::playground::encoded;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    frame: Frame,
    rows: Vec<Row>,
    offset: u32,
    pager: Pager,
}

struct Row {
    href: String,
    number: String,
    name: String,
    state: String,
    state_class: &'static str,
    approval: String,
    filed: String,
    breaker: BreakerBadge,
    changed: String,
    changed_text: String,
}

#[derive(Template)]
#[template(path = "registration.html")]
struct RegistrationPage {
    frame: Frame,
    row: Row,
    model: String,
    deployment_href: String,
    self_approved: bool,
    pending: bool,
    steps: Vec<Step>,
    filings: Vec<String>,
    chain: Vec<Link>,
}

/// One step of its life.
struct Step {
    class: &'static str,
    name: String,
    note: String,
    at: String,
    at_text: String,
    entry: EntryLink,
}

/// `GET /register`.
pub(super) async fn list(
    State(state): State<AppState>,
    tongue: Tongue,
    page: Result<Query<PageNumber>, QueryRejection>,
) -> Response {
    let page = page.map(|Query(page)| page).unwrap_or_default();
    let say = tongue.say;
    let found = state.desk.registrations(PAGE_ROWS + 1, page.offset()).await;
    let registrations = match found {
        Ok(registrations) => registrations,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let shown = registrations.iter().take(PAGE_ROWS as usize);
    let page = RegisterPage {
        frame: Frame::new(tongue, "register"),
        rows: shown.map(|it| row(say, it)).collect(),
        offset: page.offset(),
        pager: page.pager("/register", registrations.len()),
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// `GET /register/{number}`.
pub(super) async fn page(
    State(state): State<AppState>,
    Path(number): Path<String>,
    tongue: Tongue,
) -> Response {
    match state.desk.registration(&number).await {
        Ok(Some(view)) => show(tongue, &view),
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// The dossier brings a style of its own and loads nothing.
const DOSSIER_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /register/{number}/dossier`, to read and to print.
pub(super) async fn dossier(
    State(state): State<AppState>,
    Path(number): Path<String>,
    tongue: Tongue,
) -> Response {
    match state.desk.dossier(&number, tongue.say.lang()).await {
        Ok(Some(page)) => {
            let headers = [
                (CONTENT_SECURITY_POLICY, DOSSIER_POLICY),
                (CACHE_CONTROL, "no-store"),
                (VARY, "Accept-Language, Cookie"),
            ];
            (headers, Html(page)).into_response()
        }
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

fn show(tongue: Tongue, view: &RegistrationView) -> Response {
    let say = tongue.say;
    let chain = view.chain.as_ref();
    let mut steps: Vec<(u64, Step)> = view
        .steps
        .iter()
        .map(|it| {
            let name = say.it_of("web.action", word(it.said.action));
            let class = class(it.said.action);
            (it.index, step(say, it, class, name, &it.said.note))
        })
        .collect();
    steps.extend(view.approvals.iter().map(|it| {
        let decision = word(it.said.decision);
        let class = if decision == "approved" {
            "done"
        } else {
            "failed"
        };
        let name = say.of(&format!("web.decision.{decision}"), &it.signer_name);
        (it.index, step(say, it, class, name, &it.said.reason))
    }));
    steps.sort_by_key(|(index, _)| *index);
    let page = RegistrationPage {
        frame: Frame::new(tongue, "register"),
        row: row(say, view),
        model: view.model.to_string(),
        deployment_href: format!("/deployments/{}", encoded(&view.name)),
        self_approved: chain.is_some_and(|it| it.self_approved),
        pending: view.state == RegistrationAction::Reviewed && view.approvals.is_empty(),
        steps: steps.into_iter().map(|(_, step)| step).collect(),
        filings: view
            .filings
            .iter()
            .map(|it| {
                format!(
                    "{} {} ({})",
                    it.said.authority, it.said.number, it.said.date
                )
            })
            .collect(),
        chain: chain.map(|it| chain::links(say, it)).unwrap_or_default(),
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn class(action: RegistrationAction) -> &'static str {
    match action {
        RegistrationAction::CorrectionAsked | RegistrationAction::Cancelled => "failed",
        _ => "done",
    }
}

fn step<T>(say: Say, said: &Said<T>, class: &'static str, name: String, note: &str) -> Step {
    Step {
        class,
        name,
        note: note.to_owned(),
        at: format::moment(said.at_ms),
        at_text: format::moment_text(said.at_ms),
        entry: chain::entry(say, said),
    }
}

fn row(say: Say, view: &RegistrationView) -> Row {
    let approval = view.chain.as_ref().and_then(|it| it.approval.as_ref());
    let self_approved = view.chain.as_ref().is_some_and(|it| it.self_approved);
    let changed_ms = view.steps.last().map_or(0, |it| it.at_ms);
    Row {
        href: format!("/register/{}", encoded(&view.number)),
        number: view.number.clone(),
        name: view.name.clone(),
        state: say.it_of("web.action", word(view.state)),
        state_class: match class(view.state) {
            "failed" => "bad",
            _ => "good",
        },
        approval: match approval {
            _ if self_approved => say.it("web.receipt.self"),
            Some(approval) => approval.signer_name.clone(),
            None => String::new(),
        },
        filed: match view.filings.last() {
            Some(filing) => format!("{} ({})", filing.said.number, filing.said.date),
            None => say.it("web.register.filed.none"),
        },
        breaker: BreakerBadge::new(
            say,
            view.breaker.as_ref().map(|it| it.state).unwrap_or_default(),
        ),
        changed: format::moment(changed_ms),
        changed_text: format::moment_text(changed_ms),
    }
}
