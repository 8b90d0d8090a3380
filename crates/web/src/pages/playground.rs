//! `/try`: ask a deployed model, or an upstream, which is marked as what it is.
//!
//! The script streams the answer from `/v1/chat/completions`; without it the form posts here and
//! the page asks the same router, so that both ways pass the same door. What was read from an
//! answer is drawn by one template in both cases. Two can be asked the same at once, each with a
//! receipt of its own. A model whose breaker is not closed is marked as that, with the reason. Not here: history.

use askama::Template;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use lathe_evidence::statement::BreakerState;
use lathe_workshop::people::{Right, reach};
use lathe_workshop::upstream::UpstreamState;
use lathe_workshop::{DeploymentView, UpstreamView, WorkshopError};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use super::answer::AnswerView;
use super::breaker::{self, BreakerBadge};
use super::note;
use super::parameters::Parameters;
use super::refused;
use super::{Frame, Problem, html};
use crate::AppState;
use crate::lang::{Say, Tongue};

/// Size of an answer's JSON that the page reads.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// The header of a caller who knows that a restricted model answers; the script sends it too.
const ACCEPTS_HEADER: &str = "x-lathe-accept-restricted";
/// Characters of an example shown on its button.
const SAMPLE_CHARS_MAX: usize = 72;

#[derive(Template)]
#[template(path = "try.html")]
struct TryPage {
    frame: Frame,
    own: Vec<Choice>,
    upstreams: Vec<Choice>,
    model: Option<Model>,
    /// Who can be asked beside it.
    others: Vec<Other>,
    asked: Asked,
    parameters: Parameters,
    /// Some model that can be asked is restricted, and answers only who says that they know.
    restricts: bool,
    /// What refusals are called, by their codes, for the script.
    refusals: String,
    panels: [Panel; 2],
}

/// Where an answer appears.
struct Panel {
    id: &'static str,
    /// Who answers; empty where nobody is asked.
    model: String,
    answer: AnswerView,
}

/// Somebody who can be asked beside the first.
struct Other {
    name: String,
    /// How its breaker stands, where it is not closed; else empty.
    note: String,
    selected: bool,
    /// The system message that it was tuned with.
    system: String,
}

/// What was read from an answer, alone.
#[derive(Template)]
#[template(path = "answer.html")]
struct AnswerPart {
    answer: AnswerView,
}

struct Choice {
    name: String,
    /// How its breaker stands, where it is not closed; else empty.
    note: String,
    selected: bool,
}

struct Model {
    demonstration: bool,
    /// Where its breaker is not closed.
    breaker: Option<Tripped>,
    upstream: Option<Elsewhere>,
    examples: Vec<Example>,
}

/// A breaker that is not closed.
struct Tripped {
    badge: BreakerBadge,
    reason: String,
    /// Whom the model answers now.
    meaning: String,
    /// What was taken back, where that is the reason: its words and its page.
    taken: Vec<(String, String)>,
    /// The page of the deployment, where it is tuned again; none for whoever may not look at it.
    evidence: Option<String>,
}

/// What is said of an upstream.
struct Elsewhere {
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
    /// What the first of them was tuned with.
    system_own: String,
    /// Whether who asks says that they know what is restricted.
    accepts: bool,
}

/// `?model=NAME&other=NAME&sample=N`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Choosing {
    model: Option<String>,
    other: Option<String>,
    sample: Option<usize>,
}

/// The form of the page.
#[derive(Debug, Deserialize)]
pub(super) struct AskForm {
    model: String,
    /// Asked beside it; empty where nobody is.
    #[serde(default)]
    other: String,
    user: String,
    #[serde(default)]
    system: String,
    /// Ticked by whoever knows that a model is restricted.
    #[serde(default)]
    accepts: Option<String>,
    #[serde(flatten)]
    parameters: Parameters,
}

impl AskForm {
    /// The question for a model; with its `own` system message, or the one that was written.
    fn question<'a>(
        &'a self,
        model: Chosen<'a>,
        own: bool,
        parameters: &Map<String, Value>,
    ) -> Question<'a> {
        Question {
            model: model.name(),
            user: &self.user,
            system: if own { model.system() } else { &self.system },
            parameters: parameters.clone(),
            accepts: self.accepts.is_some(),
        }
    }
}

