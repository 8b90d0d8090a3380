//! A correction mended by who reviews it: the right answer as they have it is a correction of its own, in
//! their name and accepted; the one that was given stays as it was, rejected with a word on which took its
//! place. So nobody's words are ever changed.
//!
//! Beside it: what else was said of the same answer, from which one sees whether people agree.

use serde_json::{Value, json};

use super::{FeedbackEdit, FeedbackKind, FeedbackReview, FeedbackRow, Given, Giver, Review};
use crate::error::WorkshopError;
use crate::workshop::Workshop;

impl Workshop {
    /// Accepts `correction` in the place of the one that was given.
    ///
    /// # Errors
    /// `feedback-unknown`, `feedback-review` of a complaint, `feedback-answer`, `feedback-invalid`,
    /// `feedback-full`; the store's.
    pub async fn edit_feedback(
        &self,
        asked: &FeedbackEdit,
    ) -> Result<Vec<FeedbackRow>, WorkshopError> {
        let row = self.feedback(&asked.id).await?;
        if row.kind != FeedbackKind::Correction {
            return Err(WorkshopError::new(
                "feedback-review",
                format!("{} is a complaint, which says no right answer", row.id),
                "accept or reject it",
            ));
        }
        let mended = FeedbackRow {
            correction: Some(asked.correction.clone()),
            ..row.clone()
        };
        super::review::check(
            std::slice::from_ref(&row.id),
            &asked.by,
            asked.reason.as_deref(),
        )?;
        self.fits_task(&mended).await?;
        let given = Given {
            receipt: row.receipt.clone(),
            kind: FeedbackKind::Correction,
            correction: Some(asked.correction.clone()),
            reason: asked.reason.clone(),
            from: Some(asked.by.trim().to_owned()),
            prompt: row.prompt.clone(),
        };
        let giver = Giver {
            token: String::new(),
            name: asked.by.trim().to_owned(),
        };
        let new = self.give_feedback(given, &giver).await?;
        let decide = |id: &str, review, reason| FeedbackReview {
            ids: vec![id.to_owned()],
            review,
            by: asked.by.clone(),
            reason,
        };
        // The new one first: cut off between the two, both stand, and nothing was lost.
        let accept = decide(&new.id, Review::Accept, asked.reason.clone());
        let mut rows = self.review_feedback(&accept).await?;
        if new.id != row.id {
            let reason = Some(format!("mended: {}", new.id));
            rows.extend(
                self.review_feedback(&decide(&row.id, Review::Reject, reason))
                    .await?,
            );
        }
        Ok(rows)
    }

    /// What else was said of the same answer, and how many of its corrections say the same.
    pub(crate) async fn beside(&self, row: &FeedbackRow) -> Result<Value, WorkshopError> {
        let all = self.store().feedback_of(&row.receipt).await?;
        let others: Vec<&FeedbackRow> = all.iter().filter(|it| it.id != row.id).collect();
        let corrections = || all.iter().filter(|it| it.kind == FeedbackKind::Correction);
        let said = |it: &FeedbackRow| it.correction.as_deref().map(|text| text.trim().to_owned());
        let same = corrections().filter(|it| said(it) == said(row)).count();
        let told: Vec<Value> = others
            .into_iter()
            .map(|it| {
                json!({
                    "id": it.id,
                    "kind": it.kind,
                    "state": it.state,
                    "by": it.from.as_ref().unwrap_or(&it.owner),
                    "correction": it.correction,
                    "agrees": it.kind == row.kind && said(it) == said(row),
                })
            })
            .collect();
        Ok(json!({
            "others": told,
            "agreement": match row.kind {
                FeedbackKind::Correction => json!({ "same": same, "of": corrections().count() }),
                FeedbackKind::Complaint => Value::Null,
            },
        }))
    }
}
