//! One's own password and sessions by the API, over the real router and a real workshop: what the page does.

use axum::http::StatusCode;
use lathe_workshop::Operation;
use lathe_workshop::people::{PersonRequest, PersonRole, Secret};
use lathe_workshop::token::{Allowance, Scope, TokenRequest};
use serde_json::{Value, json};

use crate::people::{Answer, Asked, PASSWORD, Reader, Shop, login};

const NEW: &str = "battery staple horse";

/// The answer to a change of one's own password.
async fn changed(reader: &Reader<'_>, old: &str, new: &str) -> Answer {
    let body = json!({ "old": old, "new": new });
    reader.changes(Asked::json("/api/me/password", &body)).await
}

/// Where somebody is logged in, as they are told.
async fn sessions(reader: &Reader<'_>) -> Vec<Value> {
    let answer = reader.get("/api/me/sessions").await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let told: Value = serde_json::from_str(&answer.text).expect("JSON");
    told["sessions"].as_array().expect("a list").clone()
}

async fn is_in(reader: &Reader<'_>) -> bool {
    reader.get("/api/me").await.status == StatusCode::OK
}

#[tokio::test]
async fn a_password_is_changed_with_the_old_one_and_all_are_logged_out_but_here() {
    let shop = Shop::with_people().await;
    let (here, there) = (shop.log_in("tuner").await, shop.log_in("tuner").await);
    for (old, new, code) in [
        ("wrong", NEW, "person-password"),
        (PASSWORD, "short", "person-request"),
    ] {
        let refused = changed(&here, old, new).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{code}");
        assert_eq!(refused.error_code(), code);
        assert_eq!(refused.cookie(), "");
    }
    let unclear = Asked::json("/api/me/password", &json!({ "new": NEW }));
    let unclear = here.changes(unclear).await;
    assert_eq!(unclear.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(is_in(&here).await && is_in(&there).await);
    let done = changed(&here, PASSWORD, NEW).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert!(!is_in(&here).await && !is_in(&there).await);
    let told: Value = serde_json::from_str(&done.text).expect("JSON");
    let now = Reader {
        shop: &shop,
        cookie: done.cookie(),
        csrf: told["csrf"].as_str().expect("a token").to_owned(),
    };
    let own = sessions(&now).await;
    assert_eq!(own.len(), 1, "{own:?}");
    assert_eq!(
        (&own[0]["id"], &own[0]["current"]),
        (&told["session"], &json!(true))
    );
    // The token that was told is the one of the new session.
    let ended = now.changes(Asked::delete("/api/me/sessions")).await;
    assert_eq!(
        (ended.status, ended.text.as_str()),
        (StatusCode::OK, "{\"ended\":0}")
    );
    let old = shop.send(login("tuner", PASSWORD)).await;
    assert_eq!(old.status, StatusCode::UNAUTHORIZED);
    let new = shop.send(login("tuner", NEW)).await;
    assert_eq!(new.status, StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn brute_force_wrong_old_passwords_are_counted_as_on_the_page() {
    let shop = Shop::with_people().await;
    let reader = shop.log_in("tuner").await;
    for _ in 0..10 {
        let refused = changed(&reader, "wrong", NEW).await;
        assert_eq!(refused.error_code(), "person-password");
    }
    let refused = changed(&reader, PASSWORD, NEW).await;
    assert_eq!(refused.error_code(), "person-password", "{}", refused.text);
    // By the same brake: logging in waits too.
    let braked = shop.send(login("tuner", PASSWORD)).await;
    assert_eq!(braked.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(is_in(&reader).await);
}

#[tokio::test]
async fn one_ends_one_session_and_all_others_and_nobody_elses() {
    let shop = Shop::with_people().await;
    let (here, there) = (shop.log_in("tuner").await, shop.log_in("tuner").await);
    let (third, other) = (shop.log_in("tuner").await, shop.log_in("operator").await);
    let own = sessions(&here).await;
    assert_eq!(own.len(), 3);
    let current = own.iter().filter(|it| it["current"] == true);
    assert_eq!(current.count(), 1);
    let foreign = sessions(&other).await[0]["id"].clone();
    assert!(own.iter().all(|it| it["id"] != foreign));
    for id in [foreign.as_str().expect("an id"), "nothing"] {
        let path = format!("/api/me/sessions/{id}");
        let refused = here.changes(Asked::delete(&path)).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{id}");
        assert_eq!(refused.error_code(), "not-found");
    }
    assert!(is_in(&other).await);
    let theirs = sessions(&there).await;
    let theirs = theirs.iter().find(|it| it["current"] == true);
    let id = theirs.expect("the one that asks")["id"].clone();
    let path = format!("/api/me/sessions/{}", id.as_str().expect("an id"));
    let ended = here.changes(Asked::delete(&path)).await;
    assert_eq!(ended.text, "{\"ended\":1}");
    assert!(!is_in(&there).await && is_in(&third).await);
    let ended = here.changes(Asked::delete("/api/me/sessions")).await;
    assert_eq!(ended.text, "{\"ended\":1}");
    assert!(!is_in(&third).await, "all others");
    assert!(is_in(&here).await, "the one that asks goes on");
    assert!(is_in(&other).await, "another's too");
    let newest = shop.workshop.people().audit(None, 50).await;
    let newest = newest.expect("the audit");
    let is_noted = |what: &str| newest.iter().any(|it| it.what == what);
    assert!(is_noted("DELETE /api/me/sessions"), "{newest:?}");
}

#[tokio::test]
async fn csrf_one_s_own_sessions_end_by_one_s_own_pages_alone() {
    let shop = Shop::with_people().await;
    let (here, there) = (shop.log_in("tuner").await, shop.log_in("tuner").await);
    let bare = Asked::delete("/api/me/sessions").with("cookie", &here.cookie);
    assert_eq!(shop.send(bare).await.error_code(), "csrf-refused");
    let body = json!({ "old": PASSWORD, "new": NEW });
    let bare = Asked::json("/api/me/password", &body).with("cookie", &here.cookie);
    assert_eq!(shop.send(bare).await.error_code(), "csrf-refused");
    assert!(is_in(&here).await && is_in(&there).await);
}

#[tokio::test]
async fn a_key_has_neither_password_nor_sessions() {
    let shop = Shop::with_people().await;
    let request = TokenRequest {
        name: "the shop".to_owned(),
        scopes: vec![Scope::Admin],
        models: Vec::new(),
        project: lathe_workshop::people::COMMON.to_owned(),
        expires_days: None,
        allowance: Allowance::default(),
    };
    let issued = shop.workshop.operate(Operation::TokenCreate(request)).await;
    let issued = issued.expect("a key");
    let bearer = format!("Bearer {}", issued["key"].as_str().expect("a key"));
    let body = json!({ "old": PASSWORD, "new": NEW });
    for asked in [
        Asked::get("/api/me/sessions"),
        Asked::delete("/api/me/sessions"),
        Asked::delete("/api/me/sessions/x"),
        Asked::json("/api/me/password", &body),
    ] {
        let answer = shop.send(asked.with("authorization", &bearer)).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text);
        assert_eq!(answer.error_code(), "not-found");
    }
    let nobody = shop.send(Asked::get("/api/me/sessions")).await;
    assert_eq!(nobody.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_first_account_is_told_of_before_and_leads_to_logging_in() {
    let shop = Shop::new().await;
    for (lang, told) in [
        (
            "en",
            [
                "The first account is yours",
                "administrator alone places no orders",
            ],
        ),
        ("zh", ["首个账号供您自己使用", "管理员角色本身不能下达任务"]),
    ] {
        let before = shop.get(&format!("/people?lang={lang}")).await.text;
        for told in told {
            assert!(before.contains(told), "{told}: {before}");
        }
        for absent in ["hand over", "转交"] {
            assert!(
                !before.contains(absent),
                "to oneself there is nobody to hand it to"
            );
        }
    }
    // The same rule as of the commands.
    let refused = shop
        .send(Asked::form("/people", "name=anna&roles=tuner"))
        .await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let rule = "the first person has to be an administrator";
    assert!(refused.text.contains(rule), "{}", refused.text);
    let first = Asked::form("/people", "name=root&roles=administrator");
    let led = shop.send(first).await;
    assert_eq!(led.status, StatusCode::SEE_OTHER, "{}", led.text);
    let path = led.header("location").to_owned();
    assert!(path.starts_with("/login?told="), "{path}");
    let page = shop.get(&path).await.text;
    for told in [
        "Your account root is made, with the roles",
        "From now on everybody logs in",
        "lathe people password root",
        "action=\"/login\"",
        "name=\"name\" value=\"root\"",
        // What is filled in already is not where one begins.
        "autocomplete=\"current-password\" autofocus>",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert_eq!(page.matches("autofocus").count(), 1, "{page}");
    // The password that was made is shown there, this once, and lets in.
    let (_, rest) = page.split_once("<code>").expect("a password");
    let made = rest.split('<').next().expect("a password");
    assert!(!path.contains(made), "{path}");
    let again = shop.get(&path).await.text;
    assert!(!again.contains(made), "{again}");
    let into = shop.send(login("root", made)).await;
    assert_eq!(into.status, StatusCode::SEE_OTHER, "{}", into.text);
}

/// The password that a page shows, if it shows one.
fn shown(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once("<code>")?;
    rest.split('<').next()
}

#[tokio::test]
async fn what_was_done_to_an_account_is_said_once_and_a_reload_does_nothing_again() {
    let shop = Shop::with_people().await;
    let root = shop.log_in("root").await;
    for (path, form, told, made) in [
        (
            "/people",
            "name=anna&display=Anna&roles=tuner",
            "anna has an account now",
            true,
        ),
        (
            "/people/anna/roles",
            "roles=tuner&roles=approver",
            "Saved. What Anna may do",
            false,
        ),
        ("/people/anna/password", "", "Anna has a new password", true),
        (
            "/people/anna/disable",
            "",
            "Anna was logged out everywhere",
            false,
        ),
        ("/people/anna/enable", "", "Anna can log in again", false),
    ] {
        let led = root.post(path, form).await;
        assert_eq!(led.status, StatusCode::SEE_OTHER, "{path}: {}", led.text);
        let there = led.header("location").to_owned();
        assert!(there.starts_with("/people/anna?told="), "{path}: {there}");
        // Another administrator's session is told nothing, and takes nothing away.
        let other = shop.log_in("administrator").await.get(&there).await.text;
        assert!(!other.contains(told) && shown(&other).is_none(), "{other}");
        let page = root.get(&there).await.text;
        assert!(page.contains(told), "{path}: {page}");
        let password = shown(&page).map(str::to_owned);
        assert_eq!(password.is_some(), made, "{path}: {page}");
        assert!(password.is_none_or(|it| !there.contains(&it)), "{there}");
        let again = root.get(&there).await.text;
        assert!(!again.contains(told) && shown(&again).is_none(), "{again}");
    }
    let zh = root.post("/people/anna/roles", "roles=tuner").await;
    let page = root
        .get(&format!("{}&lang=zh", zh.header("location")))
        .await;
    assert!(page.text.contains("Anna 的权限即刻生效"), "{}", page.text);
}

#[tokio::test]
async fn a_new_password_of_ones_own_is_read_where_one_logs_in() {
    let shop = Shop::with_people().await;
    // What people call her is not what she logs in by.
    let name = "anna";
    let request = PersonRequest {
        name: name.to_owned(),
        display: "Anna Maria".to_owned(),
        roles: vec![PersonRole::Administrator],
        denied: Vec::new(),
        password: Some(Secret(PASSWORD.to_owned())),
    };
    let added = shop.workshop.operate(Operation::PersonAdd(request)).await;
    added.expect("she is let in");
    let root = shop.log_in(name).await;
    let led = root.post(&format!("/people/{name}/password"), "").await;
    let there = led.header("location").to_owned();
    assert!(there.starts_with("/login?told="), "{there}");
    let page = root.get(&there).await.text;
    for told in [
        "Anna Maria has a new password",
        "name=\"name\" value=\"anna\"",
        "made for anna and",
        "lathe people password anna<",
    ] {
        assert!(page.contains(told), "{told}: {page}");
    }
    let made = shown(&page).expect("a password");
    let into = shop.send(login(name, made)).await;
    assert_eq!(into.status, StatusCode::SEE_OTHER, "{}", into.text);
    assert!(shown(&root.get(&there).await.text).is_none());
}

#[tokio::test]
async fn a_key_says_which_of_its_models_answers_nowhere_and_can_be_copied() {
    let shop = Shop::with_people().await;
    let operator = shop.log_in("operator").await;
    let form = "name=n&scopes=answer&models=nowhere";
    let done = operator.post("/keys", form).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    let address = done.header("location").to_owned();
    // It is shown once, to whoever asked for it, and the address does not have it.
    let other = shop.log_in("operator").await.get(&address).await;
    assert!(!other.text.contains("The new key"), "{}", other.text);
    let page = operator.get(&address).await;
    let told = "Under nowhere nothing answers now";
    assert!(page.text.contains(told), "{}", page.text);
    let (_, issued) = page.text.split_once("The new key").expect("it is shown");
    let issued = issued.split("</section>").next().expect("its end");
    assert!(issued.contains("</code><button"), "{issued}");
    assert!(issued.contains("data-copy "), "{issued}");
    let key = issued.split("<code>").nth(1).expect("a key");
    let key = key.split('<').next().expect("its end");
    assert!(!address.contains(key), "{address}");
    let again = operator.get(&address).await;
    assert!(!again.text.contains(key), "{}", again.text);
    // It is issued all the same, and one that is limited to none says nothing.
    assert_eq!(shop.workshop.tokens().all().len(), 1);
    let done = operator.post("/keys", "name=m&scopes=answer").await;
    let page = operator.get(done.header("location")).await;
    assert!(page.text.contains("The new key"), "{}", page.text);
    assert!(!page.text.contains("nothing answers now"), "{}", page.text);
}

#[tokio::test]
async fn a_refused_form_for_a_key_keeps_what_was_written() {
    let shop = Shop::with_people().await;
    let operator = shop.log_in("operator").await;
    let form = "name=night+shift&scopes=metrics&models=a,b&expires_days=900000&tokens_per_day=5";
    let page = operator.post("/keys", form).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.text);
    for kept in [
        "value=\"night shift\"",
        "value=\"a,b\"",
        "value=\"900000\"",
        "value=\"5\"",
        "value=\"metrics\" checked",
    ] {
        assert!(page.text.contains(kept), "{kept}: {}", page.text);
    }
    assert!(
        !page.text.contains("value=\"answer\" checked"),
        "{}",
        page.text
    );
    assert!(shop.workshop.tokens().is_empty());
}

#[tokio::test]
async fn the_audit_tells_who_placed_which_order_and_is_narrowed() {
    let shop = Shop::with_people().await;
    let tuner = shop.log_in("tuner").await;
    let tiny = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/tiny-pack"
    );
    let body = json!({ "pack": tiny, "offline": true });
    let placed = tuner.changes(Asked::json("/api/orders", &body)).await;
    assert_eq!(placed.status, StatusCode::ACCEPTED, "{}", placed.text);
    let placed: Value = serde_json::from_str(&placed.text).expect("JSON");
    let told = format!("order-place {}", placed["id"].as_str().expect("an id"));
    let root = shop.log_in("root").await;
    let page = root.get("/audit?who=tuner&outcome=all").await.text;
    assert!(page.contains(&told), "{page}");
    assert!(
        page.contains("href=\"/audit?who=person%20tuner\""),
        "{page}"
    );
    let refused = root.get("/audit?who=tuner&outcome=refused").await.text;
    assert!(!refused.contains(&told), "{refused}");
    let rows = root.get("/api/audit?who=person+tuner").await.text;
    let rows: Value = serde_json::from_str(&rows).expect("JSON");
    let rows = rows["rows"].as_array().expect("rows");
    assert!(rows.iter().all(|it| it["by"] == "person tuner"), "{rows:?}");
    assert!(rows.iter().any(|it| it["what"] == told), "{rows:?}");
    let wrong = root.get("/api/audit?outcome=any").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text);
}

#[tokio::test]
async fn an_account_without_a_role_says_that_it_does_nothing_yet() {
    let shop = Shop::with_people().await;
    let root = shop.log_in("root").await;
    let added = root.post("/people", "name=carla").await;
    assert_eq!(added.status, StatusCode::SEE_OTHER, "{}", added.text);
    let page = root.get(added.header("location")).await.text;
    let told = "can log in but do nothing";
    assert!(page.contains(told), "{page}");
    let people = root.get("/people").await.text;
    assert!(people.contains("no role yet"), "{people}");
    assert!(people.contains("logged in at 1 place"), "{people}");
    root.post("/people/carla/roles", "roles=tuner").await;
    let page = root.get("/people/carla").await.text;
    assert!(!page.contains(told), "{page}");
}
