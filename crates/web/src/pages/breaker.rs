//! `/deployments/{name}`: how the breaker of a deployment stands and moved, and what it answered.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::{Breaker, BreakerState, Cause, Withdrawn};
use lathe_workshop::WorkshopError;
use lathe_workshop::people::{Right, reach};
use lathe_workshop::trace::{BreakerNow, BreakerView, RegistrationView, Said, TuneAgain};

use super::chain::{self, ApprovedBadge, EntryLink, Link, word};
use super::in_path::InPath;
use super::note;
use super::playground::encoded;
use super::receipts::ReceiptRow;
use super::retune::{self, Retune};
use super::{Frame, Problem};
use crate::lang::{Say, Tongue};
use crate::{AppState, api, format};

/// Answers shown of a deployment.
const RECEIPTS_SHOWN: u32 = 20;
/// Moves of the breaker shown.
const MOVES_SHOWN: usize = 50;

/// A breaker's state as a badge.
pub(super) struct BreakerBadge {
    pub class: &'static str,
    pub text: String,
}

impl BreakerBadge {
    /// The badge of a registration's name, which answers only once it is deployed.
    pub(super) fn of(say: Say, view: &RegistrationView) -> BreakerBadge {
        match (&view.breaker, &view.chain) {
            (Some(now), _) => BreakerBadge::new(say, now.state),
            (None, Some(_)) => BreakerBadge::new(say, BreakerState::Closed),
            (None, None) => BreakerBadge {
                class: "",
                text: say.it("web.breaker.none"),
            },
        }
    }

    /// The badge of a state.
    pub(super) fn new(say: Say, state: BreakerState) -> BreakerBadge {
        BreakerBadge {
            class: match state {
                BreakerState::Closed => "good",
                BreakerState::Restricted => "demo",
                BreakerState::Open | BreakerState::ForcedOpen => "bad",
            },
            text: say.it_of("web.breaker", word(state)),
        }
    }
}

#[derive(Template)]
#[template(path = "deployment.html")]
struct DeploymentPage {
    frame: Frame,
    name: String,
    try_href: String,
    bom_href: String,
    /// Where the bundle is fetched; none for whoever may not, and of what has no registration.
    bundle_href: Option<String>,
    model_href: Option<String>,
    breaker: BreakerBadge,
    meaning: String,
    reason: String,
    /// What was taken back, where that is the reason: its words and its page.
    taken: Vec<(String, String)>,
    /// The orders that tune it again without it.
    again: Vec<Retune>,
    moves: Vec<Move>,
    registration: Option<(String, String)>,
    approved: Option<ApprovedBadge>,
    chain: Vec<Link>,
    receipts: Vec<ReceiptRow>,
}

/// One move of the breaker.
struct Move {
    from: BreakerBadge,
    to: BreakerBadge,
    cause: String,
    reason: String,
    at: String,
    at_text: String,
    entry: EntryLink,
}

