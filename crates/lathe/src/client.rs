//! The client of a daemon: the workshop's API over HTTP, whether the daemon is
//! another process or this one.

mod person;

use std::sync::OnceLock;
use std::time::Duration;

use lathe_evidence::report::Report;
use lathe_workshop::settings::WorkshopSettings;
use lathe_workshop::trace::TraceView;
use lathe_workshop::{
    DatasetRequest, DatasetView, DeploymentView, Operation, OrderId, OrderRequest, OrderView,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::fail::Failure;

/// Longest wait for an answer of the API; adding a large dataset takes the longest.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(600);

/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The key of the home's own daemon: a process speaks with one.
static OWN: OnceLock<Option<String>> = OnceLock::new();

/// Presents this key from now on, where the home has one that this user may read and LATHE_KEY names none.
pub fn present(own: Option<String>) {
    // The first counts: a second daemon of the same process would be of the same home.
    let _ = OWN.set(own);
}

/// A client of one daemon.
pub struct Client {
    url: String,
    key: Option<String>,
    agent: ureq::Agent,
}

impl Client {
    /// A client of the daemon at `url`.
    pub fn new(url: &str, key: Option<String>) -> Client {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_WAIT_MAX))
            .http_status_as_error(false)
            // The daemon of one's own home is on this machine, never behind a proxy.
            .proxy(None)
            .build();
        Client {
            url: url.to_owned(),
            key: key
                .or_else(|| std::env::var("LATHE_KEY").ok())
                .or_else(|| OWN.get().cloned().flatten()),
            agent: config.into(),
        }
    }

    /// Places an order.
    pub fn submit(&self, request: &OrderRequest) -> Result<OrderId, Failure> {
        let answer: Value = self.post("/api/orders", request)?;
        let id = answer.get("id").and_then(Value::as_str);
        id.map(|id| OrderId(id.to_owned()))
            .ok_or_else(|| self.strange("/api/orders", "no id"))
    }

    /// One order.
    pub fn order(&self, id: &OrderId) -> Result<OrderView, Failure> {
        self.get(&format!("/api/orders/{id}"))
    }

    /// An order's report.
    pub fn report(&self, id: &OrderId) -> Result<Report, Failure> {
        self.get(&format!("/api/orders/{id}/report"))
    }

    /// Registers a dataset.
    pub fn add_dataset(&self, request: &DatasetRequest) -> Result<DatasetView, Failure> {
        self.post("/api/data", request)
    }

    /// The deployments that answer now.
    pub fn deployments(&self) -> Result<Vec<DeploymentView>, Failure> {
        let mut answer: Value = self.get("/api/deployments")?;
        let rows = answer["deployments"].take();
        serde_json::from_value(rows)
            .map_err(|error| self.strange("/api/deployments", &error.to_string()))
    }

    /// One answer and all it rests on, by its receipt.
    pub fn trace(&self, receipt: &str) -> Result<TraceView, Failure> {
        self.get(&format!("/api/receipts/{receipt}"))
    }

    /// Asks a model, as any client would.
    pub fn complete(&self, request: &Value) -> Result<Value, Failure> {
        self.post("/v1/chat/completions", request)
    }

    /// The address of a page.
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// What the workshop runs with.
    pub fn settings(&self) -> Result<WorkshopSettings, Failure> {
        self.get("/api/settings")
    }

    /// Does something to evidence.
    pub fn operate(&self, operation: &Operation) -> Result<Value, Failure> {
        self.post("/api/operations", operation)
    }

    /// What stands at a path of the API.
    pub fn value(&self, path: &str) -> Result<Value, Failure> {
        self.get(path)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        self.read(path, request.call())
    }

    fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl serde::Serialize,
    ) -> Result<T, Failure> {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        self.read(path, request.send_json(body))
    }

    /// Puts bytes at a path of the API.
    pub fn put<T: DeserializeOwned>(&self, path: &str, bytes: &[u8]) -> Result<T, Failure> {
        let mut request = self.agent.put(format!("{}{path}", self.url));
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        self.read(path, request.send(bytes))
    }

    fn read<T: DeserializeOwned>(
        &self,
        path: &str,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, Failure> {
        let mut response = response.map_err(|error| {
            Failure::new(
                "daemon-silent",
                format!("cannot reach the daemon at {}{path}: {error}", self.url),
                "look whether it still runs, then run the same command: it resumes",
            )
        })?;
        let status = response.status();
        let text = response
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES_MAX)
            .read_to_string()
            .map_err(|error| self.strange(path, &error.to_string()))?;
        if !status.is_success() {
            return Err(refused(status.as_u16(), &text)
                .unwrap_or_else(|| self.strange(path, &format!("{status}: {text}"))));
        }
        serde_json::from_str(&text).map_err(|error| self.strange(path, &error.to_string()))
    }

    fn strange(&self, path: &str, what: &str) -> Failure {
        Failure::new(
            "daemon-strange",
            format!("the daemon at {}{path} answers strangely: {what}", self.url),
            "the daemon may be of another version: end it and run the command again",
        )
    }
}

/// An error as the API words it, code, text and next step.
fn refused(status: u16, text: &str) -> Option<Failure> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let error = answer.get("error")?;
    let part = |name: &str| error.get(name).and_then(Value::as_str);
    if status == 401 {
        let next =
            "set LATHE_KEY to one of the daemon's keys, or run this as the user whose home it is";
        let text = part("text").or_else(|| part("message"))?;
        return Some(Failure::new("key-required", text, next));
    }
    Some(Failure::new(
        part("code")?,
        part("text")?,
        part("next").unwrap_or_default(),
    ))
}

/// A text as a part of a URL.
pub fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
