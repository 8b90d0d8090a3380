//! What the workshop runs with, as JSON. It is read only.

use axum::Json;
use axum::extract::State;
use lathe_workshop::settings::WorkshopSettings;

use super::Problem;
use crate::AppState;

/// `GET /api/settings`: `{"sections": [{"name", "settings": [{"name", "value", "changed_by"}]}]}`.
pub(super) async fn show(State(state): State<AppState>) -> Result<Json<WorkshopSettings>, Problem> {
    Ok(Json(state.desk.runs_with().await?))
}
