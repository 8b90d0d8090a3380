//! `GET /v1/models` and `GET /v1/models/{name}`.
//!
//! Beside OpenAI's members every entry carries `lathe`: what the model was tuned
//! and gated with; of an upstream, that nobody here verified its weights. The server adds no system prompt of its own; a caller who wants
//! the answers that were measured sends `lathe.system_prompt` as the first message.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::in_path::InPath;
use super::label::WEIGHTS_NOT_VERIFIED;
use crate::asker::Asker;
use crate::door::Inner;
use crate::relay::Relay;
use crate::served::Served;

/// All models.
pub(crate) async fn list(State(door): State<Arc<Inner>>, asker: Asker) -> Json<Value> {
    let served = door.catalogue.all();
    let served = served.iter().filter(|it| asker.sees(&it.files().name));
    let relays = relays(&door);
    let relays = relays.iter().filter(|it| asker.sees(&it.upstream().name));
    let entries = served
        .map(|it| entry(it))
        .chain(relays.map(|it| relayed(it)));
    let models: Vec<Value> = entries.collect();
    Json(json!({"object": "list", "data": models}))
}

/// One model.
pub(crate) async fn retrieve(
    State(door): State<Arc<Inner>>,
    asker: Asker,
    InPath(name): InPath,
) -> Result<Json<Value>, ApiError> {
    asker.may_ask(&name)?;
    if let Some(relay) = relay_of(&door, &name) {
        return Ok(Json(relayed(&relay)));
    }
    find(&door, &asker, &name).map(|served| Json(entry(&served)))
}

/// The admitted model of this name.
///
/// # Errors
/// 404 with the names that exist for who asks; 503 while it is deployed but not open yet.
pub(crate) fn find(door: &Inner, asker: &Asker, name: &str) -> Result<Arc<Served>, ApiError> {
    let catalogue = &door.catalogue;
    catalogue.find(name).ok_or_else(|| {
        if catalogue.is_expected(name) {
            return ApiError::opening(name);
        }
        let served = catalogue.all();
        let served = served.iter().map(|it| it.files().name.clone());
        let relays = relays(door);
        let relays = relays.iter().map(|it| it.upstream().name.clone());
        let known = served.chain(relays).filter(|name| asker.sees(name));
        let known: Vec<String> = known.collect();
        ApiError::model_not_found(name, &known)
    })
}

/// The upstream that a request's body asks, if it asks one.
pub(crate) fn relay(door: &Inner, map: &Map<String, Value>) -> Option<Arc<Relay>> {
    relay_of(door, map.get("model")?.as_str()?)
}

/// The upstream of this name. An admitted model of the same name goes before it.
fn relay_of(door: &Inner, name: &str) -> Option<Arc<Relay>> {
    let relay = door.relays.find(name)?;
    door.catalogue.find(name).is_none().then_some(relay)
}

/// The upstreams whose names no model has.
fn relays(door: &Inner) -> Vec<Arc<Relay>> {
    let mut relays = door.relays.all();
    relays.retain(|relay| door.catalogue.find(&relay.upstream().name).is_none());
    relays
}

fn relayed(relay: &Relay) -> Value {
    let upstream = relay.upstream();
    json!({
        "id": upstream.name,
        "object": "model",
        "created": upstream.created_ms / 1000,
        "owned_by": "upstream",
        "lathe": {"weights": WEIGHTS_NOT_VERIFIED, "up": relay.is_up()},
    })
}

fn entry(served: &Served) -> Value {
    let files = served.files();
    json!({
        "id": files.name,
        "object": "model",
        "created": files.created_ms / 1000,
        "owned_by": "lathe",
        "lathe": {
            "order": files.order,
            "demonstration": files.demonstration,
            "tuned": files.adapter.is_some(),
            "format": served.model().format_name(),
            "context_tokens": served.model().config.context,
            "system_prompt": files.system,
            "example": files.example,
            "temperature_default": 0,
        },
    })
}
