//! `/orders/compare?ids=…`: orders side by side, reached by ticking them in the list. The first is
//! what the others are held against. Where fewer or more than can stand side by side are ticked, the page
//! lets one choose, and keeps what was ticked.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::compare::{
    Compared, Comparison, Difference, MetricRow, ORDERS_COMPARED_MAX, StepTime,
};
use lathe_workshop::people::Right;
use lathe_workshop::{
    OrderId, OrderState, OrderSummary, OrderView, OrdersAsked, StepName, StepState, StepView,
    WorkshopError,
};

use super::answering::Stands;
use super::change::setting_text;
use super::report::{self, Figure};
use super::{Frame, PAGE_ROWS, Problem, may_in, orders, short, steps};
use crate::AppState;
use crate::api;
use crate::format;
use crate::lang::{Say, Tongue};

/// What the orders are called in the tables.
const LETTERS: [&str; ORDERS_COMPARED_MAX] = ["A", "B", "C", "D", "E", "F", "G", "H"];
/// Orders that stay ticked where too many are.
const TICKED_MAX: usize = 2 * ORDERS_COMPARED_MAX;

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    frame: Frame,
    letters: Vec<&'static str>,
    orders: Vec<OrderRow>,
    metrics: Vec<MetricLine>,
    notes: Vec<String>,
    steps: Vec<(String, Vec<String>)>,
    settings: Vec<(String, Vec<String>)>,
    /// Whether one of them can be let answer.
    deploys: bool,
}

/// The orders to choose from, those that are ticked first.
#[derive(Template)]
#[template(path = "choose.html")]
struct ChoosePage {
    frame: Frame,
    text: String,
    sought: String,
    rows: Vec<ChoiceRow>,
}

struct ChoiceRow {
    order: orders::OrderRow,
    ticked: bool,
}

struct OrderRow {
    letter: &'static str,
    id: String,
    short_id: String,
    title: String,
    pack: String,
    demonstration: bool,
    state: &'static str,
    state_text: String,
    /// Address and short id of the order it was cloned from, and what was changed.
    origin: Option<(String, String, String)>,
    records: String,
    created: String,
    created_text: String,
    /// How it stands to the name that its model was deployed under.
    stands: Option<Stands>,
    /// Whether whoever reads may let it answer, and it does not yet.
    deploys: bool,
}

struct MetricLine {
    name: String,
    cells: Vec<Cell>,
}

struct Cell {
    figure: Option<Figure>,
    difference: Option<DifferenceText>,
}

/// The difference from the first order.
struct DifferenceText {
    text: String,
    class: &'static str,
    chance: String,
}

