//! `lathe doctor`: this machine and the home, looked at in a few seconds: what it can do, how fast that
//! will be, what is not well and what to do about it.
//!
//! Speeds are measured through the kernels that models compute with; what follows from them for a model
//! is an estimate and called one. Nothing is changed: a file is written to time the disk, and removed.
//! Not here: whether every artifact of the home is whole (`lathe verify`).

mod disk;
mod home;
mod machine;
mod models;
mod show;
mod speed;

use std::process::ExitCode;

use lathe_workshop::health::Health;
use lathe_workshop::machine::Machine;
use lathe_workshop::words::{self, Lang};
use serde::Serialize;
use serde_json::{Value, json};

use super::{Globals, print_json, runtime, say};
use crate::bars::Bar;
use crate::fail::Outcome;
use show::Page;
use speed::Speed;

/// Arguments of `lathe doctor`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe doctor
  lathe doctor --json | jq '.findings[] | select(.state != \"ok\")'

It takes a few seconds, in which it uses all processors: what serves meanwhile is slower, and what is
measured meanwhile too. Exit code 0: nothing fails; 1: something does, and is named with a next step.")]
pub struct Args {
    /// Print JSON: every finding with its figures.
    #[arg(long)]
    json: bool,
}

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    /// Its name among the words: `doctor.name.NAME`.
    name: &'static str,
    state: State,
    text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The figures behind it; units stand in their names.
    figures: Value,
}

impl Finding {
    /// A finding in the words of `doctor.WORD`, and of `doctor.WORD.next` if there is one.
    fn new(
        name: &'static str,
        state: State,
        word: &str,
        holes: &[(&str, String)],
        figures: Value,
    ) -> Finding {
        let holes: Vec<(&str, &str)> = holes.iter().map(|(key, it)| (*key, &it[..])).collect();
        let lang = Lang::from_env();
        let (word, next) = (format!("doctor.{word}"), format!("doctor.{word}.next"));
        Finding {
            name,
            state,
            text: words::get(lang, &word, &holes),
            next: words::has(&next).then(|| words::get(lang, &next, &holes)),
            figures,
        }
    }
}

/// Findings that belong together, under `doctor.group.NAME`.
#[derive(Debug, Serialize)]
struct Group {
    group: &'static str,
    findings: Vec<Finding>,
}

/// Looks at everything.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let home = globals.home()?;
    let bar = Bar::new(Lang::from_env(), !args.json);
    let mut page = Page::new((!args.json).then_some(&bar));
    let machine = Machine::look();
    page.add("machine", machine::findings(&machine));
    bar.show(&say("doctor.measuring"), None);
    let speed = Speed::measure(&machine);
    page.add("speed", speed.findings());
    let health = runtime()?.block_on(Health::of(&home));
    page.add("models", models::findings(&home, &health, &machine, &speed));
    page.add("disk", disk::findings(&home));
    page.add("home", home::findings(&home, &health));
    bar.clear();
    let worst = page.worst();
    if args.json {
        let findings: Vec<Value> = page.groups.iter().flat_map(flat).collect();
        print_json(&json!({ "state": worst, "findings": findings }))?;
    } else {
        page.end();
    }
    Ok(ExitCode::from(u8::from(worst == State::Fail)))
}

/// A group's findings, each with the group's name.
fn flat(group: &Group) -> Vec<Value> {
    let with_group = |finding: &Finding| {
        let mut value = json!({ "group": group.group });
        if let (Value::Object(to), Value::Object(from)) = (&mut value, json!(finding)) {
            to.extend(from);
        }
        value
    };
    group.findings.iter().map(with_group).collect()
}

/// A rate as "31.2 GB/s", a whole number of them where it has three digits.
fn giga(per_s: f64) -> String {
    let giga = per_s / 1e9;
    if giga >= 100.0 {
        format!("{giga:.0}")
    } else {
        format!("{giga:.1}")
    }
}

/// Bytes as "24 MiB" or "23.4 GiB".
fn binary(bytes: u64) -> String {
    let bytes = bytes as f64;
    let (mib, gib) = (f64::from(1 << 20), f64::from(1 << 30));
    if bytes >= gib {
        format!("{:.1} GiB", bytes / gib)
    } else {
        format!("{:.0} MiB", bytes / mib)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(giga(31_240_000_000.0), "31.2");
        assert_eq!(giga(651_400_000_000.0), "651");
        assert_eq!(binary(24 << 20), "24 MiB");
        assert_eq!(binary((3 << 30) + (1 << 29)), "3.5 GiB");
    }

    #[test]
    fn a_finding_has_its_words_and_its_next_step() {
        let well = Finding::new("lock", State::Ok, "lock.free", &[], Value::Null);
        assert_ne!(well.text, "doctor.lock.free");
        assert_eq!(well.next, None);
        let home = [("folder", "/srv/x".to_owned())];
        let ill = Finding::new("disk", State::Fail, "disk.unwritable", &home, Value::Null);
        assert!(ill.text.contains("/srv/x"), "{}", ill.text);
        assert!(ill.next.is_some());
    }
}
