//! `/try`: ask a deployed model, or an upstream, which is marked as what it is.
//!
//! The script streams the answer from `/v1/chat/completions`; without it the form posts here and
//! the page asks the same router, so that both ways pass the same door. What was read from an
//! answer is drawn by one template in both cases. Not here: history and comparison.

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use lathe_workshop::upstream::UpstreamState;
use lathe_workshop::{DeploymentView, UpstreamView, WorkshopError};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::answer::AnswerView;
use super::{Frame, Problem, html};
use crate::AppState;
use crate::lang::{Say, Tongue};

/// Size of an answer's JSON that the page reads.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Characters of an example shown on its button.
const SAMPLE_CHARS_MAX: usize = 72;

#[derive(Template)]
#[template(path = "try.html")]
struct TryPage {
    frame: Frame,
    own: Vec<Choice>,
    upstreams: Vec<Choice>,
    model: Option<Model>,
    asked: Asked,
    answer: AnswerView,
}

/// What was read from an answer, alone.
#[derive(Template)]
#[template(path = "answer.html")]
struct AnswerPart {
    answer: AnswerView,
}

struct Choice {
    name: String,
    selected: bool,
}

struct Model {
    demonstration: bool,
    upstream: Option<Other>,
    examples: Vec<Example>,
}

/// What is said of an upstream.
struct Other {
    remote: bool,
    /// That it does not answer, and why.
    down: Option<String>,
}

struct Example {
    prompt: String,
    short: String,
    href: String,
}

struct Asked {
    user: String,
    system: String,
    system_changed: bool,
}

/// `?model=NAME&sample=N`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Choosing {
    model: Option<String>,
    sample: Option<usize>,
}

/// The form of the page.
#[derive(Debug, Deserialize)]
pub(super) struct AskForm {
    pub model: String,
    pub user: String,
    #[serde(default)]
    pub system: String,
}

/// An answer that the script received, to be drawn.
#[derive(Debug, Deserialize)]
pub(super) struct AnswerForm {
    model: String,
    text: String,
}

/// `GET /try`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    choosing: Result<Query<Choosing>, QueryRejection>,
) -> Response {
    let choosing = choosing.map(|Query(choosing)| choosing).unwrap_or_default();
    let offered = match Offered::read(&state).await {
        Ok(offered) => offered,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let named = choosing.model.and_then(|name| offered.find(&name));
    let chosen = named.or(offered.first());
    let sample = choosing
        .sample
        .and_then(|index| chosen?.examples().get(index).cloned());
    let asked = Asked {
        user: sample.unwrap_or_default(),
        system: chosen.map_or("", Chosen::system).to_owned(),
        system_changed: false,
    };
    let answer = AnswerView::default();
    show(tongue, StatusCode::OK, &offered, chosen, asked, answer)
}

/// `POST /try`: asks and shows the page with the answer.
pub(super) async fn ask(
    State(state): State<AppState>,
    tongue: Tongue,
    form: Result<Form<AskForm>, FormRejection>,
) -> Response {
    let Form(form) = match form {
        Ok(form) => form,
        Err(rejection) => return rejection.into_response(),
    };
    let offered = match Offered::read(&state).await {
        Ok(offered) => offered,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let Some(chosen) = offered.find(&form.model) else {
        return Problem::Missing.page(tongue);
    };
    let (status, answer) = match complete(&state, tongue.say, &form).await {
        Ok(told) => {
            let mut answer = AnswerView::read(tongue.say, told.text, chosen.schema());
            answer.usage = told.usage;
            answer.receipt = told.receipt;
            (StatusCode::OK, answer)
        }
        Err((status, text)) => (
            status,
            AnswerView {
                error: Some(text),
                ..AnswerView::default()
            },
        ),
    };
    let system_changed = chosen.system() != form.system;
    let asked = Asked {
        user: form.user,
        system: form.system,
        system_changed,
    };
    show(tongue, status, &offered, Some(chosen), asked, answer)
}

/// `POST /try/answer`: the drawing of an answer the script has received.
pub(super) async fn show_answer(
    State(state): State<AppState>,
    tongue: Tongue,
    form: Result<Form<AnswerForm>, FormRejection>,
) -> Response {
    let Form(form) = match form {
        Ok(form) => form,
        Err(rejection) => return rejection.into_response(),
    };
    let offered = match Offered::read(&state).await {
        Ok(offered) => offered,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let schema = offered.find(&form.model).and_then(Chosen::schema);
    let answer = AnswerView::read(tongue.say, form.text, schema);
    html(StatusCode::OK, &AnswerPart { answer })
}

/// What can be asked.
struct Offered {
    own: Vec<DeploymentView>,
    upstreams: Vec<UpstreamView>,
}

/// One of it.
#[derive(Clone, Copy)]
enum Chosen<'a> {
    Own(&'a DeploymentView),
    Upstream(&'a UpstreamView),
}

impl Offered {
    async fn read(state: &AppState) -> Result<Offered, WorkshopError> {
        let mut upstreams = state.desk.upstreams().await?;
        // What cannot be attested is asked by nobody.
        upstreams.retain(|it| it.state != UpstreamState::Refused);
        Ok(Offered {
            own: state.desk.deployments().await?,
            upstreams,
        })
    }

    fn all(&self) -> impl Iterator<Item = Chosen<'_>> {
        let upstreams = self.upstreams.iter().map(Chosen::Upstream);
        self.own.iter().map(Chosen::Own).chain(upstreams)
    }

    fn find(&self, name: &str) -> Option<Chosen<'_>> {
        self.all().find(|it| it.name() == name)
    }

    fn first(&self) -> Option<Chosen<'_>> {
        self.all().next()
    }
}

impl<'a> Chosen<'a> {
    fn name(self) -> &'a str {
        match self {
            Chosen::Own(model) => &model.name,
            Chosen::Upstream(upstream) => &upstream.name,
        }
    }

    fn own(self) -> Option<&'a DeploymentView> {
        match self {
            Chosen::Own(model) => Some(model),
            Chosen::Upstream(_) => None,
        }
    }

    /// The system message that it was tuned with.
    fn system(self) -> &'a str {
        let system = self.own().and_then(|it| it.system.as_deref());
        system.unwrap_or_default()
    }

    /// The schema of its answers.
    fn schema(self) -> Option<&'a Value> {
        self.own().and_then(|it| it.schema.as_ref())
    }

    fn examples(self) -> &'a [String] {
        self.own().map_or(&[][..], |it| &it.examples[..])
    }
}

