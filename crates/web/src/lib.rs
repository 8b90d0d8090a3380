//! `lathe-web`: the workshop's pages and its API, one axum router.
//!
//! Pages are rendered on the server and complete without JavaScript; one small script adds what
//! only a living page can do (`assets/lathe.js`). Every figure is drawn here, as SVG. The same
//! views go out as JSON under `/api`, where the command line reads them.
//!
//! What is deliberately absent: opening sockets (the daemon does), answering `/v1` (the router
//! handed in as [`AppState::door`] does; here it only shares the port and the guard), keeping people
//! and their rights (the workshop does), and any judgement about a model: what the gate found is shown, never weighed again.

mod access;
mod api;
mod assets;
mod chart;
mod desk;
mod doors;
mod format;
mod headers;
mod lang;
mod openapi;
mod pages;
mod told;
mod visitor;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use lathe_workshop::{People, Tokens, Workshop};
use tokio::sync::Semaphore;
use tower_http::compression::CompressionLayer;

pub use access::{Access, KeyDigest, page_routes};
pub use desk::{Asked, Desk};
pub use visitor::OverTls;

/// Size of the body of a request to the pages or the API; `/v1` has a bound of its own.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Event streams open at once; one more is answered 503.
const STREAMS_MAX: usize = 64;
/// Files on their way out at once; one more is answered 429. A client of the hub takes eight.
const DOWNLOADS_MAX: usize = 64;

/// What the router works with. Clones share it.
#[derive(Clone)]
pub struct AppState {
    /// Where orders, data and deployments are read and placed.
    pub desk: Arc<dyn Desk>,
    /// The model server's routes (`/v1/…`, `/health`), state applied.
    pub door: Router,
    /// Who may ask.
    pub access: Access,
    /// The keys that were issued; once there is one, every request presents one.
    pub tokens: Tokens,
    /// The people who may come in; once there is somebody, they log in.
    pub people: People,
    told: Arc<told::Board>,
    streams: Arc<Semaphore>,
    downloads: Arc<Semaphore>,
}

impl AppState {
    /// The state over a real workshop.
    pub fn new(workshop: Workshop, door: Router, access: Access) -> AppState {
        let (tokens, people) = (workshop.tokens().clone(), workshop.people().clone());
        AppState {
            tokens,
            people,
            ..AppState::with_desk(Arc::new(workshop), door, access)
        }
    }

    /// The state over any desk, for instance one of written-down views.
    pub fn with_desk(desk: Arc<dyn Desk>, door: Router, access: Access) -> AppState {
        AppState {
            desk,
            door,
            access,
            tokens: Tokens::default(),
            people: People::default(),
            told: Arc::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            downloads: Arc::new(Semaphore::new(DOWNLOADS_MAX)),
        }
    }

    /// Whether a key is asked for.
    pub(crate) fn asks_for_a_key(&self) -> bool {
        self.guard().asks()
    }

    fn guard(&self) -> access::Guard {
        access::Guard {
            access: self.access.clone(),
            tokens: self.tokens.clone(),
            people: self.people.clone(),
        }
    }
}

/// Pages, API and model server on one router, behind the guard and with security headers on every
/// answer.
pub fn router(state: AppState) -> Router {
    let guard = state.guard();
    let own = Router::new()
        .merge(pages::router())
        .merge(api::router())
        .merge(doors::router())
        .merge(openapi::router())
        .merge(assets::router())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(CompressionLayer::new())
        .merge(doors::files())
        .with_state(state.clone());
    own.merge(state.door)
        .layer(from_fn_with_state(guard, access::guard))
        .layer(from_fn(headers::secure))
}
