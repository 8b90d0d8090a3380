//! Which right every page and every path of the API asks for, once there are people. What does not stand
//! here is denied; a test walks all routes and names the one that is missing.
//!
//! Which roles have a right stands in one other table (`lathe_workshop::people::Right`). What `/v1`, the
//! figures and the health ask for goes by the scopes that keys have.

use axum::http::Method;
use lathe_workshop::people::{Right, Thing};
use lathe_workshop::token::Scope;

/// What somebody needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: they come to log in.
    Nothing,
    /// To be logged in.
    Somebody,
    /// A right.
    Has(Right),
    /// One of two rights; who has neither is told of the second.
    Either(Right, Right),
    /// The right of the operation that is asked for; whoever reads it asks.
    ByOperation,
}

const LOOK: Need = Need::Has(Right::Look);
const RECORDS: Need = Need::Has(Right::Records);
const ASK: Need = Need::Has(Right::Ask);
const TUNE: Need = Need::Has(Right::Tune);
const DATA: Need = Need::Has(Right::Data);
const APPROVE: Need = Need::Has(Right::Approve);
const OPERATE: Need = Need::Has(Right::Operate);
const AUDIT: Need = Need::Has(Right::Audit);
const PEOPLE: Need = Need::Has(Right::People);
/// Over the whole workshop alone.
const OPERATE_OR_AUDIT: Need = Need::Either(Right::Operate, Right::Audit);

/// Over what a right is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// The whole workshop.
    Workshop,
    /// Some project: what stands there shows, or does, what whoever asks may in each.
    Anywhere,
    /// One thing, which the address names.
    Of(Thing),
}

/// The thing that a parameter names.
type Named = fn(String) -> Thing;

/// Routes that begin so are about the thing that their first parameter names.
const THINGS: &[(&str, Named)] = &[
    ("/orders/{id}", Thing::Order),
    ("/api/orders/{id}", Thing::Order),
    ("/data/{digest}", Thing::Artifact),
    ("/api/data/{digest}", Thing::Artifact),
    ("/models/{digest}", Thing::Artifact),
    ("/api/models/{digest}", Thing::Artifact),
    ("/deployments/{name}", Thing::Name),
    ("/api/deployments/{name}", Thing::Name),
    ("/api/breakers/{name}", Thing::Name),
    ("/receipts/{id}", Thing::Receipt),
    ("/api/receipts/{id}", Thing::Receipt),
    ("/register/{number}", Thing::Registration),
    ("/api/register/{number}", Thing::Registration),
    ("/keys/{id}", Thing::Token),
    ("/projects/{id}", Thing::Project),
    ("/api/projects/{id}", Thing::Project),
];

/// Routes whose handlers list what whoever asks may see, or judge what the body or the query names. A file
/// that was brought is judged where it lies, a registered model by its name on the shelf.
const ANYWHERE: &[&str] = &[
    "/",
    "/orders",
    "/orders/new",
    "/orders/compare",
    "/models",
    "/try",
    "/try/answer",
    "/tour",
    "/tour/flip",
    "/data",
    "/data/compare",
    "/data/bring",
    "/data/bring/{id}",
    "/receipts",
    "/review",
    "/review/learn",
    "/records/{leaf}",
    "/register",
    "/keys",
    "/projects",
    "/api/orders",
    "/api/orders/compare",
    "/api/data",
    "/api/brought",
    "/api/brought/{id}",
    "/api/models",
    "/api/deployments",
    "/api/receipts",
    "/api/records/{leaf}",
    "/api/trace",
    "/api/register",
    "/api/projects",
];

