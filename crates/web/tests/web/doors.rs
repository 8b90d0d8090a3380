//! The doors for other people's clients, as they are answered without a socket; the clients themselves are
//! in `tests/tests/clients.rs`.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use lathe_web::{Access, AppState, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::sample::SampleDesk;
use crate::sample::shelf::WEIGHTS;

const BODY_BYTES_MAX: usize = 1 << 20;
const FILE: &str = "/hf/lathe/customer-care/resolve/main/adapter_model.safetensors";

async fn ask(
    access: Access,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Vec<u8>) {
    let desk = Arc::new(SampleDesk::new());
    let app = router(AppState::with_desk(desk, crate::sample::door(), access));
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let Ok(response) = app.oneshot(request).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = axum::body::to_bytes(response.into_body(), BODY_BYTES_MAX).await;
    (status, headers, body.expect("a body").to_vec())
}

async fn get(path: &str) -> (StatusCode, Value) {
    let (status, _, body) = ask(Access::Loopback, "GET", path, &[]).await;
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn a_file_goes_out_whole_or_in_part_and_never_compressed() {
    let gzip = ("accept-encoding", "gzip");
    let (status, headers, body) = ask(Access::Loopback, "GET", FILE, &[gzip]).await;
    assert_eq!((status, body.as_slice()), (StatusCode::OK, WEIGHTS));
    assert_eq!(headers.get("content-encoding"), None);
    assert_eq!(headers["content-length"], "10");
    assert_eq!(headers["x-repo-commit"].len(), 40);
    let (status, headers, body) = ask(
        Access::Loopback,
        "GET",
        FILE,
        &[gzip, ("range", "bytes=2-4")],
    )
    .await;
    assert_eq!(
        (status, body.as_slice()),
        (StatusCode::PARTIAL_CONTENT, &WEIGHTS[2..5])
    );
    assert_eq!(headers["content-range"], "bytes 2-4/10");
    let (status, headers, body) = ask(Access::Loopback, "HEAD", FILE, &[]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 0));
    assert_eq!(headers["content-length"], "10");
    let (status, headers, _) = ask(Access::Loopback, "GET", FILE, &[("range", "bytes=10-")]).await;
    assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(headers["content-range"], "bytes */10");
}

#[tokio::test]
async fn both_doors_tell_of_the_same_model() {
    let (status, found) = get("/api/2.0/mlflow/registered-models/search").await;
    assert_eq!(status, StatusCode::OK);
    let model = &found["registered_models"][0];
    assert_eq!(model["name"], "customer-care");
    assert_eq!(
        model["aliases"][0],
        json!({ "alias": "production", "version": "1" })
    );
    let version = &model["latest_versions"][0];
    assert_eq!(
        version["source"],
        "mlflow-artifacts:/models/customer-care/1"
    );
    let (status, listed) = get("/hf/api/models").await;
    assert_eq!(
        (status, &listed[0]["id"]),
        (StatusCode::OK, &json!("lathe/customer-care"))
    );
    let adapter = version["tags"][0]["value"].as_str().expect("a digest");
    assert_eq!(listed[0]["sha"], json!(adapter[..40]));
    let under = "/api/2.0/mlflow-artifacts/artifacts?path=models/customer-care/1/base";
    let (_, files) = get(under).await;
    let file = json!({ "path": "model.gguf", "is_dir": false, "file_size": 4 });
    assert_eq!(files["files"], json!([file]));
}

#[tokio::test]
async fn who_is_turned_away_is_told_in_the_clients_own_words() {
    let nobody = Access::Keys(Arc::from([]));
    let path = "/api/2.0/mlflow/registered-models/search";
    let (status, headers, body) = ask(nobody.clone(), "GET", path, &[]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(headers["www-authenticate"], "Bearer realm=\"Lathe\"");
    let told: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(told["error_code"], "UNAUTHENTICATED");
    let (status, headers, _) = ask(nobody, "GET", FILE, &[]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let told = headers["x-error-message"].to_str().expect("ASCII");
    assert!(told.contains("asks for a key"), "{told}");
    let (status, headers, _) =
        ask(Access::Loopback, "GET", "/hf/lathe/x/resolve/main/a", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(headers["x-error-code"], "RepoNotFound");
}
