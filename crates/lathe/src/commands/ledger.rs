//! `lathe ledger`: the append-only log (存证账本).

use std::path::PathBuf;

use clap::Subcommand;
use lathe_workshop::Operation;

use super::{Globals, operate, with_daemon};
use crate::client::escaped;
use crate::fail::{Failure, Outcome};

/// Arguments of `lathe ledger`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List entries, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an entry with its proof.
    #[command(after_help = "Example:\n  lathe ledger show 12")]
    Show {
        /// Its place, from 0, or its link.
        entry: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write the ledger as C2SP tlog tiles, for mirrors and witnesses.
    #[command(after_help = "Example:\n  lathe ledger export tiles/")]
    Export {
        /// The folder; made where it is missing.
        folder: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Lists, shows, exports.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    match &args.command {
        Command::List { json } => with_daemon(globals, *json, |client| {
            client.value("/api/ledger/entries?limit=500")
        }),
        Command::Show { entry, json } => {
            let path = format!("/api/ledger/entries/{}", escaped(entry));
            with_daemon(globals, *json, |client| client.value(&path))
        }
        Command::Export { folder, json } => {
            let folder = std::path::absolute(folder).map_err(|error| {
                Failure::new("ledger-export", error.to_string(), "name another folder")
            })?;
            operate(globals, *json, &Operation::LedgerExport { folder })
        }
    }
}