/// `GET /orders/compare?ids=A&ids=B`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let pairs = query.map(|Query(pairs)| pairs).unwrap_or_default();
    let ids = distinct(api::named(&pairs));
    if !(2..=ORDERS_COMPARED_MAX).contains(&ids.len()) {
        let sought = pairs.into_iter().find(|(name, _)| name == "q");
        return choose(&state, tongue, &ids, sought.map(|(_, text)| text)).await;
    }
    match state.desk.compare(&ids).await {
        Ok(Some(comparison)) => show(tongue, comparison),
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// The orders that are named, each once.
fn distinct(ids: Vec<OrderId>) -> Vec<OrderId> {
    let mut once = Vec::new();
    for id in ids {
        if !once.contains(&id) {
            once.push(id);
        }
    }
    once
}

/// Lets one choose orders; those that are ticked already stay so, as far as they are here.
async fn choose(
    state: &AppState,
    tongue: Tongue,
    ids: &[OrderId],
    sought: Option<String>,
) -> Response {
    let say = tongue.say;
    let asked = OrdersAsked {
        text: sought.clone(),
        ..OrdersAsked::default()
    };
    let read = async {
        let mut ticked = Vec::new();
        for id in ids.iter().take(TICKED_MAX) {
            ticked.extend(state.desk.order(id).await?);
        }
        let others = state.desk.orders(&asked, PAGE_ROWS, 0).await?;
        Ok::<_, WorkshopError>((ticked, others))
    };
    let (ticked, others) = match read.await {
        Ok(read) => read,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let key = match ticked.len() {
        0 => "web.compare.choose.none",
        1 => "web.compare.choose.one",
        _ => "web.compare.choose.many",
    };
    let text = say.with(key, &[("most", &ORDERS_COMPARED_MAX.to_string())]);
    let is_other = |it: &OrderSummary| ticked.iter().all(|order| order.id != it.id);
    let others: Vec<_> = others.into_iter().filter(is_other).collect();
    let row = |order, ticked| ChoiceRow {
        order: orders::row(say, order),
        ticked,
    };
    let kept = ticked.into_iter().map(|it| row(summary(it), true));
    let page = ChoosePage {
        text,
        sought: sought.unwrap_or_default(),
        rows: kept
            .chain(others.into_iter().map(|it| row(it, false)))
            .collect(),
        frame: Frame::new(tongue, "orders"),
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// An order as a list has it.
fn summary(order: OrderView) -> OrderSummary {
    let stands = |step: &&StepView| !matches!(step.state, StepState::Done | StepState::Reused);
    let step = order.steps.iter().find(stands);
    OrderSummary {
        step: step.map_or(StepName::Ask, |step| step.name),
        worked_ms: order.worked_ms(super::now_ms()),
        ending: order.ending(),
        origin: order.origin,
        id: order.id,
        pack: order.pack,
        title: order.title,
        project: order.project,
        demonstration: order.demonstration,
        state: order.state,
        position: order.position,
        created_ms: order.created_ms,
        ended_ms: order.ended_ms,
        answering: order.answering,
    }
}

fn show(tongue: Tongue, comparison: Comparison) -> Response {
    let say = tongue.say;
    let Comparison {
        orders,
        metrics,
        steps,
        settings,
    } = comparison;
    let lettered = || orders.iter().zip(LETTERS);
    let rows: Vec<OrderRow> = lettered()
        .map(|(order, letter)| order_row(say, order, letter))
        .collect();
    let page = ComparePage {
        frame: Frame::new(tongue, "orders"),
        deploys: rows.iter().any(|row| row.deploys),
        letters: lettered().map(|(_, letter)| letter).collect(),
        notes: lettered()
            .filter_map(|(order, letter)| note(say, order, letter))
            .collect(),
        metrics: metrics.iter().map(|row| metric_line(say, row)).collect(),
        steps: steps
            .iter()
            .map(|row| {
                let times = row.times.iter().map(|time| time_text(say, time.as_ref()));
                (say.it_of("step", row.step), times.collect())
            })
            .collect(),
        settings: settings
            .into_iter()
            .map(|row| (row.key, row.values.iter().map(setting_text).collect()))
            .collect(),
        orders: rows,
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// Why an order is not held against the first in pairs.
fn note(say: Say, order: &Compared, letter: &str) -> Option<String> {
    let key = format!("compare.unpaired.{}", order.unpaired?.as_str());
    Some(say.with(&key, &[("order", letter), ("first", LETTERS[0])]))
}

fn order_row(say: Say, order: &Compared, letter: &'static str) -> OrderRow {
    let origin = order.origin.as_ref().map(|origin| {
        let changes = origin.changes.iter();
        let changes: Vec<String> = changes
            .map(|it| format!("{} = {}", it.key, setting_text(&it.to)))
            .collect();
        let from = &origin.order.0;
        (
            format!("/orders/{from}"),
            short(from).to_owned(),
            changes.join(&say.it("web.sign.comma")),
        )
    });
    let answering = order.answering.as_ref();
    let stands = answering.map(|it| Stands::new(say, &order.id, it));
    let is_free = !stands.as_ref().is_some_and(Stands::answers);
    OrderRow {
        letter,
        deploys: order.state == OrderState::Done && is_free && may_in(Right::Tune, &order.project),
        stands,
        id: order.id.to_string(),
        short_id: short(&order.id.0).to_owned(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        pack: order.pack.clone(),
        demonstration: order.demonstration,
        state: steps::order_state(order.state),
        state_text: steps::order_state_text(say, order.state, order.ending, None, None),
        origin,
        records: order
            .records
            .map_or_else(|| "–".to_owned(), |records| format::count(records as u64)),
        created: format::moment(order.created_ms),
        created_text: format::moment_text(order.created_ms),
    }
}

fn metric_line(say: Say, row: &MetricRow) -> MetricLine {
    let cells = row.values.iter().zip(&row.differences);
    MetricLine {
        name: report::metric(say, &row.metric),
        cells: cells
            .map(|(value, difference)| Cell {
                figure: value
                    .as_ref()
                    .map(|interval| report::figure(say, &row.metric, interval)),
                difference: difference.as_ref().map(|it| difference_text(say, it)),
            })
            .collect(),
    }
}

fn difference_text(say: Say, it: &Difference) -> DifferenceText {
    let figure = report::difference(&it.interval);
    let (class, chance) = match (it.beyond_chance, it.interval.value > 0.0) {
        (true, true) => ("good", "compare.beyond"),
        (true, false) => ("bad", "compare.beyond"),
        (false, _) => ("", "compare.within"),
    };
    DifferenceText {
        text: match figure.interval.is_empty() {
            true => figure.text,
            false => format!("{} ({})", figure.text, figure.interval),
        },
        class,
        chance: say.it(chance),
    }
}

fn time_text(say: Say, time: Option<&StepTime>) -> String {
    match time {
        Some(StepTime {
            state: StepState::Done,
            seconds: Some(seconds),
        }) => format::duration(say, (seconds * 1000.0) as u64),
        Some(other) => say.it_of("state", steps::step_state(other.state)),
        None => "–".to_owned(),
    }
}
