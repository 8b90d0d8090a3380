//! `approve`: somebody decides about a model that waits, with a key that does not lie in the home.
//!
//! The workshop drafts the statement, the approver's side signs it ([`sign_approval`]), the workshop
//! takes it if the ledger does. An order that waited goes on; a rejection ends it. Where the workshop's own
//! key signs what is approved, and there are people, one of them decides on a page and it signs for them.
//!
//! What rests on data that was withdrawn since it was tuned is approved by nobody; rejecting it stays possible.
//!
//! Whoever placed an order approves nothing of it, once there are people: neither by themselves nor with a
//! key that bears their name.

use std::sync::Arc;

use lathe_evidence::statement::{
    Approval, ApprovalPolicy, Decision, Link, Predicate, Registration, RegistrationAction,
    Statement,
};
use lathe_ledger::{Envelope, History, SigningKey};
use serde_json::{Value, json};

use super::reasoned;
use crate::audit;
use crate::behind::Behind;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::note::StepNote;
use crate::order::{OrderState, StepError, StepName};
use crate::people::{Person, Reach, reach};
use crate::steps::register::registration_of;
use crate::store::receipts::PendingRow;
use crate::store::{Change, Speaker};
use crate::workshop::Workshop;

async fn pending(shop: &Workshop, number: &str) -> Result<PendingRow, WorkshopError> {
    let rows = shop.store().pending().await?;
    rows.into_iter()
        .find(|row| row.number == number)
        .ok_or_else(|| {
            WorkshopError::new(
                "approval-unknown",
                format!("no registration {number} waits for approval"),
                "list what waits with `lathe register pending`",
            )
        })
}

/// The statement to be signed, as canonical JSON.
pub(super) async fn draft(
    shop: &Workshop,
    number: &str,
    decision: Decision,
    reason: String,
) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let row = pending(shop, number).await?;
    let last_ms = shop.store().ledger()?.read().await.last_ms();
    let said = Approval {
        number: row.number.clone(),
        verdict: row.verdict,
        decision,
        reason,
        expires_ms: None,
        at_ms: now_ms().max(last_ms),
    };
    let statement = Statement::of(&row.name, row.model, said);
    let bytes = statement.to_bytes().map_err(|error| {
        WorkshopError::new(
            "statement",
            error.to_string(),
            "this is a mistake in Lathe; please report it",
        )
    })?;
    Ok(json!({
        "statement": String::from_utf8_lossy(&bytes),
        "name": row.name,
        "model": row.model,
        "verdict": row.verdict,
    }))
}

/// Signs a drafted approval: on the approver's side, after reading what it says.
///
/// # Errors
/// `statement` when it is no approval of this number and decision.
pub fn sign_approval(
    draft: &str,
    number: &str,
    decision: Decision,
    key: &SigningKey,
) -> Result<String, WorkshopError> {
    let refuse = |text: String| {
        WorkshopError::new(
            "statement",
            text,
            "the workshop drafted another statement than asked for: do not sign it",
        )
    };
    let statement = Statement::from_bytes(draft.as_bytes())
        .map_err(|error| refuse(format!("the draft cannot be read: {error}")))?;
    match &statement.predicate {
        Predicate::Approval(said) if said.number == number && said.decision == decision => {}
        other => return Err(refuse(format!("the draft is another {}", other.name()))),
    }
    let envelope = Envelope::seal(&statement, key)
        .map_err(|error| refuse(format!("the draft cannot be signed: {error}")))?;
    Ok(String::from_utf8_lossy(envelope.bytes()).into_owned())
}

/// The number of the registration that a signed approval says it is about; none where it is no approval.
pub(super) fn number_of(envelope: &str) -> Option<String> {
    said_of(envelope).map(|(number, _)| number)
}

/// The same, with what was decided about it.
pub(super) fn said_of(envelope: &str) -> Option<(String, Decision)> {
    let envelope = Envelope::parse(envelope.as_bytes()).ok()?;
    match envelope.statement().ok()?.predicate {
        Predicate::Approval(said) => Some((said.number, said.decision)),
        _ => None,
    }
}

