//! Everything a page shows or does, a documented endpoint does; and every operation is a command's too.
//!
//! The table is held against the pages' routes in both directions, and what it names against the description
//! of the interface. What the table says of two things being the same is read by people.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::openapi::{document, routes_of, sources};

/// What a page is the same as.
enum Same {
    /// This endpoint.
    As(&'static str),
    /// An operation of this name, at `POST /api/operations`.
    Operation(&'static str),
    /// Nothing: it draws what its own script has been answered already.
    Draws,
    /// Nothing: a program has a key, where a browser begins and ends a session.
    Session,
}
use Same::{As, Draws, Operation, Session};

const PAGES: &[(&str, Same)] = &[
    ("GET /", As("GET /api/orders")),
    ("GET /orders", As("GET /api/orders")),
    ("POST /orders", As("POST /api/orders")),
    ("GET /orders/new", Operation("order-plan")),
    ("POST /orders/new", As("POST /api/orders")),
    ("GET /orders/compare", As("GET /api/orders/compare")),
    ("GET /orders/{id}", As("GET /api/orders/{id}")),
    ("GET /orders/{id}/live", As("GET /api/orders/{id}/events")),
    ("GET /orders/{id}/lesson", As("GET /api/orders/{id}/lesson")),
    ("POST /orders/{id}/pause", Operation("order-pause")),
    ("POST /orders/{id}/resume", Operation("order-resume")),
    ("POST /orders/{id}/cancel", Operation("order-cancel")),
    ("GET /orders/{id}/clone", Operation("order-clone-plan")),
    ("POST /orders/{id}/clone", Operation("order-clone")),
    ("GET /models", As("GET /api/models")),
    ("GET /models/{digest}", As("GET /api/models/{digest}")),
    ("GET /try", As("GET /api/deployments")),
    ("POST /try", As("POST /v1/chat/completions")),
    ("POST /try/answer", Draws),
    ("GET /data", As("GET /api/data")),
    ("GET /data/compare", Operation("data-compare")),
    ("GET /data/bring", As("GET /api/brought")),
    ("POST /data/bring", Operation("bring-begin")),
    ("GET /data/bring/{id}", Operation("bring-look")),
    ("POST /data/bring/{id}", Operation("bring-make")),
    ("GET /review", Operation("feedback-list")),
    ("POST /review", Operation("feedback-review")),
    ("POST /review/learn", Operation("feedback-dataset")),
    ("GET /data/{digest}", As("GET /api/data/{digest}")),
    (
        "GET /data/{digest}/records",
        As("GET /api/data/{digest}/records"),
    ),
    ("GET /tour", As("GET /api/deployments")),
    ("POST /tour", As("POST /v1/chat/completions")),
    ("GET /tour/flip", As("GET /api/deployments")),
    ("POST /tour/flip", Operation("flip")),
    ("GET /receipts", As("GET /api/receipts")),
    ("GET /receipts/{id}", As("GET /api/receipts/{id}")),
    ("GET /records/{leaf}", As("GET /api/records/{leaf}")),
    (
        "GET /records/{leaf}/withdraw",
        As("GET /api/records/{leaf}"),
    ),
    ("POST /records/{leaf}/withdraw", Operation("withdraw")),
    ("GET /deployments/{name}", As("GET /api/breakers/{name}")),
    ("GET /register", As("GET /api/register")),
    ("GET /register/{number}", As("GET /api/register/{number}")),
    ("GET /register/{number}/dossier", Operation("dossier")),
    (
        "GET /register/{number}/filing",
        As("GET /api/register/{number}/filing"),
    ),
    (
        "GET /register/{number}/filing/package",
        Operation("filing-package"),
    ),
    ("POST /register/{number}/decide", Operation("decide")),
    ("GET /login", Session),
    ("POST /login", Session),
    ("GET /login/oidc/{name}", Session),
    ("GET /login/oidc/{name}/back", Session),
    ("POST /logout", Session),
    ("GET /account", As("GET /api/me/sessions")),
    ("POST /account/password", As("POST /api/me/password")),
    ("POST /account/sessions/end", As("DELETE /api/me/sessions")),
    (
        "POST /account/sessions/{id}/end",
        As("DELETE /api/me/sessions/{id}"),
    ),
    ("GET /people", Operation("people")),
    ("POST /people", Operation("person-add")),
    ("GET /people/{name}", Operation("people")),
    ("POST /people/{name}/roles", Operation("person-roles")),
    ("POST /people/{name}/password", Operation("person-password")),
    (
        "POST /deployments/{name}/bundle",
        As("POST /api/deployments/{name}/bundle"),
    ),
    ("POST /people/{name}/disable", Operation("person-disable")),
    ("POST /people/{name}/enable", Operation("person-enable")),
    ("GET /projects", As("GET /api/projects")),
    ("POST /projects", Operation("project-create")),
    ("GET /projects/{id}", As("GET /api/projects/{id}")),
    ("POST /projects/{id}/name", Operation("project-rename")),
    ("POST /projects/{id}/delete", Operation("project-delete")),
    ("POST /projects/{id}/members", Operation("project-member")),
    ("POST /projects/{id}/leave", Operation("project-leave")),
    ("GET /audit", As("GET /api/audit")),
    ("GET /settings", As("GET /api/settings")),
    ("GET /keys", Operation("tokens")),
    ("POST /keys", Operation("token-create")),
    ("POST /keys/{id}/revoke", Operation("token-revoke")),
    ("GET /ledger", As("GET /api/ledger/entries")),
    ("GET /ledger/{entry}", As("GET /api/ledger/entries/{entry}")),
];

/// Operations that a command does without asking the daemon: by the same function, on its own copy.
const WITHOUT: [(&str, &str); 3] = [
    ("filing-check", "filing_check("),
    ("flip", "copy.flip("),
    ("order-recipe", "draft::with_recipe("),
];

/// The names of all operations, as the description has them.
fn operations(document: &Value) -> BTreeSet<String> {
    let variants = document["components"]["schemas"]["Operation"]["oneOf"].as_array();
    let mut names = BTreeSet::new();
    for variant in variants.expect("one of several") {
        collect(variant, &mut names);
    }
    names
}

/// What `do` is said to be.
fn collect(value: &Value, names: &mut BTreeSet<String>) {
    if let Some(name) = value["properties"]["do"]["const"].as_str() {
        names.insert(name.to_owned());
    }
    for part in value["allOf"].as_array().into_iter().flatten() {
        collect(part, names);
    }
}

#[tokio::test]
async fn every_page_is_the_same_as_a_documented_endpoint() {
    let listed: BTreeSet<String> = PAGES.iter().map(|(page, _)| (*page).to_owned()).collect();
    assert_eq!(listed.len(), PAGES.len(), "no page twice");
    assert_eq!(listed, routes_of(&["src/pages"]), "PAGES and src/pages");
    let document = document().await;
    let operations = operations(&document);
    assert!(operations.len() >= 30, "{operations:?}");
    for (page, same) in PAGES {
        match same {
            As(endpoint) => {
                let (method, path) = endpoint.split_once(' ').expect("a method and a path");
                let described = &document["paths"][path][method.to_lowercase()];
                assert!(described.is_object(), "{page}: {endpoint} is not described");
            }
            Operation(name) => assert!(operations.contains(*name), "{page}: no operation {name}"),
            Draws | Session => {}
        }
    }
}

#[tokio::test]
async fn every_operation_is_a_commands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lathe/src");
    let mut texts = Vec::new();
    sources(&folder, &mut texts);
    for name in operations(&document().await) {
        let variant: String = name
            .split('-')
            .map(|word| word[..1].to_uppercase() + &word[1..])
            .collect();
        let made = format!("Operation::{variant}");
        let is_made = texts.iter().any(|text| {
            text.match_indices(&made).any(|(at, _)| {
                let after = text[at + made.len()..].chars().next();
                matches!(after, Some('{' | '('))
            })
        });
        let own = WITHOUT.iter().find(|(it, _)| *it == name);
        let is_called = own.is_some_and(|(_, call)| texts.iter().any(|text| text.contains(call)));
        assert!(is_made || is_called, "{name}: no command does it");
    }
}
