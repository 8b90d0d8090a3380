//! `POST /register/{number}/decide`: an approver decides about a model that waits, where the workshop's own
//! key signs what people decide.

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Redirect, Response};
use lathe_evidence::statement::Decision;
use lathe_workshop::Operation;
use serde::Deserialize;

use super::Problem;
use super::in_path::InPath;
use super::playground::encoded;
use crate::AppState;
use crate::lang::Tongue;

/// The decision, and why.
#[derive(Debug, Deserialize)]
pub(super) struct DecideForm {
    decision: Decision,
    #[serde(default)]
    reason: String,
}

/// Decides, and goes back to the registration, which tells what was decided.
pub(super) async fn decide(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(number): InPath,
    Form(form): Form<DecideForm>,
) -> Response {
    let href = format!("/register/{}", encoded(&number));
    let operation = Operation::Decide {
        number,
        decision: form.decision,
        reason: form.reason,
    };
    match state.desk.operate(operation).await {
        Ok(said) => {
            // The page leads from what was decided to the order that it was about.
            let order = said["order"].as_str().unwrap_or("yes");
            Redirect::to(&format!("{href}?decided={}", encoded(order))).into_response()
        }
        Err(error) => Problem::from(error).page(tongue),
    }
}
