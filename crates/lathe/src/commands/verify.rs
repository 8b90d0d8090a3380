//! `lathe verify`: looks at the home as a stranger would, with the code of `lathe-verify`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lathe_verify::Request;

use super::Globals;
use crate::fail::{Failure, Outcome};

/// Arguments of `lathe verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe verify
  lathe verify --checkpoint checkpoint.txt --key workshop.pub

Exit code 0: all holds; 1: something does not, and is named.")]
pub struct Args {
    /// A public key that must stand behind it: a file, or the key's id.
    #[arg(long = "key", value_name = "PUB")]
    keys: Vec<String>,
    /// A checkpoint kept from before, which it must continue.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// A witness that must have cosigned the checkpoint: its key (NAME+ID+KEY), or a file with it.
    #[arg(long = "witness", value_name = "KEY")]
    witnesses: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Verifies the home.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let request = Request {
        place: globals.home()?.root().to_path_buf(),
        keys: args.keys.clone(),
        checkpoint: args.checkpoint.clone(),
        witnesses: args.witnesses.clone(),
        dossiers: Vec::new(),
        at_ms: now.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
    };
    let findings = lathe_verify::run(&request).map_err(|error| {
        let next = "name a home with --home FOLDER";
        Failure::new("verify", error.to_string(), next)
    })?;
    if args.json {
        println!("{}", findings.to_json());
    } else {
        print!("{findings}");
    }
    Ok(ExitCode::from(u8::from(!findings.all_hold())))
}