/// Takes a signed approval and lets the order go on, or end. That whoever hands it in may decide about what it is
/// about was judged before; that whoever signed it may is the ledger's to say.
pub(super) async fn run(shop: &Workshop, envelope: String) -> Result<Value, WorkshopError> {
    let refuse = |text: String| {
        WorkshopError::new(
            "approval-unreadable",
            text,
            "sign it with `lathe approve NUMBER --key FILE`",
        )
    };
    let parsed = Envelope::parse(envelope.as_bytes()).map_err(|error| refuse(error.to_string()))?;
    let statement = parsed
        .statement()
        .map_err(|error| refuse(error.to_string()))?;
    let Predicate::Approval(said) = statement.predicate.clone() else {
        return Err(refuse(format!(
            "it is a {}, not an approval",
            statement.predicate.name()
        )));
    };
    let row = pending(shop, &said.number).await?;
    let author = match said.decision {
        Decision::Approved => not_its_author(shop, &row).await?,
        Decision::Rejected => None,
    };
    if said.verdict != row.verdict || statement.subject() != row.model {
        return Err(refuse(format!(
            "it is about another verdict or model than {} waits with",
            said.number
        )));
    }
    let behind = behind(shop, &row, said.decision).await?;
    let link = shop
        .apply_said(|speaker| {
            let link = speaker.take(envelope.into_bytes())?;
            not_its_authors_key(speaker.history(), &link, author.as_ref(), &row)?;
            let changes = decided(
                speaker,
                &row,
                behind.as_ref(),
                (said.decision, &said.reason),
            )?;
            Ok((changes, link))
        })
        .await?;
    shop.wake();
    Ok(told(&link, &row, said.decision))
}

/// Somebody who is logged in decides: the workshop's own key signs, and the reason says for whom. A key of the API
/// is nobody who could answer for it.
pub(super) async fn decide(
    shop: &Workshop,
    number: &str,
    decision: Decision,
    reason: String,
) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let row = pending(shop, number).await?;
    let policy = shop.store().ledger()?.read().await.approval_policy();
    if policy == ApprovalPolicy::TwoPerson || shop.people().is_empty() {
        return Err(WorkshopError::new(
            "approval-signed",
            format!("the decision about {number} is signed with an approver's own key"),
            format!("run: lathe approve {number} --key FILE"),
        ));
    }
    let by = decider(number)?;
    if decision == Decision::Approved {
        not_its_author(shop, &row).await?;
    }
    let behind = behind(shop, &row, decision).await?;
    let link = shop
        .apply_said(|speaker| {
            let said = Approval {
                number: row.number.clone(),
                verdict: row.verdict,
                decision,
                reason: Approval::reason_for(&reason, &by.row.name),
                expires_ms: None,
                at_ms: speaker.at_ms(),
            };
            let link = speaker.say(&row.name, row.model, said)?;
            let changes = decided(speaker, &row, behind.as_ref(), (decision, &reason))?;
            Ok((changes, link))
        })
        .await?;
    shop.wake();
    Ok(told(&link, &row, decision))
}

/// The person who decides.
fn decider(number: &str) -> Result<Arc<Person>, WorkshopError> {
    match reach::now() {
        Some(Reach::Person(person, _)) => Ok(person),
        _ => Err(WorkshopError::new(
            "approval-person",
            format!(
                "nobody who is logged in decides about {number}: a key answers for no decision"
            ),
            format!(
                "log in and decide on its page, or run: lathe register decide {number} --as NAME"
            ),
        )),
    }
}

fn told(link: &Link, row: &PendingRow, decision: Decision) -> Value {
    json!({
        "approval": link,
        "number": row.number,
        "decision": decision,
        "order": row.order,
    })
}

/// The data behind what is to be approved; of what is rejected it is not asked for.
async fn behind(
    shop: &Workshop,
    row: &PendingRow,
    decision: Decision,
) -> Result<Option<Behind>, WorkshopError> {
    match decision {
        Decision::Approved => Behind::of_verdict(shop, &row.verdict).await.map(Some),
        Decision::Rejected => Ok(None),
    }
}

/// What a decision changes: the order goes on, or ends. Refuses to approve what rests on withdrawn data.
fn decided(
    speaker: &mut Speaker<'_>,
    row: &PendingRow,
    behind: Option<&Behind>,
    (decision, reason): (Decision, &str),
) -> Result<Vec<Change>, WorkshopError> {
    if let Some(behind) = behind {
        behind.approvable(speaker.history(), &row.number)?;
    }
    match decision {
        // It is decided, and nobody is asked again: the order finds the approval in the ledger.
        Decision::Approved => Ok(vec![
            Change::SettledFor {
                order: row.order.clone(),
            },
            Change::OrderIs {
                order: row.order.clone(),
                state: OrderState::Queued,
                at_ms: speaker.at_ms(),
            },
        ]),
        Decision::Rejected => rejected(speaker, row, reason),
    }
}

