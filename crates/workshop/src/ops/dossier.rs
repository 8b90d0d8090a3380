//! `dossier`: what the ledger tells of a registration, to read, to print, and to make again.

use lathe_evidence::statement::Verdict;
use lathe_ledger::History;
use lathe_register::{dossier, registrations};
use serde_json::{Value, json};

use crate::error::WorkshopError;
use crate::objects;
use crate::steps::evaluate::REPORT;
use crate::words::Lang;
use crate::workshop::Workshop;

/// The dossier at the ledger's size now.
pub(super) async fn run(
    shop: &Workshop,
    number: &str,
    lang: &str,
    page: bool,
) -> Result<Value, WorkshopError> {
    let history = shop.store().ledger()?.read().await;
    let report = report_of(shop, &history, number);
    let made = dossier::dossier(&history, number, history.len(), report.as_deref())
        .map_err(|denial| WorkshopError::new(denial.code, denial.to_string(), denial.cure))?;
    if page {
        return Ok(json!({ "page": made.to_html(Lang::from_tag(lang).into()) }));
    }
    let bytes = made.to_json();
    Ok(json!({ "dossier": String::from_utf8_lossy(&bytes) }))
}

/// The report behind a number, where it can be read; the dossier checks that it is the one named.
fn report_of(shop: &Workshop, history: &History, number: &str) -> Option<Vec<u8>> {
    let verdict = registrations::register(history).get(number)?.verdict;
    let said = history.said::<Verdict>(&verdict)?;
    let artifact = history.get(&said.evaluation)?.statement.subject();
    let path = objects::path(shop.home(), &artifact.to_string()).join(REPORT);
    std::fs::read(path).ok()
}
