//! `lathe keys`: who may sign what.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use lathe_evidence::Digest;
use lathe_evidence::statement::Role;
use lathe_workshop::{Operation, keyring};
use serde_json::json;

use super::{Globals, Printing, Reason, operate};
use crate::fail::{Failure, Outcome};

/// Arguments of `lathe keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the keys that the ledger knows, or knew.
    List,
    /// Make a key of one's own: FILE for oneself, FILE.pub for others. Touches no home.
    #[command(after_help = "Example:\n  lathe keys new anna.key")]
    New {
        /// Where the private key is written.
        file: PathBuf,
    },
    /// Let somebody sign.
    #[command(
        after_help = "Example:\n  lathe keys add anna.key.pub --name Anna --role approver\n\nRoles: root, data-owner, tuner, evaluator, approver, registrar, operator, auditor"
    )]
    Add {
        /// The public key.
        file: PathBuf,
        /// Whose it is.
        #[arg(long)]
        name: String,
        /// What it may sign; may be given more than once.
        #[arg(long = "role", value_name = "ROLE", value_parser = role, required = true)]
        roles: Vec<Role>,
    },
    /// Let a key sign no more; what it signed stands.
    Retire(Ended),
    /// Say that a key was stolen: nothing that it signed stands.
    Compromised(Ended),
    /// Give the workshop a new key and retire the old one.
    #[command(after_help = "Example:\n  lathe keys rotate --reason \"yearly\"")]
    Rotate(Reason),
}

#[derive(Debug, clap::Args)]
struct Ended {
    /// The key's id, as `lathe keys list` has it.
    id: Digest,
    #[command(flatten)]
    why: Reason,
}

fn role(text: &str) -> Result<Role, String> {
    serde_json::from_value(text.into()).map_err(|_| {
        "one of root, data-owner, tuner, evaluator, approver, registrar, operator, auditor"
            .to_owned()
    })
}

/// Lists, makes, adds, ends.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let operation = match &args.command {
        Command::New { file } => return new(file, args.printing),
        Command::List => Operation::Keys {},
        Command::Add { file, name, roles } => Operation::KeyAdd {
            public: std::fs::read_to_string(file).map_err(|error| unwritten(file, &error))?,
            name: name.clone(),
            roles: roles.clone(),
        },
        Command::Retire(ended) => Operation::KeyRetire {
            id: ended.id,
            reason: ended.why.reason.clone(),
        },
        Command::Compromised(ended) => Operation::KeyCompromised {
            id: ended.id,
            reason: ended.why.reason.clone(),
        },
        Command::Rotate(why) => Operation::KeyRotate {
            reason: why.reason.clone(),
        },
    };
    operate(globals, args.printing.json, &operation)
}

fn unwritten(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        "key-file",
        format!("cannot read or write {}: {error}", file.display()),
        "name another file; a key is never written over",
    )
}

/// Makes a key pair; never over a file that is there.
fn new(file: &Path, printing: Printing) -> Outcome {
    let key = keyring::new()?;
    let mut public = file.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    let write = |path: &Path, mode: u32, text: String| {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| unwritten(path, &error))
    };
    write(file, 0o600, key.to_pem())?;
    write(&public, 0o644, key.public().to_pem())?;
    let made = json!({
        "id": key.id(),
        "key": file.display().to_string(),
        "public": public.display().to_string(),
    });
    printing.print(&made)?;
    Ok(ExitCode::SUCCESS)
}