/// Once there are people: refuses where it is asked for whoever placed the order; else the person who did.
async fn not_its_author(
    shop: &Workshop,
    row: &PendingRow,
) -> Result<Option<Arc<Person>>, WorkshopError> {
    if shop.people().is_empty() {
        return Ok(None);
    }
    let author = shop.store().author(&row.order).await?;
    let Some(author) = author else {
        return Ok(None);
    };
    if audit::by().as_ref() == Some(&author) {
        return Err(own(row));
    }
    let name = author.strip_prefix("person ");
    Ok(name.and_then(|name| shop.people().find(name)))
}

/// Refuses an approval that is signed with a key in the name of the person who placed the order.
fn not_its_authors_key(
    history: &History,
    approval: &Link,
    author: Option<&Arc<Person>>,
    row: &PendingRow,
) -> Result<(), WorkshopError> {
    let signer = history.get(approval).map(|entry| entry.signer);
    let key = signer.and_then(|signer| history.key(&signer));
    let (Some(author), Some(key)) = (author, key) else {
        return Ok(());
    };
    let owner = key.record.name.trim().to_lowercase();
    let names = [&author.row.name, &author.row.display];
    match names.iter().any(|name| name.to_lowercase() == owner) {
        true => Err(own(row)),
        false => Ok(()),
    }
}

fn own(row: &PendingRow) -> WorkshopError {
    WorkshopError::new(
        "approval-own",
        format!(
            "whoever placed the order of {} cannot approve it",
            row.number
        ),
        "ask another approver; whoever placed it may still reject it",
    )
}

/// Asks for correction, and ends the order that waited.
fn rejected(
    speaker: &mut Speaker<'_>,
    row: &PendingRow,
    reason: &str,
) -> Result<Vec<Change>, WorkshopError> {
    let at_ms = speaker.at_ms();
    if let Some(last) = registration_of(speaker.history(), &row.name)
        && last.said.action == RegistrationAction::Reviewed
    {
        let said = Registration {
            action: RegistrationAction::CorrectionAsked,
            previous: Some(last.link),
            note: StepNote::Rejected(reason).text(),
            at_ms,
            ..last.said
        };
        speaker.say(&row.name, row.model, said)?;
    }
    Ok(vec![
        Change::SettledFor {
            order: row.order.clone(),
        },
        Change::StepFails {
            order: row.order.clone(),
            step: StepName::Deploy,
            error: StepError::rejection(&row.number, reason),
            at_ms,
        },
    ])
}

#[cfg(test)]
mod tests {
    use lathe_evidence::statement::{Role, Verdict, Withdrawal, Withdrawn};
    use lathe_evidence::{Digest, merkle};

    use super::*;
    use crate::Operation;
    use crate::order::OrderId;
    use crate::people::{PersonRequest, PersonRole, ProjectRequest, Right, Secret};
    use crate::testing::{evaluated, placed, shop};

    const SEED: [u8; 32] = [7; 32];

    /// The records of the dataset that it was measured on.
    fn leaves() -> [Digest; 2] {
        [Digest::of(b"one"), Digest::of(b"two")]
    }

    /// The verdict over a model, with what the ledger wants it to rest on.
    fn judged(speaker: &mut Speaker<'_>) -> Result<Link, WorkshopError> {
        let at_ms = speaker.at_ms();
        let subjects = ["base", "a model", "report"].map(|it| Digest::of(it.as_bytes()));
        let evaluation = evaluated(speaker, subjects, merkle::root(&leaves()))?;
        let verdict = Verdict {
            order: "an order".to_owned(),
            evaluation,
            policy: "{}".to_owned(),
            passed: true,
            outcomes: Vec::new(),
            expires_ms: None,
            at_ms,
        };
        speaker.say("ward.care", Digest::of(b"a model"), verdict)
    }

    /// A model waits in the project `ward`, whose order `author` placed.
    async fn waits(shop: &Workshop, author: &str) {
        for id in ["ward", "bank"] {
            let request = ProjectRequest {
                id: id.to_owned(),
                name: String::new(),
            };
            let create = Operation::ProjectCreate(request);
            shop.operate(create).await.unwrap();
        }
        for name in ["root", "anna", "wang"] {
            let request = PersonRequest {
                name: name.to_owned(),
                display: String::new(),
                roles: match name {
                    "root" => vec![PersonRole::Administrator],
                    _ => Vec::new(),
                },
                denied: Vec::new(),
                password: Some(Secret("correct horse battery".to_owned())),
            };
            shop.operate(Operation::PersonAdd(request)).await.unwrap();
        }
        let key = Operation::KeyAdd {
            public: SigningKey::from_seed(&SEED).public().to_base64(),
            name: "Somebody outside".to_owned(),
            roles: vec![Role::Approver],
        };
        shop.operate(key).await.unwrap();
        let order = OrderId::new();
        let change = [placed(&order)];
        let place = audit::on_behalf(author.to_owned(), shop.apply(&change));
        place.await.unwrap();
        let model = Digest::of(b"a model");
        let said = shop.apply_said(|speaker| {
            let verdict = judged(speaker)?;
            let at_ms = speaker.at_ms();
            let said = Registration {
                number: "2026-0001".to_owned(),
                name: "ward.care".to_owned(),
                action: RegistrationAction::Reviewed,
                previous: None,
                verdict,
                approval: None,
                note: String::new(),
                at_ms,
            };
            speaker.say("ward.care", model, said)?;
            let row = PendingRow {
                number: "2026-0001".to_owned(),
                name: "ward.care".to_owned(),
                model,
                verdict,
                order,
                at_ms,
            };
            Ok((vec![Change::Pending(row)], ()))
        });
        said.await.unwrap();
    }

