//! `/`: the orders, narrowed and sorted as asked, and the form that places one.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::draft::PackLine;
use lathe_workshop::people::Right;
use lathe_workshop::{
    Ending, OrderRequest, OrderState, OrderSummary, OrdersAsked, OrdersSort, Origin, SettingChange,
    StepName, WorkshopError,
};
use serde::Deserialize;

use super::alert::Alert;
use super::answering::Stands;
use super::change::setting_text;
use super::playground::encoded;
use super::{
    Frame, PAGE_ROWS, PageNumber, Pager, Problem, Spent, new_order, pending, projects, short, steps,
};
use crate::format;
use crate::lang::{Say, Tongue};
use crate::{AppState, api};

/// The pack of Lathe's repository that shows the whole way.
const SAMPLE: &str = "customer-care";

#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage {
    frame: Frame,
    orders: Vec<OrderRow>,
    /// No order was ever placed: the page says how to begin.
    nothing_yet: bool,
    /// How many models wait for whoever reads to decide.
    waiting: Option<String>,
    narrowing: Narrowing,
    pager: Pager,
    steps: Vec<&'static str>,
    /// The pack that the page begins with; none where there is none beside the daemon.
    sample: Option<(String, bool)>,
    placing: Placing,
    /// The projects that an order can be placed in, where there is a choice.
    projects: Vec<projects::Choice>,
}

/// An order in a list.
pub(super) struct OrderRow {
    pub id: String,
    pub short_id: String,
    pub title: String,
    pub pack: String,
    /// What its project is called; empty for the common one.
    pub project: String,
    pub demonstration: bool,
    pub state: &'static str,
    pub state_text: String,
    /// How it stands to its name, where the list says it.
    pub stands: Option<Stands>,
    /// What a clone changed; empty for an order that is none.
    pub changes: String,
    pub spent: Spent,
    pub created: String,
    pub created_text: String,
}

/// The form that narrows and sorts the list, as it was filled in.
struct Narrowing {
    text: String,
    states: Vec<Choice>,
    packs: Vec<Choice>,
    sorts: Vec<Choice>,
    /// The projects, where whoever reads sees more than one.
    projects: Vec<projects::Choice>,
    /// Whether something may be left out.
    narrows: bool,
}

/// One value of a list to choose from.
struct Choice {
    value: String,
    text: String,
    chosen: bool,
}

/// `?page=&q=&state=&pack=&project=&sort=`; a form sends all of them, empty where nothing is chosen.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Listing {
    #[serde(default)]
    page: u32,
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    pack: String,
    #[serde(default)]
    project: String,
    #[serde(default)]
    sort: String,
}

impl Listing {
    /// What is asked for; words that nobody knows ask for nothing.
    fn asked(&self) -> OrdersAsked {
        let filled = |text: &str| (!text.trim().is_empty()).then(|| text.to_owned());
        let named = |state: &OrderState| steps::order_state(*state) == self.state;
        let willed = WILLED.into_iter().find(|it| it.as_str() == self.state);
        let state = match willed {
            Some(_) => Some(OrderState::Failed),
            None => STATES.into_iter().find(named),
        };
        OrdersAsked {
            state,
            // On the page what somebody ended is no failed order.
            ending: state
                .filter(|it| *it == OrderState::Failed)
                .map(|_| willed.unwrap_or(Ending::Error)),
            pack: filled(&self.pack),
            text: filled(&self.q),
            project: filled(&self.project),
            sort: OrdersSort::ALL
                .into_iter()
                .find(|sort| sort.as_str() == self.sort)
                .unwrap_or_default(),
        }
    }

    /// The address of this list without its page.
    fn path(asked: &OrdersAsked) -> String {
        let sort = (asked.sort != OrdersSort::default()).then(|| asked.sort.as_str().to_owned());
        let parts = [
            ("q", asked.text.clone()),
            ("state", state_of(asked).map(str::to_owned)),
            ("pack", asked.pack.clone()),
            ("project", asked.project.clone()),
            ("sort", sort),
        ];
        let said = parts
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))));
        match said.collect::<Vec<_>>().join("&") {
            none if none.is_empty() => "/".to_owned(),
            query => format!("/?{query}"),
        }
    }
}

