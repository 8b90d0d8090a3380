//! `lathe bundle`: a deployment with all it rests on, for another workshop or an auditor.

use std::path::PathBuf;

use clap::Subcommand;
use lathe_evidence::Digest;
use lathe_workshop::Operation;
use lathe_workshop::bundle::{ExportRequest, ImportRequest};

use super::{Globals, Printing, absolute, operate};
use crate::fail::Outcome;

/// Arguments of `lathe bundle`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a deployment, its chain, model, data and pack into one folder.
    #[command(after_help = "Example:
  lathe bundle export customer-care care.bundle

`lathe-verify care.bundle` checks it anywhere. The data goes along: the model is measured again where it arrives. Tell the
receiver the id of your root key by another way than this folder.")]
    Export {
        /// The deployment's name.
        name: String,
        /// The folder to write.
        folder: PathBuf,
    },
    /// Verify a bundle, take its model over, and measure and register it here.
    #[command(after_help = "Example:
  lathe bundle import care.bundle --key 3c59dc048e8850243be8079a5c74d079…

The key is the other workshop's root key; `lathe keys list` shows it there. The
bundle's whole ledger and every file are verified before anything is taken. Its
evaluation, gate, registration and approval happen anew, with the keys of this
workshop; `lathe up` works through the order.")]
    Import {
        /// The folder.
        folder: PathBuf,
        /// The id of a root key that must stand behind the bundle.
        #[arg(long = "key", value_name = "ID", required = true)]
        keys: Vec<Digest>,
        /// Take the name over even if another model answers under it here.
        #[arg(long)]
        replace: bool,
    },
}

/// Exports or imports.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let operation = match &args.command {
        Command::Export { name, folder } => Operation::BundleExport(ExportRequest {
            name: name.clone(),
            folder: absolute(folder)?,
        }),
        Command::Import {
            folder,
            keys,
            replace,
        } => Operation::BundleImport(ImportRequest {
            from: absolute(folder)?,
            keys: keys.clone(),
            replace: *replace,
        }),
    };
    operate(globals, args.printing.json, &operation)
}
