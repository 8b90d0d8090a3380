//! `GET /v1/models` and `GET /v1/models/{name}`.
//!
//! Beside OpenAI's members every entry carries `lathe`: what the model was tuned
//! and gated with. The server adds no system prompt of its own; a caller who wants
//! the answers that were measured sends `lathe.system_prompt` as the first message.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::asker::Asker;
use crate::door::{Catalogue, Inner};
use crate::served::Served;

/// All models.
pub(crate) async fn list(State(door): State<Arc<Inner>>, asker: Asker) -> Json<Value> {
    let models: Vec<Value> = door
        .catalogue
        .all()
        .iter()
        .filter(|served| asker.sees(&served.files().name))
        .map(|served| entry(served))
        .collect();
    Json(json!({"object": "list", "data": models}))
}

/// One model.
pub(crate) async fn retrieve(
    State(door): State<Arc<Inner>>,
    asker: Asker,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    asker.may_ask(&name)?;
    find(&door.catalogue, &name).map(|served| Json(entry(&served)))
}

/// The model of this name.
///
/// # Errors
/// 404 with the names that exist; 503 while it is deployed but not open yet.
pub(crate) fn find(catalogue: &Catalogue, name: &str) -> Result<Arc<Served>, ApiError> {
    catalogue.find(name).ok_or_else(|| {
        if catalogue.is_expected(name) {
            return ApiError::opening(name);
        }
        let known: Vec<String> = catalogue
            .all()
            .iter()
            .map(|served| served.files().name.clone())
            .collect();
        ApiError::model_not_found(name, &known)
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
