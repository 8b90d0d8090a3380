//! Taking feedback in: held against the receipt, kept once, looked at.

use lathe_evidence::receipt::Receipt;
use lathe_evidence::{Digest, canonical};
use serde_json::json;

use super::{
    CORRECTION_BYTES_MAX, FEEDBACK_MAX, FROM_CHARS_MAX, FeedbackKind, FeedbackRow, FeedbackState,
    Given, Giver, OF_RECEIPT_MAX, PROMPT_BYTES_MAX, REASON_CHARS_MAX, Wanted, complaints,
    conversation,
};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::{Right, reach};
use crate::store::Change;
use crate::workshop::Workshop;

impl Workshop {
    /// The receipt of an answer that has ended.
    ///
    /// # Errors
    /// `feedback-receipt`; the store's.
    pub async fn answered(&self, receipt: &str) -> Result<Receipt, WorkshopError> {
        let found = self.store().receipt(receipt).await?;
        found.map(|it| it.receipt).ok_or_else(|| no_answer(receipt))
    }

    /// Keeps what somebody says of an answer; the same is kept once. Durable when this returns.
    ///
    /// # Errors
    /// `feedback-receipt`, `feedback-invalid`, `feedback-prompt`, `feedback-full`; the store's.
    pub async fn give_feedback(
        &self,
        given: Given,
        giver: &Giver,
    ) -> Result<FeedbackRow, WorkshopError> {
        check(&given)?;
        let stored = self.store().receipt(&given.receipt).await?;
        let stored = stored.ok_or_else(|| no_answer(&given.receipt))?;
        let kind = given.kind;
        let digest = digest_of(&given, giver);
        if let Some(row) = self.store().feedback_like(&digest).await? {
            return Ok(row);
        }
        let kept = stored.texts.map(|texts| texts.prompt);
        let row = row_of(given, giver, &digest, (&stored.receipt, kept))?;
        self.room_for(&row).await?;
        self.apply(&[Change::FeedbackGiven(Box::new(row))]).await?;
        if kind == FeedbackKind::Complaint {
            complaints::weigh(self, &stored.receipt).await;
        }
        // Two who say the same at once get the one that was kept.
        let found = self.store().feedback_like(&digest).await?;
        found.ok_or_else(|| unknown("that was given"))
    }

    /// One piece of feedback.
    ///
    /// # Errors
    /// `feedback-unknown`; the store's.
    pub async fn feedback(&self, id: &str) -> Result<FeedbackRow, WorkshopError> {
        let found = self.store().feedback(id).await?;
        found.ok_or_else(|| unknown(id))
    }

    /// What people said of answers, the newest first, without what was asked.
    ///
    /// # Errors
    /// The store's.
    pub async fn feedbacks(&self, wanted: &Wanted) -> Result<Vec<FeedbackRow>, WorkshopError> {
        let shown = reach::shown(Right::Records);
        self.store().feedbacks(wanted, &shown).await
    }

    async fn room_for(&self, row: &FeedbackRow) -> Result<(), WorkshopError> {
        let (all, of_receipt) = self.store().feedback_counts(&row.receipt).await?;
        let full = |text: String, next: &str| Err(WorkshopError::new("feedback-full", text, next));
        if all >= FEEDBACK_MAX {
            let text = format!("the workshop keeps {FEEDBACK_MAX} pieces of feedback already");
            return full(text, "its operator has to begin another home");
        }
        if of_receipt >= OF_RECEIPT_MAX {
            let text = format!("{OF_RECEIPT_MAX} pieces of feedback on this answer are kept");
            return full(
                text,
                "they will be read; what they do not say is for its operator",
            );
        }
        Ok(())
    }
}

/// What is kept of what is given.
fn row_of(
    given: Given,
    giver: &Giver,
    digest: &str,
    (receipt, kept): (&Receipt, Option<String>),
) -> Result<FeedbackRow, WorkshopError> {
    let prompt = match given.kind {
        FeedbackKind::Complaint => None,
        FeedbackKind::Correction => Some(asked_of(receipt, given.prompt.or(kept))?),
    };
    let row = FeedbackRow {
        id: format!("fb-{}", uuid::Uuid::now_v7().simple()),
        receipt: given.receipt,
        name: receipt.name.clone(),
        deployment: receipt.deployment,
        kind: given.kind,
        state: FeedbackState::Received,
        digest: digest.to_owned(),
        token: giver.token.clone(),
        owner: giver.name.clone(),
        from: given.from,
        reason: given.reason,
        prompt,
        correction: given.correction,
        created_ms: now_ms(),
        decision: None,
    };
    if let Some(prompt) = &row.prompt {
        // What could never be learnt is refused now, while its giver can mend it.
        conversation::record(&row, prompt)?;
    }
    Ok(row)
}

