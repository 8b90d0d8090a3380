//! People over the real router and a real workshop: who comes in, who may do what, and an attack each.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::{Extension, Router};
use lathe_web::{Access, AppState, OverTls, router};
use lathe_workshop::people::{Kind, Origin, PersonRequest, PersonRole, Secret};
use lathe_workshop::token::{Allowance, Scope, TokenRequest};
use lathe_workshop::{Operation, Workshop};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::sample::SampleDesk;
use crate::sample::nobody::workshop;

const BODY_BYTES_MAX: usize = 4 << 20;
pub const PASSWORD: &str = "correct horse battery";
const HOST: &str = "127.0.0.1:7878";

/// An empty workshop behind its router, gone with the folder.
pub struct Shop {
    pub workshop: Workshop,
    app: Router,
    pub(crate) folder: tempfile::TempDir,
}

impl Shop {
    pub(crate) async fn new() -> Shop {
        let folder = tempfile::tempdir().expect("a folder");
        let key = Some("the daemon's own key");
        let workshop = workshop(&folder.path().join("home"), key).await;
        let workshop = workshop.expect("it opens");
        let state = AppState::new(workshop.clone(), crate::sample::door(), Access::Loopback);
        Shop {
            app: router(state),
            workshop,
            folder,
        }
    }

    /// A workshop with somebody of each role, called as it is, and `root`.
    pub async fn with_people() -> Shop {
        let shop = Shop::new().await;
        shop.add("root", &[PersonRole::Administrator]).await;
        for role in PersonRole::ALL {
            shop.add(role.name(), &[role]).await;
        }
        shop
    }

    /// Such people, before what is written down.
    pub(crate) async fn before(desk: SampleDesk) -> Shop {
        let mut shop = Shop::with_people().await;
        let door = crate::sample::door();
        let mut state = AppState::with_desk(Arc::new(desk), door, Access::Loopback);
        state.people = shop.workshop.people().clone();
        shop.app = router(state);
        shop
    }

    pub(crate) async fn add(&self, name: &str, roles: &[PersonRole]) {
        let request = PersonRequest {
            name: name.to_owned(),
            display: String::new(),
            roles: roles.to_vec(),
            denied: Vec::new(),
            password: Some(Secret(PASSWORD.to_owned())),
        };
        let added = self.workshop.operate(Operation::PersonAdd(request)).await;
        added.expect("somebody is let in");
    }

    pub async fn send(&self, asked: Asked<'_>) -> Answer {
        let mut request = Request::builder()
            .method(asked.method)
            .uri(asked.path)
            .header("host", HOST)
            .extension(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 4321))));
        for (name, value) in asked.headers {
            request = request.header(name, value);
        }
        let request = request.body(Body::from(asked.body)).expect("a request");
        let Ok(response) = self.app.clone().oneshot(request).await;
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, BODY_BYTES_MAX).await;
        let text = String::from_utf8(bytes.expect("a body").to_vec()).expect("UTF-8");
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Asked::get(path)).await
    }

    /// Logs in as people do.
    pub async fn log_in(&self, name: &str) -> Reader<'_> {
        let answer = self.send(login(name, PASSWORD)).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
        let cookie = answer.cookie();
        let page = self
            .send(Asked::get("/account").with("cookie", &cookie))
            .await;
        let (_, rest) = page
            .text
            .split_once("name=\"csrf\" content=\"")
            .expect("a token");
        let csrf = rest.split('"').next().expect("a token").to_owned();
        Reader {
            shop: self,
            cookie,
            csrf,
        }
    }
}

