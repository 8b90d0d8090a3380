//! `lathe pack`: which packs there are, what one sets, whether it is sound, without running it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use lathe_workshop::Operation;
use lathe_workshop::words::{self, Lang};
use serde_json::json;

use super::{Globals, absolute, operate, print_json};
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
    /// List the packs that an order can be made of: those beside the daemon, in `packs`, and those made of files that
    /// were brought.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a pack with every setting it makes.
    #[command(
        after_help = "Examples:\n  lathe pack show packs/customer-care --quick\n  lathe pack show reviews"
    )]
    Show {
        /// The pack's folder, or the name of one made here.
        pack: PathBuf,
        /// As its `quick` section changes it.
        #[arg(long)]
        quick: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Checks, lists, shows.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    match &args.command {
        Command::Check { pack, json } => check(pack, *json),
        Command::List { json } => operate(globals, *json, &Operation::Packs {}),
        Command::Show { pack, quick, json } => {
            // A name that is no folder here is looked up in the home.
            let pack = match pack.exists() {
                true => absolute(pack)?,
                false => pack.clone(),
            };
            let quick = *quick;
            operate(globals, *json, &Operation::PackShow { pack, quick })
        }
    }
}

fn check(pack: &Path, json: bool) -> Outcome {
    let loaded = lathe_workshop::pack::load(pack, false)?;
    let name = &loaded.pack.name;
    if json {
        print_json(&json!({ "pack": name }))?;
        return Ok(ExitCode::SUCCESS);
    }
    println!(
        "{}",
        words::get(Lang::from_env(), "cli.pack-sound", &[("name", name)])
    );
    Ok(ExitCode::SUCCESS)
}
