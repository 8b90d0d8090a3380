//! The one catalogue of words, Chinese and English, for pages, server and
//! command line. The words are in words.yaml beside this file and, those of the
//! pages, of their forms, of the one box, of people, of models, of failures, of errors, of notes and of settings, in
//! words/web.yaml, words/forms.yaml, words/box.yaml, words/people.yaml, words/models.yaml, words/faults.yaml,
//! words/problems.yaml, words/notes.yaml and words/settings.yaml.
//!
//! A key that is missing shows itself as the key: a page never fails for a
//! word; the test below holds both languages complete.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

/// A language of the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lang {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Lang {
    /// The language a tag asks for: "zh_CN.UTF-8" and "zh" are Chinese, all else English.
    pub fn from_tag(tag: &str) -> Lang {
        if tag.to_ascii_lowercase().starts_with("zh") {
            Lang::Zh
        } else {
            Lang::En
        }
    }

    /// The language of this process: LATHE_LANG, then LC_ALL, LC_MESSAGES, LANG; the first set one counts.
    pub fn from_env() -> Lang {
        ["LATHE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty())
            .map_or(Lang::En, |value| Lang::from_tag(&value))
    }

    /// The tag for HTML's `lang`: "en" or "zh-CN".
    pub fn tag(self) -> &'static str {
        match self {
            Lang::En => "en",
            Lang::Zh => "zh-CN",
        }
    }
}

impl From<Lang> for lathe_register::Lang {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::En => lathe_register::Lang::En,
            Lang::Zh => lathe_register::Lang::Zh,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Word {
    en: String,
    zh: String,
}

fn catalogue() -> &'static BTreeMap<String, Word> {
    static CATALOGUE: OnceLock<BTreeMap<String, Word>> = OnceLock::new();
    CATALOGUE.get_or_init(|| {
        serde_saphyr::from_str(concat!(
            include_str!("words.yaml"),
            "\n",
            include_str!("words/web.yaml"),
            "\n",
            include_str!("words/forms.yaml"),
            "\n",
            include_str!("words/box.yaml"),
            "\n",
            include_str!("words/people.yaml"),
            "\n",
            include_str!("words/models.yaml"),
            "\n",
            include_str!("words/faults.yaml"),
            "\n",
            include_str!("words/problems.yaml"),
            "\n",
            include_str!("words/notes.yaml"),
            "\n",
            include_str!("words/settings.yaml")
        ))
        .expect("words.yaml is part of the build and parsed by its test")
    })
}

/// The text of `key` in `lang`, each `{name}` replaced by its value from `args`.
pub fn get(lang: Lang, key: &str, args: &[(&str, &str)]) -> String {
    let Some(word) = catalogue().get(key) else {
        return key.to_owned();
    };
    let text = match lang {
        Lang::En => &word.en,
        Lang::Zh => &word.zh,
    };
    fill(text, args)
}

/// Whether the catalogue has this key.
pub fn has(key: &str) -> bool {
    catalogue().contains_key(key)
}

/// What an error of this code is, in a sentence; none where the catalogue does not know it.
pub fn problem(lang: Lang, code: &str) -> Option<String> {
    of_code(lang, code, "")
}

/// What to do about an error of this code, where that is known without its particulars.
pub fn problem_next(lang: Lang, code: &str) -> Option<String> {
    of_code(lang, code, ".next")
}

/// The words of a code; those of what steps end with are the same everywhere, unless what helps there helps nowhere
/// else.
fn of_code(lang: Lang, code: &str, part: &str) -> Option<String> {
    let keys = ["web.problem.of", "web.fault"].map(|group| format!("{group}.{code}{part}"));
    let key = keys.iter().find(|key| has(key))?;
    Some(get(lang, key, &[]))
}

/// Every key of the catalogue.
pub fn keys() -> impl Iterator<Item = &'static str> {
    catalogue().keys().map(String::as_str)
}

/// One pass over the text, so that a value holding braces is never expanded again.
fn fill(text: &str, args: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let (before, tail) = rest.split_at(open);
        let Some(close) = tail.find('}') else { break };
        out.push_str(before);
        let name = &tail[1..close];
        match args.iter().find(|(key, _)| *key == name) {
            Some((_, value)) => out.push_str(value),
            None => out.push_str(&tail[..=close]),
        }
        rest = &tail[close + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holes(text: &str) -> Vec<&str> {
        let mut names: Vec<&str> = text
            .split('{')
            .skip(1)
            .filter_map(|part| part.split_once('}').map(|(name, _)| name))
            .collect();
        names.sort_unstable();
        // A language may name the same thing twice.
        names.dedup();
        names
    }

    #[test]
    fn both_languages_have_every_key_with_the_same_holes() {
        assert!(catalogue().len() > 20);
        for (key, word) in catalogue() {
            assert!(!word.en.trim().is_empty(), "{key} has no English");
            assert!(!word.zh.trim().is_empty(), "{key} has no Chinese");
            assert_eq!(holes(&word.en), holes(&word.zh), "{key}");
        }
    }

    #[test]
    fn every_step_state_and_order_state_has_a_word() {
        for step in crate::order::StepName::KNOWN {
            assert!(has(&format!("step.{step}")), "{step}");
        }
        for state in [
            "waiting", "running", "done", "reused", "failed", "queued", "paused", "rejected",
        ] {
            assert!(has(&format!("state.{state}")), "{state}");
        }
    }

    #[test]
    fn an_error_has_its_words_by_its_code() {
        let told = |code| problem(Lang::Zh, code);
        assert_eq!(
            told("order-compare").unwrap(),
            "一次可对比 2 至 8 个不同的任务。"
        );
        // What a step ends with is the same sentence; where there is no order to press “Try again” on, what to do is not.
        assert_eq!(
            told("disk-full").unwrap(),
            get(Lang::Zh, "web.fault.disk-full", &[])
        );
        let next = problem_next(Lang::En, "disk-full").unwrap();
        assert_eq!(next, "Make room, then try again: it resumes.");
        assert_eq!(told("no-such-code"), None);
        assert_eq!(problem_next(Lang::En, "order-compare"), None);
    }

    #[test]
    fn values_are_filled_once_and_unknown_holes_stay() {
        assert_eq!(fill("{a} and {b}", &[("a", "{b}")]), "{b} and {b}");
        assert_eq!(fill("open {", &[]), "open {");
        assert_eq!(get(Lang::En, "no.such.key", &[]), "no.such.key");
    }

    #[test]
    fn tags() {
        assert_eq!(Lang::from_tag("zh_CN.UTF-8"), Lang::Zh);
        assert_eq!(Lang::from_tag("en_US.UTF-8"), Lang::En);
        assert_eq!(Lang::from_tag("C"), Lang::En);
    }
}
