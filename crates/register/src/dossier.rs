//! The dossier of a registration: everything the ledger knows of a model, for whoever has to believe
//! it.
//!
//! A pure function of the history at a checkpoint (and the report, whose digest the history holds):
//! the same ledger gives the same bytes anywhere, as canonical JSON and as a page to print, in
//! Chinese and English. Nothing is typed in here by hand. That a model is filed is said only with the
//! authority's number, date and the digest of its document.

mod page;
mod rows;

use lathe_evidence::report::Report;
use lathe_evidence::{Digest, canonical};
use lathe_ledger::History;
use serde::Serialize;

use crate::chain::Denial;
use crate::words::Lang;

/// A dossier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dossier {
    /// The layout: 1.
    pub version: u64,
    /// The number in the register.
    pub number: String,
    /// The ledger's origin.
    pub origin: String,
    /// How many entries it was made from.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// What is known, by subject.
    pub sections: Vec<Section>,
}

/// What is known of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Section {
    /// What it is about: `base`.
    pub key: String,
    /// The facts.
    pub rows: Vec<Row>,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// What it is: `licence`.
    pub key: String,
    /// The fact.
    pub value: Value,
}

/// A fact, in the form in which it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// A text as it was said.
    Text(String),
    /// A digest.
    Digest(Digest),
    /// A moment, milliseconds since 1970.
    Time(i64),
    /// A word that both languages have.
    Word(String),
    /// Something the ledger cannot know and its operator has to give.
    Asked,
}

/// The dossier of `number` as the first `size` entries tell it. `report` adds the intervals of the
/// figures, if it is the report that the evaluation names; any other is passed over.
///
/// # Errors
/// There is no such number, or what its newest step rests on is not whole.
pub fn dossier(
    history: &History,
    number: &str,
    size: u64,
    report: Option<&[u8]>,
) -> Result<Dossier, Denial> {
    let mut at = history.clone();
    at.rewind(size);
    Ok(Dossier {
        version: 1,
        number: number.to_owned(),
        origin: at.origin().to_owned(),
        size: at.len(),
        root: at.root(),
        sections: rows::sections(&at, number, report)?,
    })
}

impl Dossier {
    /// Its canonical JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let value = serde_json::to_value(self).expect("a dossier is texts and whole numbers");
        canonical::to_bytes(&value).expect("a dossier is shallow and has no floats")
    }

    /// Itself as a page to read and to print.
    pub fn to_html(&self, lang: Lang) -> String {
        page::dossier(self, lang)
    }
}

/// The report, if its digest is `said`.
fn report_of(bytes: &[u8], said: Digest) -> Option<Report> {
    (Digest::of(bytes) == said).then(|| serde_json::from_slice(bytes).ok())?
}

pub use page::time;
pub(crate) use page::{sections as sections_page, value_text};
pub(crate) use rows::model_sections;
