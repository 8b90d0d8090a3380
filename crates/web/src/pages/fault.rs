//! Why a step of an order ended, in the reader's language: by the code of its error, with what the step itself said
//! beside it, as it was written.
//!
//! What the gate refused and what an approver rejected is told by what they found. Not here: why a page cannot be
//! shown (`Problem`).

use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Ending, StepError};

use super::audit;
use super::gate::GateView;
use crate::lang::Say;

/// The code of a step that the gate ended.
const REFUSED: &str = "gate-refused";

/// Why a step ended.
#[derive(Debug)]
pub(super) struct Fault {
    pub text: String,
    /// What it consists of: the rules that do not hold.
    pub parts: Vec<String>,
    pub next: String,
    /// Where more of it stands on the page; empty where nowhere.
    pub href: &'static str,
    /// What the step said; empty where the rest says it all.
    pub said: String,
    pub code: String,
    is_rejection: bool,
}

impl Fault {
    /// By its code; an error that the catalogue does not know says its own words, which are English: elsewhere they
    /// stand beside a general line.
    pub fn new(say: Say, error: &StepError) -> Fault {
        let key = format!("web.fault.{}", error.code);
        let next = format!("{key}.next");
        let own = |text: &str| text.trim().to_owned();
        let (text, next, said) = match (words::has(&key), words::has(&next)) {
            (false, _) if say.lang() == Lang::En => {
                (own(&error.text), own(&error.next), String::new())
            }
            (false, _) => {
                let said = sentences(&error.text, &error.next);
                (say.it("web.fault.unknown"), say.it("web.fault.next"), said)
            }
            (true, has_next) => {
                let next = match has_next {
                    true => say.it(&next),
                    false => say.it("web.fault.next"),
                };
                (say.it(&key), next, sentences(&error.text, &error.next))
            }
        };
        // Who cancelled it is all that the step says, and nothing where nobody is asked who they are.
        let (text, said) = match error.cancelled_by() {
            Some(by) => (
                say.with("web.fault.cancelled", &[("who", &by_whom(say, by))]),
                String::new(),
            ),
            None if error.ending() == Ending::Cancelled => (text, String::new()),
            None => (text, said),
        };
        Fault {
            text,
            parts: Vec::new(),
            next,
            href: "",
            said,
            code: error.code.clone(),
            is_rejection: error.ending() == Ending::Rejected,
        }
    }

    /// With what is found on the same page: what the gate found, and who rejected the model.
    pub fn explain(&mut self, say: Say, gate: Option<&GateView>, rejected: Option<&str>) {
        if let Some(rejected) = rejected.filter(|_| self.is_rejection) {
            self.text = rejected.to_owned();
            self.next = say.it("web.order.rejected.next");
            self.said.clear();
        }
        // Where no rule fails below, the step's own words say what it was refused for, as its `next` has it.
        let gate = gate.filter(|it| self.code == REFUSED && !it.passed);
        if let Some(gate) = gate {
            self.parts = gate.failed();
            self.next = say.it("web.fault.gate-refused.rules");
            self.href = "#gate-title";
            self.said.clear();
        }
    }
}

/// Who it was, as the audit names them; people by their name alone.
fn by_whom(say: Say, by: &str) -> String {
    match by.strip_prefix("person ") {
        Some(name) => name.to_owned(),
        None => audit::who(say, by),
    }
}

/// What a step said, and what it said to do next, as one text.
pub(crate) fn sentences(text: &str, next: &str) -> String {
    let parts = [text.trim(), next.trim()];
    let parts = parts.into_iter().filter(|it| !it.is_empty());
    parts.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: &str) -> StepError {
        StepError {
            code: code.to_owned(),
            text: "the file a.csv is odd".to_owned(),
            next: "mend it".to_owned(),
        }
    }

    #[test]
    fn what_steps_end_with_has_words_by_its_code() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        let pages = std::fs::read_dir(pages).expect("the pages of the errors");
        let mut known = 0;
        for page in pages {
            let path = page.expect("a page").path();
            let code = path.file_stem().and_then(|it| it.to_str()).expect("a name");
            // `data-add` is a command's, not a step's.
            let of_steps = [
                "data-",
                "engine-",
                "tune-",
                "eval-",
                "chain-",
                "step-output",
            ];
            if code == "data-add" || !of_steps.iter().any(|it| code.starts_with(it)) {
                continue;
            }
            known += 1;
            let fault = Fault::new(Say::new(Lang::Zh), &error(code));
            assert!(!fault.text.is_ascii(), "{code} has no words: {fault:?}");
            assert!(!fault.next.is_ascii(), "{code} says not what to do");
            assert_eq!(fault.said, "the file a.csv is odd; mend it");
        }
        assert!(known > 40, "only {known} codes found");
    }

    #[test]
    fn what_the_catalogue_does_not_know_says_its_own_words() {
        let fault = |lang| {
            let fault = Fault::new(Say::new(lang), &error("no-such-code"));
            (fault.text, fault.next, fault.said)
        };
        let (text, next, said) = fault(Lang::En);
        assert_eq!(
            (&text[..], &next[..], &said[..]),
            ("the file a.csv is odd", "mend it", "")
        );
        // In another language they stand beside a line of it.
        let (text, next, said) = fault(Lang::Zh);
        assert_eq!(text, "步骤执行出错，未能完成。");
        assert!(next.contains("“重试”"), "{next}");
        assert_eq!(said, "the file a.csv is odd; mend it");
    }

    #[test]
    fn a_refusal_points_at_rules_only_where_some_stand_below() {
        let verdict = |passed: bool| -> lathe_gate::Verdict {
            let finding = serde_json::json!({"passed": passed, "key": "require", "threshold": null,
                "rule": "a rule", "evidence": "evidence", "figure": null, "cure": ""});
            let verdict = serde_json::json!({"passed": passed, "findings": [finding]});
            serde_json::from_value(verdict).expect("a verdict")
        };
        for (lang, below) in [(Lang::En, "below"), (Lang::Zh, "下方")] {
            let say = Say::new(lang);
            let explained = |gate: Option<bool>| {
                let gate = gate.map(|passed| GateView::new(say, &verdict(passed), None));
                let mut fault = Fault::new(say, &error(REFUSED));
                fault.explain(say, gate.as_ref(), None);
                fault
            };
            let refused = explained(Some(false));
            assert!(refused.next.contains(below), "{refused:?}");
            assert_eq!((refused.parts.len(), refused.href), (1, "#gate-title"));
            for gate in [None, Some(true)] {
                let fault = explained(gate);
                assert!(!fault.next.contains(below), "{fault:?}");
                assert!(fault.parts.is_empty() && fault.href.is_empty());
                // What it was refused for is told by the step itself.
                assert_eq!(fault.said, "the file a.csv is odd; mend it");
            }
        }
    }
}