/// The state that a list is narrowed to, by its name in the form.
fn state_of(asked: &OrdersAsked) -> Option<&'static str> {
    match asked.ending.and_then(Ending::willed) {
        Some(ending) => Some(ending.as_str()),
        None => asked.state.map(steps::order_state),
    }
}

/// Changes of a clone that stand in a list.
const CHANGES_MAX: usize = 2;

/// Ends that a list is narrowed to beside the states: those that somebody wanted.
const WILLED: [Ending; 2] = [Ending::Rejected, Ending::Cancelled];

/// The states that a list is narrowed to, as the form has them.
const STATES: [OrderState; 6] = [
    OrderState::Queued,
    OrderState::Running,
    OrderState::Waiting,
    OrderState::Paused,
    OrderState::Done,
    OrderState::Failed,
];

/// The form as it was filled in, with what was wrong with it.
struct Placing {
    pack: String,
    project: Option<String>,
    quick: bool,
    offline: bool,
    error: Option<Alert>,
    /// Whether it was refused for its pack.
    is_pack_wrong: bool,
}

/// The form as a browser sends it: an unticked box is absent.
#[derive(Debug, Deserialize)]
pub(super) struct PlaceForm {
    pack: String,
    #[serde(default)]
    project: String,
    quick: Option<String>,
    offline: Option<String>,
}

/// `GET /`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Response {
    let placing = Placing {
        pack: String::new(),
        project: None,
        quick: true,
        offline: false,
        error: None,
        is_pack_wrong: false,
    };
    let listing = listing.map(|Query(listing)| listing).unwrap_or_default();
    show(&state, tongue, &listing, placing, StatusCode::OK).await
}

/// Places the order and leads to its page. One that was there already, which placing it again takes up, says so there.
pub(super) async fn placed(
    state: &AppState,
    request: OrderRequest,
) -> Result<Response, WorkshopError> {
    let began_ms = super::now_ms();
    let id = state.desk.submit(request).await?;
    let order = state.desk.order(&id).await.ok().flatten();
    let known = match order.is_some_and(|it| it.created_ms < began_ms) {
        true => "?known=yes",
        false => "",
    };
    Ok(Redirect::to(&format!("/orders/{id}{known}")).into_response())
}

/// `POST /orders`: places the order and goes to its page, or shows the form again with the reason.
pub(super) async fn place(
    State(state): State<AppState>,
    tongue: Tongue,
    Form(form): Form<PlaceForm>,
) -> Response {
    let (quick, offline) = (form.quick.is_some(), form.offline.is_some());
    let project = projects::named(Some(&form.project));
    let request = OrderRequest {
        pack: form.pack.trim().into(),
        quick,
        offline,
        project: project.clone(),
        set: Default::default(),
    };
    let error = match placed(&state, request).await {
        Ok(answer) => return answer,
        Err(error) => error,
    };
    let status = api::status_of(&error);
    let is_pack_wrong = error.code().starts_with("pack-");
    let error = Alert::new(tongue.say, &error);
    let placing = Placing {
        pack: form.pack,
        project,
        quick,
        offline,
        error: Some(error),
        is_pack_wrong,
    };
    show(&state, tongue, &Listing::default(), placing, status).await
}

/// The pack that somebody begins with, of those beside the daemon, and whether it is the one that the program carries.
async fn sample(state: &AppState) -> Result<Option<(String, bool)>, WorkshopError> {
    let packs = new_order::packs(state).await?;
    let beside: Vec<PackLine> = packs.into_iter().filter(|it| !it.brought).collect();
    let usual = beside.iter().find(|it| it.pack.ends_with(SAMPLE));
    Ok(usual
        .or(beside.first())
        .map(|it| (it.pack.clone(), it.carried)))
}

