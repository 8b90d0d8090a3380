//! `/orders/{id}`: one order from its steps to its deployment, and the part of it that lives.
//!
//! While the order runs, the script listens to its events and takes the living part anew from
//! `/orders/{id}/live`: one renderer, whether the page is loaded or refreshed.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::{CurvePoint, LogLine, OrderId, OrderState, OrderView, StepState};

use super::gate::GateView;
use super::report::ReportView;
use super::steps::{self, StepRow};
use super::{Frame, Problem, html, order_took, short};
use crate::AppState;
use crate::chart::{self, Panel};
use crate::format;
use crate::lang::{Say, Tongue};

/// Lines of the log on the page: the last ones.
const LOG_LINES_MAX: u32 = 200;

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    frame: Frame,
    order: Head,
    highlights: Vec<Tile>,
    steps: Vec<StepRow>,
    curve: Option<Curve>,
    deployment: Option<Deployment>,
    report: Option<ReportView>,
    gate: Option<GateView>,
    log: Vec<LogRow>,
}

/// The living part alone, over the same fields.
#[derive(Template)]
#[template(path = "order_live.html")]
struct OrderLive<'a> {
    frame: &'a Frame,
    order: &'a Head,
    highlights: &'a [Tile],
    steps: &'a [StepRow],
    curve: &'a Option<Curve>,
    deployment: &'a Option<Deployment>,
    report: &'a Option<ReportView>,
    gate: &'a Option<GateView>,
    log: &'a [LogRow],
}

struct Head {
    id: String,
    short_id: String,
    title: String,
    pack: String,
    demonstration: bool,
    live: bool,
    state: &'static str,
    state_text: String,
    took: String,
    created: String,
    created_text: String,
}

/// One of the few figures that tell how the order stands.
pub(super) struct Tile {
    pub class: &'static str,
    pub name: String,
    pub value: String,
    pub note: String,
}

struct Curve {
    steps: u64,
    loss: Panel,
    rate: Panel,
    step_labels: Vec<String>,
    now: Vec<(String, String)>,
    loss_summary: String,
    rate_summary: String,
}

struct Deployment {
    name: String,
    curl: String,
    href: String,
}

struct LogRow {
    at: String,
    clock: String,
    step: String,
    text: String,
}

/// `GET /orders/{id}`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    Path(id): Path<String>,
) -> Response {
    match load(&state, &tongue, OrderId(id)).await {
        Ok(page) => page.frame.answer(StatusCode::OK, &page),
        Err(problem) => problem.page(tongue),
    }
}

/// `GET /orders/{id}/live`: the living part of the page.
pub(super) async fn live(
    State(state): State<AppState>,
    tongue: Tongue,
    Path(id): Path<String>,
) -> Response {
    let page = match load(&state, &tongue, OrderId(id)).await {
        Ok(page) => page,
        Err(problem) => return problem.page(tongue),
    };
    let live = OrderLive {
        frame: &page.frame,
        order: &page.order,
        highlights: &page.highlights,
        steps: &page.steps,
        curve: &page.curve,
        deployment: &page.deployment,
        report: &page.report,
        gate: &page.gate,
        log: &page.log,
    };
    html(StatusCode::OK, &live)
}

async fn load(state: &AppState, tongue: &Tongue, id: OrderId) -> Result<OrderPage, Problem> {
    let order = state.desk.order(&id).await?.ok_or(Problem::Missing)?;
    let points = state.desk.curve(&id, 0).await?;
    let report = state.desk.report(&id).await?;
    let verdict = state.desk.verdict(&id).await?;
    let log = last_lines(state, &id).await?;
    let say = tongue.say;
    let report_view = report.as_ref().map(|report| ReportView::new(say, report));
    let gate = verdict.as_ref().map(|verdict| GateView::new(say, verdict));
    let deployment = match &order.deployment {
        Some(name) => Some(deployment(state, &order, name).await?),
        None => None,
    };
    let mut highlights = report
        .as_ref()
        .map(|report| super::report::tiles(say, report))
        .unwrap_or_default();
    highlights.extend(gate.as_ref().map(|gate| gate.tile(say)));
    let is_tuning = order.steps.iter().any(|step| step.progress.is_some());
    Ok(OrderPage {
        frame: Frame::new(tongue.clone(), "orders"),
        order: head(say, &order),
        highlights,
        curve: curve(say, &points, is_tuning),
        steps: steps::rows(say, order.steps),
        deployment,
        report: report_view,
        gate,
        log: log.into_iter().map(|line| log_row(say, line)).collect(),
    })
}

