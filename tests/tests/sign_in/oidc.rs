//! OpenID Connect, against a real provider.

use std::ffi::OsString;

use lathe_tests::{Home, Serving, wait_for};
use serde_json::json;

use super::browser::{Answer, Browser};
use super::provider::Provider;
use super::{PASSWORD, free_port, has, home, person, write};

/// A workshop, and the provider that it believes.
struct Shop {
    home: Home,
    /// The password of `root`, who is the workshop's own.
    root: String,
    port: u16,
    provider: Provider,
}

/// None where the program or the interpreter lacks what it takes.
fn shop() -> Option<Shop> {
    let python: Option<OsString> = std::env::var_os("LATHE_TEST_PYTHON");
    let (Some(python), true) = (python, has("oidc")) else {
        eprintln!(
            "not run: it takes a program with the feature `oidc` and LATHE_TEST_PYTHON with \
             oidc-provider-mock; cargo xtask ci brings both"
        );
        return None;
    };
    let ((home, root), port) = (home(), free_port());
    let provider = Provider::start(&python);
    let shop = Shop {
        home,
        root,
        port,
        provider,
    };
    shop.configure("tuner: [tuners]\n      auditor: [auditors]");
    let anna = json!({ "preferred_username": "Anna", "name": "Anna Berg", "groups": ["tuners"] });
    shop.provider.has("anna-1", anna);
    Some(shop)
}

impl Shop {
    /// Registers there, and writes the file with these roles.
    fn configure(&self, roles: &str) {
        let redirect = format!("http://127.0.0.1:{}/login/oidc/plant/back", self.port);
        let (client, secret) = self.provider.register(&redirect);
        write(&self.home, "oidc.secret", &format!("{secret}\n"));
        let file = format!(
            "address: http://127.0.0.1:{}
oidc:
  - name: plant
    title: the plant's account
    issuer: {}
    client: {client}
    secret: {{file: oidc.secret}}
    scopes: [profile]
    roles:
      {roles}
",
            self.port, self.provider.issuer
        );
        write(&self.home, "sign-in.yaml", &file);
    }

    fn up(&self) -> Serving {
        let listen = format!("127.0.0.1:{}", self.port);
        let mut command = self.home.lathe(&["up", "--listen", &listen]);
        let log = self.home.path().join("up.log");
        Serving::start_logged(&self.home, &mut command, &log)
    }

    /// Signs somebody in with a new browser.
    fn sign_in(&self, serving: &Serving, subject: &str) -> (Browser, Answer) {
        let mut browser = Browser::at(&serving.url);
        let back = self.consent(&mut browser, subject, "/data");
        let answer = browser.get(&back);
        (browser, answer)
    }

    /// Until the provider sends the browser back: where to.
    fn consent(&self, browser: &mut Browser, subject: &str, next: &str) -> String {
        let begun = browser.get(&format!("/login/oidc/plant?next={next}"));
        assert_eq!(begun.status, 303, "{}", begun.page);
        self.provider.consent(&begun.location, subject)
    }
}

fn stays_out(browser: &mut Browser, answer: &Answer, status: u16, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.page);
    assert!(answer.page.contains(words), "{words}: {}", answer.page);
    assert!(!browser.cookies.contains_key("lathe_session"));
    assert!(browser.me().is_null());
}

