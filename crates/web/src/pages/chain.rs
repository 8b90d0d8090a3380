//! What a deployment rests on, as the list that several pages show: one line a statement, from the
//! deployment down to the data.

use lathe_evidence::statement::Training;
use lathe_workshop::trace::{ChainView, Said};
use serde::Serialize;

use super::report::{figure_text, metric};
use crate::format;
use crate::lang::Say;

/// One statement of the chain.
pub(super) struct Link {
    /// `done` where it is there, `failed` where it is missing.
    pub class: &'static str,
    pub name: String,
    pub figure: String,
    pub note: String,
    pub entry: Option<EntryLink>,
    /// The page about the same thing; empty where there is none.
    pub page: String,
}

/// Where the statement stands in the ledger.
pub(super) struct EntryLink {
    pub href: String,
    pub text: String,
}

/// Who approved what answers, beside the heading of a page.
pub(super) struct ApprovedBadge {
    pub class: &'static str,
    pub text: String,
    /// More of it; empty where the text says it all.
    pub note: String,
}

impl ApprovedBadge {
    /// As the chain has it; none where nobody approved yet.
    pub fn of(say: Say, chain: &ChainView) -> Option<ApprovedBadge> {
        if chain.self_approved {
            return Some(ApprovedBadge {
                class: "demo",
                text: say.it("web.receipt.self"),
                note: say.it("web.receipt.self.note"),
            });
        }
        let approval = chain.approval.as_ref()?;
        Some(ApprovedBadge {
            class: "good",
            text: say.of("web.decision.approved", approval.by()),
            note: String::new(),
        })
    }
}

