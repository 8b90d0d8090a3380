//! `lathe approve`: decide about a model that waits. The key signs here and never enters the home.

use std::path::PathBuf;

use lathe_evidence::statement::Decision;
use lathe_workshop::{Operation, keyring, ops};

use super::{Globals, with_daemon};
use crate::client::Client;
use crate::fail::{Failure, Outcome};

/// Signed again at most this often where the ledger grew meanwhile.
const TRIES_MAX: usize = 5;

/// Arguments of `lathe approve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe approve 2026-0001 --key anna.key --reason \"figures and data checked\"
  lathe approve 2026-0001 --key anna.key --reject --reason \"too few records of children\"

Make a key with `lathe keys new anna.key` on the approver's machine, and let the
workshop know its public half: lathe keys add anna.key.pub --name Anna --role approver")]
pub struct Args {
    /// The registration's number: see `lathe register pending`.
    number: String,
    /// The approver's private key.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Refuse instead.
    #[arg(long)]
    reject: bool,
    /// Why; it stands in the ledger for good.
    #[arg(long, default_value = "read and approved")]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Signs and hands in.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let key = keyring::read(&args.key)?;
    let decision = if args.reject {
        Decision::Rejected
    } else {
        Decision::Approved
    };
    with_daemon(globals, args.json, |client| {
        let mut tries = 0;
        loop {
            tries += 1;
            let draft = draft(client, args, decision)?;
            let envelope = ops::sign_approval(&draft, &args.number, decision, &key)?;
            match client.operate(&Operation::Approve { envelope }) {
                Err(failure) if failure.code() == "ledger-time" && tries < TRIES_MAX => {}
                done => return done,
            }
        }
    })
}

fn draft(client: &Client, args: &Args, decision: Decision) -> Result<String, Failure> {
    let answer = client.operate(&Operation::ApprovalDraft {
        number: args.number.clone(),
        decision,
        reason: args.reason.clone(),
    })?;
    let statement = answer["statement"].as_str().unwrap_or_default();
    Ok(statement.to_owned())
}
