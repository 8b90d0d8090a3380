//! Feedback on answers, and the dataset versions made of it, as rows.

use lathe_evidence::statement::Link;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use super::orders::parse_word;
use super::projects::project_of_name;
use super::write::{signed, word};
use super::{Store, failed};
use crate::error::WorkshopError;
use crate::feedback::{Decided, FeedbackRow, OF_RECEIPT_MAX, VersionRow, Wanted};
use crate::people::Shown;

type Done = Result<(), sqlx::Error>;
type Tx<'a> = Transaction<'a, Sqlite>;

pub(super) async fn given(tx: &mut Tx<'_>, row: &FeedbackRow) -> Done {
    sqlx::query(
        "INSERT INTO feedback (id, receipt, name, deployment, kind, state, digest, token, owner,
                               sender, reason, prompt, correction, created_ms)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (digest) DO NOTHING",
    )
    .bind(&row.id)
    .bind(&row.receipt)
    .bind(&row.name)
    .bind(row.deployment.to_string())
    .bind(word(&row.kind))
    .bind(word(&row.state))
    .bind(&row.digest)
    .bind(&row.token)
    .bind(&row.owner)
    .bind(&row.from)
    .bind(&row.reason)
    .bind(&row.prompt)
    .bind(&row.correction)
    .bind(row.created_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn reviewed(tx: &mut Tx<'_>, row: &FeedbackRow) -> Done {
    let decided = row.decision.as_ref();
    sqlx::query(
        "UPDATE feedback SET state = ?, reviewed_ms = ?, reviewer = ?, review_reason = ?
         WHERE id = ?",
    )
    .bind(word(&row.state))
    .bind(decided.map(|it| it.at_ms))
    .bind(decided.map(|it| &it.by))
    .bind(decided.and_then(|it| it.reason.as_ref()))
    .bind(&row.id)
    .execute(&mut **tx)
    .await
    .map(drop)
}

pub(super) async fn version(tx: &mut Tx<'_>, row: &VersionRow) -> Done {
    sqlx::query(
        "INSERT OR IGNORE INTO feedback_versions (digest, name, of_name, file, corrections, created_ms)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&row.digest)
    .bind(&row.name)
    .bind(&row.of)
    .bind(&row.file)
    .bind(signed(row.corrections))
    .bind(row.created_ms)
    .execute(&mut **tx)
    .await
    .map(drop)
}

fn link(row: &SqliteRow) -> Result<Link, WorkshopError> {
    let text: String = row.get("deployment");
    text.parse().map_err(|error| {
        WorkshopError::new(
            "store-unreadable",
            format!("the store holds a deployment's digest that is none: {error}"),
            "use the version of Lathe that wrote this home",
        )
    })
}

fn feedback(row: &SqliteRow) -> Result<FeedbackRow, WorkshopError> {
    let decided = row
        .get::<Option<i64>, _>("reviewed_ms")
        .zip(row.get::<Option<String>, _>("reviewer"));
    Ok(FeedbackRow {
        id: row.get("id"),
        receipt: row.get("receipt"),
        name: row.get("name"),
        deployment: link(row)?,
        kind: parse_word("a kind of feedback", row.get("kind"))?,
        state: parse_word("a state of feedback", row.get("state"))?,
        digest: row.get("digest"),
        token: row.get("token"),
        owner: row.get("owner"),
        from: row.get("sender"),
        reason: row.get("reason"),
        prompt: row.get("prompt"),
        correction: row.get("correction"),
        created_ms: row.get("created_ms"),
        decision: decided.map(|(at_ms, by)| Decided {
            at_ms,
            by,
            reason: row.get("review_reason"),
        }),
    })
}

impl Store {
    /// One piece of feedback.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn feedback(&self, id: &str) -> Result<Option<FeedbackRow>, WorkshopError> {
        let row = sqlx::query("SELECT * FROM feedback WHERE id = ?")
            .bind(id)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read feedback"))?;
        row.as_ref().map(feedback).transpose()
    }

    /// The one that was given with this digest.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn feedback_like(&self, digest: &str) -> Result<Option<FeedbackRow>, WorkshopError> {
        let row = sqlx::query("SELECT * FROM feedback WHERE digest = ?")
            .bind(digest)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read feedback"))?;
        row.as_ref().map(feedback).transpose()
    }

    /// What was said of one answer, newest first, without what was asked; as much as is kept of one.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn feedback_of(&self, receipt: &str) -> Result<Vec<FeedbackRow>, WorkshopError> {
        sqlx::query(
            "SELECT id, receipt, name, deployment, kind, state, digest, token, owner, sender, reason,
                    NULL AS prompt, correction, created_ms, reviewed_ms, reviewer, review_reason
             FROM feedback WHERE receipt = ?1 ORDER BY id DESC LIMIT ?2",
        )
        .bind(receipt)
        .bind(signed(OF_RECEIPT_MAX))
        .fetch_all(&self.read)
        .await
        .map_err(failed("read the feedback on an answer"))?
        .iter()
        .map(feedback)
        .collect()
    }

    /// How much is kept in all, and of one answer.
    ///
    /// # Errors
    /// `store`.
    pub async fn feedback_counts(&self, receipt: &str) -> Result<(u64, u64), WorkshopError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM feedback) AS feedbacks,
                    (SELECT COUNT(*) FROM feedback WHERE receipt = ?) AS of_receipt",
        )
        .bind(receipt)
        .fetch_one(&self.read)
        .await
        .map_err(failed("count the feedback"))?;
        let count = |column: &str| row.get::<i64, _>(column).unsigned_abs();
        Ok((count("feedbacks"), count("of_receipt")))
    }

    /// Feedback of the projects that are shown, newest first, without what was asked.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn feedbacks(
        &self,
        wanted: &Wanted,
        shown: &Shown,
    ) -> Result<Vec<FeedbackRow>, WorkshopError> {
        // What was asked may be long, and is left out.
        sqlx::query(concat!(
            "SELECT id, receipt, name, deployment, kind, state, digest, token, owner, sender, reason,
                    NULL AS prompt, correction, created_ms, reviewed_ms, reviewer, review_reason
             FROM feedback
             WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR token = ?2)
               AND (?3 IS NULL OR id < ?3)
               AND (?5 IS NULL OR ",
            project_of_name!("feedback.name"),
            " IN (SELECT value FROM json_each(?5)))
             ORDER BY id DESC LIMIT ?4",
        ))
        .bind(wanted.state.as_ref().map(word))
        .bind(&wanted.token)
        .bind(&wanted.before)
        .bind(wanted.limit)
        .bind(shown.list())
        .fetch_all(&self.read)
        .await
        .map_err(failed("read feedback"))?
        .iter()
        .map(feedback)
        .collect()
    }

    /// Accepted corrections, of one name's answers or of all, in the order they were accepted.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn accepted_corrections(
        &self,
        of: Option<&str>,
    ) -> Result<Vec<FeedbackRow>, WorkshopError> {
        sqlx::query(
            "SELECT * FROM feedback
             WHERE kind = 'correction' AND state = 'accepted' AND (?1 IS NULL OR name = ?1)
             ORDER BY reviewed_ms, id",
        )
        .bind(of)
        .fetch_all(&self.read)
        .await
        .map_err(failed("read the accepted corrections"))?
        .iter()
        .map(feedback)
        .collect()
    }

    /// The bytes of what was asked and corrected in those.
    ///
    /// # Errors
    /// `store`.
    pub async fn corrections_bytes(&self, of: Option<&str>) -> Result<u64, WorkshopError> {
        let row = sqlx::query(
            "SELECT COALESCE(SUM(LENGTH(CAST(prompt AS BLOB)) + LENGTH(CAST(correction AS BLOB))), 0)
                    AS bytes
             FROM feedback
             WHERE kind = 'correction' AND state = 'accepted' AND (?1 IS NULL OR name = ?1)",
        )
        .bind(of)
        .fetch_one(&self.read)
        .await
        .map_err(failed("measure the accepted corrections"))?;
        Ok(row.get::<i64, _>("bytes").unsigned_abs())
    }

    /// The newest version of a dataset of corrections.
    ///
    /// # Errors
    /// `store`.
    pub async fn feedback_version(&self, name: &str) -> Result<Option<VersionRow>, WorkshopError> {
        let row = sqlx::query(
            "SELECT * FROM feedback_versions WHERE name = ?
             ORDER BY created_ms DESC, rowid DESC LIMIT 1",
        )
        .bind(name)
        .fetch_optional(&self.read)
        .await
        .map_err(failed("read a dataset of corrections"))?;
        Ok(row.map(|row| VersionRow {
            digest: row.get("digest"),
            name: row.get("name"),
            of: row.get("of_name"),
            file: row.get("file"),
            corrections: row.get::<i64, _>("corrections").unsigned_abs(),
            created_ms: row.get("created_ms"),
        }))
    }

    /// Of the newest `window` answers of a deployment, how many there are, and how many of them were
    /// complained about after `since_ms` by complaints that nobody rejected.
    ///
    /// # Errors
    /// `store`.
    pub async fn complaints(
        &self,
        deployment: &Link,
        window: u32,
        since_ms: i64,
    ) -> Result<(u64, u64), WorkshopError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS answers,
                    COALESCE(SUM(EXISTS (
                        SELECT 1 FROM feedback
                        WHERE feedback.receipt = newest.id AND kind = 'complaint'
                          AND feedback.state != 'rejected' AND created_ms > ?3
                    )), 0) AS complained
             FROM (SELECT id FROM receipts WHERE deployment = ?1 AND state = 'closed'
                   ORDER BY id DESC LIMIT ?2) AS newest",
        )
        .bind(deployment.to_string())
        .bind(window)
        .bind(since_ms)
        .fetch_one(&self.read)
        .await
        .map_err(failed("count complaints"))?;
        let count = |column: &str| row.get::<i64, _>(column).unsigned_abs();
        Ok((count("answers"), count("complained")))
    }
}

