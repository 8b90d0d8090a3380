//! The API without a socket: shapes, bounds, errors, and that its page in the reference names every
//! endpoint.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use lathe_web::{Access, AppState, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::pages;
use crate::sample::{DATASET, DONE, FAILED, PAUSED, QUEUED, RUNNING, SampleDesk};

const BODY_BYTES_MAX: usize = 4 << 20;

fn app() -> Router {
    router(AppState::with_desk(
        Arc::new(SampleDesk::new()),
        crate::sample::door(),
        Access::Loopback,
    ))
}

async fn send(method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost");
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let Ok(response) = app().oneshot(request.body(body).expect("a request")).await;
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), BODY_BYTES_MAX)
        .await
        .expect("a body");
    let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{path} answers no JSON"));
    (status, value)
}

async fn get(path: &str) -> Value {
    let (status, value) = send(Method::GET, path, None).await;
    assert_eq!(status, StatusCode::OK, "{path}: {value}");
    value
}

#[tokio::test]
async fn it_says_what_answers() {
    assert_eq!(get("/api").await["name"], "lathe");
}

#[tokio::test]
async fn lists_are_bounded_and_say_whether_there_is_more() {
    let all = get("/api/orders").await;
    assert_eq!(all["orders"].as_array().map(Vec::len), Some(5));
    assert_eq!(
        (&all["limit"], &all["offset"], &all["more"]),
        (&json!(50), &json!(0), &json!(false))
    );
    let first = get("/api/orders?limit=1").await;
    assert_eq!(
        (first["orders"].as_array().map(Vec::len), &first["more"]),
        (Some(1), &json!(true))
    );
    assert_eq!(first["orders"][0]["id"], QUEUED);
    assert_eq!(get("/api/orders?limit=4000000000").await["limit"], 500);
    assert_eq!(get("/api/data").await["data"][0]["digest"], DATASET);
    let models = get("/api/models").await;
    assert_eq!(models["models"].as_array().map(Vec::len), Some(2));
    assert_eq!(models["models"][0]["answers"], true);
    assert_eq!(
        get("/api/deployments").await["deployments"][0]["name"],
        "customer-care"
    );
    let upstream = get("/api/deployments").await["upstreams"][0].clone();
    assert_eq!(
        (&upstream["name"], &upstream["weights"], &upstream["state"]),
        (&json!("big"), &json!("not verified"), &json!("up"))
    );
}

