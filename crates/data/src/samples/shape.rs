//! One file holds one form: what of a record's shape must be the same in all others.

use super::value::{Fields, given, kind};
use super::{Goal, Layout};
use serde_json::Value;

/// Which of the columns that tell forms apart a record has, and what each is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shape(Vec<(String, Option<&'static str>)>);

impl Shape {
    pub(super) fn of(fields: &Fields, layout: &Layout) -> Self {
        let mut names: Vec<&str> = vec!["chosen", "rejected", "kto_tag"];
        // Tables of other tasks have a `label` too; only yes or no is KTO's.
        if fields.get("label").is_some_and(Value::is_boolean) {
            names.push("label");
        }
        match layout {
            Layout::Alpaca { goal, .. }
            | Layout::ShareGpt { goal, .. }
            | Layout::Messages { goal, .. } => match goal {
                Goal::Answers => {}
                Goal::Pair { chosen, rejected } => names.extend([chosen.as_str(), rejected]),
                Goal::Judged { wanted } => names.push(wanted),
            },
            Layout::PromptCompletion { prompt, completion } => {
                names.extend([prompt.as_str(), completion]);
            }
            Layout::Preference {
                prompt,
                chosen,
                rejected,
                ..
            } => names.extend([prompt.as_str(), chosen, rejected]),
            Layout::Kto {
                prompt, completion, ..
            } => names.extend([prompt.as_str(), completion]),
            Layout::Text { .. } | Layout::Columns(_) => names.clear(),
        }
        names.sort_unstable();
        names.dedup();
        let kinds = names
            .into_iter()
            .map(|name| (name.to_owned(), given(fields, name).map(kind)));
        Self(kinds.collect())
    }

    /// Refuses another record's shape that is not this one.
    pub(super) fn check(&self, other: &Self) -> Result<(), String> {
        let of = |shape: &Self, name: &str| {
            let found = shape.0.iter().find(|(known, _)| known == name);
            found.and_then(|(_, kind)| *kind)
        };
        for (name, _) in self.0.iter().chain(&other.0) {
            let (first, here) = (of(self, name), of(other, name));
            if first != here {
                let told = |kind: Option<&str>| kind.map_or("missing".to_owned(), str::to_owned);
                return Err(format!(
                    "its `{name}` is {} and the first record's is {}; a file holds one form, so put the others into a file of their own",
                    told(here),
                    told(first)
                ));
            }
        }
        Ok(())
    }
}