/// What a model is asked.
pub(super) struct Question<'a> {
    pub model: &'a str,
    pub user: &'a str,
    /// Empty for none.
    pub system: &'a str,
    /// Further members of the request.
    pub parameters: Map<String, Value>,
    /// Whoever asks knows that the model may be restricted.
    pub accepts: bool,
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
    let other = choosing.other.and_then(|name| offered.find(&name));
    let sample = choosing
        .sample
        .and_then(|index| chosen?.examples().get(index).cloned());
    let own = chosen.map_or("", Chosen::system).to_owned();
    let asked = Asked {
        user: sample.unwrap_or_default(),
        system: own.clone(),
        system_own: own,
        accepts: false,
    };
    let answers = [AnswerView::default(), AnswerView::default()];
    let asked = (asked, Parameters::default());
    let taken = taken(&state, tongue.say, chosen).await;
    let page = view(tongue, &offered, (chosen, other), asked, answers, taken);
    page.frame.answer(StatusCode::OK, &page)
}

/// `POST /try`: asks and shows the page with the answers.
pub(super) async fn ask(
    State(state): State<AppState>,
    tongue: Tongue,
    Form(mut form): Form<AskForm>,
) -> Response {
    // Browsers send the lines of a field apart by two characters.
    form.system = form.system.replace("\r\n", "\n");
    let offered = match Offered::read(&state).await {
        Ok(offered) => offered,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let other = offered.find(&form.other);
    let (Some(chosen), true) = (
        offered.find(&form.model),
        form.other.is_empty() || other.is_some(),
    ) else {
        return Problem::Missing.page(tongue);
    };
    let (status, answers) = answers(&state, tongue.say, &form, (chosen, other)).await;
    let asked = Asked {
        user: form.user,
        system: form.system,
        system_own: chosen.system().to_owned(),
        accepts: form.accepts.is_some(),
    };
    let asked = (asked, form.parameters);
    let models = (Some(chosen), other);
    let taken = taken(&state, tongue.say, models.0).await;
    let page = view(tongue, &offered, models, asked, answers, taken);
    page.frame.answer(status, &page)
}

/// What one or two models answer to the form's question; the better of their statuses.
async fn answers(
    state: &AppState,
    say: Say,
    form: &AskForm,
    (chosen, other): (Chosen<'_>, Option<Chosen<'_>>),
) -> (StatusCode, [AnswerView; 2]) {
    let parameters = match form.parameters.read(say) {
        Ok(parameters) => parameters,
        Err(text) => {
            let answers = [AnswerView::refused(text), AnswerView::default()];
            return (StatusCode::BAD_REQUEST, answers);
        }
    };
    // Each gets the system message it was tuned with, unless one was written.
    let own = form.system == chosen.system();
    let first = answer(state, say, form.question(chosen, own, &parameters), chosen);
    let Some(other) = other else {
        let (status, answer) = first.await;
        return (status, [answer, AnswerView::default()]);
    };
    let second = answer(state, say, form.question(other, own, &parameters), other);
    let (first, second) = tokio::join!(first, second);
    let better = match second.0.is_success() {
        true => second.0,
        false => first.0,
    };
    (better, [first.1, second.1])
}

/// What one model answers, or why it does not, and the status of that.
async fn answer(
    state: &AppState,
    say: Say,
    question: Question<'_>,
    model: Chosen<'_>,
) -> (StatusCode, AnswerView) {
    match complete(state, say, question).await {
        Ok(told) => {
            let mut answer = AnswerView::read(say, told.text, model.schema());
            answer.usage = told.usage;
            answer.receipt = told.receipt;
            (StatusCode::OK, answer)
        }
        Err((status, text)) => (status, AnswerView::refused(text)),
    }
}

/// `POST /try/answer`: the drawing of an answer the script has received.
pub(super) async fn show_answer(
    State(state): State<AppState>,
    tongue: Tongue,
    Form(form): Form<AnswerForm>,
) -> Response {
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

    /// How its breaker stands; of an upstream the door says so when it is asked.
    fn breaker(self) -> BreakerState {
        self.own().map(|it| it.breaker).unwrap_or_default()
    }

    /// How its breaker stands in a word, where it is not closed; else nothing.
    fn note(self, say: Say) -> String {
        match self.breaker() {
            BreakerState::Closed => String::new(),
            state => BreakerBadge::new(say, state).text,
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

/// What was taken back of what a model learnt from, where it does not answer everyone because of that.
async fn taken(state: &AppState, say: Say, chosen: Option<Chosen<'_>>) -> Vec<(String, String)> {
    let tripped = |it: &&DeploymentView| it.breaker != BreakerState::Closed && looks(&it.name);
    let Some(model) = chosen.and_then(Chosen::own).filter(tripped) else {
        return Vec::new();
    };
    // Without the links the reason still stands there, and an answer beside it.
    let links = breaker::taken_links(state, say, &model.name).await;
    links.unwrap_or_default()
}

/// Whether whoever reads may look at the deployment of this name.
fn looks(name: &str) -> bool {
    reach::may_name(Right::Look, name)
}

fn view(
    tongue: Tongue,
    offered: &Offered,
    (chosen, other): (Option<Chosen<'_>>, Option<Chosen<'_>>),
    (asked, parameters): (Asked, Parameters),
    [first, second]: [AnswerView; 2],
    taken: Vec<(String, String)>,
) -> TryPage {
    let is = |it: Option<Chosen<'_>>, name: &str| it.is_some_and(|it| it.name() == name);
    let choice = |it: Chosen<'_>| Choice {
        name: it.name().to_owned(),
        note: it.note(tongue.say),
        selected: is(chosen, it.name()),
    };
    let beside = |it: Chosen<'_>| Other {
        name: it.name().to_owned(),
        note: it.note(tongue.say),
        selected: is(other, it.name()),
        system: it.system().to_owned(),
    };
    let panel = |id, model: Option<Chosen<'_>>, answer| Panel {
        id,
        model: model.map_or("", Chosen::name).to_owned(),
        answer,
    };
    let own = offered.own.iter().map(Chosen::Own);
    let upstreams = offered.upstreams.iter().map(Chosen::Upstream);
    TryPage {
        own: own.map(choice).collect(),
        upstreams: upstreams.map(choice).collect(),
        model: chosen.map(|chosen| model(tongue.say, chosen, taken)),
        others: offered.all().map(beside).collect(),
        refusals: refused::by_code(tongue.say),
        frame: Frame::new(tongue, "try"),
        restricts: offered
            .all()
            .any(|it| it.breaker() == BreakerState::Restricted),
        asked,
        parameters,
        panels: [
            panel("answer", chosen, first),
            panel("answer-2", other, second),
        ],
    }
}

fn model(say: Say, chosen: Chosen<'_>, taken: Vec<(String, String)>) -> Model {
    let name = encoded(chosen.name());
    let example = |(index, prompt): (usize, &String)| Example {
        prompt: prompt.clone(),
        short: shortened(prompt),
        href: format!("/try?model={name}&sample={index}"),
    };
    let upstream = match chosen {
        Chosen::Own(_) => None,
        Chosen::Upstream(it) => Some(Elsewhere {
            remote: it.remote,
            down: (it.state == UpstreamState::Down)
                .then(|| say.of("web.try.upstream.down", &it.reason)),
        }),
    };
    Model {
        demonstration: chosen.own().is_some_and(|it| it.demonstration),
        breaker: chosen.own().and_then(|it| tripped(say, it, taken)),
        upstream,
        examples: chosen.examples().iter().enumerate().map(example).collect(),
    }
}

fn tripped(say: Say, model: &DeploymentView, taken: Vec<(String, String)>) -> Option<Tripped> {
    let meaning = match model.breaker {
        BreakerState::Closed => return None,
        BreakerState::Restricted => say.it("web.breaker.restricted.text"),
        BreakerState::Open => say.of("web.breaker.open.text", &model.name),
        BreakerState::ForcedOpen => say.it("web.breaker.forced-open.text"),
    };
    Some(Tripped {
        badge: BreakerBadge::new(say, model.breaker),
        reason: note::of_deployment(say, model),
        meaning,
        taken,
        evidence: looks(&model.name).then(|| format!("/deployments/{}", encoded(&model.name))),
    })
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
    question: Question<'_>,
) -> Result<Told, (StatusCode, String)> {
    let mut messages = Vec::new();
    if !question.system.trim().is_empty() {
        messages.push(json!({ "role": "system", "content": question.system }));
    }
    messages.push(json!({ "role": "user", "content": question.user }));
    let mut body = question.parameters;
    body.insert("model".to_owned(), question.model.into());
    body.insert("messages".to_owned(), messages.into());
    let body = Value::Object(body).to_string();
    let mut request =
        Request::post("/v1/chat/completions").header(CONTENT_TYPE, "application/json");
    if question.accepts {
        request = request.header(ACCEPTS_HEADER, "1");
    }
    let request = request
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
        let error = |name: &str| answer["error"][name].as_str();
        let told = |said: &str| refused::told(say, error("code"), said);
        let reason = error("message").map(told);
        // The script tells them apart in the same way.
        let is_no = status.is_client_error() || status == StatusCode::SERVICE_UNAVAILABLE;
        let text = match reason {
            Some(reason) if is_no => say.of("web.try.refused", reason),
            Some(reason) => say.of("web.try.failed", reason),
            None => say.of("web.try.failed", status),
        };
        return Err((status, text));
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