#[tokio::test]
async fn an_order_and_its_parts() {
    let order = get(&format!("/api/orders/{RUNNING}")).await;
    assert_eq!(
        (&order["state"], &order["steps"][5]["progress"]["done"]),
        (&json!("running"), &json!(154))
    );
    let points = get(&format!("/api/orders/{RUNNING}/curve?after=150")).await;
    assert_eq!(points["points"].as_array().map(Vec::len), Some(4));
    let lines = get(&format!("/api/orders/{DONE}/log?after=2&limit=3")).await;
    assert_eq!(
        (
            lines["lines"].as_array().map(Vec::len),
            &lines["lines"][0]["seq"]
        ),
        (Some(3), &json!(3))
    );
    assert_eq!(
        get(&format!("/api/orders/{DONE}/report")).await["primary_metric"],
        "pearson_r"
    );
    assert_eq!(
        get(&format!("/api/orders/{DONE}/verdict")).await["passed"],
        true
    );
    assert_eq!(get(&format!("/api/data/{DATASET}")).await["licence"], "MIT");
    let lesson = get(&format!("/api/orders/{DONE}/lesson?records=1")).await;
    assert_eq!(lesson["rows"].as_array().map(Vec::len), Some(1));
    assert_eq!(lesson["rows"][0]["tokens"][0]["special"], true);
    assert_eq!(lesson["counts"]["over_cutoff"]["rows"], 1);
    let path = format!("/api/orders/{RUNNING}/lesson");
    let (status, early) = send(Method::GET, &path, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{early}");
}

#[tokio::test]
async fn the_queue_its_clones_and_orders_side_by_side() {
    let list = get("/api/orders").await;
    assert_eq!(list["orders"][0]["position"], 2);
    assert_eq!(list["orders"][1]["position"], Value::Null);
    let paused = get(&format!("/api/orders/{PAUSED}")).await;
    assert_eq!(
        (&paused["state"], &paused["origin"]["order"]),
        (&json!("paused"), &json!(DONE))
    );
    for query in [
        format!("ids={DONE},{PAUSED}"),
        format!("ids={DONE}&ids={PAUSED}"),
    ] {
        let found = get(&format!("/api/orders/compare?{query}")).await;
        assert_eq!(found["orders"][1]["id"], PAUSED);
        assert_eq!(found["metrics"][0]["differences"][1]["beyond_chance"], true);
        assert_eq!(found["settings"][0]["key"], "tune.sft.learning_rate");
    }
    let settings = get(&format!("/api/orders/{DONE}/settings")).await;
    assert_eq!(settings["settings"]["tune.sft.learning_rate"], 5e-4);
    for (path, status) in [
        (
            format!("/api/orders/compare?ids={DONE}"),
            StatusCode::BAD_REQUEST,
        ),
        (
            format!("/api/orders/compare?ids={DONE},nobody"),
            StatusCode::NOT_FOUND,
        ),
        (
            "/api/orders/nobody/settings".to_owned(),
            StatusCode::NOT_FOUND,
        ),
    ] {
        assert_eq!(send(Method::GET, &path, None).await.0, status, "{path}");
    }
    let operation = json!({ "do": "order-pause", "order": DONE });
    let (status, refused) = send(Method::POST, "/api/operations", Some(operation)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{refused}");
}

#[tokio::test]
async fn an_error_is_told_in_the_language_that_is_preferred() {
    let app = pages::app(SampleDesk::new());
    let told = async |lang: &str, path: &str| {
        let answer = pages::get(&app, path, lang).await;
        let language = answer.headers.get("content-language").cloned();
        let body: Value = serde_json::from_str(&answer.text).expect("JSON");
        (answer.status, language, body["error"].clone())
    };
    let path = "/api/orders/nobody/settings";
    let (status, language, error) = told("en", path).await;
    assert_eq!((status, language), (StatusCode::NOT_FOUND, None));
    assert_eq!(error.get("said"), None, "{error}");
    let (status, language, chinese) = told("zh", path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(language.expect("a language"), "zh-CN");
    assert_eq!(chinese["code"], error["code"]);
    assert_ne!(chinese["text"], error["text"]);
    let text = error["text"].as_str().expect("a text");
    let said = chinese["said"].as_str().expect("as it was written");
    assert!(said.contains(text), "{chinese}");
}

#[tokio::test]
async fn an_order_is_placed() {
    let request = json!({ "pack": "packs/customer-care", "quick": true });
    let (status, placed) = send(Method::POST, "/api/orders", Some(request)).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(
        placed,
        json!({ "id": RUNNING, "url": format!("/orders/{RUNNING}") })
    );
}

#[tokio::test]
async fn a_dataset_is_added() {
    let request =
        |name: &str| json!({ "name": name, "file": "/f.csv", "licence": "MIT", "owner": "me" });
    let (status, added) = send(Method::POST, "/api/data", Some(request("product-reviews"))).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(added["name"], "product-reviews");
    let (status, refused) = send(Method::POST, "/api/data", Some(request("none"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(refused["error"]["code"], "data-file");
}

#[tokio::test]
async fn what_is_wrong_is_said_with_a_code_and_a_next_step() {
    let (missing, bad) = (StatusCode::NOT_FOUND, StatusCode::BAD_REQUEST);
    let read = |path: &str, status, code| (Method::GET, path.to_owned(), None, status, code);
    let place = |body, status, code| {
        let path = "/api/orders".to_owned();
        (Method::POST, path, body, status, code)
    };
    let wrong_field = Some(json!({ "pack": "p", "quik": true }));
    let nowhere = Some(json!({ "pack": "/nowhere" }));
    let (unclear, untyped) = (
        StatusCode::UNPROCESSABLE_ENTITY,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
    );
    let cases = [
        read("/api/orders/nobody", missing, "not-found"),
        read(
            &format!("/api/orders/{RUNNING}/report"),
            missing,
            "not-found",
        ),
        read(
            &format!("/api/orders/{FAILED}/verdict"),
            missing,
            "not-found",
        ),
        read("/api/orders/nobody/events", missing, "not-found"),
        read("/api/nothing", missing, "not-found"),
        read("/api/receipts/%FF%FE", bad, "bad-request"),
        read("/api/orders?limit=many", bad, "bad-request"),
        place(wrong_field, unclear, "bad-request"),
        place(None, untyped, "bad-request"),
        place(nowhere, bad, "pack-missing"),
    ];
    for (method, path, body, expected, code) in cases {
        let (status, value) = send(method, &path, body).await;
        assert_eq!(
            (status, &value["error"]["code"]),
            (expected, &json!(code)),
            "{path}: {value}"
        );
        for part in ["text", "next"] {
            assert!(
                value["error"][part]
                    .as_str()
                    .is_some_and(|text| text.len() > 10),
                "{path}: {value}"
            );
        }
    }
}

#[tokio::test]
async fn a_finished_orders_events_tell_all_and_end() {
    let request = Request::get(format!("/api/orders/{DONE}/events")).header("host", "localhost");
    let Ok(response) = app()
        .oneshot(request.body(Body::empty()).expect("a request"))
        .await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let bytes = axum::body::to_bytes(response.into_body(), BODY_BYTES_MAX)
        .await
        .expect("a body");
    let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
    let names: Vec<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(names, ["curve", "log", "order", "end"]);
    let order = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .nth(2)
        .expect("the order");
    let order: Value = serde_json::from_str(order).expect("JSON");
    assert_eq!(order["id"], DONE);
}

#[tokio::test]
async fn a_deployment_has_its_bill_of_materials_and_a_registration_its_filing() {
    let request = Request::get("/api/deployments/customer-care/ml-bom").header("host", "localhost");
    let Ok(response) = app()
        .oneshot(request.body(Body::empty()).expect("a request"))
        .await;
    let kind = response.headers()["content-type"].to_str().expect("ASCII");
    assert_eq!(kind, "application/vnd.cyclonedx+json; version=1.6");
    let nobody = send(Method::GET, "/api/deployments/nobody/ml-bom", None).await;
    assert_eq!(nobody.0, StatusCode::NOT_FOUND);
    let path = format!("/api/register/{}/filing", crate::sample::trace::NUMBER);
    assert_eq!(get(&path).await["filed"], false);
    let nothing = send(Method::GET, "/api/register/none/filing", None).await;
    assert_eq!(nothing.0, StatusCode::NOT_FOUND);
}

/// Every route in the source stands in the reference, and the reference invents none.
#[test]
fn the_reference_names_every_endpoint() {
    let root = env!("CARGO_MANIFEST_DIR");
    let source = std::fs::read_to_string(format!("{root}/src/api/mod.rs")).expect("the routes");
    let page =
        std::fs::read_to_string(format!("{root}/../../docs/reference/api.md")).expect("the page");
    let source: String = source.split_whitespace().collect();
    let methods = ["GET", "POST", "PUT", "DELETE"];
    let mut endpoints = Vec::new();
    for route in source.split(".route(\"").skip(1) {
        let path = route.split('"').next().expect("the path");
        for method in methods {
            if route.contains(&format!("{}(", method.to_lowercase())) {
                endpoints.push(format!("{method} {path}"));
            }
        }
    }
    assert!(endpoints.len() >= 14);
    for endpoint in &endpoints {
        let is_named = ["`", "?"]
            .iter()
            .any(|end| page.contains(&format!("`{endpoint}{end}")));
        assert!(is_named, "{endpoint} is not documented");
    }
    for documented in page.split('`').filter(|text| {
        methods
            .iter()
            .any(|it| text.starts_with(&format!("{it} /api")))
    }) {
        let endpoint = documented.split('?').next().expect("the first part");
        assert!(
            endpoints.iter().any(|one| one == endpoint),
            "{endpoint} is documented but not served"
        );
    }
}
