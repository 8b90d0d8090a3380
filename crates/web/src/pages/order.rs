//! `/orders/{id}`: one order from its steps to its deployment, and the part of it that lives.
//!
//! While the order runs, the script listens to its events and takes the living part anew from
//! `/orders/{id}/live`: one renderer, whether the page is loaded or refreshed.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::people::{Right, answers_as};
use lathe_workshop::{
    AnsweringNow, LogLine, OrderId, OrderState, OrderView, Origin, StepName, StepState, StepView,
};
use serde::Deserialize;

use super::answering::Stands;
use super::change::setting_text;
use super::curve::{self, Course, Curve};
use super::deployment::Deployment;
use super::gate::GateView;
use super::in_path::InPath;
use super::pending::{self, Pending};
use super::report::ReportView;
use super::steps::{self, StepRow};
use super::{Frame, Problem, Spent, html, may_in, now_ms, projects, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

/// Lines of the log on the page: the last ones.
const LOG_LINES_MAX: u32 = 200;

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage {
    frame: Frame,
    order: Head,
    pending: Vec<Pending>,
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
    pending: &'a [Pending],
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
    /// What its project is called; empty for the common one.
    project: String,
    demonstration: bool,
    live: bool,
    /// Whether it can be set aside, be given up, and be put back.
    pausable: bool,
    stoppable: bool,
    resumable: Option<&'static str>,
    origin: Option<OriginRow>,
    /// Whether its training records can be looked at.
    prepared: bool,
    /// The page of the model that it made; none before a stage is done.
    model: Option<String>,
    state: &'static str,
    state_text: String,
    /// Whether its model answers now; none before it was deployed.
    stands: Option<Stands>,
    /// Who rejected its model, and why; none where nobody did.
    rejected: Option<String>,
    /// Whether whoever placed it is led to one that was there already.
    is_known: bool,
    /// What became of placing it again so that its model answers.
    again: Option<String>,
    spent: Spent,
    /// Whether whoever reads may steer and clone it.
    tunes: bool,
    created: String,
    created_text: String,
}

/// Where a cloned order comes from.
struct OriginRow {
    href: String,
    short_id: String,
    compare_href: String,
    /// Key, former value, new value.
    changes: Vec<(String, String, String)>,
}

/// One of the few figures that tell how the order stands.
pub(super) struct Tile {
    pub class: &'static str,
    pub name: String,
    pub value: String,
    pub note: String,
}

/// `?known=yes`: somebody placed an order that was there already.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Coming {
    known: Option<String>,
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
    InPath(id): InPath,
    coming: Result<Query<Coming>, QueryRejection>,
) -> Response {
    let is_known = coming.is_ok_and(|Query(coming)| coming.known.is_some());
    let page = load(&state, &tongue, OrderId(id)).await.map(|mut page| {
        page.order.is_known = is_known;
        page
    });
    match page {
        Ok(page) => page.frame.answer(StatusCode::OK, &page),
        Err(problem) => problem.page(tongue),
    }
}

