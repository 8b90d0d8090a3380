//! `lathe bundle`: a deployment with all it rests on, for another workshop or an auditor.

use std::path::PathBuf;

use clap::Subcommand;
use lathe_workshop::Operation;

use super::{Globals, operate};
use crate::fail::{Failure, Outcome};

/// Arguments of `lathe bundle`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a bundle; `lathe-verify FOLDER` checks it anywhere.
    #[command(after_help = "Example:\n  lathe bundle export customer-care care-bundle")]
    Export {
        /// The deployment's name.
        name: String,
        /// The folder; it must not be there yet.
        folder: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Exports it.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let Command::Export { name, folder, json } = &args.command;
    let folder = std::path::absolute(folder)
        .map_err(|error| Failure::new("bundle", error.to_string(), "name another folder"))?;
    let name = name.clone();
    operate(globals, *json, &Operation::BundleExport { name, folder })
}
