//! `filing`: which act of an authority (备案) applies, the package for it, and the act itself, kept as
//! evidence: its number, its date and the digest of its document. Nothing here grants one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Filing, FilingKind, Predicate};
use lathe_ledger::History;
use lathe_register::chain::Denial;
use lathe_register::filing::{self, Applies, FilingError};
use serde_json::{Value, json};

use crate::error::WorkshopError;
use crate::home::io_error;
use crate::trace::number_of;
use crate::words::Lang;
use crate::workshop::Workshop;

/// Answers of the questionnaire, by the questions' ids.
pub type Answers = BTreeMap<String, bool>;

/// The most bytes of a file with answers.
pub const ANSWERS_BYTES_MAX: usize = 64 << 10;

/// The act, as the authority's document has it.
pub(super) struct Act {
    pub kind: FilingKind,
    pub authority: String,
    pub number: String,
    pub date: String,
    pub document: Digest,
}

impl Act {
    /// The act of an authority, `number` being the authority's own.
    pub(super) fn new(
        kind: FilingKind,
        authority: String,
        number: String,
        date: String,
        document: Digest,
    ) -> Act {
        Act {
            kind,
            authority,
            number,
            date,
            document,
        }
    }
}

/// A package to be made.
struct Wanted<'a> {
    /// The registration, by its number, its deployment's name or its order.
    of: &'a str,
    /// The questionnaire's answers.
    answers: Answers,
    /// The folder to write; the page is answered where there is none.
    folder: Option<&'a Path>,
    /// The language of what is answered.
    lang: Lang,
}

/// Answers as YAML: `public: yes`.
///
/// # Errors
/// `filing-answers` when it is something else.
pub fn filing_answers(text: &str) -> Result<Answers, WorkshopError> {
    let refuse = |reason: String| {
        WorkshopError::new(
            "filing-answers",
            format!("cannot read the answers: {reason}"),
            "write one line a question, as `public: yes`; `lathe filing check` lists them",
        )
    };
    if text.len() > ANSWERS_BYTES_MAX {
        return Err(refuse(format!(
            "there are more than {ANSWERS_BYTES_MAX} bytes"
        )));
    }
    serde_saphyr::from_str(text).map_err(|error| refuse(error.to_string()))
}

/// The questionnaire with what was answered, what is open and, once nothing is, what applies. Asks
/// no workshop.
///
/// # Errors
/// `filing-answers` for an answer to no question.
pub fn filing_check(answers: &Answers, lang: Lang) -> Result<Value, WorkshopError> {
    filing::asked(answers).map_err(|error| wrong(&error))?;
    let answered = |it: filing::Question| {
        let answer = answers.get(&it.id);
        json!({ "id": it.id, "text": it.text, "answer": answer })
    };
    let questions = filing::questions(lang.into());
    let questions: Vec<Value> = questions.into_iter().map(answered).collect();
    let open: Vec<String> = filing::open(answers, lang.into())
        .into_iter()
        .map(|it| it.id)
        .collect();
    let applies = if open.is_empty() {
        Some(filing::decide(answers, lang.into()).map_err(|error| wrong(&error))?)
    } else {
        None
    };
    Ok(json!({ "questions": questions, "open": open, "applies": applies }))
}

fn wrong(error: &FilingError) -> WorkshopError {
    WorkshopError::new(
        "filing-answers",
        error.to_string(),
        "give each as `--answer ID=yes` or `--answer ID=no`; `lathe filing check` lists them",
    )
}

fn denied(denial: &Denial) -> WorkshopError {
    WorkshopError::new(
        "filing-package",
        format!("there is no package: {denial}"),
        denial.cure.clone(),
    )
}

fn unknown(of: &str) -> WorkshopError {
    WorkshopError::new(
        "register-unknown",
        format!("the register has nothing that {of} names"),
        "list it with `lathe register list`; a number, a deployment's name or an order's id names one",
    )
}

/// Makes the package of a registration, with what is answered in the language of a tag.
pub(super) async fn package_of(
    shop: &Workshop,
    of: &str,
    answers: Answers,
    (folder, lang): (Option<&Path>, &str),
) -> Result<Value, WorkshopError> {
    let wanted = Wanted {
        of,
        answers,
        folder,
        lang: Lang::from_tag(lang),
    };
    package(shop, wanted).await
}

/// Makes the package: into a folder, Chinese first, or as one page.
async fn package(shop: &Workshop, wanted: Wanted<'_>) -> Result<Value, WorkshopError> {
    let history = shop.store().ledger()?.read().await;
    let number = number_of(&history, wanted.of).ok_or_else(|| unknown(wanted.of))?;
    let answers = complete(&history, &number, wanted.answers)?;
    let Some(folder) = wanted.folder else {
        let page = Package::new(&history, &number, &answers, wanted.lang)?.page(&history);
        return Ok(json!({ "number": number, "page": page }));
    };
    let zh = Package::new(&history, &number, &answers, Lang::Zh)?;
    let en = Package::new(&history, &number, &answers, Lang::En)?;
    let read = if wanted.lang == Lang::Zh { &zh } else { &en };
    let asked: Vec<String> = read
        .fields()
        .into_iter()
        .filter(|it| it.value.is_none())
        .map(|it| format!("{}: {}", it.section, it.field))
        .collect();
    let card = json!({
        "number": number,
        "origin": history.origin(),
        "size": history.len(),
        "root": history.root(),
        "answers": answers,
        "zh": { "applies": zh.applies, "fields": zh.fields() },
        "en": { "applies": en.applies, "fields": en.fields() },
    });
    let files = [
        ("package.zh.html", zh.page(&history)),
        ("package.en.html", en.page(&history)),
        ("package.json", format!("{card:#}\n")),
    ];
    write(folder, &files)?;
    let names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
    Ok(json!({
        "number": number,
        "folder": folder,
        "files": names,
        "applies": read.applies,
        "asked": asked,
    }))
}