/// A word of a kebab-case type, for a key of the catalogue.
pub(super) fn word<T: Serialize>(value: T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// The entry of a statement.
pub(super) fn entry<T>(say: Say, said: &Said<T>) -> EntryLink {
    entry_at(say, said.index)
}

/// The entry at this place.
pub(super) fn entry_at(say: Say, index: u64) -> EntryLink {
    EntryLink {
        href: format!("/ledger/{index}"),
        text: say.of("web.receipt.entry", index),
    }
}

/// The chain, top down.
pub(super) fn links(say: Say, chain: &ChainView) -> Vec<Link> {
    let mut links = vec![deployment(say, chain), approval(say, chain)];
    links.push(link(
        say,
        "registration",
        chain.registration.as_ref(),
        |it| {
            let action = say.it_of("web.action", word(it.said.action));
            let number = format!("{} · {action}", it.said.number);
            let page = format!("/register/{}", super::playground::encoded(&it.said.number));
            (number, page)
        },
    ));
    links.extend(evidence(say, chain));
    links
}

/// The same of a model that nobody decided about yet, from its verdict down.
pub(super) fn evidence(say: Say, chain: &ChainView) -> Vec<Link> {
    let mut links = vec![link(say, "verdict", chain.verdict.as_ref(), |it| {
        let held = it.said.outcomes.iter().filter(|it| it.passed).count();
        let held = held.to_string();
        let all = it.said.outcomes.len().to_string();
        let figure = say.with("web.receipt.verdict", &[("held", &held), ("all", &all)]);
        (figure, String::new())
    })];
    links.push(link(say, "evaluation", chain.evaluation.as_ref(), |it| {
        let figures = it.said.figures.iter();
        let figures: Vec<String> = figures
            .map(|(name, value)| figure(say, name, value))
            .collect();
        let page = format!("/orders/{}", it.said.order);
        (figures.join(" · "), page)
    }));
    links.push(training(say, chain));
    let earlier = chain.earlier.iter().rev();
    links.extend(earlier.map(|it| link(say, "training", Some(it), |it| trained(say, it))));
    for dataset in &chain.datasets {
        links.push(link(say, "dataset", Some(dataset), |it| {
            let arguments = [
                ("name", it.said.name.as_str()),
                ("records", &format::count(it.said.train)),
                ("licence", &it.said.licence),
            ];
            let page = format!("/data/{}", it.subject);
            let figure = say.with("web.receipt.dataset", &arguments);
            (figure, page)
        }));
        let mut taken = chain.withdrawn.iter();
        if taken.any(|it| it.dataset == dataset.subject)
            && let Some(link) = links.last_mut()
        {
            link.class = "failed";
            link.note = say.it("web.receipt.withdrawn");
        }
    }
    links.push(link(say, "base-model", chain.base.as_ref(), |it| {
        (
            format!("{} · {}", it.said.name, it.said.licence),
            format!("/models/{}", it.subject),
        )
    }));
    links
}

fn deployment(say: Say, chain: &ChainView) -> Link {
    let mut shown = link(say, "deployment", chain.deployment.as_ref(), |it| {
        let page = format!("/deployments/{}", super::playground::encoded(&it.said.name));
        let figure = say.of("web.receipt.deployed", &it.said.name);
        (figure, page)
    });
    let demonstration = chain
        .deployment
        .as_ref()
        .is_some_and(|it| it.said.demonstration);
    if demonstration {
        shown.note = say.it("mark.demonstration");
    }
    shown
}

fn approval(say: Say, chain: &ChainView) -> Link {
    let mut shown = link(say, "approval", chain.approval.as_ref(), |it| {
        let key = format!("web.decision.{}", word(it.said.decision));
        (say.of(&key, it.by()), String::new())
    });
    if chain.self_approved {
        shown.note = say.it("web.receipt.self");
    }
    shown
}

fn training(say: Say, chain: &ChainView) -> Link {
    if chain.training.is_none() && chain.evaluation.is_some() {
        return Link {
            class: "done",
            name: say.it("web.kind.training"),
            figure: say.it("web.receipt.untuned"),
            note: String::new(),
            entry: None,
            page: String::new(),
        };
    }
    link(say, "training", chain.training.as_ref(), |it| {
        trained(say, it)
    })
}

/// A figure as a statement has it, as the report writes it.
fn figure(say: Say, name: &str, value: &str) -> String {
    let told = value.parse::<f64>().map(|it| figure_text(name, it));
    let told = told.unwrap_or_else(|_| value.to_owned());
    format!("{} {told}", metric(say, name))
}

/// A stage's figure and its order's page.
fn trained(say: Say, it: &Said<Training>) -> (String, String) {
    let stage = say.name_of("web.stage", &it.said.stage);
    let arguments = [
        ("stage", stage.as_str()),
        ("steps", &format::count(it.said.steps)),
        ("seed", &it.said.seed.to_string()),
    ];
    let page = format!("/orders/{}", it.said.order);
    (say.with("web.receipt.training", &arguments), page)
}

/// One statement: its figure and its pages, or that it is missing.
fn link<T>(
    say: Say,
    kind: &str,
    said: Option<&Said<T>>,
    show: impl FnOnce(&Said<T>) -> (String, String),
) -> Link {
    let name = say.it_of("web.kind", kind);
    match said {
        Some(said) => {
            let (figure, page) = show(said);
            Link {
                class: "done",
                name,
                figure,
                note: String::new(),
                entry: Some(entry(say, said)),
                page,
            }
        }
        None => Link {
            class: "failed",
            name,
            figure: say.it("web.receipt.missing"),
            note: String::new(),
            entry: None,
            page: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn figures_of_statements_have_their_proper_names() {
        let say = Say::new(Lang::En);
        assert_eq!(figure(say, "pearson_r", "0.8710"), "Pearson r 0.871");
        let zh = Say::new(Lang::Zh);
        assert_eq!(figure(zh, "valid_json", "0.8667"), "有效应答率 86.7 %");
        // What a pack calls its own, and what is no number, stands as it was signed.
        assert_eq!(figure(say, "own", "n/a"), "own n/a");
    }
}
