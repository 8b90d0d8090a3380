//! `/orders/compare?ids=…`: orders side by side, reached by ticking them in the list. The first is
//! what the others are held against.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_workshop::StepState;
use lathe_workshop::compare::{Compared, Comparison, Difference, MetricRow, StepTime};

use super::change::setting_text;
use super::report::{self, Figure};
use super::{Frame, Problem, short, steps};
use crate::AppState;
use crate::api;
use crate::format;
use crate::lang::{Say, Tongue};

/// What the orders are called in the tables.
const LETTERS: [&str; lathe_workshop::compare::ORDERS_COMPARED_MAX] =
    ["A", "B", "C", "D", "E", "F", "G", "H"];

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
    match state.desk.compare(&api::named(&pairs)).await {
        Ok(Some(comparison)) => show(tongue, comparison),
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
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
    let page = ComparePage {
        frame: Frame::new(tongue, "orders"),
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
        orders: lettered()
            .map(|(order, letter)| order_row(say, order, letter))
            .collect(),
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
            changes.join(", "),
        )
    });
    OrderRow {
        letter,
        id: order.id.to_string(),
        short_id: short(&order.id.0).to_owned(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        pack: order.pack.clone(),
        demonstration: order.demonstration,
        state: steps::order_state(order.state),
        state_text: steps::order_state_text(say, order.state, None, None),
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