/// `GET /deployments/{name}`.
pub(super) async fn page(
    State(state): State<AppState>,
    InPath(name): InPath,
    tongue: Tongue,
) -> Response {
    match load(&state, &name).await {
        Ok(it) if it.registration.is_none() && it.view.now.is_none() => {
            Problem::Missing.page(tongue)
        }
        Ok(loaded) => show(tongue, loaded),
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// `POST /deployments/{name}/bundle`: the bundle, to be kept as a file.
pub(super) async fn bundle(
    State(state): State<AppState>,
    InPath(name): InPath,
    tongue: Tongue,
) -> Response {
    match api::bundled(&state, &name).await {
        Ok(archive) => archive,
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// Whether whoever reads may fetch the bundle of a deployment.
fn bundles(name: &str) -> bool {
    reach::now().is_none_or(|it| {
        let hands_on = it.may_name(Right::Operate, name) && it.may_name(Right::Records, name);
        hands_on && it.may_here(Right::Look)
    })
}

/// What the page shows.
struct Loaded {
    registration: Option<RegistrationView>,
    view: BreakerView,
    /// What was taken back, where that is why it is not closed.
    taken: Vec<Withdrawn>,
    again: Vec<TuneAgain>,
    receipts: Vec<Receipt>,
}

async fn load(state: &AppState, name: &str) -> Result<Loaded, WorkshopError> {
    let registration = state.desk.registration_under(name).await?;
    let chain = registration.as_ref().and_then(|it| it.chain.as_ref());
    let deployment = chain
        .and_then(|it| it.deployment.as_ref())
        .map(|it| it.link);
    let view = state.desk.breaker(name).await?;
    let receipts = match deployment {
        Some(link) => state.desk.receipts(Some(link), RECEIPTS_SHOWN, 0).await?,
        None => Vec::new(),
    };
    let taken = taken(registration.as_ref(), &view);
    let again = again(state, name, &taken).await?;
    Ok(Loaded {
        registration,
        view,
        taken,
        again,
        receipts,
    })
}

/// What of the data behind a deployment was taken back, where its breaker stands as it does because of that.
fn taken(registration: Option<&RegistrationView>, view: &BreakerView) -> Vec<Withdrawn> {
    let is_restricted = |it: &&BreakerNow| it.state != BreakerState::Closed;
    let now = view.now.as_ref().filter(is_restricted);
    let chain = registration.and_then(|it| it.chain.as_ref());
    match (now, chain) {
        (Some(now), Some(chain)) if now.cause == Cause::Withdrawn => {
            let withdrawn = chain.withdrawn.iter();
            withdrawn
                .map(|it| it.withdrawal.said.what.clone())
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The orders that tune it again without the records that were taken back. Where all was, nothing is left to tune on.
async fn again(
    state: &AppState,
    name: &str,
    taken: &[Withdrawn],
) -> Result<Vec<TuneAgain>, WorkshopError> {
    // One record tells the order: what else was taken back is left out with it.
    let leaf = taken.iter().find_map(|it| match it {
        Withdrawn::Leaf(leaf) => Some(*leaf),
        Withdrawn::Dataset(_) | Withdrawn::Agreement(_) => None,
    });
    let Some(leaf) = leaf else {
        return Ok(Vec::new());
    };
    let trace = state.desk.trace_record(&leaf).await?;
    let mut again = trace.map(|it| it.again).unwrap_or_default();
    again.retain(|it| it.names.iter().any(|own| own == name));
    Ok(again)
}

/// What was taken back, in words, and its page.
pub(super) fn taken_link(say: Say, what: &Withdrawn) -> Option<(String, String)> {
    let told = |key: &str, digest: &Digest, of: &str| {
        (
            say.of(key, digest.short()),
            format!("/{of}/{}", encoded(&digest.to_string())),
        )
    };
    match what {
        Withdrawn::Leaf(leaf) => Some(told("web.deployment.taken.record", leaf, "records")),
        Withdrawn::Dataset(it) => Some(told("web.deployment.taken.dataset", it, "data")),
        Withdrawn::Agreement(_) => None,
    }
}

/// What was taken back, where that is why the deployment of this name is not closed: words and page of each.
pub(super) async fn taken_links(
    state: &AppState,
    say: Say,
    name: &str,
) -> Result<Vec<(String, String)>, WorkshopError> {
    let registration = state.desk.registration_under(name).await?;
    let view = state.desk.breaker(name).await?;
    let taken = taken(registration.as_ref(), &view);
    Ok(taken.iter().filter_map(|it| taken_link(say, it)).collect())
}

fn show(tongue: Tongue, loaded: Loaded) -> Response {
    let Loaded {
        registration,
        view,
        taken,
        again,
        receipts,
    } = loaded;
    let say = tongue.say;
    let state = view.now.as_ref().map(|it| it.state).unwrap_or_default();
    let chain = registration.as_ref().and_then(|it| it.chain.as_ref());
    let page = DeploymentPage {
        frame: Frame::new(tongue, "register"),
        try_href: format!("/try?model={}", encoded(&view.name)),
        bom_href: super::register::bom_href(&view.name),
        bundle_href: chain
            .filter(|_| bundles(&view.name))
            .map(|_| format!("/deployments/{}/bundle", encoded(&view.name))),
        model_href: chain
            .and_then(|it| it.deployment.as_ref())
            .map(|it| format!("/models/{}", it.subject)),
        breaker: BreakerBadge::new(say, state),
        meaning: say.of(&format!("web.breaker.{}.text", word(state)), &view.name),
        reason: view
            .now
            .as_ref()
            .map_or_else(String::new, |it| note::of_state(say, it)),
        taken: taken.iter().filter_map(|it| taken_link(say, it)).collect(),
        again: retune::offered(&again),
        moves: view
            .moves
            .iter()
            .take(MOVES_SHOWN)
            .map(|it| move_of(say, it))
            .collect(),
        approved: chain.and_then(|it| ApprovedBadge::of(say, it)),
        chain: chain.map(|it| chain::links(say, it)).unwrap_or_default(),
        registration: registration.as_ref().map(|it| {
            (
                format!("/register/{}", encoded(&it.number)),
                it.number.clone(),
            )
        }),
        receipts: receipts.iter().map(|it| ReceiptRow::new(say, it)).collect(),
        name: view.name,
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn move_of(say: Say, it: &Said<Breaker>) -> Move {
    Move {
        from: BreakerBadge::new(say, it.said.from),
        to: BreakerBadge::new(say, it.said.to),
        cause: say.it_of("web.cause", word(it.said.cause)),
        reason: note::of_move(say, &it.said),
        at: format::moment(it.at_ms),
        at_text: format::moment_text(it.at_ms),
        entry: chain::entry(say, it),
    }
}
