//! Filing (备案): which act of the authority a service needs, and the package for it.
//!
//! The questions and rules are a data file, each rule with its source and the confidence it was read
//! with. The package puts what the ledger knows into the fields the authority asks for and marks what
//! the operator has to give. None of this files anything: a filing is the authority's, and is
//! evidence only with its number, its date and its document.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use lathe_evidence::statement::{Filing, FilingKind};
use serde::{Deserialize, Serialize};

use crate::words::{Both, Lang};

mod package;

pub use package::{Field, fields, known, package, page};

/// The most bytes a number or an authority's name may have.
const TEXT_BYTES_MAX: usize = 200;

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../data/filing.yaml")).expect("data/filing.yaml is sound")
});

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    questions: Vec<Written>,
    rules: Vec<Rule>,
    none: Ground,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    text: Both,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    kind: FilingKind,
    when: BTreeMap<String, bool>,
    source: String,
    confidence: Confidence,
    because: Both,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ground {
    source: String,
    confidence: Confidence,
    because: Both,
}

/// How a rule was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// In the text itself.
    Primary,
    /// In reports about it.
    Secondary,
}

/// A question of the questionnaire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Question {
    /// Its id.
    pub id: String,
    /// The question.
    pub text: String,
}

/// An act that applies, or that none does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Applies {
    /// The act; absent where none applies.
    pub kind: Option<FilingKind>,
    /// Why.
    pub because: String,
    /// Where that is said.
    pub source: String,
    /// How it was read.
    pub confidence: Confidence,
}

/// Why answers or a filing are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilingError {
    /// A question without an answer.
    #[error("the question `{0}` is not answered; answer every question with yes or no")]
    Unanswered(String),
    /// An answer to no question.
    #[error("there is no question `{0}`; the questions are: {questions}", questions = ids())]
    Unknown(String),
    /// A member of the authority's act that is not there.
    #[error(
        "the filing gives no {0}; a filing is shown only with the authority's number, date and document"
    )]
    Incomplete(&'static str),
    /// Not a day.
    #[error("`{0}` is not a day; write it as on the document: YYYY-MM-DD")]
    Date(String),
}

fn ids() -> String {
    let ids: Vec<&str> = TABLE.questions.iter().map(|it| it.id.as_str()).collect();
    ids.join(", ")
}

/// The questionnaire.
pub fn questions(lang: Lang) -> Vec<Question> {
    let questions = TABLE.questions.iter();
    questions
        .map(|it| Question {
            id: it.id.clone(),
            text: it.text.get(lang).to_owned(),
        })
        .collect()
}

/// The questions that have no answer yet.
pub fn open(answers: &BTreeMap<String, bool>, lang: Lang) -> Vec<Question> {
    let mut questions = questions(lang);
    questions.retain(|it| !answers.contains_key(&it.id));
    questions
}

/// Which acts apply, the heaviest first; exactly one entry without a kind where none does.
///
/// # Errors
/// A question without an answer, or an answer without its question.
pub fn decide(answers: &BTreeMap<String, bool>, lang: Lang) -> Result<Vec<Applies>, FilingError> {
    asked(answers)?;
    if let Some(question) = open(answers, lang).into_iter().next() {
        return Err(FilingError::Unanswered(question.id));
    }
    let holds = |rule: &&Rule| {
        rule.when
            .iter()
            .all(|(id, wanted)| answers.get(id) == Some(wanted))
    };
    let mut applies: Vec<Applies> = Vec::new();
    for rule in TABLE.rules.iter().filter(holds) {
        if applies.iter().all(|it| it.kind != Some(rule.kind)) {
            applies.push(Applies {
                kind: Some(rule.kind),
                because: rule.because.get(lang).to_owned(),
                source: rule.source.clone(),
                confidence: rule.confidence,
            });
        }
    }
    if applies.is_empty() {
        let none = &TABLE.none;
        applies.push(Applies {
            kind: None,
            because: none.because.get(lang).to_owned(),
            source: none.source.clone(),
            confidence: none.confidence,
        });
    }
    Ok(applies)
}

/// Whether every answer is to a question that is asked.
///
/// # Errors
/// The first that is to none.
pub fn asked(answers: &BTreeMap<String, bool>) -> Result<(), FilingError> {
    let known = |id: &String| TABLE.questions.iter().any(|it| it.id == *id);
    match answers.keys().find(|id| !known(id)) {
        Some(id) => Err(FilingError::Unknown(id.clone())),
        None => Ok(()),
    }
}

