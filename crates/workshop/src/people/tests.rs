//! People over a store: who comes in and who does not, what ends a session, what the audit keeps.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use super::brake::{NAME_ATTEMPTS_MAX, WINDOW_MS};
use super::*;
use crate::testing::shop;
use crate::workshop::Workshop;
use crate::{Operation, audit};

const PASSWORD: &str = "correct horse battery";

fn attempt(name: &str, password: &str) -> Attempt {
    Attempt {
        name: name.to_owned(),
        password: Secret(password.to_owned()),
        address: Some(IpAddr::from([10, 0, 0, 1])),
        agent: "a browser\u{7}".to_owned(),
        before: None,
    }
}

async fn add(shop: &Workshop, name: &str, roles: &[PersonRole]) {
    let request = PersonRequest {
        name: name.to_owned(),
        display: String::new(),
        roles: roles.to_vec(),
        denied: Vec::new(),
        password: Some(Secret(PASSWORD.to_owned())),
    };
    let added = shop.operate(Operation::PersonAdd(request)).await.unwrap();
    assert_eq!(added.get("password"), None, "a given one is not told");
}

#[tokio::test]
async fn who_comes_in_and_who_does_not() {
    let (_folder, shop) = shop().await;
    add(&shop, "root", &[PersonRole::Administrator]).await;
    add(&shop, "anna", &[PersonRole::Tuner]).await;
    let people = shop.people();
    for (name, password) in [("anna", "wrong"), ("nobody", PASSWORD), ("", "")] {
        let shut = people.log_in(attempt(name, password)).await;
        assert!(matches!(shut, Err(Shut::Wrong)), "{name}");
    }
    let id = people.log_in(attempt(" Anna ", PASSWORD)).await.unwrap();
    let signed = people.signed(&id).expect("logged in");
    assert_eq!(signed.person.row.name, "anna");
    assert!(signed.person.may(Right::Tune) && !signed.person.may(Right::People));
    assert_eq!(signed.session.row().agent, "a browser");
    assert!(people.signed(&"0".repeat(64)).is_none());
    let out = Operation::PersonDisable {
        name: "anna".to_owned(),
    };
    shop.operate(out).await.unwrap();
    assert!(people.signed(&id).is_none(), "they are out everywhere");
    let shut = people.log_in(attempt("anna", PASSWORD)).await;
    assert!(matches!(shut, Err(Shut::Wrong)));
    shop.stop().await;
}

#[tokio::test]
async fn a_name_that_nobody_has_costs_as_much_as_one_that_somebody_has() {
    let (_folder, shop) = shop().await;
    add(&shop, "root", &[PersonRole::Administrator]).await;
    let computed = || shop.people().inner.computed.load(Ordering::Relaxed);
    for name in ["root", "nobody"] {
        let before = computed();
        let shut = shop.people().log_in(attempt(name, "wrong")).await;
        assert!(matches!(shut, Err(Shut::Wrong)), "{name}");
        assert_eq!(computed(), before + 1, "{name}");
    }
    shop.stop().await;
}

#[tokio::test]
async fn guessing_is_braked_and_the_right_password_waits_too() {
    let (_folder, shop) = shop().await;
    add(&shop, "root", &[PersonRole::Administrator]).await;
    let people = shop.people();
    for _ in 0..NAME_ATTEMPTS_MAX {
        let shut = people.log_in_at(attempt("root", "wrong"), 1000).await;
        assert!(matches!(shut, Err(Shut::Wrong)));
    }
    let shut = people.log_in_at(attempt("root", PASSWORD), 1000).await;
    assert!(matches!(shut, Err(Shut::Braked(900))), "{shut:?}");
    let later = people.log_in_at(attempt("root", PASSWORD), 1000 + WINDOW_MS);
    assert!(later.await.is_ok());
    shop.stop().await;
}

#[tokio::test]
async fn every_login_has_a_new_id_and_ends_the_session_that_was_brought() {
    let (_folder, shop) = shop().await;
    add(&shop, "root", &[PersonRole::Administrator]).await;
    let people = shop.people();
    let first = people.log_in(attempt("root", PASSWORD)).await.unwrap();
    let again = Attempt {
        before: Some(first.clone()),
        ..attempt("root", PASSWORD)
    };
    let second = people.log_in(again).await.unwrap();
    assert_ne!(first, second);
    assert!(people.signed(&first).is_none());
    assert!(people.signed(&second).is_some());
    // An id that nobody gave out is not taken over.
    let planted = Attempt {
        before: Some("ab".repeat(32)),
        ..attempt("root", PASSWORD)
    };
    people.log_in(planted).await.unwrap();
    assert!(people.signed(&"ab".repeat(32)).is_none());
    shop.stop().await;
}

#[tokio::test]
async fn sessions_end_by_themselves_and_are_bounded() {
    let (_folder, shop) = shop().await;
    add(&shop, "root", &[PersonRole::Administrator]).await;
    let people = shop.people();
    let mut ids = Vec::new();
    for at_ms in 0..=i64::try_from(SESSIONS_MAX).unwrap() {
        let id = people.log_in_at(attempt("root", PASSWORD), at_ms).await;
        ids.push(id.unwrap());
    }
    assert!(people.signed_at(&ids[0], 100).is_none(), "the oldest left");
    assert!(people.signed_at(&ids[1], 100).is_some());
    assert!(people.signed_at(&ids[2], 2 + IDLE_MS_MAX).is_none());
    assert!(people.signed_at(&ids[1], 100 + IDLE_MS_MAX - 1).is_some());
    assert!(people.signed_at(&ids[1], SESSION_MS_MAX + 1).is_none());
    shop.stop().await;
}

