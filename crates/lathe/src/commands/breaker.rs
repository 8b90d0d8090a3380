//! `lathe breaker`: whether a deployment may answer (风险熔断).

use lathe_evidence::statement::BreakerState;
use lathe_workshop::Operation;

use super::{Globals, operate, with_daemon};
use crate::client::escaped;
use crate::fail::Outcome;

/// Arguments of `lathe breaker`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe breaker customer-care
  lathe breaker customer-care open --reason \"complaints about answers in Spanish\"
  lathe breaker customer-care close --reason \"checked again\"

Closing looks at all evidence anew, and is refused where it does not hold.")]
pub struct Args {
    /// The deployment's name.
    name: String,
    /// What to do; without it, how it stands and moved is shown.
    #[arg(value_enum, requires = "reason")]
    what: Option<To>,
    /// Why; it stands in the ledger for good.
    #[arg(long)]
    reason: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum To {
    /// No more answers.
    Open,
    /// Answers again.
    Close,
    /// Answers only for those who ask in the knowledge of the reason.
    Restrict,
}

/// Shows or moves it.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let Some(what) = args.what else {
        let path = format!("/api/breakers/{}", escaped(&args.name));
        return with_daemon(globals, args.json, |client| client.value(&path));
    };
    let operation = Operation::Breaker {
        name: args.name.clone(),
        to: match what {
            To::Open => BreakerState::Open,
            To::Close => BreakerState::Closed,
            To::Restrict => BreakerState::Restricted,
        },
        reason: args.reason.clone().unwrap_or_default(),
    };
    operate(globals, args.json, &operation)
}
