//! Why the model server refused, on the page that asks it: by the code of its error, in the page's language, with what
//! it said beside that. In English its own words are those of the page, but where they name a header and the page has
//! a box to tick.

use lathe_workshop::words::Lang;
use serde_json::{Map, Value};

use crate::lang::Say;

/// The words of the codes that somebody who asks a model meets; each key ends with the code.
const WORDS: [&str; 15] = [
    "web.try.refused.breaker_open",
    "web.try.refused.context_length_exceeded",
    "web.try.refused.model_not_allowed",
    "web.try.refused.model_not_found",
    "web.try.refused.model_opening",
    "web.try.refused.queue_full",
    "web.try.refused.queue_timeout",
    "web.try.refused.receipt_failed",
    RESTRICTED,
    "web.try.refused.unavailable",
    "web.try.refused.upstream_busy",
    "web.try.refused.upstream_down",
    "web.try.refused.upstream_failed",
    "web.try.refused.upstream_full",
    "web.try.refused.upstream_timeout",
];
/// What was said of this one tells programs to send a header.
const RESTRICTED: &str = "web.try.refused.restricted";

/// What is told of a refusal with this code that `said` so.
pub(super) fn told(say: Say, code: Option<&str>, said: &str) -> String {
    let mut known = WORDS.into_iter();
    let key = code.and_then(|code| known.find(|key| code_of(key) == code));
    match key.and_then(|key| sentence(say, key)) {
        Some(text) => text.replace("{value}", said),
        None => said.to_owned(),
    }
}

/// The same for the script, as JSON: by the code its sentence, with `{value}` where what was said stands. What has none
/// is told as it was said.
pub(super) fn by_code(say: Say) -> String {
    let all = WORDS.into_iter().filter_map(|key| {
        let text = sentence(say, key)?;
        Some((code_of(key).to_owned(), Value::from(text)))
    });
    Value::Object(all.collect::<Map<String, Value>>()).to_string()
}

fn code_of(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, code)| code)
}

fn sentence(say: Say, key: &str) -> Option<String> {
    let text = say.it(key);
    match say.lang() {
        _ if key == RESTRICTED => Some(text),
        Lang::En => None,
        // The place of what was said stays open.
        Lang::Zh => Some(say.with("web.try.refused.said", &[("text", &text)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_by_its_code_beside_what_was_said() {
        let said = "The server already holds {value} requests.";
        let (en, zh) = (Say::new(Lang::En), Say::new(Lang::Zh));
        assert_eq!(told(en, Some("queue_full"), said), said);
        let chinese = told(zh, Some("queue_full"), said);
        assert!(chinese.starts_with("模型服务"), "{chinese}");
        assert!(chinese.ends_with(&format!("（{said}）")), "{chinese}");
        for code in [None, Some("no_such_code"), Some("said")] {
            assert_eq!(told(zh, code, said), said, "{code:?}");
        }
    }

    #[test]
    fn who_meets_a_restricted_model_is_told_of_the_box_and_not_of_a_header() {
        let said = "m is restricted: r; send the header x-lathe-accept-restricted: 1.";
        for (lang, words) in [(Lang::En, "tick"), (Lang::Zh, "勾选")] {
            let text = told(Say::new(lang), Some("restricted"), said);
            assert!(text.contains(words) && !text.contains("header"), "{text}");
        }
    }

    #[test]
    fn the_script_has_the_same_words() {
        let read = |lang| {
            let text = by_code(Say::new(lang));
            serde_json::from_str::<Map<String, Value>>(&text).expect("an object")
        };
        let (en, zh) = (read(Lang::En), read(Lang::Zh));
        assert_eq!(en.keys().collect::<Vec<_>>(), ["restricted"]);
        assert_eq!(zh.len(), WORDS.len());
        for (code, text) in &zh {
            let text = text.as_str().expect("a text");
            let filled = told(Say::new(Lang::Zh), Some(code), "why");
            assert_eq!(text.replace("{value}", "why"), filled, "{code}");
        }
    }
}