pub struct Asked<'a> {
    method: Method,
    path: &'a str,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl<'a> Asked<'a> {
    pub fn get(path: &'a str) -> Asked<'a> {
        Asked {
            method: Method::GET,
            path,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    pub(crate) fn form(path: &'a str, body: &str) -> Asked<'a> {
        Asked {
            method: Method::POST,
            path,
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            )],
            body: body.to_owned(),
        }
    }

    pub fn delete(path: &'a str) -> Asked<'a> {
        Asked {
            method: Method::DELETE,
            ..Asked::get(path)
        }
    }

    pub fn json(path: &'a str, body: &Value) -> Asked<'a> {
        Asked {
            method: Method::POST,
            path,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Asked<'a> {
        self.headers.push((name, value.to_owned()));
        self
    }
}

pub fn login(name: &str, password: &str) -> Asked<'static> {
    let password = password.replace(' ', "+");
    Asked::form("/login", &format!("name={name}&password={password}"))
}

pub struct Answer {
    pub status: StatusCode,
    headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).and_then(|it| it.to_str().ok());
        value.unwrap_or_default()
    }

    /// The session's cookie, as a browser sends it back.
    pub fn cookie(&self) -> String {
        let cookie = self.header("set-cookie").split(';').next();
        cookie.unwrap_or_default().to_owned()
    }

    pub fn error_code(&self) -> Value {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        body["error"]["code"].clone()
    }
}

/// Somebody who is logged in.
pub struct Reader<'a> {
    pub shop: &'a Shop,
    pub cookie: String,
    pub csrf: String,
}

impl Reader<'_> {
    pub async fn get(&self, path: &str) -> Answer {
        let asked = Asked::get(path).with("cookie", &self.cookie);
        self.shop.send(asked).await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        let body = format!("{body}&csrf={}", self.csrf);
        let asked = Asked::form(path, &body).with("cookie", &self.cookie);
        self.shop.send(asked).await
    }

    pub async fn operate(&self, operation: Value) -> Answer {
        self.changes(Asked::json("/api/operations", &operation))
            .await
    }

    /// Asks for a change as scripts do.
    pub async fn changes(&self, asked: Asked<'_>) -> Answer {
        let asked = asked
            .with("cookie", &self.cookie)
            .with("x-csrf-token", &self.csrf);
        self.shop.send(asked).await
    }
}

const ALLOWED: StatusCode = StatusCode::OK;
const DENIED: StatusCode = StatusCode::FORBIDDEN;

#[tokio::test]
async fn while_there_is_nobody_one_person_needs_no_login() {
    let shop = Shop::new().await;
    for path in ["/", "/people", "/audit", "/keys", "/api/orders", "/api/me"] {
        assert_eq!(shop.get(path).await.status, ALLOWED, "{path}");
    }
    let login = shop.get("/login?next=/data").await;
    assert_eq!(login.header("location"), "/data");
    let first = Asked::form(
        "/people",
        "name=root&roles=administrator&password=correct+horse+battery",
    );
    let answer = shop.send(first).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    let asked = shop.get("/people").await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER);
    assert_eq!(asked.header("location"), "/login?next=%2Fpeople");
    shop.log_in("root").await;
}

#[tokio::test]
async fn once_there_is_somebody_everything_asks_who_one_is() {
    let shop = Shop::with_people().await;
    for path in [
        "/",
        "/orders",
        "/data",
        "/try",
        "/tour",
        "/receipts",
        "/register",
        "/ledger",
        "/people",
        "/people/root",
        "/keys",
        "/audit",
        "/account",
        "/nowhere",
        "/orders/x",
        "/records/x",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{path}");
        assert!(answer.header("location").starts_with("/login?next=%2F"));
    }
    for path in [
        "/api",
        "/api/orders",
        "/api/audit",
        "/api/me",
        "/api/nowhere",
    ] {
        let answer = shop.get(path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.error_code(), "login-required", "{path}");
        assert_eq!(answer.header("www-authenticate"), "");
    }
    let models = shop.send(Asked::form("/v1/chat/completions", "{}")).await;
    assert_eq!(models.status, StatusCode::UNAUTHORIZED);
    assert_eq!(models.error_code(), "invalid_api_key");
    let operation = Asked::json("/api/operations", &json!({"do": "people"}));
    assert_eq!(shop.send(operation).await.status, StatusCode::UNAUTHORIZED);
    let icon = shop.get("/favicon.ico").await;
    assert_eq!(
        (shop.get("/login").await.status, icon.status),
        (ALLOWED, ALLOWED)
    );
    // The home's own commands go on, and so do keys of the API.
    let own = Asked::get("/api/orders").with("authorization", "Bearer the daemon's own key");
    assert_eq!(shop.send(own).await.status, ALLOWED);
}

