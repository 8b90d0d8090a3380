//! People over the real binary: let in by the command line, logged in over HTTP, and nobody approves what
//! they placed.

use std::process::Stdio;

use lathe_tests::{Home, Serving, fixture, text, wait_for};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

/// `lathe people ARGS --json` with a password on standard input.
fn with_password(home: &Home, args: &[&str], password: &str) -> Value {
    use std::io::Write as _;
    let mut all = vec!["people"];
    all.extend(args);
    all.extend(["--password-stdin", "--json"]);
    let mut child = home
        .lathe(&all)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("lathe starts");
    let stdin = child.stdin.take();
    let written = stdin.expect("a pipe").write_all(password.as_bytes());
    written.expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// A browser that follows nothing.
struct Browser {
    url: String,
    agent: ureq::Agent,
    cookie: String,
    csrf: String,
}

impl Browser {
    fn log_in(serving: &Serving, name: &str) -> Browser {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build()
            .into();
        let mut browser = Browser {
            url: serving.url.clone(),
            agent,
            cookie: String::new(),
            csrf: String::new(),
        };
        let form = [("name", name), ("password", PASSWORD)];
        let (status, _) = browser.post("/login", &form);
        assert_eq!(status, 303);
        let (status, page) = browser.get("/account");
        assert_eq!(status, 200, "{page}");
        let (_, rest) = page
            .split_once("name=\"csrf\" content=\"")
            .expect("a token");
        browser.csrf = rest.split('"').next().expect("a token").to_owned();
        browser
    }

    fn get(&self, path: &str) -> (u16, String) {
        let request = self.agent.get(format!("{}{path}", self.url));
        let mut response = request
            .header("cookie", &self.cookie)
            .call()
            .expect("the daemon answers");
        let status = response.status().as_u16();
        let page = response.body_mut().read_to_string().expect("a text");
        (status, page)
    }

    fn post(&mut self, path: &str, form: &[(&str, &str)]) -> (u16, String) {
        let mut all = form.to_vec();
        let csrf = self.csrf.clone();
        all.push(("csrf", &csrf));
        let request = self.agent.post(format!("{}{path}", self.url));
        let mut response = request
            .header("cookie", &self.cookie)
            .send_form(all)
            .expect("the daemon answers");
        if let Some(cookie) = response.headers().get("set-cookie") {
            let cookie = cookie.to_str().expect("a text").split(';').next();
            self.cookie = cookie.unwrap_or_default().to_owned();
        }
        let status = response.status().as_u16();
        let page = response.body_mut().read_to_string().expect("a text");
        (status, page)
    }
}

fn pending(home: &Home) -> Option<String> {
    let pending = home.json(&["register", "pending", "--json"]);
    let number = pending["pending"][0]["number"].as_str()?;
    Some(number.to_owned())
}

#[test]
fn somebody_else_approves_what_a_person_placed() {
    let home = Home::new();
    let added = with_password(
        &home,
        &[
            "add",
            "root",
            "--role",
            "administrator",
            "--role",
            "tuner",
            "--role",
            "approver",
        ],
        PASSWORD,
    );
    assert_eq!(
        added["roles"],
        json!(["tuner", "approver", "administrator"])
    );
    assert_eq!(added.get("password"), None);
    with_password(&home, &["add", "wang", "--role", "approver"], PASSWORD);
    let serving = Serving::start(&home, &mut home.lathe(&["up", "--listen", "127.0.0.1:0"]));
    assert_eq!(serving.get_text("/api/orders").0, 401);
    let mut root = Browser::log_in(&serving, "root");
    let mut wang = Browser::log_in(&serving, "wang");

    let pack = fixture("tiny-pack");
    let form = [("pack", pack.to_str().expect("a plain name"))];
    assert_eq!(
        wang.post("/orders", &form).0,
        403,
        "an approver places none"
    );
    assert_eq!(root.post("/orders", &form).0, 303);
    // The workshop began with `approval: self`, and yet it waits.
    let number = wait_for("an order that waits", || pending(&home));
    let decide = format!("/register/{number}/decide");
    let approve = [
        ("decision", "approved"),
        ("reason", "figures & data checked"),
    ];
    let (status, page) = root.post(&decide, &approve);
    assert_eq!(status, 403);
    assert!(page.contains("approval-own"), "{page}");
    let (status, page) = wang.get(&format!("/register/{number}"));
    assert_eq!(status, 200);
    assert!(page.contains(&decide), "the page has the form: {page}");
    assert_eq!(wang.post(&decide, &approve).0, 303);
    wait_for("the deployment", || {
        let order = home.newest_order();
        (order["state"] == "done").then_some(())
    });

    // Who decided stands in the ledger, who was refused in the audit.
    let registration = home.json(&["register", "show", &number, "--json"]);
    let told = registration.to_string();
    assert!(told.contains("decided by person wang"), "{told}");
    let (_, audit) = root.get("/audit");
    for told in ["person root", "person wang", "approval-own", "decide"] {
        assert!(audit.contains(told), "{told}: {audit}");
    }
    // And the whole home verifies.
    let verified = home.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let said = text(&verified.stdout);
    assert!(said.contains("approved by person wang"), "{said}");
    assert!(!said.contains("self-approved"), "{said}");
}

#[test]
fn whoever_ran_an_order_on_the_command_line_does_not_approve_it_there() {
    let home = Home::new();
    with_password(&home, &["add", "root", "--role", "administrator"], PASSWORD);
    let output = home.run(&fixture("tiny-pack"), &[]).output();
    let output = output.expect("lathe starts");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let number = pending(&home).expect("it waits");
    let own = home.path().join("keys/workshop.key");
    let own = own.to_str().expect("a plain name");
    let refused = home.output(&["approve", &number, "--key", own]);
    let said = text(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("approval-own"),
        "{said}"
    );
    // They may still reject it.
    let rejected = home.json(&["approve", &number, "--key", own, "--reject", "--json"]);
    assert_eq!(rejected["decision"], "rejected");
}

#[test]
fn people_are_let_in_changed_and_shut_out() {
    let home = Home::new();
    let added = home.json(&["people", "add", "root", "--role", "administrator", "--json"]);
    assert_eq!(added["password"].as_str().map(str::len), Some(20));
    home.json(&[
        "people",
        "add",
        "anna",
        "--role",
        "tuner",
        "--display",
        "Anna",
        "--json",
    ]);
    let changed = home.json(&[
        "people", "role", "anna", "--add", "auditor", "--remove", "tuner", "--deny", "records",
        "--json",
    ]);
    assert_eq!(changed["roles"], json!(["auditor"]));
    assert_eq!(changed["denied"], json!(["records"]));
    home.json(&["people", "disable", "anna", "--json"]);
    let listed = home.json(&["people", "list", "--json"]);
    assert!(listed["people"][0]["disabled_ms"].is_i64(), "{listed}");
    home.json(&["people", "enable", "anna", "--json"]);
    let reset = with_password(&home, &["password", "anna"], "battery staple horse\n");
    assert_eq!(reset.get("password"), None);
    let last = home.output(&["people", "disable", "root"]);
    let said = text(&last.stderr);
    assert!(
        !last.status.success() && said.contains("person-last"),
        "{said}"
    );
}