/// `GET /orders/{id}/live`: the living part of the page.
pub(super) async fn live(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    let page = match load(&state, &tongue, OrderId(id)).await {
        Ok(page) => page,
        Err(problem) => return problem.page(tongue),
    };
    let live = OrderLive {
        frame: &page.frame,
        order: &page.order,
        pending: &page.pending,
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
    let points = state.desk.curve_outline(&id).await?;
    let report = state.desk.report(&id).await?;
    let verdict = state.desk.verdict(&id).await?;
    let log = state.desk.log_tail(&id, LOG_LINES_MAX).await?;
    let pending = state.desk.pending_of(&id.0).await?;
    let pending = pending::shown(state, tongue, &pending, &format!("/orders/{id}")).await?;
    let say = tongue.say;
    let report_view = report.as_ref().map(|report| ReportView::new(say, report));
    let tuned = report.as_ref().and_then(|report| report.tuned());
    let gate = verdict
        .as_ref()
        .map(|verdict| GateView::new(say, verdict, tuned));
    let deployment = match &order.answering {
        Some(it) => Some(Deployment::load(state, say, &order, it).await?),
        None => None,
    };
    let mut highlights = report
        .as_ref()
        .map(|report| super::report::tiles(say, report, verdict.as_ref()))
        .unwrap_or_default();
    highlights.extend(gate.as_ref().map(|gate| gate.tile(say)));
    // The curve is that of the stage that tunes now, or of one that has.
    let tuning = order.steps.iter().find(|step| tunes(step));
    let course = Course {
        is_tuning: tuning.is_some(),
        memory: tuning.and_then(|step| step.progress.as_ref()?.memory),
        mean_loss: curve::mean_loss(&order.steps),
    };
    let head = Head {
        rejected: rejected(state, say, &order).await?,
        project: projects::mark(state, &order.project),
        ..head(say, &order)
    };
    let mut steps = steps::rows(say, order.steps, order.answering.as_ref());
    for fault in steps.iter_mut().filter_map(|it| it.fault.as_mut()) {
        fault.explain(say, gate.as_ref(), head.rejected.as_deref());
    }
    Ok(OrderPage {
        frame: Frame::new(tongue.clone(), "orders"),
        order: head,
        pending,
        highlights,
        curve: Curve::new(say, &points, course),
        steps,
        deployment,
        report: report_view,
        gate,
        log: log.into_iter().map(|line| log_row(say, line)).collect(),
    })
}

/// The steps that tune, the last one last.
const STAGES: [StepName; 4] = [
    StepName::Pretrain,
    StepName::Tune,
    StepName::Preference,
    StepName::Corrections,
];

/// Whether it is a stage that runs now.
fn tunes(step: &StepView) -> bool {
    STAGES.contains(&step.name) && step.state == StepState::Running
}

/// The page of what the last finished stage left.
fn made(order: &OrderView) -> Option<String> {
    let finished = |step: &&StepView| matches!(step.state, StepState::Done | StepState::Reused);
    let mut steps = order.steps.iter().rev().filter(finished);
    let stage = steps.find(|step| STAGES.contains(&step.name))?;
    Some(format!("/models/{}", stage.artifact.as_ref()?))
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
    let unfinished = |step: &&StepView| !matches!(step.state, StepState::Done | StepState::Reused);
    let paused = order.steps.iter().find(unfinished);
    let paused = paused.filter(|_| order.state == OrderState::Paused);
    let step = running.or(failed).or(paused).map(|step| step.name);
    Head {
        id: order.id.to_string(),
        short_id: short(&order.id.0).to_owned(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        pack: order.pack.clone(),
        project: String::new(),
        demonstration: order.demonstration,
        prepared: order.steps.iter().any(|step| {
            let is_there = matches!(step.state, StepState::Done | StepState::Reused);
            step.name == StepName::Prepare && is_there
        }),
        model: made(order),
        live: is_open(order.state),
        pausable: matches!(order.state, OrderState::Queued | OrderState::Running),
        stoppable: is_open(order.state),
        resumable: match order.state {
            OrderState::Paused => Some("web.order.resume"),
            OrderState::Failed => Some("web.order.again"),
            _ => None,
        },
        origin: order.origin.as_ref().map(|it| origin_row(order, it)),
        state: steps::order_state(order.state),
        state_text: steps::order_state_text(say, order.state, order.ending(), step, order.position),
        rejected: None,
        is_known: false,
        stands: order
            .answering
            .as_ref()
            .map(|it| Stands::new(say, &order.id, it)),
        again: again(say, order),
        spent: Spent::new(
            say,
            order.created_ms,
            order.ended_ms,
            order.worked_ms(now_ms()),
        ),
        tunes: may_in(Right::Tune, &order.project),
        created: format::moment(order.created_ms),
        created_text: format::moment_text(order.created_ms),
    }
}

/// Whether something is still to happen to it.
fn is_open(state: OrderState) -> bool {
    matches!(
        state,
        OrderState::Queued | OrderState::Running | OrderState::Waiting | OrderState::Paused
    )
}

/// Who rejected the order's model, and why, as the ledger has it. The step names the registration and the reason.
async fn rejected(
    state: &AppState,
    say: Say,
    order: &OrderView,
) -> Result<Option<String>, Problem> {
    let Some(error) = order.rejection() else {
        return Ok(None);
    };
    let Some((number, why)) = error.rejected() else {
        return Ok(Some(error.text.clone()));
    };
    let all = state.desk.rejections(&[number]).await?;
    let found = all.iter().find(|it| it.said.why().trim() == why.trim());
    Ok(Some(match found {
        Some(it) => pending::rejected(say, "web.order.rejected", it),
        None => error.text.clone(),
    }))
}

/// What became of letting an order's model answer: said on the order that was placed for it, which is one with
/// nothing changed. Once another model has the name there is nothing to be said of it.
fn again(say: Say, order: &OrderView) -> Option<String> {
    order.origin.as_ref().filter(|it| it.changes.is_empty())?;
    let now = order.answering.as_ref().map(|it| it.now);
    let key = match (order.state, now) {
        (_, Some(AnsweringNow::Answers)) => "web.again.answers",
        (_, Some(_)) => return None,
        (OrderState::Queued | OrderState::Running, None) => "web.again.placed",
        (OrderState::Waiting, None) => "web.again.waits",
        _ => return None,
    };
    let name = answers_as(&order.project, &order.pack, order.demonstration);
    Some(say.of(key, name))
}

fn origin_row(order: &OrderView, origin: &Origin) -> OriginRow {
    let from = &origin.order.0;
    let change = |it: &lathe_workshop::SettingChange| {
        (it.key.clone(), setting_text(&it.from), setting_text(&it.to))
    };
    OriginRow {
        href: format!("/orders/{from}"),
        short_id: short(from).to_owned(),
        compare_href: format!("/orders/compare?ids={from}&ids={}", order.id),
        changes: origin.changes.iter().map(change).collect(),
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
