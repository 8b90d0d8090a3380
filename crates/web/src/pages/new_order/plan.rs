//! What would become of an order, as both of its forms show it: its steps, what it would take, and what of it cannot
//! be, each mistake in words of the page's language.
//!
//! Not here: the fields (`fields.rs`), and what can be and what cannot (`lathe_workshop::draft`).

use axum::http::StatusCode;
use lathe_workshop::WorkshopError;
use lathe_workshop::draft::{Estimate, OrderPlan};
use lathe_workshop::words::Lang;

use super::super::alert::{Alert, Mistake};
use crate::format;
use crate::lang::Say;

/// The part of the form that says what the order would take, with its buttons.
#[derive(Default)]
pub(in crate::pages) struct Planned {
    /// Whether it can be placed.
    pub is_sound: bool,
    pub steps: Vec<String>,
    /// Name and figure; what is not known yet is left out.
    pub takes: Vec<(String, String)>,
    /// What is not known, and when it will be.
    pub takes_note: String,
    /// What the button says that places it.
    pub place: String,
}

/// A plan with what is to be told beside it.
pub(in crate::pages) struct Settled {
    pub planned: Planned,
    /// All that cannot be; the fields take theirs.
    pub mistakes: Vec<Mistake>,
    /// Why it was refused as a whole; what stands at its setting is not said once more for all of them.
    pub error: Option<Alert>,
    pub status: StatusCode,
}

impl Settled {
    /// What is told of a plan, of the fields that were `emptied`, and of why it was refused with `status`, if it was.
    /// There is no plan of what is refused as a whole.
    pub fn new(
        say: Say,
        plan: Option<&OrderPlan>,
        emptied: Vec<Mistake>,
        (status, error): (StatusCode, Option<WorkshopError>),
        place: &str,
    ) -> Settled {
        let mut mistakes = emptied;
        let told = plan.into_iter().flat_map(|plan| &plan.mistakes);
        mistakes.extend(told.map(|it| Mistake::new(say, it)));
        let is_sound = plan.is_some() && mistakes.is_empty() && error.is_none();
        let error = error.filter(|_| mistakes.is_empty());
        let steps = plan.into_iter().flat_map(|plan| &plan.steps);
        let estimate = plan.and_then(|plan| plan.estimate.as_ref());
        Settled {
            planned: Planned {
                is_sound,
                steps: steps.map(|step| say.it_of("step", step)).collect(),
                takes: estimate.map_or_else(Vec::new, |it| takes(say, it)),
                takes_note: estimate.map_or_else(String::new, |it| note(say, it)),
                place: say.it(place),
            },
            status: match mistakes.is_empty() {
                true => status,
                false => StatusCode::BAD_REQUEST,
            },
            error: error.map(|error| Alert::new(say, &error)),
            mistakes,
        }
    }
}

fn takes(say: Say, estimate: &Estimate) -> Vec<(String, String)> {
    let counts = [
        ("records", estimate.records),
        ("held_out", estimate.held_out),
        ("steps", estimate.training_steps),
        ("tokens", estimate.tokens),
        ("numbers", estimate.adapter_numbers),
    ];
    let counts = counts.into_iter().filter_map(|(name, count)| {
        Some((say.it_of("web.new.takes", name), format::count(count?)))
    });
    let memory = estimate.memory_bytes.map(|bytes| {
        let about = say.of("web.new.about", format::bytes(bytes));
        (say.it("web.new.takes.memory"), about)
    });
    let time = estimate.seconds.map(|seconds| {
        let span = format::duration(say, seconds.saturating_mul(1000));
        (say.it("web.new.takes.time"), say.of("web.new.about", span))
    });
    counts.chain(memory).chain(time).collect()
}

fn note(say: Say, estimate: &Estimate) -> String {
    let open = [
        (estimate.records.is_none(), "web.new.open.records"),
        (estimate.memory_bytes.is_none(), "web.new.open.model"),
        (estimate.seconds.is_none(), "web.new.open.time"),
    ];
    let open = open.into_iter().filter(|(is_open, _)| *is_open);
    let texts: Vec<String> = open.map(|(_, key)| say.it(key)).collect();
    texts.join(match say.lang() {
        Lang::En => " ",
        Lang::Zh => "",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake() -> Mistake {
        Mistake {
            key: "tune.sft.rank".to_owned(),
            code: "pack-invalid".to_owned(),
            told: Alert::own("the rank must be 1 to 1024", "write another"),
        }
    }

    #[test]
    fn what_is_wrong_somewhere_is_not_sound_and_is_said_once() {
        let say = Say::new(Lang::En);
        let refused = || Some(WorkshopError::new("pack-invalid", "all of it", "mend it"));
        let status = StatusCode::CONFLICT;
        let at_field = vec![mistake()];
        let told = Settled::new(say, None, at_field, (status, refused()), "web.place.submit");
        assert!(!told.planned.is_sound && told.error.is_none());
        assert_eq!(
            (told.status, told.mistakes.len()),
            (StatusCode::BAD_REQUEST, 1)
        );
        let told = Settled::new(
            say,
            None,
            Vec::new(),
            (status, refused()),
            "web.place.submit",
        );
        assert_eq!(told.status, status);
        assert_eq!(told.error, Some(Alert::own("all of it", "mend it")));
    }
}
