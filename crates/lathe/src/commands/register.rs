//! `lathe register`: the workshop's own register (算法登记), which is not the authority's.

use clap::Subcommand;
use lathe_workshop::Operation;

use super::{Globals, operate, with_daemon};
use crate::client::escaped;
use crate::fail::Outcome;

/// Arguments of `lathe register`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List registrations, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a registration: its life, and what it rests on.
    #[command(after_help = "Example:\n  lathe register show 2026-0001")]
    Show {
        /// Its number.
        number: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List what waits for approval.
    Pending {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a registration out of the register (注销); what rests on it no longer answers.
    #[command(
        after_help = "Example:\n  lathe register cancel 2026-0001 --reason \"the service ended\""
    )]
    Cancel {
        /// Its number.
        number: String,
        /// Why; it stands in the ledger for good.
        #[arg(long)]
        reason: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Looks, or cancels.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    match &args.command {
        Command::List { json } => with_daemon(globals, *json, |client| {
            client.value("/api/register?limit=500")
        }),
        Command::Show { number, json } => {
            let path = format!("/api/register/{}", escaped(number));
            with_daemon(globals, *json, |client| client.value(&path))
        }
        Command::Pending { json } => operate(globals, *json, &Operation::Pending {}),
        Command::Cancel {
            number,
            reason,
            json,
        } => {
            let operation = Operation::Cancel {
                number: number.clone(),
                reason: reason.clone(),
            };
            operate(globals, *json, &operation)
        }
    }
}