/// Over what a request to `path` asks for its right, whose route is `route` and whose first parameter is
/// `named`. What is not said to be a project's is the whole workshop's.
pub(super) fn place(path: &str, route: Option<&str>, named: Option<&str>) -> Place {
    let Some(route) = route else {
        return Place::Workshop;
    };
    let under = |folder: &str| {
        let rest = route.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if let Some((_, thing)) = THINGS.iter().find(|(begins, _)| under(begins)) {
        return Place::Of(thing(named.unwrap_or_default().to_owned()));
    }
    let by_name = ["/hf", "/api/2.0/mlflow", "/api/2.0/mlflow-artifacts"];
    let is_listed = ANYWHERE.contains(&route) || by_name.into_iter().any(under);
    match is_listed || path.starts_with("/v1/") {
        true => Place::Anywhere,
        false => Place::Workshop,
    }
}

/// The table: method, route, need.
#[rustfmt::skip]
pub(crate) const ROUTES: &[(&str, &str, Need)] = &[
    ("GET", "/login", Need::Nothing),
    ("POST", "/login", Need::Nothing),
    ("GET", "/login/oidc/{name}", Need::Nothing),
    ("GET", "/login/oidc/{name}/back", Need::Nothing),
    ("POST", "/logout", Need::Somebody),
    ("GET", "/favicon.ico", Need::Nothing),
    ("GET", "/account", Need::Somebody),
    ("POST", "/account/password", Need::Somebody),
    ("POST", "/account/sessions/end", Need::Somebody),
    ("POST", "/account/sessions/{id}/end", Need::Somebody),
    ("GET", "/people", PEOPLE),
    ("POST", "/people", PEOPLE),
    ("GET", "/people/{name}", PEOPLE),
    ("POST", "/people/{name}/roles", PEOPLE),
    ("POST", "/people/{name}/password", PEOPLE),
    ("POST", "/people/{name}/disable", PEOPLE),
    ("POST", "/people/{name}/enable", PEOPLE),
    ("GET", "/projects", LOOK),
    ("POST", "/projects", PEOPLE),
    ("GET", "/projects/{id}", LOOK),
    ("POST", "/projects/{id}/name", PEOPLE),
    ("POST", "/projects/{id}/delete", PEOPLE),
    ("POST", "/projects/{id}/members", PEOPLE),
    ("POST", "/projects/{id}/leave", PEOPLE),
    ("GET", "/audit", AUDIT),
    ("GET", "/settings", OPERATE_OR_AUDIT),
    ("GET", "/keys", OPERATE),
    ("POST", "/keys", OPERATE),
    ("POST", "/keys/{id}/revoke", OPERATE),
    // Orders.
    ("GET", "/", LOOK),
    ("GET", "/orders", LOOK),
    ("POST", "/orders", TUNE),
    ("GET", "/orders/new", TUNE),
    ("POST", "/orders/new", TUNE),
    ("GET", "/orders/compare", LOOK),
    ("GET", "/orders/{id}", LOOK),
    ("GET", "/orders/{id}/live", LOOK),
    ("GET", "/orders/{id}/lesson", RECORDS),
    ("POST", "/orders/{id}/pause", TUNE),
    ("POST", "/orders/{id}/resume", TUNE),
    ("POST", "/orders/{id}/cancel", TUNE),
    ("GET", "/orders/{id}/clone", TUNE),
    ("POST", "/orders/{id}/clone", TUNE),
    // Models.
    ("GET", "/models", LOOK),
    ("GET", "/models/{digest}", LOOK),
    ("GET", "/try", ASK),
    ("POST", "/try", ASK),
    ("POST", "/try/answer", ASK),
    ("GET", "/tour", ASK),
    ("POST", "/tour", ASK),
    ("GET", "/tour/flip", ASK),
    ("POST", "/tour/flip", ASK),
    ("GET", "/deployments/{name}", LOOK),
    ("POST", "/deployments/{name}/bundle", OPERATE),
    // Data and evidence.
    ("GET", "/data", LOOK),
    ("GET", "/data/compare", RECORDS),
    ("GET", "/data/bring", DATA),
    ("POST", "/data/bring", DATA),
    ("GET", "/data/bring/{id}", DATA),
    ("POST", "/data/bring/{id}", DATA),
    ("GET", "/data/{digest}", LOOK),
    ("GET", "/data/{digest}/records", RECORDS),
    ("GET", "/receipts", LOOK),
    ("GET", "/receipts/{id}", RECORDS),
    ("GET", "/review", RECORDS),
    ("POST", "/review", DATA),
    ("POST", "/review/learn", DATA),
    ("GET", "/records/{leaf}", RECORDS),
    ("GET", "/records/{leaf}/withdraw", DATA),
    ("POST", "/records/{leaf}/withdraw", DATA),
    ("GET", "/register", LOOK),
    ("GET", "/register/{number}", LOOK),
    ("POST", "/register/{number}/decide", APPROVE),
    ("GET", "/register/{number}/dossier", LOOK),
    ("GET", "/register/{number}/filing", LOOK),
    ("GET", "/register/{number}/filing/package", LOOK),
    ("GET", "/ledger", LOOK),
    ("GET", "/ledger/{entry}", LOOK),
    // The API.
    ("GET", "/openapi.json", Need::Somebody),
    ("GET", "/api", Need::Somebody),
    ("GET", "/api/me", Need::Somebody),
    ("POST", "/api/me/password", Need::Somebody),
    ("GET", "/api/me/sessions", Need::Somebody),
    ("DELETE", "/api/me/sessions", Need::Somebody),
    ("DELETE", "/api/me/sessions/{id}", Need::Somebody),
    ("GET", "/api/audit", AUDIT),
    ("GET", "/api/settings", OPERATE_OR_AUDIT),
    ("GET", "/api/projects", LOOK),
    ("GET", "/api/projects/{id}", LOOK),
    ("GET", "/api/orders", LOOK),
    ("POST", "/api/orders", TUNE),
    ("GET", "/api/orders/compare", LOOK),
    ("GET", "/api/orders/{id}", LOOK),
    ("GET", "/api/orders/{id}/settings", LOOK),
    ("GET", "/api/orders/{id}/curve", LOOK),
    ("GET", "/api/orders/{id}/log", LOOK),
    ("GET", "/api/orders/{id}/lesson", RECORDS),
    ("GET", "/api/orders/{id}/report", LOOK),
    ("GET", "/api/orders/{id}/verdict", LOOK),
    ("GET", "/api/orders/{id}/events", LOOK),
    ("GET", "/api/data", LOOK),
    ("POST", "/api/data", DATA),
    ("GET", "/api/data/{digest}", LOOK),
    ("GET", "/api/data/{digest}/records", RECORDS),
    ("GET", "/api/brought", DATA),
    ("PUT", "/api/brought/{id}", DATA),
    ("GET", "/api/models", LOOK),
    ("GET", "/api/models/{digest}", LOOK),
    ("GET", "/api/deployments", LOOK),
    ("GET", "/api/deployments/{name}/ml-bom", LOOK),
    ("POST", "/api/deployments/{name}/bundle", OPERATE),
    ("GET", "/api/receipts", LOOK),
    ("GET", "/api/receipts/{id}", RECORDS),
    ("GET", "/api/records/{leaf}", RECORDS),
    ("GET", "/api/trace", RECORDS),
    ("GET", "/api/register", LOOK),
    ("GET", "/api/register/{number}", LOOK),
    ("GET", "/api/register/{number}/filing", LOOK),
    ("GET", "/api/ledger", LOOK),
    ("GET", "/api/ledger/entries", LOOK),
    ("GET", "/api/ledger/entries/{entry}", LOOK),
    ("GET", "/api/breakers/{name}", LOOK),
    ("POST", "/api/operations", Need::ByOperation),
    // The doors for other people's clients.
    ("GET", "/api/2.0/mlflow/registered-models/search", LOOK),
    ("GET", "/api/2.0/mlflow/registered-models/get", LOOK),
    ("GET", "/api/2.0/mlflow/registered-models/get-latest-versions", LOOK),
    ("POST", "/api/2.0/mlflow/registered-models/get-latest-versions", LOOK),
    ("GET", "/api/2.0/mlflow/registered-models/alias", LOOK),
    // They say what answers.
    ("POST", "/api/2.0/mlflow/registered-models/alias", OPERATE),
    ("DELETE", "/api/2.0/mlflow/registered-models/alias", OPERATE),
    ("GET", "/api/2.0/mlflow/model-versions/search", LOOK),
    ("GET", "/api/2.0/mlflow/model-versions/get", LOOK),
    ("GET", "/api/2.0/mlflow/model-versions/get-download-uri", LOOK),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts", LOOK),
    ("GET", "/api/2.0/mlflow-artifacts/artifacts/{*path}", LOOK),
    ("GET", "/api/2.0/mlflow/{*rest}", LOOK),
    ("GET", "/hf/api/models", LOOK),
    ("GET", "/hf/api/models/{owner}/{name}", LOOK),
    ("GET", "/hf/api/models/{owner}/{name}/revision/{revision}", LOOK),
    ("GET", "/hf/api/models/{owner}/{name}/refs", LOOK),
    ("GET", "/hf/api/models/{owner}/{name}/tree/{revision}", LOOK),
    ("GET", "/hf/api/models/{owner}/{name}/tree/{revision}/{*path}", LOOK),
    ("GET", "/hf/{owner}/{name}/resolve/{revision}/{*path}", LOOK),
];

/// What a request to `path` needs, whose route is `route`; none where nothing allows it.
pub(super) fn need(method: &Method, path: &str, route: Option<&str>) -> Option<Need> {
    if path.starts_with("/assets/") {
        return Some(Need::Nothing);
    }
    let scope = super::scope_of(method, path);
    let need = match scope {
        None => Need::Nothing,
        Some(Scope::Answer | Scope::Feedback) if path != "/openapi.json" => ASK,
        Some(Scope::Tune) => TUNE,
        Some(Scope::Metrics) => OPERATE,
        Some(Scope::Answer | Scope::Feedback | Scope::Models | Scope::Admin) => {
            return listed(method, route?);
        }
    };
    Some(need)
}

fn listed(method: &Method, route: &str) -> Option<Need> {
    let method = match *method {
        // What answers a GET answers a HEAD.
        Method::HEAD => "GET",
        _ => method.as_str(),
    };
    let mut rows = ROUTES.iter();
    let found = rows.find(|row| (row.0, row.1) == (method, route));
    found.map(|row| row.2)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The sources at `path` without white space, what tests alone have left out.
    fn sources(path: &Path, found: &mut Vec<String>) {
        if path.is_dir() {
            for entry in std::fs::read_dir(path).expect("a folder") {
                sources(&entry.expect("an entry").path(), found);
            }
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = std::fs::read_to_string(path).expect("a source");
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            found.push(text.split_whitespace().collect());
        }
    }

    /// What stands before the bracket that closes the one before `text`.
    fn bracketed(text: &str) -> &str {
        let mut depth = 1;
        let end = text.find(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            depth == 0
        });
        &text[..end.expect("brackets are even")]
    }

    /// Method and path of every route of this crate.
    fn routes() -> BTreeSet<(String, String)> {
        let mut texts = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        sources(&root, &mut texts);
        let mut found = BTreeSet::new();
        for route in texts.iter().flat_map(|text| text.split(".route(").skip(1)) {
            // What stands under /assets has its address from its bytes.
            let Some((path, rest)) = route.strip_prefix('"').and_then(|it| it.split_once('"'))
            else {
                assert!(route.starts_with("&addresses."), "{route}");
                continue;
            };
            let handlers = bracketed(rest);
            let mut any = false;
            for method in ["get", "post", "put", "patch", "delete"] {
                if handlers.contains(&format!("{method}(")) {
                    any = true;
                    found.insert((method.to_uppercase(), path.to_owned()));
                }
            }
            // The icon's handler is made by a function.
            if !any {
                found.insert(("GET".to_owned(), path.to_owned()));
            }
        }
        found
    }

    #[test]
    fn every_route_asks_for_a_right_and_none_is_invented() {
        let listed = ROUTES
            .iter()
            .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()));
        let listed: BTreeSet<_> = listed.collect();
        assert_eq!(listed.len(), ROUTES.len(), "none stands there twice");
        let routes = routes();
        assert!(routes.len() > 60, "{routes:?}");
        let missing: Vec<_> = routes.difference(&listed).collect();
        assert!(missing.is_empty(), "no right in ROUTES for {missing:?}");
        let invented: Vec<_> = listed.difference(&routes).collect();
        assert!(invented.is_empty(), "in ROUTES, and no route: {invented:?}");
    }

    /// What is asked for in the whole workshop is pinned: whatever else has an id is a project's, and says
    /// of which thing.
    #[test]
    fn every_route_is_over_a_thing_or_over_lists_or_over_the_whole_workshop() {
        let is_judged = |need: Need| matches!(need, Need::Has(_) | Need::Either(..));
        let mut whole = BTreeSet::new();
        for (_, route, need) in ROUTES.iter().filter(|row| is_judged(row.2)) {
            match place(route, Some(route), Some("it")) {
                Place::Workshop => {
                    whole.insert(*route);
                }
                _ if matches!(need, Need::Either(..)) => panic!("{route} is no page of all"),
                Place::Anywhere => assert!(ANYWHERE.contains(route) || !route.contains("/{id}")),
                Place::Of(thing) => {
                    assert!(route.contains('{'), "{route} {thing:?} {need:?}");
                }
            }
        }
        let expected = [
            "/people",
            "/people/{name}",
            "/people/{name}/disable",
            "/people/{name}/enable",
            "/people/{name}/password",
            "/people/{name}/roles",
            "/audit",
            "/api/audit",
            "/settings",
            "/api/settings",
            "/records/{leaf}/withdraw",
            "/ledger",
            "/ledger/{entry}",
            "/api/ledger",
            "/api/ledger/entries",
            "/api/ledger/entries/{entry}",
        ];
        assert_eq!(whole, BTreeSet::from(expected));
        for (begins, _) in THINGS {
            let known = ROUTES.iter().any(|row| row.1.starts_with(begins));
            assert!(known, "no route begins with {begins}");
        }
        for route in ANYWHERE {
            let known = ROUTES.iter().any(|row| row.1 == *route);
            assert!(known, "no route is {route}");
        }
    }

    #[test]
    fn an_address_names_its_thing() {
        let of = |route, named| place("", Some(route), Some(named));
        assert_eq!(
            of("/api/orders/{id}/log", "o"),
            Place::Of(Thing::Order("o".to_owned()))
        );
        assert_eq!(of("/orders/new", "o"), Place::Anywhere);
        assert_eq!(
            of("/data/{digest}", "d"),
            Place::Of(Thing::Artifact("d".to_owned()))
        );
        assert_eq!(of("/secret/{id}", "s"), Place::Workshop);
        assert_eq!(
            place("/v1/models", Some("/v1/models"), None),
            Place::Anywhere
        );
        assert_eq!(place("/nowhere", None, None), Place::Workshop);
    }

    #[test]
    fn what_is_not_listed_is_denied() {
        let asked = |method: Method, path: &str, route| need(&method, path, route);
        assert_eq!(asked(Method::GET, "/secret", Some("/secret")), None);
        assert_eq!(asked(Method::GET, "/nowhere", None), None);
        assert_eq!(asked(Method::DELETE, "/people", Some("/people")), None);
        assert_eq!(
            asked(Method::HEAD, "/people", Some("/people")),
            Some(PEOPLE)
        );
        assert_eq!(asked(Method::GET, "/health", None), Some(Need::Nothing));
        assert_eq!(asked(Method::POST, "/v1/chat/completions", None), Some(ASK));
        assert_eq!(asked(Method::GET, "/v1/files/x", None), Some(TUNE));
        assert_eq!(asked(Method::GET, "/metrics", None), Some(OPERATE));
    }
}
