//! `GET /health/ready` and its alias `/health`: 200 only if every served model has just decoded a token.
//! `GET /health/live`: 200 unless nothing but a restart helps.
//!
//! Of upstreams it tells how they were found when they were last looked at.
//!
//! A check that only looks at flags says 200 while nothing is answered any more;
//! this one goes the way of a request, through the scheduler's thread and the
//! forward pass. Checks that arrive while one runs wait and share the next, so
//! that a crowd of probes costs no more than one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lathe_workshop::people::{Right, reach};
use lathe_workshop::token::Stranger;
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use crate::door::Inner;
use crate::scheduler::Phase;

/// The result of the newest check.
#[derive(Default)]
pub(crate) struct HealthCheck {
    newest: Mutex<Option<(Instant, Outcome)>>,
}

#[derive(Clone)]
struct Outcome {
    status: &'static str,
    reason: Option<String>,
    models: Map<String, Value>,
}

/// Whether the thread that computes is there. Busy, empty or draining, the server lives: whoever ends
/// what does not live would else cut answers off.
pub(crate) async fn live(State(door): State<Arc<Inner>>) -> Response {
    let outcome = match door.scheduler.phase() {
        Phase::Ended(reason) => unfit("failing", &reason),
        Phase::Draining | Phase::Running => fit(),
    };
    outcome.into_response()
}

/// Decodes a token on every model.
pub(crate) async fn check(
    State(door): State<Arc<Inner>>,
    stranger: Option<Extension<Stranger>>,
) -> Response {
    let arrived = Instant::now();
    let mut newest = door.health.newest.lock().await;
    let mut outcome = match &*newest {
        Some((began, outcome)) if *began >= arrived => outcome.clone(),
        _ => {
            let began = Instant::now();
            let outcome = examine(&door).await;
            *newest = Some((began, outcome.clone()));
            outcome
        }
    };
    drop(newest);
    if stranger.is_some() {
        // The reason names a model too.
        outcome.reason = None;
        outcome.models.clear();
    }
    let before = outcome.models.len();
    outcome
        .models
        .retain(|name, _| reach::may_name(Right::Look, name));
    if outcome.models.len() < before {
        outcome.reason = None;
    }
    outcome.into_response()
}

fn fit() -> Outcome {
    Outcome {
        status: "ok",
        reason: None,
        models: Map::new(),
    }
}

fn unfit(status: &'static str, reason: &str) -> Outcome {
    Outcome {
        status,
        reason: Some(reason.to_owned()),
        models: Map::new(),
    }
}

async fn examine(door: &Inner) -> Outcome {
    match door.scheduler.phase() {
        Phase::Ended(reason) => return unfit("failing", &reason),
        Phase::Draining => return unfit("stopping", "the server is shutting down"),
        Phase::Running if door.leaving.load(Ordering::Acquire) => {
            return unfit("stopping", "the server is shutting down");
        }
        Phase::Running => {}
    }
    let models = door.catalogue.all();
    let mut outcome = upstreams(door, models.is_empty());
    let longest = Duration::from_millis(door.limits.health_ms_max);
    for served in models {
        let name = served.files().name.clone();
        let began = Instant::now();
        let result = match tokio::time::timeout(longest, door.scheduler.probe(served)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no token within {} ms", door.limits.health_ms_max)),
        };
        if let Err(reason) = &result {
            outcome.status = "failing";
            outcome
                .reason
                .get_or_insert_with(|| format!("{name}: {reason}"));
        }
        let token_ms = result
            .is_ok()
            .then(|| began.elapsed().as_secs_f64() * 1000.0);
        outcome
            .models
            .insert(name, json!({"ok": result.is_ok(), "token_ms": token_ms}));
    }
    outcome
}

/// How the upstreams are. That of somebody else is down is no reason to send callers away from here,
/// unless nothing else would answer them.
fn upstreams(door: &Inner, alone: bool) -> Outcome {
    let all = door.relays.health();
    let mut outcome = if !alone || all.iter().any(|it| it.up == Some(true)) {
        fit()
    } else if all.is_empty() {
        unfit("starting", "no model is deployed yet")
    } else {
        unfit("failing", "no upstream answers")
    };
    for it in all {
        let ok = it.up == Some(true);
        outcome
            .models
            .insert(it.name, json!({"ok": ok, "upstream": true}));
    }
    outcome
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let code = match self.status {
            "ok" => StatusCode::OK,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let body = json!({"status": self.status, "reason": self.reason, "models": self.models});
        (code, Json(body)).into_response()
    }
}
