//! Doing something as a person: some decisions are no key's. A command logs in as somebody, does one thing and
//! logs out.

use lathe_workshop::Operation;
use lathe_workshop::people::Secret;
use serde_json::Value;
use ureq::http::header::SET_COOKIE;

use super::Client;
use crate::fail::Failure;

/// What the cookie of a session begins with.
const COOKIE: &str = "lathe_session=";

impl Client {
    /// Does something as somebody who has this name and this password.
    pub fn operate_as(
        &self,
        (name, password): (&str, &Secret),
        operation: &Operation,
    ) -> Result<Value, Failure> {
        let cookie = self.log_in(name, password)?;
        let done = self.as_whoever(&cookie, operation);
        // Where it fails, the session ends by itself; what was done stands.
        let csrf = done.as_ref().map_or("", |(csrf, _)| csrf.as_str());
        let logout = self.agent.post(self.address("/logout"));
        let _ = logout
            .config()
            .max_redirects(0)
            .build()
            .header("cookie", &cookie)
            .header("x-csrf-token", csrf)
            .send_empty();
        done.and_then(|(_, done)| done)
    }

    /// The cookie of a new session.
    fn log_in(&self, name: &str, password: &Secret) -> Result<String, Failure> {
        let request = self.agent.post(self.address("/login"));
        let request = request.config().max_redirects(0).build();
        let answer = request
            .send_form([("name", name), ("password", &password.0)])
            .map_err(|error| self.strange("/login", &error.to_string()))?;
        let cookies = answer.headers().get_all(SET_COOKIE).iter();
        let mut cookies = cookies.filter_map(|it| it.to_str().ok()?.split(';').next());
        if let Some(cookie) = cookies.find(|it| it.starts_with(COOKIE)) {
            return Ok(cookie.to_owned());
        }
        let (text, next) = match answer.status().as_u16() {
            429 => (
                format!("{name} cannot log in: there were too many wrong passwords"),
                "wait a quarter of an hour",
            ),
            _ => (
                format!(
                    "{name} cannot log in: name or password is wrong, or nobody has an account"
                ),
                "write the password into the command, one line; `lathe people list` names who there is",
            ),
        };
        Err(Failure::new("login-refused", text, next))
    }

    /// What came of it, with the token that changes of this session carry.
    fn as_whoever(
        &self,
        cookie: &str,
        operation: &Operation,
    ) -> Result<(String, Result<Value, Failure>), Failure> {
        let request = self.agent.get(self.address("/api/me"));
        let me: Value = self.read("/api/me", request.header("cookie", cookie).call())?;
        let csrf = me["person"]["csrf"].as_str().unwrap_or_default().to_owned();
        let request = self.agent.post(self.address("/api/operations"));
        let sent = request
            .header("cookie", cookie)
            .header("x-csrf-token", &csrf)
            .send_json(operation);
        Ok((csrf, self.read("/api/operations", sent)))
    }
}
