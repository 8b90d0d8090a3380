//! Findings for people: group by group as they come, a mark before each, the next step below it.

use std::fmt::Write as _;

use lathe_workshop::words::{self, Lang};

use super::super::data_preview::is_colourful;
use super::super::say;
use super::{Finding, Group, State};
use crate::bars::Bar;
use crate::marks::Look;
use crate::table::width;

/// Columns that names take.
const NAME_COLUMNS: usize = 14;

/// All findings so far; printed as they come where there is a bar to print them above.
pub(super) struct Page<'a> {
    pub(super) groups: Vec<Group>,
    bar: Option<&'a Bar>,
    look: Look,
}

impl<'a> Page<'a> {
    pub(super) fn new(bar: Option<&'a Bar>) -> Page<'a> {
        Page {
            groups: Vec::new(),
            bar,
            look: Look {
                colour: is_colourful(),
                columns: usize::MAX,
            },
        }
    }

    pub(super) fn add(&mut self, group: &'static str, findings: Vec<Finding>) {
        let group = Group { group, findings };
        if let Some(bar) = self.bar {
            bar.print(text(&group, self.look).trim_end());
            bar.print("");
        }
        self.groups.push(group);
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.groups.iter().flat_map(|group| &group.findings)
    }

    /// The worst of all findings.
    pub(super) fn worst(&self) -> State {
        let states = self.findings().map(|finding| finding.state);
        states.max().unwrap_or(State::Ok)
    }

    /// How many of which kind.
    pub(super) fn end(&self) {
        let count = |state: State| {
            let of = self.findings().filter(|finding| finding.state == state);
            of.count().to_string()
        };
        let counts = [
            ("ok", count(State::Ok)),
            ("warn", count(State::Warn)),
            ("fail", count(State::Fail)),
        ];
        let counts: Vec<(&str, &str)> = counts.iter().map(|(key, it)| (*key, &it[..])).collect();
        let line = words::get(Lang::from_env(), "doctor.end", &counts);
        println!("{}", self.look.paint(codes(self.worst()), &line));
    }
}

fn codes(state: State) -> &'static str {
    match state {
        State::Ok => "32",
        State::Warn => "33",
        State::Fail => "31;1",
    }
}

fn mark(state: State) -> &'static str {
    match state {
        State::Ok => "✓",
        State::Warn => "!",
        State::Fail => "✗",
    }
}

/// A group as lines.
fn text(group: &Group, look: Look) -> String {
    let heading = say(&format!("doctor.group.{}", group.group));
    let mut out = format!("{}\n", look.paint("1", &heading));
    for finding in &group.findings {
        let name = say(&format!("doctor.name.{}", finding.name));
        let pad = " ".repeat(NAME_COLUMNS.saturating_sub(width(&name)));
        let mark = look.paint(codes(finding.state), mark(finding.state));
        // Writing into a text cannot fail.
        let _ = writeln!(out, "  {mark} {name}{pad} {}", finding.text);
        if let Some(next) = &finding.next {
            let pad = " ".repeat(NAME_COLUMNS + 5);
            let _ = writeln!(out, "{pad}{}", look.paint("2", &format!("→ {next}")));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn names_align_in_columns_and_next_steps_stand_below() {
        let finding = |name, state, next: Option<&str>| Finding {
            name,
            state,
            text: "text".to_owned(),
            next: next.map(str::to_owned),
            figures: Value::Null,
        };
        let group = Group {
            group: "home",
            findings: vec![
                finding("lock", State::Ok, None),
                finding("ledger", State::Fail, Some("do this")),
            ],
        };
        let plain = Look {
            colour: false,
            columns: usize::MAX,
        };
        let shown = text(&group, plain);
        let columns: Vec<usize> = shown
            .lines()
            .filter_map(|line| line.find("text").map(|at| width(&line[..at])))
            .collect();
        assert_eq!(columns, [NAME_COLUMNS + 5; 2]);
        assert!(
            shown.contains("✗") && shown.ends_with("→ do this\n"),
            "{shown}"
        );
        let colour = Look {
            colour: true,
            ..plain
        };
        assert!(text(&group, colour).contains("\x1b[31;1m✗\x1b[0m"));
    }
}
