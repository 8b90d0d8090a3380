//! `lathe token`: the keys of the API. Who may sign is another matter: `lathe keys`.

use clap::Subcommand;
use lathe_workshop::Operation;
use lathe_workshop::people::COMMON;
use lathe_workshop::token::{Allowance, Scope, TokenRequest};

use super::{Globals, Printing, Reason, operate};
use crate::fail::Outcome;

/// Arguments of `lathe token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Issue a key and print it, this once. From the first one on every request has to present one.
    #[command(after_help = "Examples:
  lathe token create --name \"the shop\" --model customer-care
  lathe token create --name trial --expires-days 30 --requests-per-minute 60 --tokens-per-day 100000
  lathe token create --name prometheus --scope metrics

Scopes: answer (ask models), feedback, tune (files and jobs), models (the registered models and their files), metrics, admin (everything: pages, orders, evidence, keys)")]
    Create(Create),
    /// List the keys that were issued, with what was asked with them today (UTC).
    List,
    /// Take a key back: from now on it opens nothing.
    #[command(
        after_help = "Example:\n  lathe token revoke 3f9c02a1b7d4 --reason \"was in a public repository\""
    )]
    Revoke {
        /// The key's id, as `lathe token list` has it.
        id: String,
        #[command(flatten)]
        why: Reason,
    },
}

#[derive(Debug, clap::Args)]
struct Create {
    /// Whom or what it is for.
    #[arg(long)]
    name: String,
    /// What it opens; may be given more than once [default: answer].
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<Scope>,
    /// A model it may ask; may be given more than once [default: all].
    #[arg(long = "model", value_name = "NAME")]
    models: Vec<String>,
    /// The project whose things alone it opens [default: the whole workshop].
    #[arg(long, value_name = "ID", default_value = COMMON, hide_default_value = true)]
    project: String,
    /// Days after which it opens nothing [default: no end].
    #[arg(long, value_name = "DAYS")]
    expires_days: Option<u32>,
    /// Requests within a minute [default: no limit].
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<u32>,
    /// Tokens of prompts and answers within a minute [default: no limit].
    #[arg(long, value_name = "N")]
    tokens_per_minute: Option<u32>,
    /// Tokens of prompts and answers within a day, by UTC [default: no limit].
    #[arg(long, value_name = "N")]
    tokens_per_day: Option<u64>,
}

fn scope(text: &str) -> Result<Scope, String> {
    let named = Scope::ALL.into_iter().find(|scope| scope.name() == text);
    named.ok_or_else(|| "one of answer, feedback, tune, models, metrics, admin".to_owned())
}

/// Issues, lists, takes back.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let operation = match &args.command {
        Command::Create(create) => Operation::TokenCreate(request(create)),
        Command::List => Operation::Tokens {},
        Command::Revoke { id, why } => Operation::TokenRevoke {
            id: id.clone(),
            reason: why.reason.clone(),
        },
    };
    operate(globals, args.printing.json, &operation)
}

fn request(create: &Create) -> TokenRequest {
    let scopes = match create.scopes.as_slice() {
        [] => vec![Scope::Answer],
        given => given.to_vec(),
    };
    TokenRequest {
        name: create.name.clone(),
        scopes,
        models: create.models.clone(),
        project: create.project.clone(),
        expires_days: create.expires_days,
        allowance: Allowance {
            requests_per_minute: create.requests_per_minute,
            tokens_per_minute: create.tokens_per_minute,
            tokens_per_day: create.tokens_per_day,
        },
    }
}
