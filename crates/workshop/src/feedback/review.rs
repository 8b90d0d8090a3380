//! Reviewing: somebody, whose name is kept, stands by what was said of an answer or does not.
//!
//! A decision may be changed; what is already in a dataset version stays there, and the next version has
//! it no more. A correction that is asked as the model was measured has to be an answer that the task
//! allows, or accepting it is refused: the gate would measure the model by something else than it learnt.

use lathe_data::task::Task;
use serde_json::Value;

use super::{
    Decided, FeedbackKind, FeedbackReview, FeedbackRow, FeedbackState, REVIEWED_MAX, Review,
};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::pack::Pack;
use crate::store::Change;
use crate::store::orders::parse;
use crate::workshop::Workshop;

/// The longest name of who decides, in characters.
const BY_CHARS_MAX: usize = 100;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 2000;

impl Workshop {
    /// Decides about feedback, about all of it or, where one cannot be, about none.
    ///
    /// # Errors
    /// `feedback-unknown`, `feedback-review`, `feedback-answer`; the store's.
    pub async fn review_feedback(
        &self,
        asked: &FeedbackReview,
    ) -> Result<Vec<FeedbackRow>, WorkshopError> {
        check(&asked.ids, &asked.by, asked.reason.as_deref())?;
        let at_ms = now_ms();
        let (mut rows, mut changes) = (Vec::new(), Vec::new());
        for id in &asked.ids {
            let mut row = self.feedback(id).await?;
            if asked.review == Review::Accept && row.kind == FeedbackKind::Correction {
                self.fits_task(&row).await?;
            }
            row.state = match asked.review {
                Review::Accept => FeedbackState::Accepted,
                Review::Reject => FeedbackState::Rejected,
            };
            row.decision = Some(Decided {
                at_ms,
                by: asked.by.trim().to_owned(),
                reason: asked.reason.clone(),
            });
            changes.push(Change::FeedbackReviewed(Box::new(row.clone())));
            rows.push(row);
        }
        self.apply(&changes).await?;
        Ok(rows)
    }

    /// Refuses a correction that the task of the deployment does not allow as an answer.
    pub(super) async fn fits_task(&self, row: &FeedbackRow) -> Result<(), WorkshopError> {
        let rows = self.store().deployments().await?;
        let Some(deployed) = rows.into_iter().find(|it| it.name == row.name) else {
            return Ok(());
        };
        let Some(order) = self.store().order(&deployed.order).await? else {
            return Ok(());
        };
        let pack: Pack = parse("an order's pack", &order.spec)?;
        let prompt = row.prompt.as_deref().unwrap_or_default();
        if pack.task.chat.is_some() || !is_as_measured(prompt, pack.task.system.as_deref()) {
            return Ok(());
        }
        let task = Task::new(pack.task).map_err(|error| {
            WorkshopError::new(
                "store-unreadable",
                format!("the task of {} cannot be used: {error}", row.name),
                "use the version of Lathe that wrote this home",
            )
        })?;
        let answer = row.correction.as_deref().unwrap_or_default();
        if task.read_answer(answer).is_some() {
            return Ok(());
        }
        Err(WorkshopError::new(
            "feedback-answer",
            format!(
                "the correction {} is no answer that the task of {} allows",
                row.id, row.name
            ),
            "reject it, and let it be given again as the task's schema has it",
        ))
    }
}

/// Whether a question is asked as the model is measured: its own system message and one question.
fn is_as_measured(prompt: &str, system: Option<&str>) -> bool {
    let asked: Vec<Value> = serde_json::from_str(prompt).unwrap_or_default();
    let (first, rest) = match asked.as_slice() {
        [first, rest @ ..] if first["role"] == "system" => (first["content"].as_str(), rest),
        rest => (None, rest),
    };
    first == system && rest.len() == 1 && rest[0]["role"] == "user"
}

/// Refuses a decision about nothing, by nobody, or with too many words.
pub(super) fn check(ids: &[String], by: &str, reason: Option<&str>) -> Result<(), WorkshopError> {
    let refuse = |text: String, next: &str| Err(WorkshopError::new("feedback-review", text, next));
    if !(1..=REVIEWED_MAX).contains(&ids.len()) {
        let text = format!(
            "cannot decide about {} pieces of feedback at once",
            ids.len()
        );
        return refuse(text, "name 1 to 500");
    }
    let chars = by.trim().chars().count();
    if !(1..=BY_CHARS_MAX).contains(&chars) || by.chars().any(char::is_control) {
        return refuse(
            format!("the name of who decides has {chars} characters or unprintable ones"),
            "say who decides, in at most 100 characters: --by NAME",
        );
    }
    let chars = reason.map_or(0, |reason| reason.chars().count());
    if chars > REASON_CHARS_MAX {
        let text = format!("the reason has {chars} characters, more than {REASON_CHARS_MAX}");
        return refuse(text, "shorten it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_has_somebody_who_made_it() {
        let ids = ["fb-1".to_owned()];
        assert!(check(&ids, "Li Lei", None).is_ok());
        for (ids, by) in [
            (&ids[..0], "Li Lei"),
            (&ids[..], " "),
            (&ids[..], "a\nb"),
            (&ids[..], &"x".repeat(101)),
        ] {
            let error = check(ids, by, None).expect_err(by);
            assert_eq!(error.code(), "feedback-review");
        }
    }

    #[test]
    fn as_measured_is_one_question_under_the_same_system_message() {
        let one = r#"[{"content":"Rate it.","role":"system"},{"content":"x","role":"user"}]"#;
        assert!(is_as_measured(one, Some("Rate it.")));
        assert!(!is_as_measured(one, None) && !is_as_measured(one, Some("Other")));
        let plain = r#"[{"content":"x","role":"user"}]"#;
        assert!(is_as_measured(plain, None) && !is_as_measured(plain, Some("Rate it.")));
        let twice = r#"[{"content":"x","role":"user"},{"content":"x","role":"user"}]"#;
        assert!(!is_as_measured(twice, None) && !is_as_measured("", None));
    }
}
