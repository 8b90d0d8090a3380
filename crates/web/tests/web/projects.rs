//! Projects over the real router and a real workshop: what a member may do in theirs, and that what belongs to
//! others is not there for them, on pages and in the API alike.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::StatusCode;
use lathe_workshop::people::PersonRole;
use lathe_workshop::{DatasetRequest, OrderRequest};
use serde_json::{Value, json};

use crate::people::{Answer, Asked, Reader, Shop};

const UNKNOWN: &str = "0190f0e0-0000-7000-8000-000000000000";

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack")
}

/// Two projects and the common one, an order and a dataset in each. Anna tunes and owns data in the ward; she
/// has no role in the workshop.
struct Wards {
    shop: Shop,
    orders: [String; 3],
    data: [String; 3],
}

impl Wards {
    async fn new() -> Wards {
        let shop = Shop::with_people().await;
        shop.add("anna", &[]).await;
        for id in ["ward", "bank"] {
            let make = json!({"do": "project-create", "id": id, "name": format!("The {id}")});
            operate(&shop, make).await;
        }
        let wards = Wards {
            orders: [
                order(&shop, "ward").await,
                order(&shop, "bank").await,
                order(&shop, "common").await,
            ],
            data: [
                dataset(&shop, "ward").await,
                dataset(&shop, "bank").await,
                dataset(&shop, "common").await,
            ],
            shop,
        };
        wards.part(&["tuner", "data-owner"], &[]).await;
        wards
    }

    /// Gives Anna this part in the ward.
    async fn part(&self, roles: &[&str], denied: &[&str]) {
        let part = json!({"do": "project-member", "project": "ward", "person": "anna",
                          "roles": roles, "denied": denied});
        operate(&self.shop, part).await;
    }

    /// A pack that was made in a project of a file that somebody brought.
    fn pack(&self, named: &str) {
        let folder = self.shop.folder.path().join("home/packs").join(named);
        std::fs::create_dir_all(&folder).expect("a folder");
        for entry in std::fs::read_dir(tiny()).expect("a folder") {
            let from = entry.expect("an entry").path();
            if from.is_file() {
                let to = folder.join(from.file_name().expect("a name"));
                std::fs::copy(&from, to).expect("a copy");
            }
        }
    }
}

async fn operate(shop: &Shop, operation: Value) -> Value {
    let operation = serde_json::from_value(operation).expect("an operation");
    let done = shop.workshop.operate(operation).await;
    done.expect("it is done")
}

async fn order(shop: &Shop, project: &str) -> String {
    let request = OrderRequest {
        pack: tiny(),
        quick: false,
        offline: true,
        project: Some(project.to_owned()),
        set: Default::default(),
    };
    let placed = shop.workshop.submit(request).await;
    placed.expect("it is placed").0
}

async fn dataset(shop: &Shop, project: &str) -> String {
    let file = shop.folder.path().join(format!("{project}.csv"));
    let rows = (0..20).map(|row| format!("question {row} of the {project},yes\n"));
    let text = "text,label\n".to_owned() + &rows.collect::<String>();
    std::fs::write(&file, text).expect("a file");
    let request = DatasetRequest {
        name: format!("reviews-of-{project}"),
        file,
        licence: "CC0-1.0".to_owned(),
        owner: "somebody".to_owned(),
        group: None,
        dedupe: None,
        project: Some(project.to_owned()),
    };
    let added = shop.workshop.add_dataset(request).await;
    added.expect("it is added").digest
}

fn ids(answer: &Answer, list: &str, id: &str) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let body: Value = serde_json::from_str(&answer.text).expect("JSON");
    let rows = body[list].as_array().expect("a list").iter();
    rows.map(|it| it[id].as_str().expect("an id").to_owned())
        .collect()
}

/// That a foreign thing is answered as one that is not there, by the same words.
async fn hidden(reader: &Reader<'_>, path: &str, foreign: &str) {
    let answer = reader.get(&path.replace("ID", foreign)).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    let unknown = reader.get(&path.replace("ID", UNKNOWN)).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{path} of none");
    let told = |answer: &Answer, id: &str| answer.text.replace(id, "ID");
    assert_eq!(told(&answer, foreign), told(&unknown, UNKNOWN), "{path}");
}

