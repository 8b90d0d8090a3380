//! An error as a page tells it, in the reader's language: by its code, with what the error itself said below it, as it
//! was written. In English the error's own words are those of the page.
//!
//! Not here: why a step ended (`fault.rs`), and where the words of a code stand (`lathe_workshop::words`).

use lathe_workshop::WorkshopError;
use lathe_workshop::draft::SettingMistake;
use lathe_workshop::pack::change::Expected;
use lathe_workshop::words::{self, Lang};

use super::fault::sentences;
use crate::lang::Say;

/// Codes that say of a field no more than that it is wrong; each is of many fields.
const OF_FIELDS: [&str; 3] = ["pack-invalid", "bring-mapping", "order-recipe"];

/// What is told of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Alert {
    pub text: String,
    /// What to do; empty where that is only in what was said.
    pub next: String,
    /// What the error said, in English; empty where the rest says it all.
    pub said: String,
}

/// What is told of a mistake at a field of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The setting; empty where it is none alone.
    pub key: String,
    pub code: String,
    pub told: Alert,
}

impl Alert {
    /// Of an error of the workshop.
    pub fn new(say: Say, error: &WorkshopError) -> Alert {
        Alert::of(say, error.code(), &error.to_string(), error.next())
    }

    /// By its code; in another language than English, one that the catalogue does not know is a failing of no name.
    pub fn of(say: Say, code: &str, text: &str, next: &str) -> Alert {
        let lang = say.lang();
        if lang == Lang::En {
            return Alert::own(text, next);
        }
        let said = sentences(text, next);
        // What is no more than the sentence in English need not stand below it.
        let is_known = words::problem(Lang::En, code).is_some_and(|known| known == said);
        Alert {
            text: words::problem(lang, code).unwrap_or_else(|| say.it("web.problem.other")),
            next: words::problem_next(lang, code).unwrap_or_default(),
            said: if is_known { String::new() } else { said },
        }
    }

    /// Of a mistake at a field, where it is a value of another kind in words of its own.
    pub fn at(say: Say, mistake: &SettingMistake) -> Alert {
        let SettingMistake {
            key,
            code,
            text,
            next,
            expected,
        } = mistake;
        if let Some(expected) = expected {
            let is = match expected {
                Expected::Within(_) => "web.form.within",
                _ => "web.form.expected",
            };
            return Alert::own(
                &say.of(is, expected.told(say.lang())),
                &say.of("web.form.expected.next", expected.example(key)),
            );
        }
        match key.is_empty() {
            true => Alert::of(say, code, text, next),
            false => Alert::of_field(say, code, text, next),
        }
    }

    /// As [`Alert::of`], of what stands in a field.
    pub fn of_field(say: Say, code: &str, text: &str, next: &str) -> Alert {
        let told = Alert::of(say, code, text, next);
        match say.lang() {
            Lang::Zh if OF_FIELDS.contains(&code) => Alert {
                text: say.it("web.form.refused"),
                next: String::new(),
                ..told
            },
            _ => told,
        }
    }

    /// In words that are the page's already.
    pub fn own(text: &str, next: &str) -> Alert {
        Alert {
            text: text.to_owned(),
            next: next.to_owned(),
            said: String::new(),
        }
    }
}

impl Mistake {
    /// One that the workshop found.
    pub fn new(say: Say, mistake: &SettingMistake) -> Mistake {
        Mistake {
            key: mistake.key.clone(),
            code: mistake.code.clone(),
            told: Alert::at(say, mistake),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EN: Say = Say::new(Lang::En);
    const ZH: Say = Say::new(Lang::Zh);

    fn told(text: &str, next: &str, said: &str) -> Alert {
        Alert {
            said: said.to_owned(),
            ..Alert::own(text, next)
        }
    }

    #[test]
    fn an_error_is_told_by_its_code_beside_what_it_said() {
        let error = WorkshopError::new("token-request", "the limit is 0", "write another");
        assert_eq!(
            Alert::new(EN, &error),
            told("the limit is 0", "write another", "")
        );
        let chinese = Alert::new(ZH, &error);
        assert_eq!(chinese.text, "API 密钥的申请信息不符合要求。");
        assert!(chinese.next.contains("36500"), "{chinese:?}");
        assert_eq!(chinese.said, "the limit is 0; write another");
        // A code of steps has the words it has there.
        let step = Alert::of(ZH, "data-missing", "no a.csv", "");
        assert_eq!(step, told("来源中指定的内容不存在。", "", "no a.csv"));
        let unknown = Alert::of(ZH, "no-such-code", "it is odd", "");
        assert_eq!(
            unknown,
            told("操作未能完成，原因见详细信息。", "", "it is odd")
        );
    }

    #[test]
    fn what_the_error_says_is_not_said_twice() {
        let text = words::problem(Lang::En, "withdraw-unconfirmed").expect("its words");
        let error = WorkshopError::new("withdraw-unconfirmed", text, "");
        let expected = told("尚未确认：请勾选后再撤回。", "", "");
        assert_eq!(Alert::new(ZH, &error), expected);
    }

    fn mistake(key: &str, expected: Option<Expected>) -> SettingMistake {
        SettingMistake {
            key: key.to_owned(),
            code: "pack-invalid".to_owned(),
            text: "the rank must be 1 to 1024".to_owned(),
            next: "write another".to_owned(),
            expected,
        }
    }

    #[test]
    fn a_value_of_another_kind_is_told_in_the_language_of_the_page() {
        let whole = mistake("tune.sft.rank", Some(Expected::Whole));
        assert_eq!(
            Alert::at(EN, &whole),
            told(
                "This has to be a whole number.",
                "Write for instance 16.",
                ""
            )
        );
        assert_eq!(
            Alert::at(ZH, &whole),
            told("此处应填整数。", "例如可填 16。", "")
        );
        let words = ["cosine", "linear"].map(str::to_owned).into();
        let one_of = mistake("tune.sft.schedule", Some(Expected::OneOf(words)));
        let one_of = Alert::at(ZH, &one_of);
        assert_eq!(one_of.text, "此处应填以下之一：cosine、linear。");
    }

    #[test]
    fn what_has_no_words_of_its_own_says_so_itself() {
        let (text, next) = ("the rank must be 1 to 1024", "write another");
        let said = "the rank must be 1 to 1024; write another";
        let beyond = mistake("tune.sft.rank", None);
        assert_eq!(Alert::at(EN, &beyond), told(text, next, ""));
        assert_eq!(
            Alert::at(ZH, &beyond),
            told("此项不可用，原因见详细信息。", "", said)
        );
        // Of no setting alone, it is the pack that cannot be.
        let whole = Alert::at(ZH, &mistake("", None));
        assert_eq!(whole.text, "场景包或对其配置的改动有误。");
    }
}