#[tokio::test]
async fn another_password_logs_out_everywhere_and_the_store_has_neither() {
    let (folder, shop) = shop().await;
    add(&shop, "root", &[PersonRole::Administrator]).await;
    let people = shop.people();
    let id = people.log_in(attempt("root", PASSWORD)).await.unwrap();
    let new = "battery staple horse";
    let change = |old: &str, new: &str| PasswordChange {
        old: Secret(old.to_owned()),
        new: Secret(new.to_owned()),
    };
    let changed = people.change_own_password("root", change("wrong", new), "");
    assert_eq!(changed.await.unwrap_err().code(), "person-password");
    let changed = people.change_own_password("root", change(PASSWORD, "short"), "");
    assert_eq!(changed.await.unwrap_err().code(), "person-request");
    assert!(people.signed(&id).is_some());
    let changed = people.change_own_password("root", change(PASSWORD, new), "a browser");
    let here = changed.await.unwrap();
    assert!(people.signed(&id).is_none());
    assert_eq!(
        people.signed(&here).unwrap().session.row().agent,
        "a browser"
    );
    let shut = people.log_in(attempt("root", PASSWORD)).await;
    assert!(matches!(shut, Err(Shut::Wrong)));
    let id = people.log_in(attempt("root", new)).await.unwrap();
    shop.stop().await;
    let path = folder.path().join("home").join("store.sqlite");
    let stored = std::fs::read(&path).unwrap();
    let holds = |text: &str| stored.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(holds("argon2id"), "the search finds what is there");
    assert!(!holds(new) && !holds(PASSWORD) && !holds(&id));
    // What was written is there when the store is opened again.
    let store = Store::open(&path).await.unwrap();
    assert!(People::load(&store).await.unwrap().signed(&id).is_some());
    store.close().await;
}

#[tokio::test]
async fn the_audit_is_bounded_in_what_waits_and_told_page_by_page() {
    let (_folder, shop) = shop().await;
    add(&shop, "root", &[PersonRole::Administrator]).await;
    let people = shop.people();
    for at in 0..1005 {
        people.note(AuditRow::now("refused", "", &format!("GET /{at}"), "x"));
    }
    people.write_use().await.unwrap();
    let newest = people.audit(None, 2).await.unwrap();
    assert_eq!(newest[0].event, "lost");
    assert!(newest[0].what.starts_with("5 "));
    let older = people.audit(Some(newest[1].id), 2).await.unwrap();
    assert_eq!(older.len(), 2);
    assert!(older[0].id < newest[1].id);
    let all = people.audit(None, 2000).await.unwrap();
    let first = all.last().unwrap();
    assert_eq!(
        (first.what.as_str(), first.outcome.as_str()),
        ("person-add root", "done")
    );
    shop.stop().await;
}

#[tokio::test]
async fn an_operation_is_noted_with_who_asked_for_it() {
    let (_folder, shop) = shop().await;
    add(&shop, "root", &[PersonRole::Administrator]).await;
    let out = Operation::PersonDisable {
        name: "root".to_owned(),
    };
    let refused = audit::on_behalf("person anna".to_owned(), shop.operate(out)).await;
    assert_eq!(refused.unwrap_err().code(), "person-last");
    let newest = &shop.people().audit(None, 1).await.unwrap()[0];
    assert_eq!(newest.by, "person anna");
    assert_eq!(newest.what, "person-disable root");
    assert_eq!(newest.outcome, "person-last");
    shop.stop().await;
}

#[tokio::test]
async fn the_audit_is_narrowed_to_somebody_and_to_what_was_refused() {
    let (_folder, shop) = shop().await;
    let people = shop.people();
    for (by, what, outcome) in [
        ("person anna", "POST /a", "303"),
        ("person anna", "POST /b", "422"),
        ("key anna", "POST /c", "done"),
        ("person bert", "POST /d", "right-denied"),
    ] {
        people.note(AuditRow::now("request", by, what, outcome));
    }
    people.write_use().await.unwrap();
    let told = async |who: Option<&str>, outcome, before| {
        let sought = AuditSought::new(who, outcome);
        let rows = people.audit_of(&sought, before, 2).await.unwrap();
        let last = rows.last().map(|it| it.id);
        let what = rows.into_iter().map(|it| it.what).collect::<Vec<_>>();
        (what.join(", "), last)
    };
    let (newest, last) = told(Some("anna"), AuditOutcome::All, None).await;
    assert_eq!(newest, "POST /c, POST /b");
    let (older, _) = told(Some("anna"), AuditOutcome::All, last).await;
    assert_eq!(older, "POST /a");
    let (own, _) = told(Some("person anna"), AuditOutcome::Refused, None).await;
    assert_eq!(own, "POST /b");
    let (refused, _) = told(None, AuditOutcome::Refused, None).await;
    assert_eq!(refused, "POST /d, POST /b");
    let (nobody, _) = told(Some("ann"), AuditOutcome::All, None).await;
    assert_eq!(nobody, "");
    shop.stop().await;
}
