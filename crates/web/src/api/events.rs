//! An order as it happens: `GET /api/orders/{id}/events`, server-sent events.
//!
//! `order` carries the whole view, `curve` and `log` what came since the last event of their kind,
//! `end` the final state, after which the stream closes. The first three come once at the start
//! with all there is (a long curve or log in several), so a client needs nothing else. Where whoever listens would not be
//! let in any more, the stream closes without `end` within [`LOOK_MS_MAX`] and a little; who asks anew is told why.
//! Not here: any history beyond the order's own.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use lathe_workshop::listing::CURVE_POINTS_MAX;
use lathe_workshop::people::{Right, Thing, reach};
use lathe_workshop::{OrderId, OrderState, OrderView, WorkshopError};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::in_path::InPath;
use super::{Problem, ROWS_MAX, orders};
use crate::AppState;
use crate::access::Pass;

/// The shortest time between two looks at the order, however fast it changes.
const PAUSE_MS: u64 = 250;
/// The longest time between two looks, should a change go unannounced.
const LOOK_MS_MAX: u64 = 2_000;
/// Silence after which a comment keeps proxies from closing the connection.
const KEEP_ALIVE_S: u64 = 15;
/// Events waiting for a slow reader.
const EVENTS_WAITING_MAX: usize = 16;

/// Opens the stream; 404 for an unknown order, 503 where too many are open.
pub(super) async fn stream(
    State(state): State<AppState>,
    pass: Pass,
    InPath(id): InPath,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let order = orders::order(&state, OrderId(id)).await?;
    let permit = state
        .streams
        .clone()
        .try_acquire_owned()
        .map_err(|_| Problem::TooManyStreams)?;
    let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
    reach::spawn(follow((state, pass), order.id, sender, permit));
    let alive = KeepAlive::new().interval(Duration::from_secs(KEEP_ALIVE_S));
    Ok(Sse::new(ReceiverStream::new(receiver)).keep_alive(alive))
}

/// The reader closed the connection, or may not listen any more.
struct Gone;

/// What a reader has been told so far.
#[derive(Default)]
struct Told {
    order: Option<OrderView>,
    step: u64,
    seq: u64,
}

/// Looks at the order after every change and tells what is new, until it ends or nobody listens.
async fn follow(
    (state, pass): (AppState, Pass),
    id: OrderId,
    sender: mpsc::Sender<Result<Event, Infallible>>,
    _permit: OwnedSemaphorePermit,
) {
    let mut changes = state.desk.changes();
    let mut told = Told::default();
    loop {
        changes.mark_unchanged();
        if !pass.holds() {
            return;
        }
        match look(&state, &id, &mut told, &sender).await {
            Ok(Some(OrderState::Done | OrderState::Failed)) | Err(Gone) => return,
            Ok(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        let wait = tokio::time::timeout(Duration::from_millis(LOOK_MS_MAX), changes.changed());
        tokio::select! {
            // A closed channel means the workshop is shutting down; the next look says how it stands.
            _ = wait => {}
            () = sender.closed() => return,
        }
    }
}

/// One look; the order's state, or none where it could not be read this time.
async fn look(
    state: &AppState,
    id: &OrderId,
    told: &mut Told,
    sender: &mpsc::Sender<Result<Event, Infallible>>,
) -> Result<Option<OrderState>, Gone> {
    // The order is read first: what the curve and the log hold beyond it is told with it, and the
    // end is told only after everything before it.
    let read = async {
        // Whose part in its project was taken away meanwhile hears no more of it.
        let thing = Thing::Order(id.0.clone());
        if !state.people.may_still(Right::Look, &thing).await? {
            return Ok((None, Vec::new(), Vec::new()));
        }
        let order = state.desk.order(id).await?;
        let points = state.desk.curve(id, told.step).await?;
        let lines = state.desk.log(id, told.seq, ROWS_MAX).await?;
        Ok::<_, WorkshopError>((order, points, lines))
    };
    let (order, points, lines) = match read.await {
        Ok((Some(order), points, lines)) => (order, points, lines),
        Ok((None, ..)) => return Err(Gone),
        Err(error) => {
            tracing::warn!(order = %id, %error, "cannot read the order for its event stream");
            return Ok(None);
        }
    };
    let first = told.order.is_none();
    if first || !points.is_empty() {
        told.step = points.last().map_or(told.step, |point| point.step);
        tell(sender, "curve", &points).await?;
    }
    if first || !lines.is_empty() {
        told.seq = lines.last().map_or(told.seq, |line| line.seq);
        tell(sender, "log", &lines).await?;
    }
    let order_state = order.state;
    if told.order.as_ref() != Some(&order) {
        tell(sender, "order", &order).await?;
        told.order = Some(order);
    }
    if lines.len() < ROWS_MAX as usize
        && points.len() < CURVE_POINTS_MAX as usize
        && matches!(order_state, OrderState::Done | OrderState::Failed)
    {
        tell(sender, "end", &json!({ "state": order_state })).await?;
        return Ok(Some(order_state));
    }
    Ok(None)
}

async fn tell<T: Serialize>(
    sender: &mpsc::Sender<Result<Event, Infallible>>,
    name: &str,
    value: &T,
) -> Result<(), Gone> {
    let event = match Event::default().event(name).json_data(value) {
        Ok(event) => event,
        Err(error) => {
            tracing::error!(%error, name, "cannot write an event as JSON");
            return Ok(());
        }
    };
    sender.send(Ok(event)).await.map_err(|_| Gone)
}
