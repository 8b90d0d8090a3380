//! `lathe register`: the workshop's own register (算法登记), which is not the authority's.

use clap::Subcommand;
use lathe_evidence::statement::Decision;
use lathe_workshop::Operation;
use lathe_workshop::people::Secret;

use super::people::password;
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
    /// Decide about a model that waits, as somebody who logs in for it: where the workshop's own key signs.
    #[command(after_help = "Examples:
  lathe register decide 2026-0001 --as wang --approve --reason \"figures and data checked\" < password.txt
  lathe register decide 2026-0001 --as wang --reject --reason \"too few records\" < password.txt

Whoever placed the order approves nothing of it. With a key of one's own: `lathe approve`.")]
    Decide(Decide),
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

#[derive(Debug, clap::Args)]
struct Decide {
    /// Its number: see `lathe register pending`.
    number: String,
    /// Who decides: what they log in with. Their password is read from standard input, its first line.
    #[arg(long = "as", value_name = "NAME")]
    person: String,
    /// Let it answer.
    #[arg(long, required_unless_present = "reject")]
    approve: bool,
    /// Refuse it.
    #[arg(long, conflicts_with = "approve")]
    reject: bool,
    #[command(flatten)]
    why: Reason,
}

/// Looks, decides or cancels.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let json = args.printing.json;
    let path = match &args.command {
        Command::List => "/api/register?limit=500".to_owned(),
        Command::Show { number } => format!("/api/register/{}", escaped(number)),
        Command::Pending => return operate(globals, json, &Operation::Pending {}),
        Command::Decide(decide) => return decided(globals, json, decide),
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

fn decided(globals: &Globals, json: bool, asked: &Decide) -> Outcome {
    let operation = Operation::Decide {
        number: asked.number.clone(),
        decision: match (asked.approve, asked.reject) {
            (true, false) => Decision::Approved,
            _ => Decision::Rejected,
        },
        reason: asked.why.reason.clone(),
    };
    let password = password(true)?.unwrap_or_else(|| Secret(String::new()));
    with_daemon(globals, json, |client| {
        client.operate_as((&asked.person, &password), &operation)
    })
}
