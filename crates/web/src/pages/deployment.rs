//! A deployment on its order's page: its name, whether the order's model answers under it now, and then a line
//! to paste into a terminal.

use lathe_workshop::{Answering, AnsweringNow, DeploymentView, OrderView};
use serde_json::json;

use super::Problem;
use super::answering::Stands;
use super::note;
use super::playground::encoded;
use crate::AppState;
use crate::lang::Say;

/// The header of a caller who knows that a restricted model answers.
const ACCEPTS: &str = " -H 'x-lathe-accept-restricted: 1' \\\n ";

/// The deployment section of the order page.
pub(super) struct Deployment {
    pub name: String,
    pub stands: Stands,
    /// Why it does not answer everyone; empty where it does, or nothing is known.
    pub reason: String,
    /// The line for a terminal; empty where it would be refused.
    pub curl: String,
    /// Where on these pages the model can be tried; none where it answers nobody.
    pub href: Option<String>,
    /// The page of its breaker and answers.
    pub evidence: String,
}

impl Deployment {
    /// What `order` deployed, which stands so to its name.
    pub async fn load(
        state: &AppState,
        say: Say,
        order: &OrderView,
        it: &Answering,
    ) -> Result<Deployment, Problem> {
        let name = &it.name;
        let all = state.desk.deployments().await?;
        // What answers under the name now may be another order's.
        let all = all.into_iter().filter(|_| it.now != AnsweringNow::Replaced);
        let found = all.into_iter().find(|deployment| deployment.name == *name);
        let base = order.url.split("/orders/").next().unwrap_or("");
        let header = match it.now {
            AnsweringNow::Restricted => ACCEPTS,
            _ => "",
        };
        let needs_key = state.asks_for_a_key();
        let tried = it
            .now
            .answers_somebody()
            .then(|| format!("/try?model={}", encoded(name)));
        Ok(Deployment {
            name: name.clone(),
            stands: Stands::new(say, &order.id, it),
            curl: match tried.is_some() {
                true => curl(base, name, found.as_ref(), needs_key, header),
                false => String::new(),
            },
            reason: found.map_or_else(String::new, |it| note::of_deployment(say, &it)),
            href: tried,
            evidence: format!("/deployments/{}", encoded(name)),
        })
    }
}

/// A command that asks the first held-out question, with the system message the model was tuned
/// with.
fn curl(
    base: &str,
    name: &str,
    found: Option<&DeploymentView>,
    needs_key: bool,
    header: &str,
) -> String {
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
        "curl -s {base}/v1/chat/completions \\\n {key}{header} -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_survives_the_shell() {
        let text = curl("http://127.0.0.1:7878", "it's", None, false, "");
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
        for header in ["", ACCEPTS] {
            let text = curl("http://tuning.example", "a", None, true, header);
            assert!(
                text.contains("\n  -H \"Authorization: Bearer $LATHE_KEY\" \\\n  -H"),
                "{text}"
            );
            let accepts = text.contains("\n  -H 'x-lathe-accept-restricted: 1' \\\n  -H");
            assert_eq!(accepts, !header.is_empty(), "{text}");
        }
    }
}