#[cfg(test)]
mod tests {
    use lathe_evidence::Digest;
    use lathe_evidence::receipt::{Ended, Receipt};
    use lathe_evidence::statement::BreakerState;

    use super::super::Change;
    use super::super::receipts::{ClosedReceipt, OpenReceipt};
    use super::*;
    use crate::feedback::{FeedbackKind, FeedbackState};

    fn opened(id: &str) -> OpenReceipt {
        OpenReceipt {
            id: id.to_owned(),
            name: "tiny".to_owned(),
            deployment: Digest::of(b"deployment"),
            model: Digest::of(b"model"),
            policy: Digest::of(b"policy"),
            prompt: Digest::of(b"prompt"),
            breaker: BreakerState::Closed,
            relayed: false,
            ledger_size: 1,
            opened_ms: 1,
        }
    }

    fn closed(id: &str) -> ClosedReceipt {
        let open = opened(id);
        let receipt = Receipt {
            id: open.id,
            name: open.name,
            deployment: open.deployment,
            model: open.model,
            policy: open.policy,
            prompt: open.prompt,
            answer: Digest::of(b"answer"),
            ended: Ended::Stop,
            prompt_tokens: 1,
            answer_tokens: 1,
            breaker: open.breaker,
            ledger_size: 1,
            spans: Vec::new(),
            opened_ms: 1,
            closed_ms: 2,
            upstream: None,
        };
        let bytes = receipt.to_bytes().unwrap();
        ClosedReceipt {
            leaf: Receipt::leaf(&bytes),
            bytes,
            receipt,
            texts: None,
            shingles: Vec::new(),
        }
    }

