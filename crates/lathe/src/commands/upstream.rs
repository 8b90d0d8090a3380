//! `lathe upstream`: other servers that answer under a name here, behind the same door.

use std::path::PathBuf;

use clap::Subcommand;
use lathe_workshop::Operation;
use lathe_workshop::upstream::UpstreamRequest;

use super::{Globals, Printing, Reason, absolute, operate};
use crate::fail::{Failure, Outcome};

/// Arguments of `lathe upstream`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Let another OpenAI-compatible server answer under a name. Its weights are not verified: no gate
    /// was passed, and every receipt says so.
    #[command(after_help = "Examples:
  lathe upstream add qwen-big --url http://127.0.0.1:8000/v1 --reason \"72B on the GPU box\"
  lathe upstream add qwen-big --url https://models.example/v1 --remote --model Qwen/Qwen2.5-72B-Instruct \\
      --key-file key.txt --failover qwen-small --reason \"tender 12\"

A name that an upstream has already is given the new address.")]
    Add(Box<Add>),
    /// List them, with how each is.
    List,
    /// Take one away: its name answers no more.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        why: Reason,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// The name it answers under: the `model` of requests.
    name: String,
    /// Where it is, as OpenAI's clients take it; /v1 where no path is given.
    #[arg(long)]
    url: String,
    /// The name it is asked for there [default: NAME].
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// A file with the key it is asked with; copied into the home, for its user alone.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// It is not on this machine: questions and answers leave it.
    #[arg(long)]
    remote: bool,
    /// Another upstream to ask while this one is down [default: none].
    #[arg(long, value_name = "NAME")]
    failover: Option<String>,
    /// How often to ask again where nothing has come yet; a token that was sent is never repeated.
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Longest wait for a connection.
    #[arg(long, value_name = "MS", default_value_t = 5_000)]
    connect_ms: u64,
    /// Longest silence, before the first token and between two.
    #[arg(long, value_name = "MS", default_value_t = 120_000)]
    silence_ms: u64,
    #[command(flatten)]
    why: Reason,
}

/// Adds, lists, removes.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let operation = match &args.command {
        Command::Add(add) => Operation::UpstreamAdd(request(add)?),
        Command::List => Operation::Upstreams {},
        Command::Remove { name, why } => Operation::UpstreamRemove {
            name: name.clone(),
            reason: why.reason.clone(),
        },
    };
    operate(globals, args.printing.json, &operation)
}

fn request(add: &Add) -> Result<UpstreamRequest, Failure> {
    Ok(UpstreamRequest {
        name: add.name.clone(),
        url: add.url.clone(),
        model: add.model.clone(),
        key_file: add.key_file.as_deref().map(absolute).transpose()?,
        remote: add.remote,
        failover: add.failover.clone(),
        retries: add.retries,
        connect_ms_max: add.connect_ms,
        silence_ms_max: add.silence_ms,
        reason: add.why.reason.clone(),
    })
}
