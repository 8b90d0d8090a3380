//! The words of dossiers and filings, Chinese and English, from data/words.yaml.
//!
//! Both languages have every key. A key that is missing shows itself, which a test forbids.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A language of the dossier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lang {
    /// Chinese.
    Zh,
    /// English.
    En,
}

/// One text in both languages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Both {
    pub zh: String,
    pub en: String,
}

impl Both {
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}

impl Lang {
    /// Both, Chinese first.
    pub const ALL: [Lang; 2] = [Lang::Zh, Lang::En];

    /// Its tag (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Lang::Zh => "zh-CN",
            Lang::En => "en",
        }
    }
}

static WORDS: LazyLock<BTreeMap<String, Both>> = LazyLock::new(|| {
    serde_saphyr::from_str(include_str!("../data/words.yaml")).expect("data/words.yaml is sound")
});

/// The word for `key`; the key itself where there is none.
pub(crate) fn word(lang: Lang, key: &str) -> &str {
    WORDS.get(key).map_or(key, |both| both.get(lang))
}