    fn said(number: u32, receipt: &str, kind: FeedbackKind) -> FeedbackRow {
        let correction = (kind == FeedbackKind::Correction).then(|| "right".to_owned());
        FeedbackRow {
            id: format!("fb-{number}"),
            receipt: receipt.to_owned(),
            name: "tiny".to_owned(),
            deployment: Digest::of(b"deployment"),
            kind,
            state: FeedbackState::Received,
            digest: format!("digest {number}"),
            token: "key".to_owned(),
            owner: "the shop".to_owned(),
            from: None,
            reason: Some("wrong".to_owned()),
            prompt: correction.as_ref().map(|_| "[]".to_owned()),
            correction,
            created_ms: i64::from(number),
            decision: None,
        }
    }

    async fn with_answers(folder: &std::path::Path, count: u32) -> Store {
        let store = Store::open(&folder.join("s")).await.unwrap();
        for number in 0..count {
            let id = format!("r-{number}");
            let changes = [
                Change::ReceiptOpened(Box::new(opened(&id))),
                Change::ReceiptClosed(Box::new(closed(&id))),
            ];
            store.apply(&changes).await.unwrap();
        }
        store
    }

    fn given(row: FeedbackRow) -> Change {
        Change::FeedbackGiven(Box::new(row))
    }

