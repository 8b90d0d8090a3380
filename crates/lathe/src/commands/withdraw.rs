//! `lathe withdraw`: data is taken back, and what was tuned on it is restricted.

use lathe_evidence::Digest;
use lathe_evidence::statement::Withdrawn;
use lathe_workshop::Operation;

use super::{Globals, operate};
use crate::fail::Outcome;

/// Arguments of `lathe withdraw`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe withdraw 5f0c… --reason \"asked by its author\"             a record, by its leaf
  lathe withdraw --dataset 9ab1… --reason \"the licence was wrong\"
  lathe withdraw --agreement A-17 --reason \"ended by its owner\"

Every deployment that was tuned on it is restricted at once; the command that
tunes again without it is printed.")]
pub struct Args {
    #[command(flatten)]
    what: What,
    /// Why; it stands in the ledger for good.
    #[arg(long)]
    reason: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// A record, by its leaf.
    leaf: Option<Digest>,
    /// A dataset version, by its digest.
    #[arg(long, value_name = "DIGEST")]
    dataset: Option<Digest>,
    /// All data under an agreement, by its name.
    #[arg(long, value_name = "NAME")]
    agreement: Option<String>,
}

/// Takes it back.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let what = match (&args.what.leaf, &args.what.dataset, &args.what.agreement) {
        (Some(leaf), _, _) => Withdrawn::Leaf(*leaf),
        (_, Some(dataset), _) => Withdrawn::Dataset(*dataset),
        (_, _, Some(name)) => Withdrawn::Agreement(name.clone()),
        (None, None, None) => unreachable!("clap asks for one of them"),
    };
    let operation = Operation::Withdraw {
        what,
        reason: args.reason.clone(),
    };
    operate(globals, args.json, &operation)
}