fn show(
    tongue: Tongue,
    status: StatusCode,
    offered: &Offered,
    chosen: Option<Chosen<'_>>,
    asked: Asked,
    answer: AnswerView,
) -> Response {
    let choice = |name: &String| Choice {
        name: name.clone(),
        selected: chosen.is_some_and(|chosen| chosen.name() == name),
    };
    let upstreams = offered.upstreams.iter();
    let page = TryPage {
        own: offered.own.iter().map(|it| choice(&it.name)).collect(),
        upstreams: upstreams.map(|it| choice(&it.name)).collect(),
        model: chosen.map(|chosen| model(tongue.say, chosen)),
        frame: Frame::new(tongue, "try"),
        asked,
        answer,
    };
    page.frame.answer(status, &page)
}

fn model(say: Say, chosen: Chosen<'_>) -> Model {
    let name = encoded(chosen.name());
    let example = |(index, prompt): (usize, &String)| Example {
        prompt: prompt.clone(),
        short: shortened(prompt),
        href: format!("/try?model={name}&sample={index}"),
    };
    let upstream = match chosen {
        Chosen::Own(_) => None,
        Chosen::Upstream(it) => Some(Other {
            remote: it.remote,
            down: (it.state == UpstreamState::Down)
                .then(|| say.of("web.try.upstream.down", &it.reason)),
        }),
    };
    Model {
        demonstration: chosen.own().is_some_and(|it| it.demonstration),
        upstream,
        examples: chosen.examples().iter().enumerate().map(example).collect(),
    }
}

/// What the model server answered.
pub(super) struct Told {
    pub text: String,
    /// What it cost, in words.
    pub usage: String,
    /// The receipt's id.
    pub receipt: String,
}

/// Asks the model server over its own router; on an error the status and reason of its refusal.
pub(super) async fn complete(
    state: &AppState,
    say: Say,
    form: &AskForm,
) -> Result<Told, (StatusCode, String)> {
    let mut messages = Vec::new();
    if !form.system.trim().is_empty() {
        messages.push(json!({ "role": "system", "content": form.system }));
    }
    messages.push(json!({ "role": "user", "content": form.user }));
    let body = json!({ "model": form.model, "messages": messages, "temperature": 0 }).to_string();
    let request = Request::post("/v1/chat/completions")
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .expect("the request is made of constants and a JSON body");
    let Ok(response) = state.door.clone().oneshot(request).await;
    let status = response.status();
    let failed = |text: String| (StatusCode::BAD_GATEWAY, text);
    let bytes = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX)
        .await
        .map_err(|error| failed(say.of("web.try.failed", error)))?;
    let answer: Value =
        serde_json::from_slice(&bytes).map_err(|_| failed(say.of("web.try.failed", status)))?;
    if !status.is_success() {
        let reason = answer.pointer("/error/message").and_then(Value::as_str);
        let reason = reason.map_or_else(|| status.to_string(), str::to_owned);
        return Err((status, say.of("web.try.failed", reason)));
    }
    let text = answer
        .pointer("/choices/0/message/content")
        .and_then(Value::as_str);
    let tokens = |name: &str| {
        let number = answer
            .pointer(&format!("/usage/{name}"))
            .and_then(Value::as_u64);
        number.unwrap_or(0).to_string()
    };
    let usage = say.with(
        "web.try.usage",
        &[
            ("prompt", &tokens("prompt_tokens")),
            ("completion", &tokens("completion_tokens")),
        ],
    );
    let receipt = answer.pointer("/lathe/receipt").and_then(Value::as_str);
    Ok(Told {
        text: text.unwrap_or_default().to_owned(),
        usage,
        receipt: receipt.unwrap_or_default().to_owned(),
    })
}

/// The beginning of a prompt for a button, on one line.
fn shortened(prompt: &str) -> String {
    let line = prompt.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(SAMPLE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// `text` as the value of a query parameter.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(encoded("customer-care"), "customer-care");
        assert_eq!(encoded("a b&c=客"), "a%20b%26c%3D%E5%AE%A2");
    }

    #[test]
    fn long_prompts_are_shortened_on_a_character() {
        let long = "好".repeat(100);
        assert_eq!(shortened(&long).chars().count(), SAMPLE_CHARS_MAX + 1);
        assert_eq!(shortened("a\n b"), "a b");
    }
}
