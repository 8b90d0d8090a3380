//! The provider: `tests/python/oidc_provider.py` in the environment that `cargo xtask ci` makes.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::browser::agent;

/// A provider that serves, ended with its value.
pub struct Provider {
    child: Child,
    /// What it calls itself, and where it is.
    pub issuer: String,
}

impl Provider {
    /// Starts it with this interpreter.
    pub fn start(python: &OsString) -> Provider {
        let script = lathe_tests::root().join("tests/python/oidc_provider.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the provider starts");
        let stdout = child.stdout.take().expect("a pipe");
        let mut issuer = String::new();
        BufReader::new(stdout)
            .read_line(&mut issuer)
            .expect("it says where it is");
        let issuer = issuer.trim().to_owned();
        assert!(issuer.starts_with("http://127.0.0.1:"), "{issuer}");
        Provider { child, issuer }
    }

    /// Registers the workshop: its id and its secret there.
    pub fn register(&self, redirect: &str) -> (String, String) {
        let body = json!({ "redirect_uris": [redirect] });
        let url = format!("{}/oauth2/clients", self.issuer);
        let answer = agent().post(url).send_json(body);
        let answer: Value = answer
            .expect("answers")
            .body_mut()
            .read_json()
            .expect("JSON");
        let text = |key: &str| answer[key].as_str().expect("a text").to_owned();
        (text("client_id"), text("client_secret"))
    }

    /// Has an account there.
    pub fn has(&self, subject: &str, claims: Value) {
        let url = format!("{}/users/{subject}", self.issuer);
        let answer = agent().put(url).send_json(claims).expect("answers");
        assert_eq!(answer.status().as_u16(), 204);
    }

    /// Lies in this way from now on; in none where it is empty.
    pub fn lies(&self, lie: &str) {
        let url = format!("{}/lie", self.issuer);
        let answer = agent().put(url).send(lie).expect("answers");
        assert_eq!(answer.status().as_u16(), 204, "{lie}");
    }

    /// Somebody consents on its page: where it sends the browser back to.
    pub fn consent(&self, page: &str, subject: &str) -> String {
        self.decide(page, &[("sub", subject)])
    }

    /// Somebody does not.
    pub fn deny(&self, page: &str) -> String {
        self.decide(page, &[("action", "deny")])
    }

    fn decide(&self, page: &str, form: &[(&str, &str)]) -> String {
        assert!(page.starts_with(&self.issuer), "{page}");
        let answer = agent().post(page).send_form(form.to_vec());
        let answer = answer.expect("it answers");
        let location = answer
            .headers()
            .get("location")
            .expect("it sends the browser back");
        location.to_str().expect("a text").to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Nothing is left to do where it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