fn head(say: Say, order: &OrderView) -> Head {
    let running = order
        .steps
        .iter()
        .find(|step| step.state == StepState::Running);
    let failed = order
        .steps
        .iter()
        .find(|step| step.state == StepState::Failed);
    let step = running.or(failed).map(|step| step.name);
    Head {
        id: order.id.to_string(),
        short_id: short(&order.id.0).to_owned(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        pack: order.pack.clone(),
        demonstration: order.demonstration,
        live: matches!(order.state, OrderState::Queued | OrderState::Running),
        state: steps::order_state(order.state),
        state_text: steps::order_state_text(say, order.state, step),
        took: order_took(say, order.state, order.created_ms, order.ended_ms),
        created: format::moment(order.created_ms),
        created_text: format::moment_text(order.created_ms),
    }
}

/// The curves; none before the first step.
fn curve(say: Say, points: &[CurvePoint], is_live: bool) -> Option<Curve> {
    let last = points.last()?;
    let steps = last.steps.max(last.step);
    let across = steps as f64;
    let losses: Vec<_> = points
        .iter()
        .map(|point| (point.step as f64, point.loss))
        .collect();
    let rates: Vec<_> = points
        .iter()
        .map(|point| (point.step as f64, point.learning_rate))
        .collect();
    let loss = chart::loss_panel(&losses, across, |value| format::decimals(value, 2))?;
    let mut rate = chart::panel(&rates, across, format::small)?;
    rate.labels = rate.labels.into_iter().step_by(2).collect();
    let loss_text = format::decimals(last.loss, 3);
    let mut now = vec![
        (
            say.it("web.curve.step"),
            format!("{} / {}", format::count(last.step), format::count(steps)),
        ),
        (say.it("web.curve.loss"), loss_text.clone()),
        (say.it("web.curve.rate"), format::small(last.learning_rate)),
        (
            say.it("web.curve.speed"),
            say.of("web.curve.tokens", format::decimals(last.tokens_per_s, 0)),
        ),
    ];
    if is_live && last.step < steps && last.eta_s.is_finite() {
        let left = format::duration(say, (last.eta_s.max(0.0) * 1000.0) as u64);
        now.push((say.it("web.curve.left"), left));
    }
    Some(Curve {
        steps,
        loss_summary: say.with(
            "web.curve.loss.summary",
            &[("step", &last.step.to_string()), ("loss", &loss_text)],
        ),
        rate_summary: say.of("web.curve.rate.summary", format::small(last.learning_rate)),
        step_labels: chart::step_labels(steps),
        now,
        loss,
        rate,
    })
}

/// The deployment with a line to paste: it asks the first held-out question, with the system
/// message the model was tuned with.
async fn deployment(
    state: &AppState,
    order: &OrderView,
    name: &str,
) -> Result<Deployment, Problem> {
    let all = state.desk.deployments().await?;
    let found = all.into_iter().find(|deployment| deployment.name == name);
    let mut messages = Vec::new();
    if let Some(deployment) = found {
        messages.extend(
            deployment
                .system
                .map(|text| serde_json::json!({"role": "system", "content": text})),
        );
        let question = deployment.examples.into_iter().next();
        messages.extend(question.map(|text| serde_json::json!({"role": "user", "content": text})));
    }
    if messages.is_empty() {
        messages.push(serde_json::json!({"role": "user", "content": "…"}));
    }
    let body =
        serde_json::json!({ "model": name, "temperature": 0, "messages": messages }).to_string();
    let base = order
        .url
        .find("/orders/")
        .and_then(|end| order.url.get(..end))
        .unwrap_or("");
    // Inside single quotes only a single quote needs care; JSON may as well write it as an escape.
    let body = body.replace('\'', "\\u0027");
    let curl = format!(
        "curl -s {base}/v1/chat/completions \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    );
    let href = format!("/try?model={}", super::playground::encoded(name));
    Ok(Deployment {
        name: name.to_owned(),
        curl,
        href,
    })
}

/// The last lines of the log. Line numbers are dense, so the tail begins a page before the end,
/// which a probe from the front finds without reading what lies between.
async fn last_lines(state: &AppState, id: &OrderId) -> Result<Vec<LogLine>, Problem> {
    let mut lines: Vec<LogLine> = Vec::new();
    loop {
        let after = lines.last().map_or(0, |line| line.seq);
        let more = state.desk.log(id, after, LOG_LINES_MAX).await?;
        let is_end = more.len() < LOG_LINES_MAX as usize;
        lines.extend(more);
        let surplus = lines.len().saturating_sub(LOG_LINES_MAX as usize);
        lines.drain(..surplus);
        if is_end {
            return Ok(lines);
        }
    }
}

fn log_row(say: Say, line: LogLine) -> LogRow {
    let at = format::moment(line.at_ms);
    let clock = at.get(11..19).unwrap_or("").to_owned();
    LogRow {
        at,
        clock,
        step: say.it_of("step", line.step),
        text: line.text,
    }
}
