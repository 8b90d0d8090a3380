//! What the workshop runs with: who may look, what is told, and that no secret is.

use axum::http::StatusCode;
use lathe_workshop::people::PersonRole;
use lathe_workshop::settings::Started;
use serde_json::{Value, json};

use crate::pages::{app, get};
use crate::people::{Asked, PASSWORD, Shop};
use crate::sample::SampleDesk;

#[tokio::test]
async fn who_operates_or_audits_may_look_and_nobody_else() {
    let shop = Shop::with_people().await;
    for role in PersonRole::ALL {
        let reader = shop.log_in(role.name()).await;
        let may = matches!(
            role,
            PersonRole::Operator | PersonRole::Auditor | PersonRole::Administrator
        );
        let expected = match may {
            true => StatusCode::OK,
            false => StatusCode::FORBIDDEN,
        };
        for path in ["/settings", "/api/settings"] {
            let answer = reader.get(path).await;
            assert_eq!(answer.status, expected, "{role:?} {path}");
        }
        let refused = reader.get("/api/settings").await.error_code();
        assert_eq!(refused == json!("right-denied"), !may, "{role:?}");
        let account = reader.get("/account").await.text;
        let offered = account.contains("href=\"/settings\"");
        assert_eq!(offered, may, "{role:?}");
    }
    let stranger = shop.get("/settings").await;
    assert_eq!(stranger.header("location"), "/login?next=%2Fsettings");
    let stranger = shop.get("/api/settings").await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    // Nor does a part in a project open what is the whole workshop's.
    let root = shop.log_in("root").await;
    let project = json!({"do": "project-create", "id": "ward", "name": "Ward"});
    assert_eq!(root.operate(project).await.status, StatusCode::OK);
    let part = root.post("/projects/ward/members", "person=tuner&roles=operator");
    assert_eq!(part.await.status, StatusCode::SEE_OTHER);
    let tuner = shop.log_in("tuner").await;
    assert_eq!(tuner.get("/settings").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_accounts_everybody_sees_what_holds_and_no_secret() {
    let shop = Shop::new().await;
    shop.workshop.started_with(Started {
        url: "http://127.0.0.1:7878".to_owned(),
        log: Some("warn".to_owned()),
        log_format: "text",
        audit_syslog: Some("udp://10.0.0.9:514".to_owned()),
        ..Started::default()
    });
    let told = shop.get("/api/settings").await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.text);
    let told: Value = serde_json::from_str(&told.text).expect("JSON");
    let of = |section: &str, setting: &str| {
        let named = |all: &Value, name: &str| {
            let mut all = all.as_array().expect("a list").iter();
            all.find(|it| it["name"] == name).cloned()
        };
        let section = named(&told["sections"], section).expect("the section");
        named(&section["settings"], setting).expect("the setting")
    };
    assert_eq!(of("listen", "url")["value"], "http://127.0.0.1:7878");
    let keeps = of("evidence", "keeps_texts");
    assert_eq!(keeps["value"], true);
    assert_eq!(keeps["changed_by"], json!(["--keep-texts"]));
    assert_eq!(of("approval", "policy")["value"], "self");
    assert_eq!(of("people", "sign_in")["value"], json!(["password"]));
    assert_eq!(of("log", "audit_syslog")["value"], "udp://10.0.0.9:514");
    for lang in ["en", "zh"] {
        let page = shop.get(&format!("/settings?lang={lang}")).await;
        assert_eq!(page.status, StatusCode::OK);
        let page = page.text;
        assert!(!page.contains("web.settings"), "{page}");
        assert!(page.contains("<code>LATHE_SCRUB_S</code>"), "{page}");
        assert!(page.contains("udp://10.0.0.9:514"), "{page}");
        for secret in ["the daemon's own key", "the daemon&#39;s own key", PASSWORD] {
            assert!(!page.contains(secret), "{page}");
        }
    }
    // The page changes nothing: no form, and no other method.
    let sent = shop.send(Asked::form("/settings", "tls=no")).await;
    assert_eq!(sent.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn units_and_values_are_told_in_the_language_of_the_reader() {
    let app = app(SampleDesk::new());
    let english = get(&app, "/settings", "en").await.text;
    let ways = "password, OpenID Connect, LDAP";
    for said in ["64.0 GiB", "25 s", "1 min", "15.5", ways] {
        assert!(english.contains(said), "{said}: {english}");
    }
    let chinese = get(&app, "/settings", "zh").await.text;
    let ways = "密码、OpenID Connect、LDAP";
    for said in ["25 秒", "1 分钟", ways, "运行设置"] {
        assert!(chinese.contains(said), "{said}: {chinese}");
    }
}
