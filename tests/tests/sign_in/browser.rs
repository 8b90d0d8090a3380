//! A browser that keeps cookies and follows nothing by itself.

use std::collections::BTreeMap;

use serde_json::Value;

/// A browser.
pub struct Browser {
    url: String,
    agent: ureq::Agent,
    /// Its cookies, by name.
    pub cookies: BTreeMap<String, String>,
}

/// What it is answered.
pub struct Answer {
    pub status: u16,
    /// Where it is sent; empty where it stays.
    pub location: String,
    pub page: String,
}

/// A client that takes every status and follows nothing.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .build()
        .into()
}

impl Browser {
    /// At a workshop.
    pub fn at(url: &str) -> Browser {
        Browser {
            url: url.to_owned(),
            agent: agent(),
            cookies: BTreeMap::new(),
        }
    }

    /// GETs a path, or a whole address of the workshop.
    pub fn get(&mut self, path: &str) -> Answer {
        let path = path.strip_prefix(&self.url).unwrap_or(path);
        let request = self.agent.get(format!("{}{path}", self.url));
        let answer = request.header("cookie", self.cookie()).call();
        self.take(answer.expect("the workshop answers"))
    }

    /// Logs in with the form.
    pub fn log_in(&mut self, name: &str, password: &str) -> Answer {
        let request = self.agent.post(format!("{}/login", self.url));
        let form = [("name", name), ("password", password)];
        let answer = request.header("cookie", self.cookie()).send_form(form);
        self.take(answer.expect("the workshop answers"))
    }

    /// Who it is, as `/api/me` tells it; null for nobody.
    pub fn me(&mut self) -> Value {
        let answer = self.get("/api/me");
        let told: Value = serde_json::from_str(&answer.page).unwrap_or_default();
        told["person"].clone()
    }

    fn cookie(&self) -> String {
        let pairs = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn take(&mut self, mut answer: ureq::http::Response<ureq::Body>) -> Answer {
        for cookie in answer.headers().get_all("set-cookie") {
            let cookie = cookie.to_str().expect("a text");
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a pair");
            if value.is_empty() {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = answer.headers().get("location");
        let location = location.and_then(|it| it.to_str().ok()).unwrap_or_default();
        Answer {
            status: answer.status().as_u16(),
            location: location.to_owned(),
            page: answer.body_mut().read_to_string().expect("a text"),
        }
    }
}
