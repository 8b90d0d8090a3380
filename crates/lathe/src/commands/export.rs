//! `lathe export`: what other people's tools read of a deployment: its bill of materials (CycloneDX),
//! its weights with OpenSSF signatures. A deployment for another workshop is `lathe bundle export`.

use std::path::PathBuf;

use clap::Subcommand;
use lathe_workshop::Operation;
use lathe_workshop::bundle::ExportRequest;
use serde_json::json;

use super::{Globals, Printing, absolute, operate, with_daemon};
use crate::client::escaped;
use crate::fail::{Failure, Outcome};

/// Arguments of `lathe export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the bill of materials: CycloneDX 1.6 with a model card.
    #[command(
        after_help = "Example:\n  lathe export ml-bom customer-care --out customer-care.cdx.json"
    )]
    MlBom {
        /// The deployment's name.
        name: String,
        /// The file to write; never over one that is there.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write the weights, base model and adapter, each with its model.sig.
    #[command(after_help = "Example:
  lathe export model customer-care weights/
  model_signing verify key --public_key weights/model.pub --signature weights/adapter/model.sig weights/adapter

`lathe keys list` shows the public key as `model_key`: let whoever verifies have
it by another way than the folder. What an exported file does elsewhere, no gate
and no receipt sees.")]
    Model {
        /// The deployment's name.
        name: String,
        /// The folder to write.
        folder: PathBuf,
    },
}

/// Exports it.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    match &args.command {
        Command::MlBom { name, out } => {
            let path = format!("/api/deployments/{}/ml-bom", escaped(name));
            with_daemon(globals, args.printing.json, |client| {
                let bom = client.value(&path)?;
                write(out, &format!("{bom:#}\n"))?;
                Ok(json!({ "file": out, "serial": bom["serialNumber"] }))
            })
        }
        Command::Model { name, folder } => {
            let request = ExportRequest {
                name: name.clone(),
                folder: absolute(folder)?,
            };
            operate(
                globals,
                args.printing.json,
                &Operation::ModelExport(request),
            )
        }
    }
}

fn write(file: &PathBuf, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create_new(true).open(file);
    opened
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .map_err(|error| {
            Failure::new(
                "export-file",
                format!("cannot write {}: {error}", file.display()),
                "name a file that is not there yet",
            )
        })
}
