//! `lathe dossier`: what the ledger tells of a registration, byte for byte the same for everybody.

use std::process::ExitCode;

use lathe_workshop::Operation;

use super::{Globals, with_daemon};
use crate::fail::Outcome;

/// Arguments of `lathe dossier`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe dossier 2026-0001 > dossier.json
  lathe dossier 2026-0001 --page --lang zh > dossier.html")]
pub struct Args {
    /// The registration's number.
    number: String,
    /// The language of the page.
    #[arg(long, default_value = "en", value_parser = ["en", "zh"])]
    lang: String,
    /// A page to print instead of canonical JSON.
    #[arg(long)]
    page: bool,
}

/// Prints it.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let operation = Operation::Dossier {
        number: args.number.clone(),
        lang: args.lang.clone(),
        page: args.page,
    };
    with_daemon(globals, false, |client| {
        let made = client.operate(&operation)?;
        let text = made["page"].as_str().or(made["dossier"].as_str());
        print!("{}", text.unwrap_or_default());
        Ok(serde_json::Value::Object(serde_json::Map::new()))
    })
    .map(|_| ExitCode::SUCCESS)
}