#[test]
fn somebody_of_the_provider_comes_in_with_the_roles_of_their_groups() {
    let Some(shop) = shop() else { return };
    let serving = shop.up();
    let mut browser = Browser::at(&serving.url);
    let login = browser.get("/login?next=%2Fdata").page;
    assert!(login.contains("the plant&#39;s account") || login.contains("the plant's account"));
    assert!(
        login.contains("href=\"/login/oidc/plant?next=%2Fdata\""),
        "{login}"
    );
    let begun = browser.get("/login/oidc/plant?next=/data");
    for asked in [
        "response_type=code",
        "code_challenge_method=S256",
        "nonce=",
        "state=",
    ] {
        assert!(
            begun.location.contains(asked),
            "{asked}: {}",
            begun.location
        );
    }
    let back = shop.provider.consent(&begun.location, "anna-1");
    // A session that somebody planted is not taken over.
    let planted = "ab".repeat(32);
    browser
        .cookies
        .insert("lathe_session".to_owned(), planted.clone());
    let answer = browser.get(&back);
    assert_eq!((answer.status, answer.location.as_str()), (303, "/data"));
    assert_ne!(browser.cookies["lathe_session"], planted);
    assert!(!browser.cookies.contains_key("lathe_sign_in"), "it is over");
    assert_eq!(browser.me()["roles"], json!(["tuner"]));
    assert_eq!(browser.me()["display"], "Anna Berg");
    assert_eq!(
        browser.get("/audit").status,
        403,
        "no other right came along"
    );
    let account = browser.get("/account").page;
    assert!(account.contains("plant (OpenID Connect)") && !account.contains("name=\"old\""));
    let anna = person(&shop.home, "anna");
    let origin = json!({ "kind": "oidc", "way": "plant", "subject": "anna-1" });
    assert_eq!(anna["origin"], origin);
    // Whoever runs the workshop sees whence she is, and gives her no password and no other role.
    let mut root = Browser::at(&serving.url);
    assert_eq!(root.log_in("root", &shop.root).status, 303);
    assert!(root.get("/people").page.contains("plant (OpenID Connect)"));
    let page = root.get("/people/anna").page;
    assert!(
        page.contains("anna-1") && page.contains("type=\"hidden\" name=\"roles\" value=\"tuner\"")
    );
    assert!(!page.contains("/people/anna/password"), "{page}");
    let page = root.get("/people/root?lang=zh").page;
    let form = format!("/people/{}/password", "root");
    assert!(page.contains(&form), "{page}");
    // They have no password here, and get none.
    let refused = shop.home.output(&["people", "password", "anna"]);
    let said = lathe_tests::text(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("person-outside"),
        "{said}"
    );
    let mut other = Browser::at(&serving.url);
    assert_eq!(other.log_in("anna", PASSWORD).status, 401);
    assert_eq!(other.log_in("anna", "").status, 401);
}

#[test]
fn a_token_that_does_not_hold_lets_nobody_in() {
    let Some(shop) = shop() else { return };
    let serving = shop.up();
    let log = shop.home.path().join("up.log");
    let mut seen = 0;
    for (lie, why) in [
        ("signature", "bad signature"),
        ("public-key", "HS256"),
        ("unsigned", "No signature"),
        ("audience", "Invalid audiences"),
        ("issuer", "Invalid issuer"),
        ("nonce", "nonce mismatch"),
        ("expired", "expired"),
        ("large", "larger than"),
    ] {
        shop.provider.lies(lie);
        let (mut browser, answer) = shop.sign_in(&serving, "anna-1");
        stays_out(&mut browser, &answer, 403, "does not hold");
        // For its own reason, and no other.
        let said = std::fs::read_to_string(&log).expect("a log");
        assert!(said[seen..].contains(why), "{lie}: {}", &said[seen..]);
        seen = said.len();
    }
    assert!(person(&shop.home, "anna").is_null());
    shop.provider.lies("");
    let (mut browser, answer) = shop.sign_in(&serving, "anna-1");
    assert_eq!(answer.status, 303, "{}", answer.page);
    assert_eq!(browser.me()["name"], "anna");
}

#[test]
fn what_was_not_begun_here_does_not_end_here() {
    let Some(shop) = shop() else { return };
    let serving = shop.up();
    let words = "begun elsewhere";
    let mut browser = Browser::at(&serving.url);
    let back = shop.consent(&mut browser, "anna-1", "/");
    // Somebody is sent another's way back: it is not their browser.
    let mut other = Browser::at(&serving.url);
    let answer = other.get(&back);
    stays_out(&mut other, &answer, 403, words);
    let mine = shop.consent(&mut other, "anna-1", "/");
    let answer = other.get(&back);
    stays_out(&mut other, &answer, 403, words);
    // The one that was begun there is over by that.
    let answer = other.get(&mine);
    stays_out(&mut other, &answer, 403, words);
    // Once, and not again.
    assert_eq!(browser.get(&back).status, 303);
    let mut again = Browser::at(&serving.url);
    again.cookies = browser.cookies.clone();
    again.cookies.remove("lathe_session");
    let answer = again.get(&back);
    stays_out(&mut again, &answer, 403, words);
    // The provider says no. The package forgets the state then, which a provider has to bring back.
    let begun = again.get("/login/oidc/plant");
    let denied = shop.provider.deny(&begun.location);
    let state = begun.location.split("state=").nth(1).expect("a state");
    let state = state.split('&').next().expect("a state");
    let answer = again.get(&format!("{denied}&state={state}"));
    stays_out(&mut again, &answer, 403, "did not let you in");
    // Nothing leads away from here.
    let mut led = Browser::at(&serving.url);
    let back = shop.consent(&mut led, "anna-1", "//evil.example");
    assert_eq!(led.get(&back).location, "/");
    let nobody = Browser::at(&serving.url).get("/login/oidc/nobody");
    assert_eq!(nobody.status, 404);
}

