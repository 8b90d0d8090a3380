//! Whether an order's model answers now, as lists, orders and comparisons say it; and whose the name is that
//! the model of a new order would take.
//!
//! An order remembers that it was deployed; whether it answers is the workshop's to say
//! (`lathe_workshop::Answering`). Nothing is looked up here order by order.

use lathe_evidence::statement::BreakerState;
use lathe_workshop::{Answering, AnsweringNow, OrderId, WorkshopError};

use super::short;
use crate::AppState;
use crate::lang::Say;

/// How an order stands to its name, in words.
pub(super) struct Stands {
    pub class: &'static str,
    pub badge: String,
    /// What the badge means.
    pub text: String,
    pub now: AnsweringNow,
    /// The order whose model has the name instead.
    pub other: Option<Other>,
}

/// Another order, and where it is held against this one.
pub(super) struct Other {
    pub href: String,
    pub short_id: String,
    pub compare_href: String,
}

impl Stands {
    /// How the order `own` stands.
    pub(super) fn new(say: Say, own: &OrderId, it: &Answering) -> Stands {
        let word = it.now.as_str();
        let other = it.order.as_ref().filter(|other| *other != own);
        Stands {
            class: class(it.now),
            badge: badge(say, it.now),
            text: say.it(&format!("web.answering.text.{word}")),
            now: it.now,
            other: other
                .filter(|_| it.now == AnsweringNow::Replaced)
                .map(|other| Other {
                    href: format!("/orders/{other}"),
                    short_id: short(&other.0).to_owned(),
                    compare_href: format!("/orders/compare?ids={other}&ids={own}"),
                }),
        }
    }

    /// Whether it answers everyone.
    pub(super) fn answers(&self) -> bool {
        self.now == AnsweringNow::Answers
    }

    /// Whether a list says it: of all that was replaced once it would say too much.
    pub(super) fn is_listed(&self) -> bool {
        self.now != AnsweringNow::Replaced
    }
}

/// The class of a badge that says it.
pub(super) fn class(now: AnsweringNow) -> &'static str {
    match now {
        AnsweringNow::Answers => "good",
        AnsweringNow::Restricted => "demo",
        AnsweringNow::Silent => "bad",
        AnsweringNow::Replaced => "",
    }
}

/// The words of that badge.
pub(super) fn badge(say: Say, now: AnsweringNow) -> String {
    say.it_of("web.answering", now.as_str())
}

/// A name that is in use, on the form of an order whose model would take it.
pub(super) struct Taken {
    pub text: String,
    pub href: String,
    pub short_id: String,
}

/// Who answers under `name` now; none where nobody does.
pub(super) async fn taken(
    state: &AppState,
    say: Say,
    name: &str,
) -> Result<Option<Taken>, WorkshopError> {
    let answers = |breaker| matches!(breaker, BreakerState::Closed | BreakerState::Restricted);
    let all = state.desk.deployments().await?;
    let mut all = all.into_iter();
    let found = all.find(|it| it.name == name && answers(it.breaker));
    // Where there are people, somebody approves whatever the workshop began with.
    let key = match state.people.is_empty() {
        true => "web.taken.self",
        false => "web.taken.approved",
    };
    Ok(found.map(|it| Taken {
        text: say.of(key, name),
        href: format!("/orders/{}", it.order),
        short_id: short(&it.order.0).to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn every_way_to_stand_has_words_and_another_order_is_named() {
        let (own, other) = (OrderId("a".to_owned()), OrderId("b".to_owned()));
        for lang in [Lang::En, Lang::Zh] {
            for now in [
                AnsweringNow::Answers,
                AnsweringNow::Restricted,
                AnsweringNow::Silent,
                AnsweringNow::Replaced,
            ] {
                let it = Answering {
                    name: "care".to_owned(),
                    now,
                    order: Some(other.clone()),
                };
                let stands = Stands::new(Say::new(lang), &own, &it);
                for text in [&stands.badge, &stands.text] {
                    assert!(!text.contains("web.") && !text.contains('{'), "{text}");
                }
                let is_replaced = now == AnsweringNow::Replaced;
                assert_eq!(stands.other.is_some(), is_replaced);
                assert_eq!(stands.is_listed(), !is_replaced);
            }
        }
    }
}
