//! `lathe pack`: check a pack without running it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use lathe_workshop::words::{self, Lang};
use serde_json::json;

use super::print_json;
use crate::fail::Outcome;

/// Arguments of `lathe pack`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read a pack as `run` would, with and without its quick overlay; fetch nothing.
    #[command(after_help = "Example:\n  lathe pack check packs/customer-care")]
    Check {
        /// The pack's folder, or its pack.yaml.
        pack: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Checks the pack.
pub fn run(args: &Args) -> Outcome {
    let Command::Check { pack, json } = &args.command;
    let loaded = lathe_workshop::pack::load(pack, false)?;
    let name = &loaded.pack.name;
    if *json {
        print_json(&json!({ "pack": name }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{}",
        words::get(Lang::from_env(), "cli.pack-sound", &[("name", name)])
    );
    Ok(ExitCode::SUCCESS)
}