/// Whether an authority's act may be said and shown: with its number, its authority and a day that
/// exists. Its document is the statement's subject.
///
/// # Errors
/// What it lacks.
pub fn check(filing: &Filing) -> Result<(), FilingError> {
    let given = |text: &str| !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX;
    if !given(&filing.number) {
        return Err(FilingError::Incomplete("number"));
    }
    if !given(&filing.authority) {
        return Err(FilingError::Incomplete("authority"));
    }
    if !given(&filing.registration) {
        return Err(FilingError::Incomplete("registration"));
    }
    if is_day(&filing.date) {
        Ok(())
    } else {
        Err(FilingError::Date(filing.date.clone()))
    }
}

/// Whether the text is a day of the Gregorian calendar, `YYYY-MM-DD`.
fn is_day(text: &str) -> bool {
    let digits = |range: std::ops::Range<usize>| {
        let part = text.get(range)?;
        let plain = part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u32>().ok())?
    };
    let hyphens = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let (Some(year), Some(month), Some(day)) = (digits(0..4), digits(5..7), digits(8..10)) else {
        return false;
    };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    hyphens && year >= 1900 && (1..=days).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(yes: &[&str]) -> BTreeMap<String, bool> {
        let ids = TABLE.questions.iter().map(|it| it.id.clone());
        ids.map(|id| (id.clone(), yes.contains(&id.as_str())))
            .collect()
    }

    #[test]
    fn every_case_of_the_questionnaire() {
        use FilingKind::{Algorithm, GenerativeRegistration, GenerativeService};
        let check = |yes: &[&str], expected: &[FilingKind]| {
            let decided = decide(&answers(yes), Lang::En).unwrap();
            let kinds: Vec<_> = decided.iter().filter_map(|it| it.kind).collect();
            assert_eq!(kinds, expected, "{yes:?}");
            assert!(!decided.is_empty() && decided.iter().all(|it| !it.source.is_empty()));
        };
        check(&[], &[]);
        check(&["generative", "tuned", "opinion"], &[]);
        check(&["public", "generative", "tuned"], &[GenerativeService]);
        check(
            &["public", "generative", "tuned", "base-filed"],
            &[GenerativeService],
        );
        check(&["public", "generative"], &[GenerativeService]);
        check(
            &["public", "generative", "base-filed"],
            &[GenerativeRegistration],
        );
        check(
            &["public", "generative", "tuned", "opinion"],
            &[GenerativeService, Algorithm],
        );
        check(&["public", "recommends"], &[]);
        check(&["public", "recommends", "opinion"], &[Algorithm]);
    }

    #[test]
    fn rules_ask_only_what_is_asked() {
        for rule in &TABLE.rules {
            for id in rule.when.keys() {
                assert!(TABLE.questions.iter().any(|it| it.id == *id), "{id}");
            }
        }
        let mut some = answers(&[]);
        some.remove("tuned");
        assert_eq!(
            decide(&some, Lang::Zh),
            Err(FilingError::Unanswered("tuned".to_owned()))
        );
        let open: Vec<String> = open(&some, Lang::Zh).into_iter().map(|it| it.id).collect();
        assert_eq!(open, ["tuned"]);
        let mut more = answers(&[]);
        more.insert("colour".to_owned(), true);
        assert_eq!(
            decide(&more, Lang::Zh),
            Err(FilingError::Unknown("colour".to_owned()))
        );
    }

    #[test]
    fn an_act_without_number_or_day_is_none() {
        let whole = Filing {
            registration: "R0001".to_owned(),
            kind: FilingKind::Algorithm,
            authority: "国家互联网信息办公室".to_owned(),
            number: "网信算备 1".to_owned(),
            date: "2026-02-28".to_owned(),
            at_ms: 0,
        };
        assert_eq!(check(&whole), Ok(()));
        for date in [
            "2026-02-29",
            "2026-2-28",
            "28.02.2026",
            "2026-13-01",
            "",
            "2026-02-28 ",
        ] {
            let filing = Filing {
                date: date.to_owned(),
                ..whole.clone()
            };
            assert!(check(&filing).is_err(), "{date}");
        }
        let numberless = Filing {
            number: " ".to_owned(),
            ..whole.clone()
        };
        assert_eq!(check(&numberless), Err(FilingError::Incomplete("number")));
    }
}
