//! Acts of an authority (备案) behind a registration, and which registration somebody means.
//!
//! There is no "filed" here without the authority's number, its date and the digest of its document.

use std::collections::BTreeSet;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Evaluation, FilingKind, Link, Registration, Verdict};
use lathe_ledger::History;
use lathe_register::registrations;
use serde::{Deserialize, Serialize};

use crate::error::WorkshopError;
use crate::workshop::Workshop;

/// The shortest beginning of an order's id that names it.
const ORDER_START_CHARS_MIN: usize = 8;

/// What an authority did about a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilingView {
    /// The number in this workshop's register.
    pub number: String,
    /// The name it answers under.
    pub name: String,
    /// Whether an act of an authority is kept.
    pub filed: bool,
    /// Those acts, the first one first.
    pub filings: Vec<FiledView>,
}

/// One act, as evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiledView {
    /// Which kind.
    pub kind: FilingKind,
    /// The authority.
    pub authority: String,
    /// The number it gave.
    pub filed_as: String,
    /// The day on its document, YYYY-MM-DD.
    pub date: String,
    /// The SHA-256 of its document.
    pub document: Digest,
    /// The statement in the ledger.
    pub statement: Link,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

impl Workshop {
    /// What an authority did about a registration, which is named by its number, its deployment or
    /// its order.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn filing(&self, of: &str) -> Result<Option<FilingView>, WorkshopError> {
        let history = self.store().ledger()?.read().await;
        let register = registrations::register(&history);
        let entry = number_of(&history, of).and_then(|number| register.get(&number));
        Ok(entry.map(|entry| FilingView {
            number: entry.number.clone(),
            name: entry.name.clone(),
            filed: !entry.filings.is_empty(),
            filings: entry.filings.iter().map(filed).collect(),
        }))
    }
}

fn filed(it: &registrations::Filed) -> FiledView {
    FiledView {
        kind: it.filing.kind,
        authority: it.filing.authority.clone(),
        filed_as: it.filing.number.clone(),
        date: it.filing.date.clone(),
        document: it.document,
        statement: it.link,
        at_ms: it.filing.at_ms,
    }
}

/// The registration's number that somebody means: itself, the name it answers under (the newest), or
/// the order it came from, whole or by its beginning. None where it is not clear.
pub(crate) fn number_of(history: &History, of: &str) -> Option<String> {
    let said: Vec<&Registration> = history
        .of_kind("registration")
        .rev()
        .filter_map(|entry| history.said::<Registration>(&entry.link))
        .collect();
    let named = said.iter().find(|it| it.number == of || it.name == of);
    if let Some(it) = named {
        return Some(it.number.clone());
    }
    if of.len() < ORDER_START_CHARS_MIN {
        return None;
    }
    let from = |it: &&Registration| {
        order_of(history, &it.verdict).is_some_and(|order| order.starts_with(of))
    };
    let numbers: BTreeSet<&str> = said
        .iter()
        .copied()
        .filter(from)
        .map(|it| it.number.as_str())
        .collect();
    match numbers.len() {
        1 => numbers.first().map(|number| (*number).to_owned()),
        _ => None,
    }
}

/// The order whose report a verdict is on.
fn order_of<'h>(history: &'h History, verdict: &Link) -> Option<&'h str> {
    let verdict = history.said::<Verdict>(verdict)?;
    let evaluation = history.said::<Evaluation>(&verdict.evaluation)?;
    Some(&evaluation.order)
}
