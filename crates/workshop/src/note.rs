//! What Lathe itself writes into the ledger beside what happened: into a step of a registration, an approval that is
//! nobody's decision, a breaker that moves. Written and read again here, so that a page can say it in the reader's
//! language.
//!
//! What is signed stays as it was written. What a person gave as their reason is theirs: where a note holds one it is
//! taken over word for word. Only whoever moves a breaker by hand for the reason in which a cancelled registration is
//! told has it read as that. Not here: the words (the catalogue).

use lathe_evidence::statement::{Approval, Cause, RegistrationAction};

use crate::words::{self, Lang};

const SELF_APPROVED: &str = "self-approved: this workshop's policy is `approval: self`";
const REVIEWED: &str = "complete, and passed by the gate";
const SUPERSEDED: &str = "another verdict took its place";
const RENEWED: &str = "another deployment took the name";

/// What is written into a step of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepNote<'a> {
    /// An order handed it in.
    HandedIn(&'a str),
    /// It is complete, and the gate passed it.
    Reviewed,
    /// The gate refused it: the rules that do not hold, in the gate's words.
    Refused(&'a str),
    /// Another verdict came while it waited.
    Superseded,
    /// Somebody rejected it: their reason.
    Rejected(&'a str),
    /// An order entered or changed it.
    Entered(&'a str),
}

impl<'a> StepNote<'a> {
    /// As it is signed.
    pub fn text(self) -> String {
        match self {
            StepNote::HandedIn(order) => format!("handed in by order {order}"),
            StepNote::Reviewed => REVIEWED.to_owned(),
            StepNote::Refused(rules) => format!("does not hold: {rules}"),
            StepNote::Superseded => SUPERSEDED.to_owned(),
            StepNote::Rejected(reason) => format!("rejected: {reason}"),
            StepNote::Entered(order) => format!("by order {order}"),
        }
    }

    /// The note of such a step; none where it is somebody's own words.
    pub fn read(action: RegistrationAction, text: &'a str) -> Option<StepNote<'a>> {
        use RegistrationAction::{
            Cancelled, Changed, CorrectionAsked, Registered, Reviewed, Submitted,
        };
        let after = |start: &str| text.strip_prefix(start);
        match action {
            Submitted => after("handed in by order ").map(StepNote::HandedIn),
            Reviewed => (text == REVIEWED).then_some(StepNote::Reviewed),
            CorrectionAsked if text == SUPERSEDED => Some(StepNote::Superseded),
            CorrectionAsked => after("does not hold: ")
                .map(StepNote::Refused)
                .or_else(|| after("rejected: ").map(StepNote::Rejected)),
            Registered | Changed => after("by order ").map(StepNote::Entered),
            Cancelled => None,
        }
    }
}

/// The reason of an approval that the workshop gives by itself.
pub(crate) fn self_approved() -> String {
    SELF_APPROVED.to_owned()
}

/// Whether an approval's reason is the workshop's own.
pub fn is_self_approved(approval: &Approval) -> bool {
    approval.reason == SELF_APPROVED
}

/// Why a breaker moved, where Lathe itself says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveNote<'a> {
    /// So many of so many answers did not have the form that the task asks for.
    Invalid {
        /// These.
        invalid: &'a str,
        /// Of these.
        answers: &'a str,
    },
    /// So many of so many answers were complained about.
    Complained {
        /// These.
        complained: &'a str,
        /// Of these.
        answers: &'a str,
    },
    /// Data was withdrawn.
    Withdrawn {
        /// A record, a dataset or an agreement, and which: `record 1a2b…`.
        what: &'a str,
        /// The reason that was given.
        reason: &'a str,
    },
    /// The home came from a backup, for the reason that was given.
    Restored(&'a str),
    /// Another deployment took the name.
    Renewed,
    /// A registration was cancelled.
    Cancelled {
        /// Its number.
        number: &'a str,
        /// The reason that was given.
        reason: &'a str,
    },
}

impl<'a> MoveNote<'a> {
    /// As it is signed, and as callers who are refused read it.
    pub fn text(self) -> String {
        match self {
            MoveNote::Invalid { invalid, answers } => {
                format!("{invalid} of the last {answers} answers did not satisfy the task's schema")
            }
            // Callers of either language are refused with it.
            MoveNote::Complained {
                complained,
                answers,
            } => {
                let words = [("answers", answers), ("complained", complained)];
                let [en, zh] =
                    [Lang::En, Lang::Zh].map(|it| words::get(it, "breaker.complaints", &words));
                format!("{en} ({zh})")
            }
            MoveNote::Withdrawn { what, reason } => format!("{what} was withdrawn: {reason}"),
            MoveNote::Restored(reason) => {
                format!("the home was restored from a backup: {reason}")
            }
            MoveNote::Renewed => RENEWED.to_owned(),
            MoveNote::Cancelled { number, reason } => {
                format!("registration {number} was cancelled: {reason}")
            }
        }
    }

    /// The note of such a move; none where it is somebody's own words, or what was found of the evidence.
    pub fn read(cause: Cause, text: &'a str) -> Option<MoveNote<'a>> {
        match cause {
            Cause::InvalidAnswers => {
                let counts = text.strip_suffix(" answers did not satisfy the task's schema")?;
                let (invalid, answers) = counts.split_once(" of the last ")?;
                Some(MoveNote::Invalid { invalid, answers })
            }
            Cause::Complaints => {
                let (counts, _) = text.split_once(" answers were complained about")?;
                let (complained, answers) = counts.split_once(" of the last ")?;
                Some(MoveNote::Complained {
                    complained,
                    answers,
                })
            }
            Cause::Withdrawn => {
                let (what, reason) = text.split_once(" was withdrawn: ")?;
                let kinds = ["record ", "dataset ", "agreement "];
                let is_known = kinds.iter().any(|kind| what.starts_with(kind));
                is_known.then_some(MoveNote::Withdrawn { what, reason })
            }
            Cause::Restored => text
                .strip_prefix("the home was restored from a backup: ")
                .map(MoveNote::Restored),
            Cause::Renewed => (text == RENEWED).then_some(MoveNote::Renewed),
            Cause::Manual => {
                let rest = text.strip_prefix("registration ")?;
                let (number, reason) = rest.split_once(" was cancelled: ")?;
                let is_number = !number.contains(' ');
                is_number.then_some(MoveNote::Cancelled { number, reason })
            }
            Cause::DigestMismatch | Cause::Expired => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_a_step_is_read_as_it_is_written() {
        use RegistrationAction::{Changed, CorrectionAsked, Registered, Reviewed, Submitted};
        for (action, note) in [
            (Submitted, StepNote::HandedIn("019a")),
            (Reviewed, StepNote::Reviewed),
            (CorrectionAsked, StepNote::Refused("a is at least 1; b")),
            (CorrectionAsked, StepNote::Superseded),
            (CorrectionAsked, StepNote::Rejected("does not hold: water")),
            (Registered, StepNote::Entered("019a")),
            (Changed, StepNote::Entered("019a")),
        ] {
            let text = note.text();
            assert_eq!(StepNote::read(action, &text), Some(note), "{text}");
            // A reason of somebody who cancels it is theirs, whatever it says.
            assert_eq!(StepNote::read(RegistrationAction::Cancelled, &text), None);
        }
        assert_eq!(StepNote::read(Submitted, "as agreed"), None);
    }

    #[test]
    fn a_note_of_a_move_is_read_as_it_is_written() {
        for (cause, note) in [
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
                    reason: "it was withdrawn: so",
                },
            ),
            (Cause::Restored, MoveNote::Restored("the disk broke")),
            (Cause::Renewed, MoveNote::Renewed),
            (
                Cause::Manual,
                MoveNote::Cancelled {
                    number: "2026-0001",
                    reason: "no longer used",
                },
            ),
        ] {
            let text = note.text();
            assert_eq!(MoveNote::read(cause, &text), Some(note), "{text}");
        }
        for (cause, own) in [
            (Cause::Manual, RENEWED),
            (
                Cause::Manual,
                "registration of complaints was cancelled: so",
            ),
            (Cause::Withdrawn, "the evidence of care does not hold"),
            (Cause::Expired, RENEWED),
        ] {
            assert_eq!(MoveNote::read(cause, own), None, "{own}");
        }
    }
}