    fn decided(row: FeedbackRow, state: FeedbackState, at_ms: i64) -> Change {
        Change::FeedbackReviewed(Box::new(FeedbackRow {
            state,
            decision: Some(Decided {
                at_ms,
                by: "Li Lei".to_owned(),
                reason: Some("checked".to_owned()),
            }),
            ..row
        }))
    }

    #[tokio::test]
    async fn what_is_given_is_kept_once_and_found_by_state_and_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = with_answers(folder.path(), 1).await;
        let first = said(1, "r-0", FeedbackKind::Correction);
        let again = FeedbackRow {
            id: "fb-9".to_owned(),
            ..first.clone()
        };
        let other = said(2, "r-0", FeedbackKind::Complaint);
        store
            .apply(&[given(first.clone()), given(again), given(other.clone())])
            .await
            .unwrap();
        assert_eq!(store.feedback("fb-9").await.unwrap(), None);
        assert_eq!(
            store.feedback_like("digest 1").await.unwrap(),
            Some(first.clone())
        );
        assert_eq!(store.feedback_counts("r-0").await.unwrap(), (2, 2));
        store
            .apply(&[decided(first.clone(), FeedbackState::Accepted, 7)])
            .await
            .unwrap();
        let list = async |wanted: Wanted| {
            let rows = store.feedbacks(&wanted, &Shown::All).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        let all = Wanted {
            limit: 10,
            ..Wanted::default()
        };
        assert_eq!(list(all.clone()).await, ["fb-2", "fb-1"]);
        let accepted = Wanted {
            state: Some(FeedbackState::Accepted),
            ..all.clone()
        };
        assert_eq!(list(accepted).await, ["fb-1"]);
        let after = Wanted {
            before: Some("fb-2".to_owned()),
            ..all.clone()
        };
        assert_eq!(list(after).await, ["fb-1"]);
        let of_others = Wanted {
            token: Some("another".to_owned()),
            ..all
        };
        assert_eq!(list(of_others).await, [""; 0]);
        let accepted = store.accepted_corrections(Some("tiny")).await.unwrap();
        assert_eq!(accepted[0].decision.as_ref().unwrap().by, "Li Lei");
        assert_eq!(store.corrections_bytes(None).await.unwrap(), 7);
        let of_others = store.accepted_corrections(Some("other")).await.unwrap();
        assert_eq!(of_others, []);
        store.close().await;
    }

    #[tokio::test]
    async fn an_answer_counts_once_and_what_was_rejected_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = with_answers(folder.path(), 5).await;
        let complaint = |number, receipt| given(said(number, receipt, FeedbackKind::Complaint));
        store
            .apply(&[
                complaint(10, "r-1"),
                complaint(11, "r-1"),
                complaint(12, "r-2"),
                complaint(13, "r-4"),
                given(said(14, "r-3", FeedbackKind::Correction)),
            ])
            .await
            .unwrap();
        let count = async |window, since| {
            let deployment = Digest::of(b"deployment");
            store.complaints(&deployment, window, since).await.unwrap()
        };
        assert_eq!(count(10, 0).await, (5, 3));
        assert_eq!(count(2, 0).await, (2, 1), "of the newest two");
        assert_eq!(count(10, 12).await, (5, 1), "since the breaker moved");
        let rejected = said(13, "r-4", FeedbackKind::Complaint);
        store
            .apply(&[decided(rejected, FeedbackState::Rejected, 20)])
            .await
            .unwrap();
        assert_eq!(count(10, 0).await, (5, 2));
        let others = Digest::of(b"another deployment");
        assert_eq!(store.complaints(&others, 10, 0).await.unwrap(), (0, 0));
        store.close().await;
    }
}
