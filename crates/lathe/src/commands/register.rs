//! `lathe register`: the workshop's own register (算法登记), which is not the authority's.

use clap::Subcommand;
use lathe_workshop::Operation;

use super::{Globals, Printing, Reason, operate, with_daemon};
use crate::client::escaped;
use crate::fail::Outcome;

/// Arguments of `lathe register`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List registrations, newest first.
    List,
    /// Show a registration: its life, and what it rests on.
    #[command(after_help = "Example:\n  lathe register show 2026-0001")]
    Show {
        /// Its number.
        number: String,
    },
    /// List what waits for approval.
    Pending,
    /// Take a registration out of the register (注销); what rests on it no longer answers.
    #[command(
        after_help = "Example:\n  lathe register cancel 2026-0001 --reason \"the service ended\""
    )]
    Cancel {
        /// Its number.
        number: String,
        #[command(flatten)]
        why: Reason,
    },
}

/// Looks, or cancels.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let json = args.printing.json;
    let path = match &args.command {
        Command::List => "/api/register?limit=500".to_owned(),
        Command::Show { number } => format!("/api/register/{}", escaped(number)),
        Command::Pending => return operate(globals, json, &Operation::Pending {}),
        Command::Cancel { number, why } => {
            let operation = Operation::Cancel {
                number: number.clone(),
                reason: why.reason.clone(),
            };
            return operate(globals, json, &operation);
        }
    };
    with_daemon(globals, json, |client| client.value(&path))
}
