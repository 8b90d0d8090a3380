//! What Lathe itself wrote beside an entry of the ledger, in the reader's language. The entry's page has it as it was
//! signed; what people wrote stands everywhere as they wrote it.

use lathe_evidence::statement::{Approval, Breaker, BreakerState, Cause, Registration};
use lathe_workshop::DeploymentView;
use lathe_workshop::note::{MoveNote, StepNote, is_self_approved};
use lathe_workshop::trace::BreakerNow;
use serde_json::Value;

use super::chain::word;
use super::short;
use crate::lang::Say;

/// A note as a page shows it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub text: String,
    /// What it holds in the gate's own words, which are English; empty where nothing.
    pub said: String,
}

impl Shown {
    fn plain(text: String) -> Shown {
        Shown {
            text,
            said: String::new(),
        }
    }
}

/// The note of a step of a registration.
pub(super) fn of_step(say: Say, said: &Registration) -> Shown {
    let Some(note) = StepNote::read(said.action, &said.note) else {
        return Shown::plain(said.note.clone());
    };
    let text = match note {
        StepNote::HandedIn(order) => say.of("web.note.handed-in", short(order)),
        StepNote::Reviewed => say.it("web.note.reviewed"),
        StepNote::Refused(rules) => {
            return Shown {
                text: say.of("web.note.refused", rules.split("; ").count()),
                said: rules.to_owned(),
            };
        }
        StepNote::Superseded => say.it("web.note.superseded"),
        StepNote::Rejected(reason) => say.of("web.note.rejected", reason),
        StepNote::Entered(order) => say.of("web.note.entered", short(order)),
    };
    Shown::plain(text)
}

/// The reason of a decision: whoever decided is told beside it.
pub(super) fn of_approval(say: Say, said: &Approval) -> Shown {
    Shown::plain(match is_self_approved(said) {
        true => say.it("web.note.self"),
        false => said.why().to_owned(),
    })
}

/// Why a breaker moved, where its cause stands beside it.
pub(super) fn of_move(say: Say, it: &Breaker) -> String {
    renewed(say, it)
        .or_else(|| told(say, it.cause, &it.reason))
        .unwrap_or_else(|| it.reason.clone())
}

/// That a new deployment closed a breaker: what it replaced was restricted, or answered nobody.
fn renewed(say: Say, it: &Breaker) -> Option<String> {
    let is_renewed = MoveNote::read(it.cause, &it.reason) == Some(MoveNote::Renewed);
    let was_restricted = it.from == BreakerState::Restricted;
    (is_renewed && was_restricted).then(|| say.it("web.note.renewed.restricted"))
}

/// Why a breaker stands as it does, by itself: what was found of the evidence after what made it move.
pub(super) fn of_breaker(say: Say, cause: Cause, reason: &str) -> String {
    let own = || match cause {
        _ if reason.is_empty() => String::new(),
        Cause::Manual => reason.to_owned(),
        _ => {
            let cause = say.it_of("web.cause", word(cause));
            say.with("web.note.found", &[("cause", &cause), ("text", reason)])
        }
    };
    told(say, cause, reason).unwrap_or_else(own)
}

/// Why the breaker of a deployment is not closed; empty where it is, whatever closed it.
pub(super) fn of_deployment(say: Say, it: &DeploymentView) -> String {
    match (it.breaker, it.breaker_cause) {
        (BreakerState::Closed, _) => String::new(),
        (_, Some(cause)) => of_breaker(say, cause, &it.breaker_reason),
        (_, None) => it.breaker_reason.clone(),
    }
}

/// The same of a breaker as it stands.
pub(super) fn of_state(say: Say, it: &BreakerNow) -> String {
    match it.state {
        BreakerState::Closed => String::new(),
        _ => of_breaker(say, it.cause, &it.reason),
    }
}

fn told(say: Say, cause: Cause, reason: &str) -> Option<String> {
    Some(match MoveNote::read(cause, reason)? {
        MoveNote::Invalid { invalid, answers } => {
            let words = [("invalid", invalid), ("answers", answers)];
            say.with("web.note.invalid", &words)
        }
        MoveNote::Complained {
            complained,
            answers,
        } => {
            let words = [("complained", complained), ("answers", answers)];
            say.with("breaker.complaints", &words)
        }
        MoveNote::Withdrawn { what, reason } => {
            let (kind, which) = what.split_once(' ')?;
            let words = [("value", which), ("reason", reason)];
            say.with(&format!("web.note.withdrawn.{kind}"), &words)
        }
        MoveNote::Restored(reason) => say.of("web.note.restored", reason),
        MoveNote::Renewed => say.it("web.note.renewed"),
        MoveNote::Cancelled { number, reason } => {
            let words = [("number", number), ("reason", reason)];
            say.with("web.note.cancelled", &words)
        }
    })
}

/// The note of an entry of this kind, by its statement; nothing where it has none.
pub(super) fn of_statement(say: Say, kind: &str, statement: &Value) -> Shown {
    let said = statement["predicate"].clone();
    match kind {
        "registration" => serde_json::from_value::<Registration>(said)
            .map(|it| of_step(say, &it))
            .unwrap_or_default(),
        "approval" => serde_json::from_value::<Approval>(said)
            .map(|it| of_approval(say, &it))
            .unwrap_or_default(),
        "breaker" => serde_json::from_value::<Breaker>(said)
            .map(|it| {
                let closed = renewed(say, &it);
                Shown::plain(closed.unwrap_or_else(|| of_breaker(say, it.cause, &it.reason)))
            })
            .unwrap_or_default(),
        _ => Shown::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn what_lathe_wrote_is_said_in_both_languages_and_what_people_wrote_is_left_alone() {
        let notes = [
            (
                Cause::InvalidAnswers,
                MoveNote::Invalid {
                    invalid: "3",
                    answers: "20",
                },
            ),
            (
                Cause::Complaints,
                MoveNote::Complained {
                    complained: "7",
                    answers: "100",
                },
            ),
            (
                Cause::Withdrawn,
                MoveNote::Withdrawn {
                    what: "record 1a2b",
                    reason: "r",
                },
            ),
            (
                Cause::Withdrawn,
                MoveNote::Withdrawn {
                    what: "dataset 1a2b",
                    reason: "r",
                },
            ),
            (
                Cause::Withdrawn,
                MoveNote::Withdrawn {
                    what: "agreement a b",
                    reason: "r",
                },
            ),
            (Cause::Restored, MoveNote::Restored("r")),
            (Cause::Renewed, MoveNote::Renewed),
            (
                Cause::Manual,
                MoveNote::Cancelled {
                    number: "2026-0001",
                    reason: "r",
                },
            ),
        ];
        for (cause, note) in notes {
            let zh = of_breaker(Say::new(Lang::Zh), cause, &note.text());
            assert!(zh.contains(|it: char| !it.is_ascii()), "{zh}");
            let en = of_breaker(Say::new(Lang::En), cause, &note.text());
            assert!(en.is_ascii(), "{en}");
            for text in [zh, en] {
                assert!(!text.contains("web.") && !text.contains('{'), "{text}");
            }
        }
        let say = Say::new(Lang::Zh);
        assert_eq!(of_breaker(say, Cause::Manual, "I say so"), "I say so");
        let found = of_breaker(say, Cause::DigestMismatch, "a file differs");
        assert_eq!(found, "证据被改动：a file differs");
    }
}