#[tokio::test]
async fn what_belongs_to_others_is_not_there_on_pages_and_in_the_api() {
    let wards = Wards::new().await;
    let anna = wards.shop.log_in("anna").await;
    let [own, foreign, common] = &wards.orders;
    for path in [
        "/orders/ID",
        "/orders/ID/clone",
        "/api/orders/ID",
        "/api/orders/ID/log",
    ] {
        let answer = anna.get(&path.replace("ID", own)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text);
    }
    for id in [foreign, common] {
        for path in [
            "/orders/ID",
            "/orders/ID/live",
            "/orders/ID/lesson",
            "/orders/ID/clone",
            "/api/orders/ID",
            "/api/orders/ID/settings",
            "/api/orders/ID/curve",
            "/api/orders/ID/log",
            "/api/orders/ID/lesson",
            "/api/orders/ID/report",
            "/api/orders/ID/verdict",
            "/api/orders/ID/events",
            "/register/ID",
            "/api/register/ID",
        ] {
            hidden(&anna, path, id).await;
        }
        for path in ["pause", "resume", "cancel", "clone"] {
            let answer = anna.post(&format!("/orders/{id}/{path}"), "").await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        }
        let compare = format!("/api/orders/compare?ids={own},{id}");
        assert_eq!(anna.get(&compare).await.status, StatusCode::NOT_FOUND);
        for what in [
            "order-pause",
            "order-resume",
            "order-cancel",
            "order-clone",
            "order-clone-plan",
        ] {
            let told = async |order: &str| {
                let answer = anna.operate(json!({"do": what, "order": order})).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{what}");
                answer.text
            };
            assert_eq!(told(id).await, told(UNKNOWN).await, "{what}");
        }
    }
    for path in ["/projects/bank", "/api/projects/bank", "/projects/common"] {
        assert_eq!(anna.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    // What is the whole workshop's is for roles in the workshop.
    for path in ["/people", "/audit", "/ledger", "/api/ledger", "/api/audit"] {
        assert_eq!(anna.get(path).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test]
async fn data_and_models_of_others_are_not_there_on_pages_and_in_the_api() {
    let wards = Wards::new().await;
    let anna = wards.shop.log_in("anna").await;
    let [own, foreign, common] = &wards.data;
    let answer = anna.get(&format!("/data/{own}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    for id in [foreign, common] {
        for path in [
            "/data/ID",
            "/data/ID/records",
            "/api/data/ID",
            "/api/data/ID/records",
            "/models/ID",
            "/api/models/ID",
        ] {
            hidden(&anna, path, id).await;
        }
        let asked = json!({"do": "data-compare", "from": own, "to": id});
        assert_eq!(anna.operate(asked).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn somebody_is_told_what_they_do_in_which_project() {
    let wards = Wards::new().await;
    wards.part(&["tuner", "data-owner"], &["ask"]).await;
    let deny = json!({"do": "project-member", "project": "bank", "person": "anna",
                      "roles": ["tuner"], "denied": ["look"]});
    operate(&wards.shop, deny).await;
    let anna = wards.shop.log_in("anna").await;
    let told: Value = serde_json::from_str(&anna.get("/api/me").await.text).expect("JSON");
    let person = &told["person"];
    assert_eq!(person["csrf"], anna.csrf.as_str());
    assert_eq!(
        (&person["rights"], &person["denied"]),
        (&json!([]), &json!([]))
    );
    // Where she may not even look, nothing is said of it.
    let parts = person["projects"].as_array().expect("a list");
    assert_eq!(parts.len(), 1, "{parts:?}");
    let expected = json!({"id": "ward", "name": "The ward", "roles": ["tuner", "data-owner"],
                          "denied": ["ask"], "rights": ["look", "records", "tune", "data"]});
    assert_eq!(parts[0], expected);
    let page = anna.get("/account").await.text;
    assert!(
        page.contains("href=\"/projects/ward\">The ward</a>"),
        "{page}"
    );
    assert!(!page.contains("The bank"));
    // A role in the workshop holds in the project, and its denial too.
    let role = json!({"do": "person-roles", "name": "anna", "roles": ["approver"],
                      "denied": ["data"]});
    operate(&wards.shop, role).await;
    let told: Value = serde_json::from_str(&anna.get("/api/me").await.text).expect("JSON");
    let rights = &told["person"]["projects"][0]["rights"];
    assert_eq!(rights, &json!(["look", "records", "tune", "approve"]));
}

#[tokio::test]
async fn an_order_is_cloned_into_another_project_by_whoever_may_hand_it_on() {
    let wards = Wards::new().await;
    let anna = wards.shop.log_in("anna").await;
    let own = &wards.orders[0];
    let clone = |project: &str| json!({"do": "order-clone", "order": own, "project": project});
    for project in ["bank", "none"] {
        let answer = anna.operate(clone(project)).await;
        assert_eq!(answer.error_code(), "project-unknown", "{project}");
    }
    let part = async |project: &str, roles: &[&str], denied: &[&str]| {
        let part = json!({"do": "project-member", "project": project, "person": "anna",
                          "roles": roles, "denied": denied});
        operate(&wards.shop, part).await;
    };
    part("bank", &["auditor"], &[]).await;
    assert_eq!(
        anna.operate(clone("bank")).await.error_code(),
        "right-denied"
    );
    part("bank", &["tuner"], &[]).await;
    // What it takes over can be read there: whoever may not read it here hands it on to nobody.
    part("ward", &["tuner"], &["records"]).await;
    assert_eq!(
        anna.operate(clone("bank")).await.error_code(),
        "right-denied"
    );
    part("ward", &["tuner"], &[]).await;
    let done = anna.operate(clone("bank")).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let done: Value = serde_json::from_str(&done.text).expect("JSON");
    let id = done["order"].as_str().expect("an id");
    let order: Value =
        serde_json::from_str(&anna.get(&format!("/api/orders/{id}")).await.text).expect("JSON");
    assert_eq!(order["project"], "bank");
    // The form offers both, with the order's own chosen, and does the same.
    let form = anna.get(&format!("/orders/{own}/clone")).await.text;
    assert!(form.contains("<option value=\"ward\" selected>"), "{form}");
    assert!(form.contains("<option value=\"bank\">"), "{form}");
    let placed = anna
        .post(&format!("/orders/{own}/clone"), "more=&project=bank")
        .await;
    assert_eq!(placed.status, StatusCode::SEE_OTHER, "{}", placed.text);
    let theirs = ids(&anna.get("/api/orders?project=bank").await, "orders", "id");
    assert_eq!(theirs.len(), 3, "{theirs:?}");
    let stays = ids(&anna.get("/api/orders?project=ward").await, "orders", "id");
    assert_eq!(&stays, std::slice::from_ref(own));
}

#[tokio::test]
async fn a_project_is_called_otherwise_and_deleted_on_its_page() {
    let wards = Wards::new().await;
    wards.part(&["administrator"], &[]).await;
    let anna = wards.shop.log_in("anna").await;
    let page = anna.get("/projects/ward").await.text;
    assert!(page.contains("action=\"/projects/ward/name\""));
    // It is the workshop that has projects: who administers one alone deletes none.
    assert!(!page.contains("action=\"/projects/ward/delete\""));
    let named = anna.post("/projects/ward/name", "name=Ward+8").await;
    assert_eq!(named.header("location"), "/projects/ward");
    let page = anna.get("/projects/ward").await.text;
    assert!(page.contains("<h1>Ward 8</h1>"), "{page}");
    let denied = anna.post("/projects/ward/delete", "").await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN, "{}", denied.text);
    let hidden = anna.post("/projects/bank/name", "name=x").await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    let root = wards.shop.log_in("root").await;
    let held = root.post("/projects/ward/delete", "").await;
    assert_eq!(held.status, StatusCode::CONFLICT);
    assert!(held.text.contains("orders (1)"), "{}", held.text);
    let made = root.post("/projects", "id=mine&name=Mine").await;
    assert_eq!(made.header("location"), "/projects/mine");
    let gone = root.post("/projects/mine/delete", "").await;
    assert_eq!(gone.header("location"), "/projects");
    assert_eq!(
        root.get("/projects/mine").await.status,
        StatusCode::NOT_FOUND
    );
}

/// A bundle holds the data and the whole ledger: an operator of a project fetches one who may read both.
#[tokio::test]
async fn a_bundle_is_fetched_by_whoever_may_read_all_of_it() {
    let wards = Wards::new().await;
    let anna = wards.shop.log_in("anna").await;
    let fetch = async |name: &str| {
        let answer = anna.post(&format!("/deployments/{name}/bundle"), "").await;
        let path = format!("/api/deployments/{name}/bundle");
        let same = anna.changes(Asked::json(&path, &Value::Null)).await;
        assert_eq!(answer.status, same.status, "{name}: {}", same.text);
        (same.status, same.error_code())
    };
    let denied = (StatusCode::FORBIDDEN, json!("right-denied"));
    assert_eq!(fetch("ward.care").await, denied, "a tuner hands nothing on");
    wards.part(&["operator", "tuner"], &[]).await;
    assert_eq!(fetch("ward.care").await, denied, "the ledger is not hers");
    assert_eq!(fetch("bank.care").await.0, StatusCode::NOT_FOUND);
    let role = json!({"do": "person-roles", "name": "anna", "roles": ["auditor"], "denied": []});
    operate(&wards.shop, role).await;
    let unknown = (StatusCode::BAD_REQUEST, json!("deployment-unknown"));
    assert_eq!(fetch("ward.care").await, unknown);
    assert_eq!(fetch("bank.care").await, denied, "an auditor there");
    for right in ["operate", "records"] {
        wards.part(&["operator", "tuner"], &[right]).await;
        assert_eq!(fetch("ward.care").await, denied, "without {right}");
    }
}

/// Events go on for long: they end when what they tell of may be seen no more.
#[tokio::test]
async fn an_order_is_told_for_as_long_as_it_may_be_seen() {
    let wards = Wards::new().await;
    let anna = wards.shop.log_in("anna").await;
    let path = format!("/api/orders/{}/events", wards.orders[0]);
    let leaves = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let leave = json!({"do": "project-leave", "project": "ward", "person": "anna"});
        operate(&wards.shop, leave).await;
    };
    let told = tokio::time::timeout(Duration::from_secs(60), anna.get(&path));
    let (told, ()) = tokio::join!(told, leaves);
    let told = told.expect("the events end");
    assert_eq!(told.status, StatusCode::OK);
    assert!(told.text.contains("event: order"), "{}", told.text);
    // She has no part anywhere now, and is told the same of every order.
    assert_eq!(anna.get(&path).await.status, StatusCode::FORBIDDEN);
}

/// Listens to an order that goes on, until what `takes` away ends it.
async fn ended_by(shop: &Shop, listens: Asked<'_>, takes: impl Future<Output = ()>) {
    let takes = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        takes.await;
    };
    let told = tokio::time::timeout(Duration::from_secs(20), shop.send(listens));
    let (told, ()) = tokio::join!(told, takes);
    let told = told.expect("the events end");
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    assert!(told.text.contains("event: order"), "{}", told.text);
    assert!(!told.text.contains("event: end"), "{}", told.text);
}

/// They end with what let the listener in, too: a session, a right, a key, and that nobody was asked.
#[tokio::test]
async fn events_end_with_what_let_the_listener_in() {
    let wards = Wards::new().await;
    let shop = &wards.shop;
    let path = format!("/api/orders/{}/events", wards.orders[0]);
    let anna = shop.log_in("anna").await;
    let listens = || Asked::get(&path).with("cookie", &anna.cookie);
    ended_by(shop, listens(), async {
        let out = anna.post("/logout", "").await;
        assert_eq!(out.status, StatusCode::SEE_OTHER);
    })
    .await;
    assert_eq!(anna.get(&path).await.status, StatusCode::UNAUTHORIZED);

    let again = shop.log_in("anna").await;
    let listens = Asked::get(&path).with("cookie", &again.cookie);
    ended_by(shop, listens, wards.part(&["tuner"], &["look"])).await;

    let issue =
        json!({"do": "token-create", "name": "ward", "scopes": ["admin"], "project": "ward"});
    let issued = operate(shop, issue).await;
    let bearer = format!("Bearer {}", issued["key"].as_str().expect("a key"));
    let listens = Asked::get(&path).with("authorization", &bearer);
    ended_by(shop, listens, async {
        let revoke = json!({"do": "token-revoke", "id": issued["id"], "reason": "it was lost"});
        operate(shop, revoke).await;
    })
    .await;

    let alone = Shop::new().await;
    let path = format!("/api/orders/{}/events", order(&alone, "common").await);
    let comes = alone.add("root", &[PersonRole::Administrator]);
    ended_by(&alone, Asked::get(&path), comes).await;
}

#[tokio::test]
async fn lists_show_what_may_be_read() {
    let wards = Wards::new().await;
    let anna = wards.shop.log_in("anna").await;
    let [own, foreign, common] = &wards.orders;
    let listed = ids(&anna.get("/api/orders").await, "orders", "id");
    assert_eq!(&listed, std::slice::from_ref(own));
    let page = anna.get("/").await.text;
    assert!(page.contains(own) && !page.contains(foreign) && !page.contains(common));
    let digests = ids(&anna.get("/api/data").await, "data", "digest");
    assert_eq!(&digests, std::slice::from_ref(&wards.data[0]));
    let page = anna.get("/data").await.text;
    assert!(page.contains("reviews-of-ward") && !page.contains("reviews-of-bank"));
    assert!(
        page.contains("<span class=\"badge\">The ward</span>"),
        "its mark"
    );
    for other in ["bank", "common"] {
        let none = anna.get(&format!("/api/orders?project={other}")).await;
        assert_eq!(ids(&none, "orders", "id"), Vec::<String>::new());
    }
    let projects = anna.get("/api/projects").await;
    assert_eq!(ids(&projects, "projects", "id"), ["ward"]);
    let page = anna.get("/projects").await.text;
    assert!(page.contains("The ward") && !page.contains("The bank"));
    for path in [
        "/models",
        "/receipts",
        "/register",
        "/review",
        "/try",
        "/data/bring",
    ] {
        assert_eq!(anna.get(path).await.status, StatusCode::OK, "{path}");
    }
    // Whoever looks in the workshop sees all, unless it is denied in a project.
    let auditor = wards.shop.log_in("auditor").await;
    let all = ids(&auditor.get("/api/orders").await, "orders", "id");
    assert_eq!(all.len(), 3, "{all:?}");
    let of_ward = ids(
        &auditor.get("/api/orders?project=ward").await,
        "orders",
        "id",
    );
    assert_eq!(&of_ward, std::slice::from_ref(own));
    let deny = json!({"do": "project-member", "project": "bank", "person": "auditor",
                      "roles": [], "denied": ["look"]});
    operate(&wards.shop, deny).await;
    let rest = ids(&auditor.get("/api/orders").await, "orders", "id");
    assert!(rest.len() == 2 && !rest.contains(foreign), "{rest:?}");
    hidden(&auditor, "/api/orders/ID", foreign).await;
}

#[tokio::test]
async fn a_member_places_orders_in_their_project_and_nowhere_else() {
    let wards = Wards::new().await;
    wards.pack("ward.mine");
    wards.pack("bank.theirs");
    let anna = wards.shop.log_in("anna").await;
    let place = async |pack: &str, project: Value| {
        let mut body = json!({"pack": pack});
        if !project.is_null() {
            body["project"] = project;
        }
        let asked = Asked::json("/api/orders", &body)
            .with("cookie", &anna.cookie)
            .with("x-csrf-token", &anna.csrf);
        let answer = wards.shop.send(asked).await;
        (answer.status, answer.error_code())
    };
    let accepted = (StatusCode::ACCEPTED, Value::Null);
    assert_eq!(place("ward.mine", json!("ward")).await, accepted);
    let denied = (StatusCode::FORBIDDEN, json!("right-denied"));
    assert_eq!(place("ward.mine", Value::Null).await, denied);
    let unknown = (StatusCode::NOT_FOUND, json!("project-unknown"));
    for project in ["bank", "common", "none"] {
        assert_eq!(
            place("ward.mine", json!(project)).await,
            unknown,
            "{project}"
        );
    }
    let missing = (StatusCode::BAD_REQUEST, json!("pack-missing"));
    let path = wards.shop.folder.path().join("home/packs/bank.theirs");
    let (tiny, path) = (tiny(), path.to_string_lossy().into_owned());
    for pack in ["bank.theirs", &path, &tiny.to_string_lossy()] {
        assert_eq!(place(pack, json!("ward")).await, missing, "{pack}");
    }
    let listed = ids(&anna.get("/api/orders").await, "orders", "project");
    assert_eq!(listed, ["ward", "ward"]);
    // The form offers the projects in which she may, and places there.
    let form = anna.get("/orders/new?pack=ward.mine").await.text;
    let offers = form.contains("<option value=\"ward\"") && !form.contains("value=\"bank\"");
    assert!(offers, "{form}");
    let own = &wards.orders[0];
    let paused = anna.post(&format!("/orders/{own}/pause"), "").await;
    assert_eq!(paused.status, StatusCode::SEE_OTHER, "{}", paused.text);
    // A denial in the project wins over the role there, from the next request on.
    wards.part(&["tuner"], &["tune"]).await;
    assert_eq!(place("ward.mine", json!("ward")).await, denied);
    let resumed = anna.post(&format!("/orders/{own}/resume"), "").await;
    assert_eq!(resumed.status, StatusCode::FORBIDDEN);
    assert_eq!(
        anna.get(&format!("/orders/{own}")).await.status,
        StatusCode::OK
    );
    let rows = wards.shop.workshop.people().audit(None, 50).await;
    let rows = rows.expect("the audit");
    let named = |what: &str| {
        let mut of = rows.iter().filter(|it| it.what.contains(what));
        of.next().and_then(|it| it.project.clone())
    };
    assert_eq!(
        named(&format!("/orders/{own}/pause")).as_deref(),
        Some("ward")
    );
}

#[tokio::test]
async fn a_part_in_one_project_decides_nothing_in_another() {
    let wards = Wards::new().await;
    wards.part(&["administrator", "operator"], &[]).await;
    let anna = wards.shop.log_in("anna").await;
    let member = |project: &str| json!({"do": "project-member", "project": project, "person": "tuner", "roles": ["approver"]});
    assert_eq!(anna.operate(member("ward")).await.status, StatusCode::OK);
    let other = anna.operate(member("bank")).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    let form = anna
        .post("/projects/ward/members", "person=approver&roles=tuner")
        .await;
    assert_eq!(form.header("location"), "/projects/ward");
    let page = anna.get("/projects/ward").await.text;
    assert!(page.contains("action=\"/projects/ward/members\""));
    let left = anna.post("/projects/ward/leave", "person=approver").await;
    assert_eq!(left.header("location"), "/projects/ward");
    for asked in [
        json!({"do": "project-create", "id": "mine"}),
        json!({"do": "people"}),
        json!({"do": "person-roles", "name": "anna", "roles": ["administrator"]}),
        json!({"do": "checkpoint"}),
        json!({"do": "ledger-export", "folder": "/tmp/x"}),
        json!({"do": "token-create", "name": "n"}),
    ] {
        let answer = anna.operate(asked.clone()).await;
        assert_eq!(
            answer.status,
            StatusCode::FORBIDDEN,
            "{asked}: {}",
            answer.text
        );
        assert_eq!(answer.error_code(), "right-denied");
    }
    let key = json!({"do": "token-create", "name": "n", "project": "ward"});
    assert_eq!(anna.operate(key).await.status, StatusCode::OK);
    let theirs = json!({"do": "token-create", "name": "n", "project": "bank"});
    assert_eq!(anna.operate(theirs).await.error_code(), "project-unknown");
    // Only members and whoever looks everywhere see a project's page.
    let tuner = wards.shop.log_in("tuner").await;
    assert_eq!(tuner.get("/projects/bank").await.status, StatusCode::OK);
    let made = tuner.post("/projects", "id=mine&name=Mine").await;
    assert_eq!(made.status, StatusCode::FORBIDDEN);
    let root = wards.shop.log_in("root").await;
    let made = root.post("/projects", "id=mine&name=Mine").await;
    assert_eq!(made.header("location"), "/projects/mine");
}

#[tokio::test]
async fn a_key_of_a_project_opens_what_belongs_to_it() {
    let wards = Wards::new().await;
    let issue = async |project: &str| {
        let asked = json!({"do": "token-create", "name": project, "scopes": ["admin"],
                           "project": project});
        let issued = operate(&wards.shop, asked).await;
        format!("Bearer {}", issued["key"].as_str().expect("a key"))
    };
    let (ward, common) = (issue("ward").await, issue("common").await);
    let get = async |key: &str, path: &str| {
        let asked = Asked::get(path).with("authorization", key);
        wards.shop.send(asked).await
    };
    let [own, foreign, _] = &wards.orders;
    let listed = ids(&get(&ward, "/api/orders").await, "orders", "id");
    assert_eq!(&listed, std::slice::from_ref(own));
    let all = ids(&get(&common, "/api/orders").await, "orders", "id");
    assert_eq!(all.len(), 3);
    let status = async |key: &str, path: &str| get(key, path).await.status;
    assert_eq!(
        status(&ward, &format!("/api/orders/{own}")).await,
        StatusCode::OK
    );
    let hidden = get(&ward, &format!("/api/orders/{foreign}")).await;
    assert_eq!(hidden.status, StatusCode::NOT_FOUND);
    for path in ["/api/audit", "/api/ledger", "/metrics"] {
        let answer = get(&ward, path).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(answer.error_code(), "key-scope", "{path}");
    }
    let asked = Asked::json("/api/operations", &json!({"do": "tokens"}));
    let tokens = wards.shop.send(asked.with("authorization", &ward)).await;
    assert_eq!(ids(&tokens, "tokens", "project"), ["ward"]);
    let pause = json!({"do": "order-pause", "order": foreign});
    let asked = Asked::json("/api/operations", &pause).with("authorization", &ward);
    assert_eq!(wards.shop.send(asked).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_file_is_brought_into_a_project_and_is_there_for_it_alone() {
    let wards = Wards::new().await;
    let anna = wards.shop.log_in("anna").await;
    let begin = |project: &str| json!({"do": "bring-begin", "name": "reviews.csv", "bytes": 9, "project": project});
    let theirs = operate(&wards.shop, begin("bank")).await;
    let own = anna.operate(begin("ward")).await;
    assert_eq!(own.status, StatusCode::OK, "{}", own.text);
    assert_eq!(
        anna.operate(begin("bank")).await.error_code(),
        "project-unknown"
    );
    let own: Value = serde_json::from_str(&own.text).expect("JSON");
    let id = own["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        ids(&anna.get("/api/brought").await, "brought", "id"),
        [id.as_str()]
    );
    let foreign = theirs["id"].as_str().expect("an id");
    let page = anna.get(&format!("/data/bring/{foreign}")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    for what in ["bring-end", "bring-forget"] {
        let answer = anna.operate(json!({"do": what, "id": foreign})).await;
        assert_eq!(answer.error_code(), "bring-unknown", "{what}");
    }
    let forgotten = anna.operate(json!({"do": "bring-forget", "id": id})).await;
    assert_eq!(forgotten.status, StatusCode::OK);
}