/// What was asked of an answer, held against its receipt.
fn asked_of(receipt: &Receipt, prompt: Option<String>) -> Result<String, WorkshopError> {
    let Some(prompt) = prompt else {
        return Err(WorkshopError::new(
            "feedback-prompt",
            "the receipt holds no text of what was asked, which a correction needs",
            "send `messages` (and `tools`) as they were asked beside the correction",
        ));
    };
    if Digest::of(prompt.as_bytes()) != receipt.prompt {
        return Err(WorkshopError::new(
            "feedback-prompt",
            format!(
                "the messages are not those that the receipt {} is of: their digest is another",
                receipt.id
            ),
            "send `messages` (and `tools`) exactly as they were asked, or name the receipt that is \
             theirs",
        ));
    }
    Ok(prompt)
}

/// What is too long, missing or too much.
fn check(given: &Given) -> Result<(), WorkshopError> {
    let refuse = |text: String, next: &str| Err(WorkshopError::new("feedback-invalid", text, next));
    let wrong = match (given.kind, given.correction.as_deref().map(str::trim)) {
        (FeedbackKind::Correction, None | Some("")) => Some((
            "the correction says no right answer",
            "send it as `correction`, or send a complaint",
        )),
        (FeedbackKind::Complaint, Some(_)) => Some((
            "a complaint says no right answer",
            "send it as a correction",
        )),
        _ => None,
    };
    if let Some((text, next)) = wrong {
        return refuse(text.to_owned(), next);
    }
    let chars = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
    let bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let (correction, prompt) = (bytes(&given.correction), bytes(&given.prompt));
    for (name, size, most, unit) in [
        ("correction", correction, CORRECTION_BYTES_MAX, "bytes"),
        ("messages", prompt, PROMPT_BYTES_MAX, "bytes"),
        (
            "reason",
            chars(&given.reason),
            REASON_CHARS_MAX,
            "characters",
        ),
        ("from", chars(&given.from), FROM_CHARS_MAX, "characters"),
    ] {
        if size > most {
            let text = format!("`{name}` has {size} {unit}, more than {most}");
            return refuse(text, "shorten it");
        }
    }
    Ok(())
}

/// The digest of what is given by whom. What was asked is the receipt's already.
fn digest_of(given: &Given, giver: &Giver) -> String {
    let all = json!({
        "receipt": given.receipt,
        "kind": given.kind,
        "correction": given.correction,
        "reason": given.reason,
        "from": given.from,
        "token": giver.token,
    });
    let bytes = canonical::to_bytes(&all).expect("texts alone");
    Digest::of(&bytes).to_string()
}

/// Says that there is no such receipt, or none for whoever asks.
pub fn no_answer(receipt: &str) -> WorkshopError {
    let shown: String = receipt.chars().take(100).collect();
    WorkshopError::new(
        "feedback-receipt",
        format!("there is no receipt {shown} of an answer that has ended"),
        "name the receipt as the answer has it in its header x-lathe-receipt",
    )
}

/// Says that there is no such feedback, or none for whoever asks.
pub fn unknown(id: &str) -> WorkshopError {
    let shown: String = id.chars().take(100).collect();
    WorkshopError::new(
        "feedback-unknown",
        format!("there is no feedback {shown}"),
        "list it with `lathe feedback list` or GET /v1/feedback",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given() -> Given {
        Given {
            receipt: "r".to_owned(),
            kind: FeedbackKind::Correction,
            correction: Some("2".to_owned()),
            reason: None,
            from: None,
            prompt: None,
        }
    }

    fn giver(token: &str) -> Giver {
        Giver {
            token: token.to_owned(),
            name: "the shop".to_owned(),
        }
    }

    #[test]
    fn the_same_of_the_same_giver_is_the_same() {
        let digest = digest_of(&given(), &giver("a"));
        let with_question = Given {
            prompt: Some("[]".to_owned()),
            ..given()
        };
        assert_eq!(digest_of(&with_question, &giver("a")), digest);
        assert_ne!(digest_of(&given(), &giver("b")), digest);
        let other = Given {
            reason: Some("r".to_owned()),
            ..given()
        };
        assert_ne!(digest_of(&other, &giver("a")), digest);
    }

    #[test]
    fn what_is_missing_or_too_long_is_named() {
        type Change = fn(&mut Given);
        let changes: [(Change, &str); 6] = [
            (|it| it.correction = None, "no right answer"),
            (
                |it| it.correction = Some(" \n".to_owned()),
                "no right answer",
            ),
            (|it| it.kind = FeedbackKind::Complaint, "a complaint"),
            (
                |it| it.correction = Some("x".repeat(CORRECTION_BYTES_MAX + 1)),
                "`correction`",
            ),
            (
                |it| it.reason = Some("我".repeat(REASON_CHARS_MAX + 1)),
                "`reason`",
            ),
            (
                |it| it.from = Some("x".repeat(FROM_CHARS_MAX + 1)),
                "`from`",
            ),
        ];
        assert!(check(&given()).is_ok());
        for (change, named) in changes {
            let mut it = given();
            change(&mut it);
            let error = check(&it).expect_err(named);
            assert_eq!(error.code(), "feedback-invalid");
            assert!(error.to_string().contains(named), "{error}");
        }
        let longest = Given {
            reason: Some("我".repeat(REASON_CHARS_MAX)),
            ..given()
        };
        assert!(check(&longest).is_ok(), "characters, not bytes");
    }
}
