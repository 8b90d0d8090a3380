//! The description of the interface: it names every route and invents none, and what is answered is
//! what it says.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use lathe_web::{Access, AppState, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::sample::{DATASET, DONE, PAUSED, SampleDesk};

const BODY_BYTES_MAX: usize = 4 << 20;

/// Below which files and folders routes stand; pages and their files are for people.
const SOURCES: [&str; 4] = ["src/api", "src/doors", "src/openapi.rs", "../serve/src"];

/// What is served.
pub async fn document() -> Value {
    let (status, _, document) = get("/openapi.json").await;
    assert_eq!(status, 200);
    document
}

/// Status, content type and JSON (null where it is none) of an answer.
async fn get(path: &str) -> (u16, String, Value) {
    let desk = Arc::new(SampleDesk::new());
    let app = router(AppState::with_desk(
        desk,
        crate::sample::door(),
        Access::Loopback,
    ));
    let request = Request::get(path).header("host", "localhost");
    let Ok(response) = app
        .oneshot(request.body(Body::empty()).expect("a request"))
        .await;
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().expect("ASCII");
    let kind = kind.to_owned();
    let bytes = axum::body::to_bytes(response.into_body(), BODY_BYTES_MAX).await;
    let bytes = bytes.expect("a body");
    let value = serde_json::from_slice(&bytes).unwrap_or_default();
    (status, kind, value)
}

/// The sources at `path`, tests left out, without any white space.
pub fn sources(path: &Path, found: &mut Vec<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder") {
            sources(&entry.expect("an entry").path(), found);
        }
    } else if !path.components().any(|it| it.as_os_str() == "tests") {
        let text = std::fs::read_to_string(path).expect("a source");
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

/// `METHOD /path` of every route in the sources; what refuses by `any` answers nothing.
fn routes() -> BTreeSet<String> {
    routes_of(&SOURCES)
}

/// The same of these sources.
pub fn routes_of(places: &[&str]) -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut texts, mut routes) = (Vec::new(), BTreeSet::new());
    places
        .iter()
        .for_each(|it| sources(&root.join(it), &mut texts));
    for route in texts.iter().flat_map(|text| text.split(".route(").skip(1)) {
        let route = bracketed(route);
        let Some((path, handlers)) = route.strip_prefix('"').and_then(|it| it.split_once('"'))
        else {
            panic!("a path that is no text: {route}");
        };
        let path = path.replace("{*", "{");
        for method in ["get", "post", "delete", "put", "patch"] {
            if handlers.contains(&format!("{method}(")) {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    routes
}

#[tokio::test]
async fn every_route_is_described_and_every_description_answers() {
    let document = document().await;
    let paths = document["paths"].as_object().expect("paths").iter();
    let described = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().expect("methods").keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    let described: BTreeSet<String> = described.collect();
    assert!(described.len() >= 39, "{described:?}");
    assert_eq!(described, routes(), "crates/web/src/openapi/*.yaml");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

/// A path of the description with what the sample workshop has in the place of its parameters.
fn filled(path: &str) -> String {
    let model = crate::sample::models::tuned().model.digest;
    let named = [
        (
            "{digest}",
            if path.contains("models") {
                model.as_str()
            } else {
                DATASET
            },
        ),
        ("{leaf}", "leaf"),
        ("{number}", crate::sample::trace::NUMBER),
        ("{entry}", "0"),
        ("{name}", "customer-care"),
        ("{path}", "models/customer-care/1/base/model.gguf"),
        (
            "{id}",
            if path.contains("receipts") {
                "receipt"
            } else {
                DONE
            },
        ),
    ];
    let path = named.iter().fold(path.to_owned(), |path, (name, value)| {
        path.replace(name, value)
    });
    match path.as_str() {
        "/api/trace" => format!("{path}?q=the+battery+is+great"),
        "/api/orders/compare" => format!("{path}?ids={DONE},{PAUSED}"),
        _ => path,
    }
}

/// The reasons why `value` is not what `schema`, of `document`, says.
fn reasons(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut schema = schema.clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors = validator.iter_errors(value);
    errors.map(|error| error.to_string()).collect()
}

fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str().and_then(|it| it.strip_prefix('#')) {
        Some(pointer) => document
            .pointer(pointer)
            .expect("what is referred to is there"),
        None => value,
    }
}

#[tokio::test]
async fn what_is_answered_is_what_is_described() {
    let document = document().await;
    let paths = document["paths"].as_object().expect("paths").iter();
    let own =
        paths.filter(|(path, methods)| path.starts_with("/api") && methods["get"].is_object());
    let mut good = 0;
    for (path, methods) in own {
        let (status, kind, value) = get(&filled(path)).await;
        let response = &methods["get"]["responses"][status.to_string()];
        let response = resolved(&document, response);
        let schema = &response["content"][&kind]["schema"];
        assert!(
            schema.is_object(),
            "{path}: {status} {kind} is not described"
        );
        if kind != "text/event-stream" {
            assert_eq!(
                reasons(&document, schema, &value),
                [""; 0],
                "{path}: {value}"
            );
        }
        good += usize::from(status == 200);
    }
    // What the sample workshop lacks is answered with an error, which is described too.
    assert!(good >= 24, "{good}");
}

#[tokio::test]
async fn a_member_that_is_missing_or_of_another_kind_would_be_noticed() {
    let document = document().await;
    let (_, _, order) = get(&format!("/api/orders/{DONE}")).await;
    let schema = json!({"$ref": "#/components/schemas/OrderView"});
    assert_eq!(reasons(&document, &schema, &order), [""; 0]);
    let mut without = order.clone();
    without.as_object_mut().expect("an object").remove("steps");
    assert_ne!(reasons(&document, &schema, &without), [""; 0]);
    let mut other = order;
    other["steps"][0]["state"] = json!("sleeping");
    assert_ne!(reasons(&document, &schema, &other), [""; 0]);
}
