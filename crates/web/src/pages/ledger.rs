//! `/ledger` and `/ledger/{entry}`: the head, the entries, one entry with its proof.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::statement::Predicate;
use lathe_workshop::WorkshopError;
use lathe_workshop::trace::{EntryTrace, EntryView, KeyView, LedgerHead};
use serde::Deserialize;

use super::chain::word;
use super::in_path::InPath;
use super::note::{self, Shown};
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

#[derive(Template)]
#[template(path = "ledger.html")]
struct LedgerPage {
    frame: Frame,
    origin: String,
    size: String,
    root: String,
    checkpoint: String,
    approval: String,
    keys: Vec<Key>,
    kinds: Vec<Kind>,
    rows: Vec<Row>,
    pager: Pager,
}

struct Key {
    name: String,
    id: String,
    roles: String,
    stands: bool,
}

/// A kind of statement to narrow the list to.
struct Kind {
    href: String,
    text: String,
    chosen: bool,
}

struct Row {
    href: String,
    index: u64,
    kind: String,
    subject_name: String,
    /// What the subject's digest begins with; empty where its name says that already.
    subject: String,
    signer: String,
    at: String,
    at_text: String,
    void: bool,
}

#[derive(Template)]
#[template(path = "entry.html")]
struct EntryPage {
    frame: Frame,
    row: Row,
    /// What Lathe or somebody wrote beside it.
    note: Shown,
    link: String,
    statement: String,
    envelope: String,
    proof_text: String,
    root: String,
    path: Vec<String>,
    rests_on: Vec<Row>,
}

/// `?page=N&kind=NAME`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Choosing {
    #[serde(default)]
    page: u32,
    kind: Option<String>,
}

/// `GET /ledger`.
pub(super) async fn list(
    State(state): State<AppState>,
    tongue: Tongue,
    choosing: Result<Query<Choosing>, QueryRejection>,
) -> Response {
    let choosing = choosing.map(|Query(choosing)| choosing).unwrap_or_default();
    let kind = choosing
        .kind
        .as_deref()
        .and_then(|kind| Predicate::NAMES.iter().copied().find(|name| *name == kind));
    let page = PageNumber {
        page: choosing.page,
    };
    match load(&state, kind, page).await {
        Ok((head, entries)) => show(tongue, head, &entries, kind, page),
        Err(error) => Problem::from(error).page(tongue),
    }
}

async fn load(
    state: &AppState,
    kind: Option<&'static str>,
    page: PageNumber,
) -> Result<(LedgerHead, Vec<EntryView>), WorkshopError> {
    let head = state.desk.ledger_head().await?;
    let entries = state
        .desk
        .ledger_entries(kind, PAGE_ROWS + 1, page.offset());
    Ok((head, entries.await?))
}

fn show(
    tongue: Tongue,
    head: LedgerHead,
    entries: &[EntryView],
    kind: Option<&'static str>,
    page: PageNumber,
) -> Response {
    let say = tongue.say;
    let path = match kind {
        Some(kind) => format!("/ledger?kind={kind}"),
        None => "/ledger".to_owned(),
    };
    let shown = entries.iter().take(PAGE_ROWS as usize);
    let page = LedgerPage {
        frame: Frame::new(tongue, "ledger"),
        size: format::count(head.size),
        root: head.root.to_string(),
        approval: say.it_of("web.ledger.approval", word(head.approval)),
        keys: head.keys.iter().map(|it| key(say, it)).collect(),
        origin: head.origin,
        checkpoint: head.checkpoint,
        kinds: kinds(say, kind),
        rows: shown.map(|it| row(say, it)).collect(),
        pager: page.pager(&path, entries.len()),
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn kinds(say: Say, chosen: Option<&str>) -> Vec<Kind> {
    let all = Kind {
        href: "/ledger".to_owned(),
        text: say.it("web.ledger.all"),
        chosen: chosen.is_none(),
    };
    let one = |name: &&str| Kind {
        href: format!("/ledger?kind={name}"),
        text: say.it_of("web.kind", name),
        chosen: chosen == Some(*name),
    };
    std::iter::once(all)
        .chain(Predicate::NAMES.iter().map(one))
        .collect()
}

fn key(say: Say, view: &KeyView) -> Key {
    let roles = view
        .key
        .roles
        .iter()
        .map(|it| say.it_of("web.role", word(it)));
    Key {
        name: view.key.name.clone(),
        id: view.key.id.to_string(),
        roles: roles.collect::<Vec<_>>().join(" · "),
        stands: view.stands,
    }
}

fn row(say: Say, entry: &EntryView) -> Row {
    let mut subject = entry.subject.short();
    if entry.subject_name.contains(&subject) {
        subject.clear();
    }
    Row {
        href: format!("/ledger/{}", entry.index),
        index: entry.index,
        kind: say.it_of("web.kind", &entry.kind),
        subject_name: entry.subject_name.clone(),
        subject,
        signer: entry.signer_name.clone(),
        at: format::moment(entry.at_ms),
        at_text: format::moment_text(entry.at_ms),
        void: entry.void.is_some(),
    }
}

/// `GET /ledger/{entry}`, by place or link.
pub(super) async fn entry(
    State(state): State<AppState>,
    InPath(name): InPath,
    tongue: Tongue,
) -> Response {
    match state.desk.ledger_entry(&name).await {
        Ok(Some(found)) => show_entry(tongue, &found),
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

fn show_entry(tongue: Tongue, found: &EntryTrace) -> Response {
    let say = tongue.say;
    let statement = serde_json::to_string_pretty(&found.statement).unwrap_or_default();
    let page = EntryPage {
        frame: Frame::new(tongue, "ledger"),
        row: row(say, &found.entry),
        note: note::of_statement(say, &found.entry.kind, &found.statement),
        link: found.entry.link.to_string(),
        statement,
        envelope: found.envelope.clone(),
        proof_text: say.of("web.ledger.proof.text", format::count(found.size)),
        root: found.root.to_string(),
        path: found.path.iter().map(ToString::to_string).collect(),
        rests_on: found.rests_on.iter().map(|it| row(say, it)).collect(),
    };
    page.frame.answer(StatusCode::OK, &page)
}
