//! Doing something as a person: some decisions are no key's. A command logs in as somebody, does one thing and
//! logs out.

use lathe_workshop::Operation;
use lathe_workshop::people::{Secret, csrf_of};
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
        // Made from the session's id as the server makes it: to log out, nothing has to be asked for first.
        let csrf = csrf_of(cookie.strip_prefix(COOKIE).unwrap_or_default());
        let done = self.as_whoever(&cookie, &csrf, operation);
        // Where it fails, the session ends by itself; what was done stands.
        let logout = self.agent.post(self.address("/logout"));
        let _ = logout
            .config()
            .max_redirects(0)
            .build()
            .header("cookie", &cookie)
            .header("x-csrf-token", &csrf)
            .send_empty();
        done
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

    /// What came of it.
    fn as_whoever(
        &self,
        cookie: &str,
        csrf: &str,
        operation: &Operation,
    ) -> Result<Value, Failure> {
        let request = self.agent.post(self.address("/api/operations"));
        let sent = request
            .header("cookie", cookie)
            .header("x-csrf-token", csrf)
            .send_json(operation);
        self.read("/api/operations", sent)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// The id of the only session.
    const ID: &str = "0123456789abcdef";

    /// A daemon that lets anybody in and fails at everything else; gives its address and, once it was asked to
    /// log out, the heads of all requests.
    fn failing() -> (String, thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = thread::spawn(move || {
            let mut heads = Vec::new();
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                while !is_whole(&request) {
                    let read = connection.read(&mut buffer).unwrap();
                    assert!(read > 0, "it hung up in the middle");
                    request.extend_from_slice(&buffer[..read]);
                }
                let text = String::from_utf8_lossy(&request).to_lowercase();
                let head = text.split("\r\n\r\n").next().unwrap_or_default();
                let status = match head.starts_with("post /login") {
                    true => {
                        format!("303 See Other\r\nLocation: /\r\nSet-Cookie: {COOKIE}{ID}; Path=/")
                    }
                    false => "500 Internal Server Error".to_owned(),
                };
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                connection.write_all(answer.as_bytes()).unwrap();
                heads.push(head.to_owned());
                if head.starts_with("post /logout") {
                    break;
                }
            }
            heads
        });
        (url, asked)
    }

    /// Whether a request is here with its body.
    fn is_whole(request: &[u8]) -> bool {
        let text = String::from_utf8_lossy(request).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return false;
        };
        let length = head
            .lines()
            .find_map(|it| it.strip_prefix("content-length:"));
        let length = length.map_or(0, |it| it.trim().parse().unwrap());
        body.len() >= length
    }

    #[test]
    fn the_session_ends_whatever_fails() {
        let (url, asked) = failing();
        let client = Client::new(&url, Some("key".to_owned()));
        let password = Secret("a password".to_owned());
        let done = client.operate_as(("wang", &password), &Operation::Pending {});
        assert!(done.is_err());
        let heads = asked.join().unwrap();
        let logout = heads.last().unwrap();
        for line in [
            format!("cookie: {COOKIE}{ID}"),
            format!("x-csrf-token: {}", csrf_of(ID)),
        ] {
            assert!(logout.contains(&line), "{logout} lacks {line}");
        }
    }
}
