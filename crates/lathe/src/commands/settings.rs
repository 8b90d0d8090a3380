//! `lathe settings`: what the workshop runs with, as its page and `GET /api/settings` tell it.

use std::process::ExitCode;

use lathe_workshop::settings::WorkshopSettings;
use lathe_workshop::words::Lang;

use super::{Globals, ask_daemon, print_json, say};
use crate::fail::Outcome;
use crate::table::width;

/// Arguments of `lathe settings`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe settings
  lathe settings --json | jq '.sections[] | select(.name == \"listen\")'

Beside each value stand the flags, variables, files and commands that change it. Where no daemon runs,
this is what a command alone runs with, and says so.")]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints them.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let (settings, goes_on) = ask_daemon(globals, |client| client.settings())?;
    if !goes_on {
        eprintln!("{}", say("cli.settings.alone"));
    }
    if args.json {
        print_json(&settings)?;
    } else {
        print!("{}", shown(&settings, Lang::from_env()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Section by section, a setting a line.
fn shown(settings: &WorkshopSettings, lang: Lang) -> String {
    let mut out = String::new();
    for section in &settings.sections {
        if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(&section.title(lang));
        out.push('\n');
        let rows = section.settings.iter();
        let rows = rows.map(|it| (it.title(lang), it.text(lang), it.changed_by.join(", ")));
        let rows: Vec<(String, String, String)> = rows.collect();
        let names = rows.iter().map(|row| width(&row.0)).max().unwrap_or(0);
        let values = rows.iter().map(|row| width(&row.1)).max().unwrap_or(0);
        for (name, value, changed_by) in &rows {
            let (name, value) = (padded(name, names), padded(value, values));
            let line = format!("  {name}  {value}  {changed_by}");
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// The text, at least so many columns wide.
fn padded(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn text_of(sections: Value, lang: Lang) -> String {
        let settings = serde_json::from_value(json!({ "sections": sections }));
        shown(&settings.unwrap(), lang)
    }

    #[test]
    fn every_setting_is_a_line_with_its_value_and_what_changes_it() {
        let sections = json!([
            { "name": "listen", "settings": [
                { "name": "url", "value": "http://127.0.0.1:7878", "changed_by": ["--listen"] },
                { "name": "tls", "value": false, "changed_by": [] },
            ] },
            { "name": "evidence", "settings": [
                { "name": "scrub_s", "value": 60, "changed_by": ["--scrub-s", "LATHE_SCRUB_S"] },
            ] },
        ]);
        let text = text_of(sections, Lang::En);
        let lines: Vec<&str> = text.lines().collect();
        let expected = [
            "Access",
            "  Listens at  http://127.0.0.1:7878  --listen",
            "  TLS         no",
            "",
            "Evidence",
        ];
        assert_eq!(lines[..5], expected);
        let last = "  1 min  --scrub-s, LATHE_SCRUB_S";
        assert!(lines[5].ends_with(last), "{text}");
    }

    #[test]
    fn chinese_is_aligned_by_its_columns() {
        let sections = json!([{ "name": "people", "settings": [
            { "name": "accounts", "value": 2, "changed_by": ["lathe people add"] },
            { "name": "sign_in", "value": ["password"], "changed_by": [] },
        ] }]);
        let text = text_of(sections, Lang::Zh);
        assert!(
            text.contains("  账号数    2     lathe people add"),
            "{text}"
        );
        assert!(text.contains("  登录方式  密码\n"), "{text}");
    }
}
