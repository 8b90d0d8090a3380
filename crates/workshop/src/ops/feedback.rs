//! `feedback-…`: what people said of answers is listed, read and decided about. What becomes of it stands
//! in `feedback`.

use serde_json::{Value, json};

use super::reasoned;
use crate::error::WorkshopError;
use crate::feedback::{FeedbackEdit, FeedbackList, FeedbackReview, FeedbackRow, Review, Wanted};
use crate::workshop::Workshop;

/// Entries of a list unless asked, and the most.
const LIST_USUAL: u32 = 50;
const LIST_MAX: u32 = 100;

/// Some of it, the newest first; `next` is where the next page begins.
pub(super) async fn list(shop: &Workshop, asked: FeedbackList) -> Result<Value, WorkshopError> {
    let limit = asked.limit.unwrap_or(LIST_USUAL).clamp(1, LIST_MAX);
    let wanted = Wanted {
        state: asked.state,
        token: None,
        before: asked.before,
        limit: limit + 1,
    };
    let mut rows = shop.feedbacks(&wanted).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id.clone());
    let told: Vec<Value> = rows.iter().map(told).collect();
    Ok(json!({ "feedback": told, "next": next }))
}

/// One, with what was asked.
pub(super) async fn show(shop: &Workshop, id: &str) -> Result<Value, WorkshopError> {
    let row = shop.feedback(id).await?;
    let mut shown = told(&row);
    let prompt = row.prompt.as_deref();
    let asked = prompt.and_then(|prompt| serde_json::from_str(prompt).ok());
    shown["messages"] = asked.unwrap_or(Value::Null);
    let beside = shop.beside(&row).await?;
    for member in ["others", "agreement"] {
        shown[member] = beside[member].clone();
    }
    Ok(shown)
}

/// Accepts another right answer in the place of one that was given.
pub(super) async fn edit(shop: &Workshop, asked: &FeedbackEdit) -> Result<Value, WorkshopError> {
    let rows = shop.edit_feedback(asked).await?;
    let told: Vec<Value> = rows.iter().map(told).collect();
    Ok(json!({ "feedback": told }))
}

/// Decides about some. A rejection has to have a reason.
pub(super) async fn review(
    shop: &Workshop,
    asked: &FeedbackReview,
) -> Result<Value, WorkshopError> {
    if asked.review == Review::Reject {
        reasoned(asked.reason.as_deref().unwrap_or_default())?;
    }
    let rows = shop.review_feedback(asked).await?;
    let told: Vec<Value> = rows.iter().map(told).collect();
    Ok(json!({ "feedback": told }))
}

/// As the workshop's own people see it.
fn told(row: &FeedbackRow) -> Value {
    let mut told = row.told();
    told["key"] = json!(row.owner);
    told["review"] = json!(row.decision);
    told
}
