//! `/register` and `/register/{number}`: the workshop's own register (算法登记), open to all.
//!
//! A registration is never called a filing: that is the authority's act, and shown only with its
//! number, date and the digest of its document.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, VARY};
use axum::response::{Html, IntoResponse, Response};
use lathe_evidence::statement::RegistrationAction;
use lathe_workshop::store::PendingRow;
use lathe_workshop::trace::{RegistrationView, Said};

use super::breaker::BreakerBadge;
use super::chain::{self, EntryLink, Link, word};
use super::filing::Filed;
use super::in_path::InPath;
use super::pending::Pending;
use super::playground::encoded;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

/// Waiting models shown; more are in `lathe register pending`.
const PENDING_SHOWN_MAX: usize = 20;

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    frame: Frame,
    /// What waits for approval; on the first page alone.
    pending: Vec<Pending>,
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
    bom_href: String,
    self_approved: bool,
    pending: Vec<Pending>,
    steps: Vec<Step>,
    filings: Vec<Filed>,
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
    let (registrations, pending) = match (found, state.desk.pending().await) {
        (Ok(registrations), Ok(pending)) => (registrations, pending),
        (Err(error), _) | (_, Err(error)) => return Problem::from(error).page(tongue),
    };
    let waiting = pending.iter().take(PENDING_SHOWN_MAX);
    let shown = registrations.iter().take(PAGE_ROWS as usize);
    let page = RegisterPage {
        frame: Frame::new(tongue, "register"),
        pending: match page.offset() {
            0 => waiting.map(Pending::new).collect(),
            _ => Vec::new(),
        },
        rows: shown.map(|it| row(say, it)).collect(),
        offset: page.offset(),
        pager: page.pager("/register", registrations.len()),
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// `GET /register/{number}`.
pub(super) async fn page(
    State(state): State<AppState>,
    InPath(number): InPath,
    tongue: Tongue,
) -> Response {
    let pending = match state.desk.pending_of(&number).await {
        Ok(pending) => pending,
        Err(error) => return Problem::from(error).page(tongue),
    };
    match state.desk.registration(&number).await {
        Ok(Some(view)) => show(tongue, &view, &pending),
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
    InPath(number): InPath,
    tongue: Tongue,
) -> Response {
    match state.desk.dossier(&number, tongue.say.lang()).await {
        Ok(Some(page)) => printed(page),
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// A page that the register made whole, as an answer.
pub(super) fn printed(page: String) -> Response {
    let headers = [
        (CONTENT_SECURITY_POLICY, DOSSIER_POLICY),
        (CACHE_CONTROL, "no-store"),
        (VARY, "Accept-Language, Cookie"),
    ];
    (headers, Html(page)).into_response()
}

fn show(tongue: Tongue, view: &RegistrationView, pending: &[PendingRow]) -> Response {
    let say = tongue.say;
    let chain = view.chain.as_ref();
    let page = RegistrationPage {
        frame: Frame::new(tongue, "register"),
        row: row(say, view),
        model: view.model.to_string(),
        deployment_href: format!("/deployments/{}", encoded(&view.name)),
        bom_href: bom_href(&view.name),
        self_approved: chain.is_some_and(|it| it.self_approved),
        pending: pending.iter().map(Pending::new).collect(),
        steps: life(say, view),
        filings: view.filings.iter().map(|it| Filed::new(say, it)).collect(),
        chain: chain.map(|it| chain::links(say, it)).unwrap_or_default(),
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// Where the bill of materials of a deployment stands.
pub(super) fn bom_href(name: &str) -> String {
    format!("/api/deployments/{}/ml-bom", encoded(name))
}

/// Its steps and the decisions about it, in the order in which they were said.
fn life(say: Say, view: &RegistrationView) -> Vec<Step> {
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
    steps.into_iter().map(|(_, step)| step).collect()
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
            Some(it) => format!(
                "{} · {} · {}",
                it.said.number,
                it.said.date,
                it.subject.short()
            ),
            None => say.it("web.register.filed.none"),
        },
        breaker: BreakerBadge::of(say, view),
        changed: format::moment(changed_ms),
        changed_text: format::moment_text(changed_ms),
    }
}