async fn show(
    state: &AppState,
    tongue: Tongue,
    listing: &Listing,
    mut placing: Placing,
    status: StatusCode,
) -> Response {
    let asked = listing.asked();
    let number = PageNumber { page: listing.page };
    let read = state.desk.orders(&asked, PAGE_ROWS + 1, number.offset());
    let (mut rows, packs) = match (read.await, state.desk.packs().await) {
        (Ok(rows), Ok(packs)) => (rows, packs),
        (Err(error), _) | (_, Err(error)) => return Problem::from(error).page(tongue),
    };
    let waiting = match pending::notice(state, &tongue).await {
        Ok(waiting) => waiting,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let nothing_yet = packs.is_empty();
    let sample = match nothing_yet {
        true => sample(state).await,
        false => Ok(None),
    };
    let sample = match sample {
        Ok(sample) => sample,
        Err(error) => return Problem::from(error).page(tongue),
    };
    if placing.error.is_none() {
        placing.pack = sample.clone().map_or_else(String::new, |it| it.0);
    }
    let pager = number.pager(&Listing::path(&asked), rows.len());
    rows.truncate(PAGE_ROWS as usize);
    let say = tongue.say;
    // Without one, none of those that are offered is chosen.
    let of = asked.project.as_deref().unwrap_or_default();
    let page = OrdersPage {
        frame: Frame::new(tongue, "orders"),
        nothing_yet,
        sample,
        waiting,
        narrowing: Narrowing {
            projects: projects::choices(state, say, Right::Look, Some(of)),
            ..narrowing(say, &asked, packs)
        },
        orders: rows
            .into_iter()
            .map(|order| OrderRow {
                project: projects::mark(state, &order.project),
                ..row(say, order)
            })
            .collect(),
        projects: projects::choices(state, say, Right::Tune, placing.project.as_deref()),
        pager,
        steps: StepName::ALL.iter().map(|step| step.as_str()).collect(),
        placing,
    };
    page.frame.answer(status, &page)
}

fn narrowing(say: Say, asked: &OrdersAsked, packs: Vec<String>) -> Narrowing {
    let chosen = state_of(asked);
    let state = |name: &'static str| Choice {
        value: name.to_owned(),
        text: say.it_of("state", name),
        chosen: chosen == Some(name),
    };
    let names = STATES.into_iter().map(steps::order_state);
    let pack = |it: String| Choice {
        chosen: asked.pack.as_deref() == Some(it.as_str()),
        text: it.clone(),
        value: it,
    };
    let sort = |it: OrdersSort| Choice {
        value: it.as_str().to_owned(),
        text: say.it_of("web.orders.sort", it.as_str()),
        chosen: asked.sort == it,
    };
    Narrowing {
        text: asked.text.clone().unwrap_or_default(),
        states: names.chain(WILLED.map(Ending::as_str)).map(state).collect(),
        packs: packs.into_iter().map(pack).collect(),
        sorts: OrdersSort::ALL.into_iter().map(sort).collect(),
        projects: Vec::new(),
        narrows: asked.narrows(),
    }
}

/// The row of an order, its project unsaid.
pub(super) fn row(say: Say, order: OrderSummary) -> OrderRow {
    let answering = order.answering.as_ref();
    let stands = answering.map(|it| Stands::new(say, &order.id, it));
    let id = order.id.0;
    OrderRow {
        stands: stands.filter(Stands::is_listed),
        changes: order
            .origin
            .as_ref()
            .map_or_else(String::new, |it| changes(say, it)),
        short_id: short(&id).to_owned(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        pack: order.pack,
        project: String::new(),
        demonstration: order.demonstration,
        state: steps::order_state(order.state),
        state_text: steps::order_state_text(
            say,
            order.state,
            order.ending,
            Some(order.step),
            order.position,
        ),
        spent: Spent::new(say, order.created_ms, order.ended_ms, order.worked_ms),
        created: format::moment(order.created_ms),
        created_text: format::moment_text(order.created_ms),
        id,
    }
}

/// What a clone changed, on one line: the first settings of it, by the last parts of their names.
fn changes(say: Say, origin: &Origin) -> String {
    if origin.changes.is_empty() {
        return say.it("web.orders.unchanged");
    }
    let short = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let one = |it: &SettingChange| format!("{} {}", short(&it.key), setting_text(&it.to));
    let mut told: Vec<String> = origin.changes.iter().take(CHANGES_MAX).map(one).collect();
    if origin.changes.len() > CHANGES_MAX {
        told.push("…".to_owned());
    }
    told.join(" · ")
}