#[tokio::test]
async fn a_key_opens_what_it_opened_before() {
    let shop = Shop::with_people().await;
    let key = |scope| TokenRequest {
        name: "the shop".to_owned(),
        scopes: vec![scope],
        models: Vec::new(),
        project: lathe_workshop::people::COMMON.to_owned(),
        expires_days: None,
        allowance: Allowance::default(),
    };
    for (scope, status) in [(Scope::Admin, ALLOWED), (Scope::Answer, DENIED)] {
        let issued = shop
            .workshop
            .operate(Operation::TokenCreate(key(scope)))
            .await;
        let issued = issued.expect("a key");
        let bearer = format!("Bearer {}", issued["key"].as_str().expect("a key"));
        let asked = Asked::get("/api/orders").with("authorization", &bearer);
        assert_eq!(shop.send(asked).await.status, status);
    }
}

#[tokio::test]
async fn what_each_role_may_open() {
    let shop = Shop::with_people().await;
    let all = [
        "tuner",
        "approver",
        "data-owner",
        "operator",
        "auditor",
        "administrator",
    ];
    for role in all {
        let reader = shop.log_in(role).await;
        for (path, allowed) in [
            ("/", &all[..]),
            ("/api/me", &all),
            ("/register", &all),
            ("/try", &["tuner", "approver", "data-owner", "operator"]),
            ("/keys", &["operator"]),
            ("/audit", &["auditor", "administrator"]),
            ("/api/audit", &["auditor", "administrator"]),
            ("/people", &["administrator"]),
        ] {
            let answer = reader.get(path).await;
            let expected = if allowed.contains(&role) {
                ALLOWED
            } else {
                DENIED
            };
            assert_eq!(answer.status, expected, "{role} at {path}");
        }
    }
}

#[tokio::test]
async fn what_each_role_may_do() {
    let shop = Shop::with_people().await;
    let operations = [
        (json!({"do": "order-pause", "order": "x"}), "tuner"),
        (json!({"do": "order-cancel", "order": "x"}), "tuner"),
        (
            json!({"do": "decide", "number": "x", "decision": "approved", "reason": "r"}),
            "approver",
        ),
        (
            json!({"do": "feedback-review", "ids": ["x"], "review": "accept"}),
            "data-owner",
        ),
        (
            json!({"do": "breaker", "name": "x", "to": "restricted", "reason": "r"}),
            "operator",
        ),
        (json!({"do": "people"}), "administrator"),
    ];
    for other in PersonRole::ALL {
        let reader = shop.log_in(other.name()).await;
        for (operation, role) in &operations {
            let answer = reader.operate(operation.clone()).await;
            let is_denied = answer.error_code() == "right-denied";
            let told = format!("{other:?}: {operation} {}", answer.text);
            assert_eq!(is_denied, other.name() != *role, "{told}");
            assert_ne!(answer.error_code(), "bad-request", "{told}");
            assert_eq!(is_denied, answer.status == DENIED, "{told}");
        }
    }
    // A key that opens everything would let people in.
    let issue = json!({"do": "token-create", "name": "n", "scopes": ["admin"]});
    let answer = shop.log_in("operator").await.operate(issue).await;
    assert_eq!(answer.error_code(), "right-denied");
    let form = "name=n&scopes=admin";
    let answer = shop.log_in("operator").await.post("/keys", form).await;
    assert_eq!(answer.status, DENIED);
    assert!(shop.workshop.tokens().is_empty());
}

