//! `/models/{digest}`: one model, from the base and the data it comes from to where it answers, with its
//! files and the commands that take it elsewhere.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::Digest;
use lathe_evidence::statement::Withdrawn;
use lathe_workshop::models::{ModelDeployment, ModelName, ModelStage, ModelUse};
use lathe_workshop::trace::WithdrawnView;
use lathe_workshop::{AnsweringNow, ModelDetail, OrderId};
use serde_json::Value;

use super::chain::{self, EntryLink, word};
use super::in_path::InPath;
use super::playground::encoded;
use super::{Frame, Problem, answering, breaker, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

/// Characters of a setting that are shown.
const SETTING_CHARS_MAX: usize = 200;
/// Withdrawals that are shown; the datasets list the others.
const TAKEN_SHOWN_MAX: usize = 5;

#[derive(Template)]
#[template(path = "model.html")]
struct ModelPage {
    frame: Frame,
    name: String,
    kind: String,
    digest: String,
    demonstration: bool,
    source: String,
    licence: String,
    owner: String,
    bytes: String,
    created: String,
    created_text: String,
    standing: Standing,
    /// What of the data it learnt from was withdrawn since.
    taken: Vec<TakenBack>,
    /// How many withdrawals are not listed; empty where all are.
    taken_more: String,
    order: Option<(String, String)>,
    base: Option<(String, String)>,
    registration: Option<(String, String)>,
    /// The newest step of the registration, in words.
    registered: String,
    stages: Vec<Stage>,
    deployments: Vec<Deployed>,
    tuned: Vec<(String, String)>,
    exports: Vec<Export>,
    settings: Vec<(String, String)>,
    files: Vec<File>,
    files_more: String,
}

/// How it answers, as a badge.
pub(super) struct Standing {
    pub class: &'static str,
    pub text: String,
}

/// Something that was taken back of what it learnt from.
struct TakenBack {
    dataset: (String, String),
    /// The record, where it was one.
    record: Option<(String, String)>,
    reason: String,
    entry: EntryLink,
}

struct Stage {
    /// `done`, or `failed` where data of it was withdrawn.
    class: &'static str,
    name: String,
    figure: String,
    machine: String,
    datasets: Vec<StageData>,
    order: (String, String),
    /// The adapter that an earlier stage left, which is another model.
    model: Option<(String, String)>,
    at: String,
    at_text: String,
    entry: EntryLink,
}

/// A dataset that a stage learnt from.
struct StageData {
    href: String,
    name: String,
    withdrawn: bool,
}

struct Deployed {
    name: String,
    href: String,
    /// Where it can be tried; none where it answers nobody.
    try_href: Option<String>,
    standing: Standing,
    registration: Option<(String, String)>,
    at: String,
    at_text: String,
    entry: EntryLink,
}

struct Export {
    what: String,
    command: String,
}

struct File {
    path: String,
    bytes: String,
    sha256: String,
}

/// `GET /models/{digest}`.
pub(super) async fn page(
    State(state): State<AppState>,
    InPath(digest): InPath,
    tongue: Tongue,
) -> Response {
    match state.desk.model(&digest).await {
        Ok(Some(detail)) => show(tongue, detail),
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

fn show(tongue: Tongue, detail: ModelDetail) -> Response {
    let say = tongue.say;
    let ModelDetail { model, used, .. } = detail;
    let more = detail.files_count.saturating_sub(detail.files.len() as u64);
    let files = detail.files.into_iter().map(|it| File {
        path: it.path,
        bytes: format::file_size(it.bytes),
        sha256: it.sha256.to_string(),
    });
    let exports = detail.exports.into_iter().map(|it| Export {
        what: say.it_of("web.model.export", word(it.what)),
        command: it.command,
    });
    let taken_of: Vec<Digest> = detail.withdrawn.iter().map(|it| it.dataset).collect();
    let own = |it: &ModelStage| stage(say, it, &model.digest, &taken_of);
    let taken = detail.withdrawn.iter().take(TAKEN_SHOWN_MAX);
    let taken = taken.map(|it| taken_back(say, it, &detail.stages));
    let page = ModelPage {
        frame: Frame::new(tongue, "models"),
        kind: say.it_of("web.models.kind", &model.kind),
        standing: Standing::new(say, &used),
        taken: taken.collect(),
        taken_more: match detail.withdrawn.len().saturating_sub(TAKEN_SHOWN_MAX) {
            0 => String::new(),
            more => say.of("web.model.withdrawn.more", more),
        },
        order: used.order.as_ref().map(order),
        base: used.base.as_ref().map(named),
        registration: used.registration.as_deref().map(registration),
        registered: used
            .registered
            .map_or_else(String::new, |it| say.it_of("web.action", word(it))),
        stages: detail.stages.iter().map(own).collect(),
        deployments: detail
            .deployments
            .iter()
            .map(|it| deployed(say, it))
            .collect(),
        tuned: detail.tuned.iter().map(named).collect(),
        exports: exports.collect(),
        settings: detail.settings.iter().map(setting).collect(),
        files: files.collect(),
        files_more: match more {
            0 => String::new(),
            more => say.of("web.model.files.more", format::count(more)),
        },
        demonstration: model.demonstration,
        source: model.source,
        licence: model.licence,
        owner: model.owner,
        bytes: format::file_size(model.bytes),
        created: format::moment(model.created_ms),
        created_text: format::moment_text(model.created_ms),
        name: model.name,
        digest: model.digest,
    };
    page.frame.answer(StatusCode::OK, &page)
}

impl Standing {
    /// How a model stands that this became of.
    pub(super) fn new(say: Say, used: &ModelUse) -> Standing {
        match used.now {
            Some(now) => Standing::of(say, now),
            None => Standing {
                class: "",
                text: say.it("web.models.silent"),
            },
        }
    }

    /// The badge that orders have.
    fn of(say: Say, now: AnsweringNow) -> Standing {
        Standing {
            class: answering::class(now),
            text: answering::badge(say, now),
        }
    }
}

/// Address and name of a model; of one without a name the beginning of its digest.
pub(super) fn named(it: &ModelName) -> (String, String) {
    (format!("/models/{}", it.digest), called(it))
}

fn called(it: &ModelName) -> String {
    match it.name.as_str() {
        "" => it.digest.short(),
        name => name.to_owned(),
    }
}

/// Address and short id of an order.
pub(super) fn order(id: &OrderId) -> (String, String) {
    let href = format!("/orders/{}", encoded(&id.0));
    (href, short(&id.0).to_owned())
}

/// Address and number of a registration.
pub(super) fn registration(number: &str) -> (String, String) {
    (format!("/register/{}", encoded(number)), number.to_owned())
}

/// The stages in words, from the first to the last.
pub(super) fn stages(say: Say, stages: &[String]) -> String {
    let named = stages.iter().map(|it| say.name_of("web.stage", it));
    named.collect::<Vec<_>>().join(" → ")
}

/// A withdrawal; the stages tell what its dataset is called.
fn taken_back(say: Say, it: &WithdrawnView, stages: &[ModelStage]) -> TakenBack {
    let mut datasets = stages.iter().flat_map(|it| &it.datasets);
    let dataset = datasets.find(|of| of.digest == it.dataset);
    let what = &it.withdrawal.said.what;
    let is_record = matches!(what, Withdrawn::Leaf(_));
    TakenBack {
        dataset: (
            format!("/data/{}", it.dataset),
            dataset.map_or_else(|| it.dataset.short(), called),
        ),
        record: breaker::taken_link(say, what)
            .filter(|_| is_record)
            .map(|(text, href)| (href, text)),
        reason: it.withdrawal.said.reason.clone(),
        entry: chain::entry(say, &it.withdrawal),
    }
}

fn stage(say: Say, it: &ModelStage, of: &str, taken: &[Digest]) -> Stage {
    let data = |it: &ModelName| StageData {
        href: format!("/data/{}", it.digest),
        name: called(it),
        withdrawn: taken.contains(&it.digest),
    };
    let datasets: Vec<StageData> = it.datasets.iter().map(data).collect();
    let arguments = [
        ("steps", format::count(it.steps)),
        ("seed", it.seed.to_string()),
    ];
    let arguments = arguments.each_ref().map(|(name, it)| (*name, it.as_str()));
    let digest = it.model.to_string();
    let earlier = || (format!("/models/{digest}"), short(&digest).to_owned());
    Stage {
        class: match datasets.iter().any(|it| it.withdrawn) {
            true => "failed",
            false => "done",
        },
        name: say.name_of("web.stage", &it.stage),
        figure: say.with("web.model.stage", &arguments),
        machine: format!("{} · {}", it.engine, it.machine),
        datasets,
        order: order(&it.order),
        model: (digest != of).then(earlier),
        at: format::moment(it.at_ms),
        at_text: format::moment_text(it.at_ms),
        entry: entry(say, it.index),
    }
}

fn deployed(say: Say, it: &ModelDeployment) -> Deployed {
    Deployed {
        href: format!("/deployments/{}", encoded(&it.name)),
        try_href: it
            .answers
            .then(|| format!("/try?model={}", encoded(&it.name))),
        standing: Standing::of(say, it.now),
        registration: it.registration.as_deref().map(registration),
        at: format::moment(it.at_ms),
        at_text: format::moment_text(it.at_ms),
        entry: entry(say, it.index),
        name: it.name.clone(),
    }
}

fn entry(say: Say, index: u64) -> EntryLink {
    EntryLink {
        href: format!("/ledger/{index}"),
        text: say.of("web.receipt.entry", index),
    }
}

/// A setting as text: a list by its members, anything longer cut.
fn setting((name, value): (&String, &Value)) -> (String, String) {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let told = match value {
        Value::Array(members) => members.iter().map(text).collect::<Vec<_>>().join(", "),
        other => text(other),
    };
    let told = match told.char_indices().nth(SETTING_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &told[..end]),
        None => told,
    };
    (name.clone(), told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_told_shortly() {
        let told = |value: Value| setting((&"key".to_owned(), &value)).1;
        assert_eq!(told(json!(["q_proj", "v_proj"])), "q_proj, v_proj");
        assert_eq!(told(json!(16)), "16");
        assert_eq!(told(json!({"a": 1})), "{\"a\":1}");
        let long = told(json!("长".repeat(1000)));
        assert_eq!(long.chars().count(), SETTING_CHARS_MAX + 1);
    }
}
