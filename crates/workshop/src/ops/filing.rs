//! `filing record`: an authority's act (备案) is kept as evidence: its number, its date, and the
//! digest of its document. Nothing here grants one.

use lathe_evidence::Digest;
use lathe_evidence::statement::{Filing, FilingKind, Predicate};
use serde_json::{Value, json};

use crate::error::WorkshopError;
use crate::workshop::Workshop;

/// The act, as the authority's document has it.
pub(super) struct Act {
    pub kind: FilingKind,
    pub authority: String,
    pub number: String,
    pub date: String,
    pub document: Digest,
}

/// Says it.
pub(super) async fn run(
    shop: &Workshop,
    registration: &str,
    act: Act,
) -> Result<Value, WorkshopError> {
    check(&act)?;
    let link = shop
        .apply_said(|speaker| {
            let known = speaker.history().of_kind("registration").any(|entry| {
                matches!(&entry.statement.predicate,
                    Predicate::Registration(said) if said.number == registration)
            });
            if !known {
                return Err(WorkshopError::new(
                    "register-unknown",
                    format!("the register has no registration {registration}"),
                    "list them with `lathe register list`",
                ));
            }
            let said = Filing {
                registration: registration.to_owned(),
                kind: act.kind,
                authority: act.authority.clone(),
                number: act.number.clone(),
                date: act.date.clone(),
                at_ms: speaker.at_ms(),
            };
            let link = speaker.say(&act.number, act.document, said)?;
            Ok((Vec::new(), link))
        })
        .await?;
    Ok(json!({ "filing": link, "registration": registration, "number": act.number }))
}

fn check(act: &Act) -> Result<(), WorkshopError> {
    let parts: Vec<&str> = act.date.split('-').collect();
    let digits = |part: &&str, long: usize| {
        part.len() == long && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let dated =
        parts.len() == 3 && digits(&parts[0], 4) && digits(&parts[1], 2) && digits(&parts[2], 2);
    if dated && !act.number.trim().is_empty() && !act.authority.trim().is_empty() {
        return Ok(());
    }
    Err(WorkshopError::new(
        "filing-incomplete",
        "a filing is shown only with authority, number and date (YYYY-MM-DD)",
        "take all three from the authority's document",
    ))
}
