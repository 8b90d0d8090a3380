//! What would become of an order, as both of its forms show it: its steps, what it would take, and what of it cannot
//! be, each mistake in words of the page's language where it is one of kind.
//!
//! Not here: the fields (`fields.rs`), and what can be and what cannot (`lathe_workshop::draft`).

use axum::http::StatusCode;
use lathe_workshop::WorkshopError;
use lathe_workshop::draft::{Estimate, OrderPlan, SettingMistake};
use lathe_workshop::words::Lang;

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
    pub mistakes: Vec<SettingMistake>,
    /// Why it was refused as a whole; what stands at its setting is not said once more for all of them.
    pub error: Option<(String, String)>,
    pub status: StatusCode,
}

impl Settled {
    /// What is told of a plan, of the fields that were `emptied`, and of why it was refused with `status`, if it was.
    /// There is no plan of what is refused as a whole.
    pub fn new(
        say: Say,
        plan: Option<&OrderPlan>,
        emptied: Vec<SettingMistake>,
        (status, error): (StatusCode, Option<WorkshopError>),
        place: &str,
    ) -> Settled {
        let mut mistakes = emptied;
        let told = plan.into_iter().flat_map(|plan| &plan.mistakes);
        mistakes.extend(told.map(|it| worded(say, it)));
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
            error: error.map(|error| (error.to_string(), error.next().to_owned())),
            mistakes,
        }
    }
}

/// A mistake in the page's language, where it is a value of another kind than has to stand there.
fn worded(say: Say, mistake: &SettingMistake) -> SettingMistake {
    let Some(expected) = &mistake.expected else {
        return mistake.clone();
    };
    SettingMistake {
        text: say.of("web.form.expected", expected.told(say.lang())),
        next: say.of("web.form.expected.next", expected.example()),
        ..mistake.clone()
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
    use lathe_workshop::pack::change::Expected;

    use super::*;

    fn mistake(expected: Option<Expected>) -> SettingMistake {
        SettingMistake {
            key: "tune.sft.rank".to_owned(),
            code: "pack-invalid".to_owned(),
            text: "the rank must be 1 to 1024".to_owned(),
            next: "write another".to_owned(),
            expected,
        }
    }

    #[test]
    fn a_value_of_another_kind_is_told_in_the_language_of_the_page() {
        let whole = mistake(Some(Expected::Whole));
        let english = worded(Say::new(Lang::En), &whole);
        assert_eq!(english.text, "This has to be a whole number.");
        assert_eq!(english.next, "Write for instance 16.");
        let chinese = worded(Say::new(Lang::Zh), &whole);
        assert_eq!(chinese.text, "此处应填整数。");
        assert_eq!(chinese.next, "例如可填 16。");
        let words = ["cosine", "linear"].map(str::to_owned).into();
        let one_of = worded(Say::new(Lang::Zh), &mistake(Some(Expected::OneOf(words))));
        assert_eq!(one_of.text, "此处应填以下之一：cosine、linear。");
        // What is beyond its bounds says so itself.
        assert_eq!(worded(Say::new(Lang::Zh), &mistake(None)), mistake(None));
    }

    #[test]
    fn what_is_wrong_somewhere_is_not_sound_and_is_said_once() {
        let say = Say::new(Lang::En);
        let refused = || Some(WorkshopError::new("pack-invalid", "all of it", "mend it"));
        let status = StatusCode::CONFLICT;
        let at_field = vec![mistake(None)];
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
        assert_eq!(told.error, Some(("all of it".into(), "mend it".into())));
    }
}