/// The answers with those that the ledger gives itself, which nobody may contradict.
fn complete(
    history: &History,
    number: &str,
    mut answers: Answers,
) -> Result<Answers, WorkshopError> {
    for (id, known) in filing::known(history, number).map_err(|denial| denied(&denial))? {
        if answers.get(&id).is_some_and(|answer| *answer != known) {
            let says = if known { "yes" } else { "no" };
            return Err(WorkshopError::new(
                "filing-contradicted",
                format!("the ledger answers the question `{id}` of {number} with {says}"),
                format!("leave `{id}` out, or answer it with {says}"),
            ));
        }
        answers.insert(id, known);
    }
    Ok(answers)
}

/// A package in one language.
struct Package<'a> {
    number: &'a str,
    applies: Vec<Applies>,
    sections: Vec<lathe_register::dossier::Section>,
    lang: lathe_register::Lang,
}

impl<'a> Package<'a> {
    fn new(
        history: &History,
        number: &'a str,
        answers: &Answers,
        lang: Lang,
    ) -> Result<Self, WorkshopError> {
        let lang = lang.into();
        let applies = filing::decide(answers, lang).map_err(|error| wrong(&error))?;
        let sections =
            filing::package(history, number, &applies).map_err(|denial| denied(&denial))?;
        Ok(Package {
            number,
            applies,
            sections,
            lang,
        })
    }

    fn page(&self, history: &History) -> String {
        filing::page(history, self.number, &self.sections, self.lang)
    }

    fn fields(&self) -> Vec<filing::Field> {
        filing::fields(&self.sections, self.lang)
    }
}

/// Writes into a folder that has nothing in it yet.
fn write(folder: &Path, files: &[(&str, String)]) -> Result<(), WorkshopError> {
    fs::create_dir_all(folder).map_err(|error| io_error("create the folder", folder, &error))?;
    let mut inside =
        fs::read_dir(folder).map_err(|error| io_error("read the folder", folder, &error))?;
    if inside.next().is_some() {
        return Err(WorkshopError::new(
            "filing-folder",
            format!("{} has something in it already", folder.display()),
            "name a folder that is new or empty",
        ));
    }
    for (name, text) in files {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| io_error("write", &path, &error))?;
    }
    Ok(())
}

/// Keeps an act as evidence.
pub(super) async fn record(
    shop: &Workshop,
    registration: &str,
    act: Act,
) -> Result<Value, WorkshopError> {
    let link = shop
        .apply_said(|speaker| {
            let known = speaker.history().of_kind("registration").any(|entry| {
                matches!(&entry.statement.predicate,
                    Predicate::Registration(said) if said.number == registration)
            });
            if !known {
                return Err(unknown(registration));
            }
            let said = Filing {
                registration: registration.to_owned(),
                kind: act.kind,
                authority: act.authority.clone(),
                number: act.number.clone(),
                date: act.date.clone(),
                at_ms: speaker.at_ms(),
            };
            filing::check(&said).map_err(|error| {
                WorkshopError::new(
                    "filing-incomplete",
                    error.to_string(),
                    "take authority, number and date (YYYY-MM-DD) from the authority's document",
                )
            })?;
            let link = speaker.say(&act.number, act.document, said)?;
            Ok((Vec::new(), link))
        })
        .await?;
    Ok(json!({
        "filing": link,
        "registration": registration,
        "number": act.number,
        "date": act.date,
        "document": act.document,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_people_write_them() {
        let answers = filing_answers("public: yes\ntuned: false\n").unwrap();
        assert_eq!((answers["public"], answers["tuned"]), (true, false));
        for wrong in ["public: perhaps", "- public", "public"] {
            let error = filing_answers(wrong).unwrap_err();
            assert_eq!(error.code(), "filing-answers", "{wrong}");
        }
    }

    #[test]
    fn what_applies_is_said_only_when_nothing_is_open() {
        let mut answers = Answers::new();
        let all = filing_check(&answers, Lang::Zh).unwrap();
        assert_eq!(all["open"].as_array().map(Vec::len), Some(6));
        assert!(all["applies"].is_null());
        let ids: Vec<String> = serde_json::from_value(all["open"].clone()).unwrap();
        answers.extend(ids.into_iter().map(|id| (id, true)));
        let decided = filing_check(&answers, Lang::Zh).unwrap();
        assert_eq!(decided["applies"][0]["kind"], "generative-service");
        assert_eq!(decided["open"], json!([]));
        answers.insert("colour".to_owned(), true);
        let error = filing_check(&answers, Lang::Zh).unwrap_err();
        assert_eq!(error.code(), "filing-answers");
    }

    #[test]
    fn a_folder_with_something_in_it_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("new");
        write(&new, &[("a", "b".to_owned())]).unwrap();
        assert_eq!(fs::read_to_string(new.join("a")).unwrap(), "b");
        let error = write(&new, &[("a", "c".to_owned())]).unwrap_err();
        assert_eq!(error.code(), "filing-folder");
        assert_eq!(fs::read_to_string(new.join("a")).unwrap(), "b");
    }
}
