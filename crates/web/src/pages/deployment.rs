//! A deployment on its order's page: its name and a line to paste into a terminal.

use lathe_workshop::{DeploymentView, OrderView};
use serde_json::json;

use super::Problem;
use super::playground::encoded;
use crate::AppState;

/// The deployment section of the order page.
pub(super) struct Deployment {
    pub name: String,
    pub curl: String,
    /// Where on these pages the model can be tried.
    pub href: String,
    /// The page of its breaker and answers.
    pub evidence: String,
    /// Whether it answers now.
    pub answers: bool,
}

impl Deployment {
    /// The deployment called `name`, which `order` made.
    pub async fn load(
        state: &AppState,
        order: &OrderView,
        name: &str,
    ) -> Result<Deployment, Problem> {
        let all = state.desk.deployments().await?;
        let found = all.into_iter().find(|deployment| deployment.name == name);
        let base = order.url.split("/orders/").next().unwrap_or("");
        let needs_key = state.asks_for_a_key();
        Ok(Deployment {
            name: name.to_owned(),
            curl: curl(base, name, found.as_ref(), needs_key),
            href: format!("/try?model={}", encoded(name)),
            evidence: format!("/deployments/{}", encoded(name)),
            answers: found.is_some(),
        })
    }
}

/// A command that asks the first held-out question, with the system message the model was tuned
/// with.
fn curl(base: &str, name: &str, found: Option<&DeploymentView>, needs_key: bool) -> String {
    let system = found.and_then(|found| found.system.as_deref());
    let question = found
        .and_then(|found| found.examples.first())
        .map_or("…", String::as_str);
    let mut messages = Vec::new();
    messages.extend(system.map(|text| json!({ "role": "system", "content": text })));
    messages.push(json!({ "role": "user", "content": question }));
    let body = json!({ "model": name, "temperature": 0, "messages": messages }).to_string();
    // Between single quotes the shell reads nothing but the next single quote, which JSON may
    // write as an escape.
    let body = body.replace('\'', "\\u0027");
    let key = if needs_key {
        " -H \"Authorization: Bearer $LATHE_KEY\" \\\n "
    } else {
        ""
    };
    format!(
        "curl -s {base}/v1/chat/completions \\\n {key} -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_survives_the_shell() {
        let text = curl("http://127.0.0.1:7878", "it's", None, false);
        let body = text
            .split("-d '")
            .nth(1)
            .and_then(|rest| rest.strip_suffix('\''))
            .expect("a body");
        assert!(!body.contains('\''), "{body}");
        let body: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["model"], "it's");
    }

    #[test]
    fn beyond_loopback_the_command_carries_a_key() {
        let text = curl("http://tuning.example", "a", None, true);
        assert!(
            text.contains("\n  -H \"Authorization: Bearer $LATHE_KEY\" \\\n  -H"),
            "{text}"
        );
    }
}
