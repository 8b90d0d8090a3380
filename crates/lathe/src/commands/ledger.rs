//! `lathe ledger`: the append-only log (存证账本).

use std::path::PathBuf;

use clap::Subcommand;
use lathe_workshop::Operation;

use super::{Globals, Printing, absolute, operate, with_daemon};
use crate::client::escaped;
use crate::fail::Outcome;

/// Arguments of `lathe ledger`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List entries, newest first.
    List,
    /// Show an entry with its proof.
    #[command(after_help = "Example:\n  lathe ledger show 12")]
    Show {
        /// Its place, from 0, or its link.
        entry: String,
    },
    /// Write the ledger as C2SP tlog tiles, for mirrors and witnesses.
    #[command(after_help = "Example:\n  lathe ledger export tiles/")]
    Export {
        /// The folder; made where it is missing.
        folder: PathBuf,
    },
}

/// Lists, shows, exports.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let path = match &args.command {
        Command::List => "/api/ledger/entries?limit=500".to_owned(),
        Command::Show { entry } => format!("/api/ledger/entries/{}", escaped(entry)),
        Command::Export { folder } => {
            let folder = absolute(folder)?;
            let operation = Operation::LedgerExport { folder };
            return operate(globals, args.printing.json, &operation);
        }
    };
    with_daemon(globals, args.printing.json, |client| client.value(&path))
}
