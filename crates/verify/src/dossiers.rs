//! Dossiers that a reader was given: made anew from the ledger, they are the same bytes or not.
//!
//! In every form that is printed: canonical JSON, and the page in Chinese and English. Each names its
//! number and the size of the ledger that it was made from.

use std::path::Path;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Registration, Verdict};
use lathe_ledger::History;
use lathe_register::dossier::dossier;
use lathe_register::{Lang, registrations};
use serde::Deserialize;

use crate::findings::Mismatch;
use crate::objects::Objects;
use crate::{Findings, VerifyError};

/// The most bytes a dossier may have.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The report in the artifact that an evaluation is about.
const REPORT_FILE: &str = "report.json";

/// A dossier that was given, and where it came from.
#[derive(Debug, Clone)]
pub struct Given {
    /// The file's name, for people.
    pub name: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// What of a dossier has to be known to make it anew.
#[derive(Deserialize)]
struct Head {
    number: String,
    size: u64,
}

impl Given {
    /// Reads a file.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is too long.
    pub fn read(path: &Path) -> Result<Self, VerifyError> {
        let length = std::fs::metadata(path)
            .map_err(VerifyError::io(path))?
            .len();
        let name = path.to_string_lossy().into_owned();
        if length > FILE_BYTES_MAX {
            let why = format!("it has more than {FILE_BYTES_MAX} bytes");
            return Err(VerifyError::Given { given: name, why });
        }
        let bytes = std::fs::read(path).map_err(VerifyError::io(path))?;
        Ok(Self { name, bytes })
    }
}

/// Makes each dossier anew and compares the bytes.
pub fn check(given: &[Given], history: &History, objects: &Objects, findings: &mut Findings) {
    for it in given {
        let what = format!("dossier {}", it.name);
        match compare(&it.bytes, history, objects) {
            Ok(text) => findings.holds(what, text),
            Err(why) => findings.fails(what, Mismatch::Dossier.code(), why),
        }
    }
}

fn compare(bytes: &[u8], history: &History, objects: &Objects) -> Result<String, String> {
    let Head { number, size } = match bytes.starts_with(b"<") {
        true => page_head(bytes, history).ok_or("it is no dossier's page of this ledger")?,
        false => serde_json::from_slice(bytes)
            .map_err(|error| format!("it is no dossier, neither JSON nor a page: {error}"))?,
    };
    if !(1..=history.len()).contains(&size) {
        let len = history.len();
        return Err(format!(
            "it was made from {size} entries, the ledger has {len}"
        ));
    }
    let report = report(history, &number, size, objects);
    // Reports may be left out of a dossier; then it has no intervals.
    for report in [report.as_deref(), None] {
        let made = dossier(history, &number, size, report).map_err(|it| it.to_string())?;
        let pages = Lang::ALL.map(|lang| made.to_html(lang).into_bytes());
        if made.to_json() == bytes || pages.iter().any(|page| page == bytes) {
            return Ok(format!(
                "{number} at {size} entries comes out byte for byte"
            ));
        }
    }
    Err(format!("{number} at {size} entries comes out otherwise"))
}

/// The number and the size that a page says it is of: its heading ends with the one, its foot tells
/// the other. Believed only if the whole page comes out the same.
fn page_head(bytes: &[u8], history: &History) -> Option<Head> {
    let page = std::str::from_utf8(bytes).ok()?;
    let (_, heading) = page.split_once("<h1>")?;
    let (heading, _) = heading.split_once("</h1>")?;
    let (_, foot) = page.rsplit_once("<footer>")?;
    let (_, size) = foot.split_once("</code>, ")?;
    let digits = size.split(|it: char| !it.is_ascii_digit()).next()?;
    let number = heading.rsplit(' ').next()?;
    let known = registrations::register(history);
    Some(Head {
        number: known.get(number)?.number.clone(),
        size: digits.parse().ok()?,
    })
}

/// The report that the number's newest step rests on, if it can be read.
fn report(history: &History, number: &str, size: u64, objects: &Objects) -> Option<Vec<u8>> {
    let steps = history.of_kind("registration").rev();
    let newest = steps.filter(|entry| entry.index < size).find_map(|entry| {
        let said = history.said::<Registration>(&entry.link)?;
        (said.number == number).then_some(said)
    })?;
    let verdict = history.said::<Verdict>(&newest.verdict)?;
    let artifact: Digest = history.get(&verdict.evaluation)?.statement.subject();
    objects.file(artifact, REPORT_FILE).ok()
}
