//! `lathe-verify`: holds a workshop's evidence against itself and against what its reader kept.
//!
//! For outsiders: it has no engine and no kernels, reads a copy, and writes nothing. Pinned keys and
//! an older checkpoint come from elsewhere; without them it says so.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use lathe_verify::{Findings, Request, VerifyError};

/// Verifies a stopped home, a copy of one, or a bundle.
///
/// Prints what holds and what does not. Exit code 0: all holds; 1: something does not; 2: it could
/// not be read.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  lathe-verify ~/.lathe
  lathe-verify backup --key workshop.pub --checkpoint checkpoint.txt
  lathe-verify backup --checkpoint cosigned.txt --witness witness.vkey
  lathe-verify support.bundle --key workshop.pub --json"
)]
struct Arguments {
    /// The home, or the bundle
    #[arg(value_name = "HOME-OR-BUNDLE")]
    place: PathBuf,
    /// A public key that must stand behind it: a file (PEM or base64), or the key's id
    #[arg(long = "key", value_name = "PUB")]
    keys: Vec<String>,
    /// A checkpoint kept from before, which it must continue
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// A witness that must have cosigned the checkpoint: its key (NAME+ID+KEY), or a file with it
    #[arg(long = "witness", value_name = "KEY")]
    witnesses: Vec<String>,
    /// A dossier (JSON, or the page in either language) that has to come out of the ledger byte for byte
    #[arg(long = "dossier", value_name = "FILE")]
    dossiers: Vec<PathBuf>,
    /// The moment to judge what expires at, milliseconds since 1970; now, if absent
    #[arg(long, value_name = "MS")]
    at_ms: Option<i64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(findings) => {
            if arguments.json {
                println!("{}", findings.to_json());
            } else {
                print!("{findings}");
            }
            ExitCode::from(u8::from(!findings.all_hold()))
        }
        Err(error) => {
            eprintln!("lathe-verify: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Findings, VerifyError> {
    let now_ms = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    let request = Request {
        place: arguments.place.clone(),
        keys: arguments.keys.clone(),
        checkpoint: arguments.checkpoint.clone(),
        witnesses: arguments.witnesses.clone(),
        dossiers: arguments.dossiers.clone(),
        at_ms: arguments.at_ms.unwrap_or(now_ms),
    };
    lathe_verify::run(&request)
}