#[tokio::test]
async fn an_explicit_denial_wins_at_once() {
    let shop = Shop::with_people().await;
    let reader = shop.log_in("tuner").await;
    assert_eq!(reader.get("/try").await.status, ALLOWED);
    let root = shop.log_in("root").await;
    let form = "roles=tuner&roles=operator&denied=ask";
    let changed = root.post("/people/tuner/roles", form).await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.text);
    assert_eq!(reader.get("/try").await.status, DENIED);
    assert_eq!(reader.get("/keys").await.status, ALLOWED);
}

#[tokio::test]
async fn what_is_denied_and_what_is_changed_stands_in_the_audit() {
    let shop = Shop::with_people().await;
    let tuner = shop.log_in("tuner").await;
    tuner.get("/people").await;
    tuner.operate(json!({"do": "people"})).await;
    let root = shop.log_in("root").await;
    root.post("/people/auditor/disable", "").await;
    shop.send(login("auditor", PASSWORD)).await;
    // What is refused is written within a second; this writes what waits.
    root.post("/people/auditor/enable", "").await;
    let page = root.get("/audit").await.text;
    for told in [
        "person tuner",
        "GET /people",
        "right-denied",
        "person-disable",
        "login-wrong",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let first: Value =
        serde_json::from_str(&root.get("/api/audit?limit=2").await.text).expect("JSON");
    assert_eq!(first["rows"].as_array().map(Vec::len), Some(2));
    let path = format!("/api/audit?limit=2&before={}", first["next"]);
    let next: Value = serde_json::from_str(&root.get(&path).await.text).expect("JSON");
    assert!(next["rows"][0]["id"].as_i64() < first["rows"][1]["id"].as_i64());
}

#[tokio::test]
async fn one_logs_out_here_and_everywhere() {
    let shop = Shop::with_people().await;
    let (here, there) = (shop.log_in("tuner").await, shop.log_in("tuner").await);
    let out = here.post("/logout", "").await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(here.get("/account").await.status, StatusCode::SEE_OTHER);
    assert_eq!(there.get("/account").await.status, ALLOWED);
    let form = "old=correct+horse+battery&new=battery+staple+horse&again=battery+staple+horse";
    let wrong = there
        .post("/account/password", &form.replace("old=", "old=x"))
        .await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    let changed = there.post("/account/password", form).await;
    assert_eq!(changed.status, StatusCode::SEE_OTHER, "{}", changed.text);
    assert_eq!(there.get("/account").await.status, StatusCode::SEE_OTHER);
    let again = Asked::get("/account").with("cookie", &changed.cookie());
    assert_eq!(shop.send(again).await.status, ALLOWED);
    let old = shop.send(login("tuner", PASSWORD)).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_navigation_says_who_is_logged_in_in_both_languages() {
    let shop = Shop::with_people().await;
    let root = shop.log_in("root").await;
    for (lang, word) in [("en", "My account"), ("zh", "我的账号")] {
        let page = root.get(&format!("/?lang={lang}")).await.text;
        assert!(page.contains("href=\"/account\""));
        assert!(page.contains(word), "{page}");
        for path in ["/people", "/people/tuner", "/account", "/audit"] {
            let page = root.get(&format!("{path}?lang={lang}")).await.text;
            // A key of the catalogue that is missing shows itself.
            assert!(!page.contains("web."), "{path}: {page}");
        }
        let operator = shop.log_in("operator").await;
        let page = operator.get(&format!("/keys?lang={lang}")).await.text;
        assert!(!page.contains("web."), "{page}");
        assert!(!page.contains("href=\"/people\""), "not for an operator");
        let login = shop.get(&format!("/login?lang={lang}")).await.text;
        assert!(!login.contains("web.") && login.contains("type=\"password\""));
    }
}

#[tokio::test]
async fn over_tls_the_cookie_is_for_tls_alone() {
    let mut shop = Shop::with_people().await;
    let plain = shop.send(login("root", PASSWORD)).await;
    assert!(
        plain
            .header("set-cookie")
            .ends_with("HttpOnly; SameSite=Lax")
    );
    shop.app = shop.app.clone().layer(Extension(OverTls));
    let secure = shop.send(login("root", PASSWORD)).await;
    assert!(secure.header("set-cookie").ends_with("; Secure"));
}

#[tokio::test]
async fn csrf_what_does_not_carry_the_token_changes_nothing() {
    let shop = Shop::with_people().await;
    let root = shop.log_in("root").await;
    let form = |body: &str| Asked::form("/people/tuner/disable", body).with("cookie", &root.cookie);
    let other = shop.log_in("tuner").await;
    for body in [
        String::new(),
        "csrf=".to_owned(),
        format!("csrf={}", "0".repeat(64)),
        format!("csrf={}", other.csrf),
    ] {
        let answer = shop.send(form(&body)).await;
        assert_eq!(answer.status, DENIED, "{body}");
        assert!(answer.text.contains("csrf-refused"), "{}", answer.text);
    }
    // From another page not even with it, and a program's request neither.
    let body = format!("csrf={}", root.csrf);
    let foreign = form(&body).with("origin", "https://evil.example");
    assert_eq!(shop.send(foreign).await.error_code(), "origin-refused");
    let operation = json!({"do": "person-disable", "name": "tuner"});
    let bare = Asked::json("/api/operations", &operation).with("cookie", &root.cookie);
    assert_eq!(shop.send(bare).await.error_code(), "csrf-refused");
    let text = Asked::json("/api/operations", &operation)
        .with("cookie", &root.cookie)
        .with("origin", "null");
    assert_eq!(shop.send(text).await.error_code(), "origin-refused");
    let logout = Asked::form("/logout", "").with("cookie", &root.cookie);
    assert_eq!(shop.send(logout).await.status, DENIED);
    let tuner = shop
        .workshop
        .people()
        .find("tuner")
        .expect("they are there");
    assert!(!tuner.is_disabled());
    assert_eq!(shop.send(form(&body)).await.status, StatusCode::SEE_OTHER);
}

#[test]
fn csrf_every_form_that_changes_something_carries_the_token() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let mut forms = 0;
    for entry in std::fs::read_dir(folder).expect("templates") {
        let path = entry.expect("a template").path();
        let text = std::fs::read_to_string(&path).expect("a template");
        for form in text.split("<form").skip(1) {
            let form = form.split("</form>").next().unwrap_or_default();
            if form.contains("method=\"post\"") {
                forms += 1;
                let carries = form.contains("csrf.html") || form.contains("csrf=");
                assert!(carries, "{}: {form}", path.display());
            }
        }
    }
    assert!(forms >= 15, "{forms}");
}

#[tokio::test]
async fn clickjacking_no_page_lets_itself_be_framed() {
    let shop = Shop::with_people().await;
    let root = shop.log_in("root").await;
    let answers = [
        shop.get("/login").await,
        shop.get("/people").await,
        root.get("/people").await,
        root.get("/account").await,
        root.get("/keys").await,
    ];
    for answer in answers {
        assert_eq!(answer.header("x-frame-options"), "DENY");
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(policy.contains("form-action 'self'"), "{policy}");
    }
}

#[tokio::test]
async fn session_fixation_an_id_that_was_planted_is_never_taken_over() {
    let shop = Shop::with_people().await;
    let planted = format!("lathe_session={}", "ab".repeat(32));
    let asked = login("root", PASSWORD).with("cookie", &planted);
    let answer = shop.send(asked).await;
    assert_ne!(answer.cookie(), planted);
    let victim = Asked::get("/account").with("cookie", &planted);
    assert_eq!(shop.send(victim).await.status, StatusCode::SEE_OTHER);
    // Nor a real one: it ends when its browser logs in again.
    let mallory = shop.log_in("tuner").await;
    let form = format!("name=root&password={}", PASSWORD.replace(' ', "+"));
    let answer = mallory.post("/login", &form).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", answer.text);
    assert_ne!(answer.cookie(), mallory.cookie);
    assert_eq!(mallory.get("/account").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn brute_force_is_braked_and_says_how_long() {
    let shop = Shop::with_people().await;
    for _ in 0..10 {
        let answer = shop.send(login("root", "wrong")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
    let braked = shop.send(login("root", PASSWORD)).await;
    assert_eq!(braked.status, StatusCode::TOO_MANY_REQUESTS);
    let wait_s: u64 = braked.header("retry-after").parse().expect("seconds");
    assert!((1..=900).contains(&wait_s), "{wait_s}");
    assert_eq!(braked.header("set-cookie"), "");
    shop.log_in("tuner").await;
}

#[tokio::test]
async fn enumeration_who_is_there_and_who_is_not_are_told_the_same() {
    let shop = Shop::with_people().await;
    let there = shop.send(login("root", "wrong")).await;
    let nobody = shop.send(login("toor", "wrong")).await;
    assert_eq!(there.status, nobody.status);
    assert_eq!(there.text.replace("root", "toor"), nobody.text);
}

#[tokio::test]
async fn foreign_ids_open_nothing() {
    let shop = Shop::with_people().await;
    let (anna, ben) = (shop.log_in("tuner").await, shop.log_in("operator").await);
    let sessions = shop.workshop.people().sessions_of("tuner");
    let path = format!("/account/sessions/{}/end", sessions[0].id());
    assert_eq!(ben.post(&path, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(anna.get("/account").await.status, ALLOWED);
    assert!(!ben.get("/account").await.text.contains(&sessions[0].id()));
    for path in ["/people/root", "/people/nobody"] {
        // Whether there is such a person is not told either.
        assert_eq!(ben.get(path).await.status, DENIED, "{path}");
        let path = format!("{path}/password");
        assert_eq!(ben.post(&path, "").await.status, DENIED, "{path}");
    }
    assert_eq!(ben.get("/records/x").await.status, DENIED);
    assert_eq!(
        ben.get("/api/receipts/x").await.error_code(),
        "right-denied"
    );
    assert_eq!(anna.post(&path, "").await.status, StatusCode::SEE_OTHER);
    assert_eq!(anna.get("/account").await.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn who_is_from_elsewhere_has_neither_password_nor_other_roles_here() {
    let shop = Shop::with_people().await;
    let origin = Origin {
        kind: Kind::Oidc,
        way: "plant".to_owned(),
        subject: "<i>7</i>".to_owned(),
    };
    let names = ("mira", "Mira Sol");
    let people = shop.workshop.people();
    let admitted = people.admit_unproved(origin, names, &[PersonRole::Tuner]);
    admitted.await.expect("somebody new");
    let root = shop.log_in("root").await;
    for lang in ["en", "zh"] {
        let all = root.get(&format!("/people?lang={lang}")).await.text;
        let page = root.get(&format!("/people/mira?lang={lang}")).await.text;
        assert!(all.contains("OpenID Connect") && page.contains("OpenID Connect"));
        assert!(page.contains("plant") && !page.contains("<i>7"), "{page}");
        assert!(!page.contains("/people/mira/password"), "{page}");
        assert!(!page.contains("web."), "{page}");
    }
    let raised = root.post("/people/mira/roles", "roles=administrator");
    let raised = raised.await;
    assert_eq!(raised.status, StatusCode::BAD_REQUEST, "{}", raised.text);
    let denied = root.post("/people/mira/roles", "roles=tuner&denied=records");
    assert_eq!(denied.await.status, StatusCode::SEE_OTHER);
    let made = root.post("/people/mira/password", "").await;
    assert_eq!(made.status, StatusCode::BAD_REQUEST, "{}", made.text);
    let row = people.find("mira").expect("she is there").row.clone();
    assert_eq!(row.roles, [PersonRole::Tuner]);
    assert_eq!((row.denied.len(), row.password.as_str()), (1, ""));
    for password in ["", "x"] {
        let shut = shop.send(login("mira", password)).await;
        assert_eq!(shut.status, StatusCode::UNAUTHORIZED);
    }
    // No provider is configured here.
    for path in ["/login/oidc/plant", "/login/oidc/plant/back?state=x&code=y"] {
        assert_eq!(shop.get(path).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn xss_names_with_markup_stay_text() {
    let shop = Shop::with_people().await;
    let root = shop.log_in("root").await;
    let markup = "%3Cscript%3Ealert(1)%3C/script%3E%22%3E%3Cimg+src=x+onerror=alert(1)%3E";
    let body = format!("name=evil&display={markup}&roles=operator&password=correct+horse+battery");
    let added = root.post("/people", &body).await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", added.text);
    let added = root.get(added.header("location")).await;
    let evil = shop.log_in("evil").await;
    let key = evil
        .post("/keys", &format!("name={markup}&scopes=answer"))
        .await;
    let key = evil.get(key.header("location")).await;
    let login = format!("name={markup}&password=x&next={markup}");
    let pages = [
        added.text,
        key.text,
        root.get("/people").await.text,
        root.get("/people/evil").await.text,
        evil.get("/").await.text,
        evil.get("/account").await.text,
        evil.get("/keys").await.text,
        shop.send(Asked::form("/login", &login)).await.text,
        root.get("/audit").await.text,
        shop.get(&format!("/login?next={markup}")).await.text,
    ];
    for page in pages {
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(!page.contains("<img src"), "{page}");
    }
    let agent = Asked::get("/account").with("cookie", &evil.cookie);
    assert!(shop.send(agent).await.text.contains("&#60;script&#62;"));
}

#[tokio::test]
async fn path_traversal_leads_nowhere() {
    let shop = Shop::with_people().await;
    let root = shop.log_in("root").await;
    for path in [
        "/people/..%2F..%2Fetc%2Fpasswd",
        "/people/%2e%2e",
        "/people/%FF%FE",
        "/account/../people/x/y",
        "/assets/..%2F..%2FCargo.toml",
        "/assets/../../Cargo.toml",
    ] {
        let answer = root.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.text.contains("[package]"), "{path}");
    }
    let answer = root.post("/people", "name=..%2Fkeys&roles=tuner").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    // Nor does what is open to strangers open more.
    for path in [
        "/login/../people",
        "/assets/../people",
        "//people",
        "/people/",
    ] {
        let answer = shop.get(path).await;
        assert_ne!(answer.status, ALLOWED, "{path}");
    }
}

#[tokio::test]
async fn open_redirect_one_comes_back_to_this_workshop_alone() {
    let shop = Shop::with_people().await;
    for (next, expected) in [
        ("%2Fdata%3Fpage%3D2", "/data?page=2"),
        ("%2F%2Fevil.example", "/"),
        ("%2F%5Cevil.example", "/"),
        ("https%3A%2F%2Fevil.example", "/"),
    ] {
        let body = format!("name=root&password=correct+horse+battery&next={next}");
        let answer = shop.send(Asked::form("/login", &body)).await;
        assert_eq!(answer.header("location"), expected, "{next}");
    }
}

#[tokio::test]
async fn upload_bombs_are_refused_before_they_are_read() {
    let shop = Shop::with_people().await;
    let root = shop.log_in("root").await;
    let large = "x".repeat(65 * 1024);
    let too_large = StatusCode::PAYLOAD_TOO_LARGE;
    let answer = root.post("/people", &format!("display={large}")).await;
    assert_eq!(answer.status, too_large);
    let form = format!("name=root&password={large}");
    let stranger = shop.send(Asked::form("/login", &form)).await;
    assert_eq!(stranger.status, too_large);
    let operation = json!({"do": "person-disable", "name": large});
    assert_eq!(root.operate(operation).await.status, too_large);
    // Nobody who is not logged in has a body read at all, but to log in.
    let file = Asked::json("/api/data", &json!({"name": large}));
    assert_eq!(shop.send(file).await.status, StatusCode::UNAUTHORIZED);
}
