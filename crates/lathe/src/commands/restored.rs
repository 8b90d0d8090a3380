//! `lathe restored`: after a home was put back from a backup.

use lathe_workshop::Operation;

use super::{Globals, operate};
use crate::fail::Outcome;

/// Arguments of `lathe restored`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  lathe restored --reason \"disk replaced; backup of Monday\"

A backup is what lathe backup wrote, or a copy of the stopped home. Whoever kept a newer checkpoint than
the backup's will see that what came after it is lost: that cannot be hidden.")]
pub struct Args {
    /// Why; it stands in the ledger for good.
    #[arg(long)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Says it.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let reason = args.reason.clone();
    operate(globals, args.json, &Operation::Restored { reason })
}
