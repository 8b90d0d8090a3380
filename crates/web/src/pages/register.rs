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
use lathe_evidence::statement::{Decision, RegistrationAction};
use lathe_workshop::people::answers_as;
use lathe_workshop::trace::{RegistrationView, Said, WaitingView};
use lathe_workshop::{OrderId, WorkshopError};
use serde::Deserialize;

use super::breaker::BreakerBadge;
use super::chain::{self, ApprovedBadge, EntryLink, Link, word};
use super::filing::Filed;
use super::in_path::InPath;
use super::note::{self, Shown};
use super::pending::{self, Pending, Taken};
use super::playground::encoded;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, short};
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
    /// Who approved the one that answers, where no other one is on its way to the name.
    approved: Option<ApprovedBadge>,
    /// Why its breaker is not closed; empty where it is, or never moved.
    breaker_reason: String,
    /// What was decided a moment ago, and what comes of it.
    decided: Option<Decided>,
    pending: Vec<Pending>,
    /// The model that is being decided about; the rest of the page is of the one that answers.
    candidate: Option<Candidate>,
    steps: Vec<Step>,
    filings: Vec<Filed>,
    chain: Vec<Link>,
}

/// A decision that was made a moment ago.
struct Decided {
    told: String,
    then: String,
    /// The page of the order that it was about; none where that is not known.
    order_href: Option<String>,
}

/// A model that somebody has to decide about.
struct Candidate {
    order_href: String,
    order: String,
    model: String,
    chain: Vec<Link>,
    /// What of its data was withdrawn.
    withdrawn: Vec<Taken>,
}

/// `?decided=`: somebody comes from deciding about this order.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Coming {
    decided: Option<String>,
}

/// One step of its life.
struct Step {
    class: &'static str,
    name: String,
    note: Shown,
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
    let waiting = match page.offset() {
        0 => &pending[..pending.len().min(PENDING_SHOWN_MAX)],
        _ => &[],
    };
    let pending = match pending::shown(&state, &tongue, waiting, "/register").await {
        Ok(pending) => pending,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let shown = registrations.iter().take(PAGE_ROWS as usize);
    let page = RegisterPage {
        frame: Frame::new(tongue, "register"),
        pending,
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
    coming: Result<Query<Coming>, QueryRejection>,
) -> Response {
    let coming = coming.map(|Query(coming)| coming).unwrap_or_default();
    let read = async {
        let pending = state.desk.pending_of(&number).await?;
        let here = format!("/register/{}", encoded(&number));
        let pending = pending::shown(&state, &tongue, &pending, &here).await?;
        Ok::<_, WorkshopError>((pending, state.desk.registration(&number).await?))
    };
    match read.await {
        Ok((pending, Some(view))) => {
            let decided = match coming.decided.filter(|_| pending.is_empty()) {
                Some(order) => decided(&state, tongue.say, &view, OrderId(order)).await,
                None => None,
            };
            show(tongue, &view, pending, decided)
        }
        Ok((_, None)) => Problem::Missing.page(tongue),
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

fn show(
    tongue: Tongue,
    view: &RegistrationView,
    mut pending: Vec<Pending>,
    decided: Option<Decided>,
) -> Response {
    let say = tongue.say;
    let chain = view.chain.as_ref();
    let waiting = view.waiting.as_ref();
    if let Some(waiting) = waiting {
        let all = pending.iter_mut();
        all.for_each(|it| it.take_back(say, pending::taken(say, &waiting.chain)));
    }
    let breaker = view.breaker.as_ref();
    let page = RegistrationPage {
        frame: Frame::new(tongue, "register"),
        row: row(say, view),
        model: view.model.to_string(),
        deployment_href: format!("/deployments/{}", encoded(&view.name)),
        bom_href: bom_href(&view.name),
        // How the one that answers was approved tells nothing of the one that waits, or was approved since.
        approved: chain
            .filter(|_| waiting.is_none() && !is_on_its_way(view))
            .and_then(|it| ApprovedBadge::of(say, it)),
        breaker_reason: breaker.map_or_else(String::new, |it| note::of_state(say, it)),
        decided,
        pending,
        candidate: waiting.map(|it| candidate(say, it)),
        steps: life(say, view),
        filings: view.filings.iter().map(|it| Filed::new(say, it)).collect(),
        chain: chain.map(|it| chain::links(say, it)).unwrap_or_default(),
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn candidate(say: Say, waiting: &WaitingView) -> Candidate {
    Candidate {
        order_href: format!("/orders/{}", waiting.order),
        order: short(&waiting.order.0).to_owned(),
        model: waiting.model.to_string(),
        chain: chain::evidence(say, &waiting.chain),
        withdrawn: pending::taken(say, &waiting.chain),
    }
}

/// Whether the last decision lets a model answer that is not deployed yet.
fn is_on_its_way(view: &RegistrationView) -> bool {
    let Some(last) = view.approvals.last() else {
        return false;
    };
    let answers = view.chain.as_ref().and_then(|it| it.approval.as_ref());
    last.said.decision == Decision::Approved && answers.is_none_or(|it| it.link != last.link)
}

/// The last decision as the ledger has it, and what comes of it or has come. The address names the order, and is
/// believed where that is one whose model answers under this name.
async fn decided(
    state: &AppState,
    say: Say,
    view: &RegistrationView,
    order: OrderId,
) -> Option<Decided> {
    let last = view.approvals.last()?;
    let (told, then) = match last.said.decision {
        Decision::Approved if is_on_its_way(view) => {
            ("web.decision.approved", "web.decide.approved")
        }
        Decision::Approved => ("web.decision.approved", "web.decide.deployed"),
        Decision::Rejected => ("web.decision.rejected", "web.decide.rejected"),
    };
    let found = state.desk.order(&order).await.ok().flatten();
    let found = found.filter(|it| answers_as(&it.project, &it.pack, it.demonstration) == view.name);
    Some(Decided {
        told: say.of(told, last.by()),
        then: say.of(then, &view.name),
        order_href: found.map(|it| format!("/orders/{}", it.id)),
    })
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
            (
                it.index,
                step(say, it, class, name, note::of_step(say, &it.said)),
            )
        })
        .collect();
    steps.extend(view.approvals.iter().map(|it| {
        let decision = word(it.said.decision);
        let class = if decision == "approved" {
            "done"
        } else {
            "failed"
        };
        let name = say.of(&format!("web.decision.{decision}"), it.by());
        (
            it.index,
            step(say, it, class, name, note::of_approval(say, &it.said)),
        )
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

fn step<T>(say: Say, said: &Said<T>, class: &'static str, name: String, note: Shown) -> Step {
    Step {
        class,
        name,
        note,
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
            Some(approval) => say.of("web.decision.approved", approval.by()),
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
