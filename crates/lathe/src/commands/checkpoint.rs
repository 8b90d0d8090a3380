//! `lathe checkpoint`: what is kept outside, so that a rewritten ledger is found out.

use std::process::ExitCode;

use lathe_workshop::Operation;

use super::{Globals, operate, with_daemon};
use crate::fail::Outcome;

/// Arguments of `lathe checkpoint`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  lathe checkpoint > checkpoint.txt      keep it where this machine's administrator cannot reach it

Later, or elsewhere: lathe-verify HOME --checkpoint checkpoint.txt")]
pub struct Args {
    /// Print JSON: with the origin, the root and the public key.
    #[arg(long)]
    json: bool,
}

/// Prints the signed note as it is.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    if args.json {
        return operate(globals, true, &Operation::Checkpoint {});
    }
    with_daemon(globals, false, |client| {
        let mut head = client.operate(&Operation::Checkpoint {})?;
        print!("{}", head["note"].take().as_str().unwrap_or_default());
        Ok(serde_json::Value::Object(serde_json::Map::new()))
    })
    .map(|_| ExitCode::SUCCESS)
}