#[test]
fn names_collide_roles_are_renewed_and_denials_stay() {
    let Some(shop) = shop() else { return };
    let serving = shop.up();
    let other = json!({ "preferred_username": "root", "groups": ["tuners", "auditors"] });
    shop.provider.has("root-1", other);
    let (mut browser, answer) = shop.sign_in(&serving, "root-1");
    stays_out(&mut browser, &answer, 403, "your name already");
    let stranger = json!({ "preferred_username": "eve", "groups": ["others"] });
    shop.provider.has("eve-1", stranger);
    let (mut browser, answer) = shop.sign_in(&serving, "eve-1");
    stays_out(&mut browser, &answer, 403, "none of your groups");
    assert!(person(&shop.home, "eve").is_null());

    let (mut anna, _) = shop.sign_in(&serving, "anna-1");
    shop.home
        .json(&["people", "role", "anna", "--deny", "records", "--json"]);
    let raised = shop
        .home
        .output(&["people", "role", "anna", "--add", "administrator"]);
    assert!(lathe_tests::text(&raised.stderr).contains("person-outside"));
    let renewed = json!({ "preferred_username": "anna.b", "groups": ["auditors"] });
    shop.provider.has("anna-1", renewed);
    assert_eq!(anna.me()["roles"], json!(["tuner"]), "until the next login");
    let (mut again, _) = shop.sign_in(&serving, "anna-1");
    assert_eq!(
        again.me()["name"],
        "anna",
        "the same subject is the same person"
    );
    assert_eq!(again.me()["roles"], json!(["auditor"]));
    assert_eq!(again.me()["rights"], json!(["look", "audit"]));
    shop.home.json(&["people", "disable", "anna", "--json"]);
    assert!(again.me().is_null());
    let (mut out, answer) = shop.sign_in(&serving, "anna-1");
    stays_out(&mut out, &answer, 403, "was closed");
    // Each refusal stands in the audit, within a second.
    let mut root = Browser::at(&serving.url);
    assert_eq!(root.log_in("root", &shop.root).status, 303);
    wait_for("the audit", || {
        let page = root.get("/audit").page;
        let codes = ["login-name-taken", "login-no-role", "login-out"];
        codes.iter().all(|it| page.contains(it)).then_some(())
    });
}

#[test]
fn guessing_is_braked_and_a_silent_provider_is_told() {
    let Some(shop) = shop() else { return };
    let serving = shop.up();
    let mut browser = Browser::at(&serving.url);
    let mut last = 0;
    for _ in 0..=40 {
        last = browser.get("/login/oidc/plant/back?state=x&code=y").status;
    }
    assert_eq!(last, 429, "forty from one address, and no more");
    // Who has a password here is braked from that address, too.
    assert_eq!(browser.log_in("root", "wrong").status, 429);
    drop(serving);
    let Shop {
        home,
        port,
        provider,
        ..
    } = shop;
    drop(provider);
    let listen = format!("127.0.0.1:{port}");
    let mut command = home.lathe(&["up", "--listen", &listen]);
    let log = home.path().join("up.log");
    let serving = Serving::start_logged(&home, &mut command, &log);
    let answer = Browser::at(&serving.url).get("/login/oidc/plant");
    assert_eq!(answer.status, 503);
    assert!(answer.page.contains("does not answer"), "{}", answer.page);
}