    async fn part(shop: &Workshop, project: &str, roles: &[PersonRole], denied: &[Right]) {
        let part = Operation::ProjectMember {
            project: project.to_owned(),
            person: "anna".to_owned(),
            roles: roles.to_vec(),
            denied: denied.to_vec(),
        };
        shop.operate(part).await.unwrap();
    }

    /// What comes of an operation that Anna asks for.
    async fn anna(shop: &Workshop, operation: Operation) -> Result<Value, &'static str> {
        let anna = shop.people().find("anna").unwrap();
        let reach = Reach::Person(Arc::clone(&anna), shop.people().clone());
        let asked = audit::on_behalf(anna.told(), shop.operate(operation));
        let done = reach::within(Some(reach), asked).await;
        done.map_err(|error| error.code())
    }

    async fn envelope(shop: &Workshop) -> Operation {
        let draft = Operation::ApprovalDraft {
            number: "2026-0001".to_owned(),
            decision: Decision::Approved,
            reason: "read".to_owned(),
        };
        let draft = shop.operate(draft).await.unwrap();
        let draft = draft["statement"].as_str().unwrap();
        let key = SigningKey::from_seed(&SEED);
        let envelope = sign_approval(draft, "2026-0001", Decision::Approved, &key);
        Operation::Approve {
            envelope: envelope.unwrap(),
        }
    }

    #[tokio::test]
    async fn a_member_hands_in_what_was_signed_about_their_project() {
        let (_folder, shop) = shop().await;
        waits(&shop, "person wang").await;
        let signed = envelope(&shop).await;
        assert_eq!(anna(&shop, signed.clone()).await, Err("right-denied"));
        // An approver of another project is not told that there is such a registration.
        part(&shop, "bank", &[PersonRole::Approver], &[]).await;
        assert_eq!(anna(&shop, signed.clone()).await, Err("not-found"));
        let unreadable = Operation::Approve {
            envelope: "{}".to_owned(),
        };
        assert_eq!(anna(&shop, unreadable).await, Err("approval-unreadable"));
        part(&shop, "ward", &[PersonRole::Tuner], &[]).await;
        assert_eq!(anna(&shop, signed.clone()).await, Err("right-denied"));
        part(&shop, "ward", &[PersonRole::Approver], &[Right::Approve]).await;
        assert_eq!(anna(&shop, signed.clone()).await, Err("right-denied"));
        part(&shop, "ward", &[PersonRole::Approver], &[]).await;
        let done = anna(&shop, signed).await.unwrap();
        assert_eq!(done["number"], "2026-0001");
        shop.stop().await;
    }

    fn decide(decision: Decision) -> Operation {
        Operation::Decide {
            number: "2026-0001".to_owned(),
            decision,
            reason: "read".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_person_decides_and_no_key_does() {
        let (_folder, shop) = shop().await;
        waits(&shop, "person anna").await;
        let approve = || decide(Decision::Approved);
        let by_nobody = shop.operate(approve()).await;
        assert_eq!(by_nobody.unwrap_err().code(), "approval-person");
        let key = Reach::Key("ward".to_owned(), shop.people().clone());
        let by_key = reach::within(Some(key), shop.operate(approve())).await;
        assert_eq!(by_key.unwrap_err().code(), "approval-person");
        part(&shop, "ward", &[PersonRole::Approver], &[]).await;
        assert_eq!(anna(&shop, approve()).await, Err("approval-own"));
        // Whoever placed it may still reject it.
        let done = anna(&shop, decide(Decision::Rejected)).await.unwrap();
        let link: Link = serde_json::from_value(done["approval"].clone()).unwrap();
        let history = shop.store().ledger().unwrap().read().await;
        let said = history.said::<Approval>(&link).unwrap();
        assert_eq!(said.reason, "read (decided by person anna)");
        drop(history);
        shop.stop().await;
    }

    /// A record of the dataset is taken back, whose records lie in the home.
    async fn withdraw(shop: &Workshop) {
        let folder = shop
            .home()
            .objects()
            .join(Digest::of(b"tickets").to_string());
        std::fs::create_dir_all(&folder).unwrap();
        let lines = leaves().map(|leaf| format!("{}\n", json!({ "leaf": leaf })));
        std::fs::write(folder.join("records.jsonl"), lines.concat()).unwrap();
        let [leaf, _] = leaves();
        let said = shop.apply_said(|speaker| {
            let said = Withdrawal {
                what: Withdrawn::Leaf(leaf),
                reason: "the patient asked".to_owned(),
                at_ms: speaker.at_ms(),
            };
            speaker.say("record", leaf, said)?;
            Ok((Vec::new(), ()))
        });
        said.await.unwrap();
    }

    #[tokio::test]
    async fn what_rests_on_a_withdrawn_record_is_rejected_and_not_approved() {
        let (_folder, shop) = shop().await;
        waits(&shop, "person wang").await;
        part(&shop, "ward", &[PersonRole::Approver], &[]).await;
        withdraw(&shop).await;
        let signed = envelope(&shop).await;
        let size = shop.store().ledger().unwrap().read().await.len();
        let refused = Err("approval-withdrawn");
        assert_eq!(anna(&shop, decide(Decision::Approved)).await, refused);
        assert_eq!(anna(&shop, signed).await, refused);
        let after = shop.store().ledger().unwrap().read().await.len();
        assert_eq!(after, size, "nothing of it was said");
        // Whoever looks is told which record, and of which entry.
        let view = shop.registration("2026-0001").await.unwrap().unwrap();
        let chain = view.waiting.unwrap().chain;
        let taken = &chain.withdrawn[..];
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].dataset, Digest::of(b"tickets"));
        assert_eq!(taken[0].withdrawal.said.reason, "the patient asked");
        anna(&shop, decide(Decision::Rejected)).await.unwrap();
        assert_eq!(shop.pending_count(9).await.unwrap(), 0);
        shop.stop().await;
    }

    #[tokio::test]
    async fn what_was_decided_waits_no_more_and_names_who_decided() {
        let (_folder, shop) = shop().await;
        waits(&shop, "person wang").await;
        part(&shop, "ward", &[PersonRole::Approver], &[]).await;
        let view = shop.registration("2026-0001").await.unwrap().unwrap();
        let waiting = view.waiting.unwrap();
        let shown = &waiting.chain;
        assert!(shown.evaluation.is_some() && shown.approval.is_none());
        assert_eq!(waiting.model, Digest::of(b"a model"));
        let done = anna(&shop, decide(Decision::Approved)).await;
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(shop.pending().await.unwrap(), []);
        let again = anna(&shop, decide(Decision::Rejected)).await;
        assert_eq!(again, Err("approval-unknown"));
        let view = shop.registration("2026-0001").await.unwrap().unwrap();
        assert_eq!((view.waiting, view.approvals[0].by()), (None, "anna"));
        shop.stop().await;
    }

    #[tokio::test]
    async fn what_waits_is_counted_for_those_who_may_decide_about_it() {
        let (_folder, shop) = shop().await;
        waits(&shop, "person wang").await;
        let counted = async || {
            let anna = shop.people().find("anna").unwrap();
            let reach = Reach::Person(anna, shop.people().clone());
            let count = reach::within(Some(reach), shop.pending_count(10));
            count.await.unwrap()
        };
        for (project, role, expected) in [
            ("bank", PersonRole::Approver, 0),
            ("ward", PersonRole::Tuner, 0),
            ("ward", PersonRole::Approver, 1),
        ] {
            part(&shop, project, &[role], &[]).await;
            assert_eq!(counted().await, expected, "{role:?} in {project}");
        }
        // No further than to its bound.
        assert_eq!(shop.pending_count(0).await.unwrap(), 0);
        assert_eq!(shop.pending_count(1).await.unwrap(), 1);
        shop.stop().await;
    }

    #[tokio::test]
    async fn whoever_placed_it_hands_in_no_approval_of_it() {
        let (_folder, shop) = shop().await;
        waits(&shop, "person anna").await;
        part(
            &shop,
            "ward",
            &[PersonRole::Tuner, PersonRole::Approver],
            &[],
        )
        .await;
        let signed = envelope(&shop).await;
        assert_eq!(anna(&shop, signed).await, Err("approval-own"));
        shop.stop().await;
    }
}
