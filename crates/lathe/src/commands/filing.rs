//! `lathe filing`: an authority's act (备案), kept as evidence. The workshop grants none.

use std::path::PathBuf;

use clap::Subcommand;
use lathe_evidence::Digest;
use lathe_evidence::statement::FilingKind;
use lathe_workshop::Operation;

use super::{Globals, operate};
use crate::fail::{Failure, Outcome};

/// Largest document that is hashed.
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// Arguments of `lathe filing`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Keep the authority's number, date and the digest of its document.
    #[command(
        after_help = "Example:\n  lathe filing record 2026-0001 --kind generative-service --authority CAC \\\n    --number X-2026-17 --date 2026-11-25 --document notice.pdf"
    )]
    Record(Record),
}

#[derive(Debug, clap::Args)]
struct Record {
    /// The registration in this workshop's register.
    registration: String,
    /// Which kind.
    #[arg(long, value_enum)]
    kind: Kind,
    /// The authority.
    #[arg(long)]
    authority: String,
    /// The authority's number.
    #[arg(long)]
    number: String,
    /// The day on the document, YYYY-MM-DD.
    #[arg(long)]
    date: String,
    /// The document; only its digest is kept.
    #[arg(long, value_name = "FILE")]
    document: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// 算法备案.
    Algorithm,
    /// 生成式人工智能服务备案.
    GenerativeService,
    /// 生成式人工智能服务登记.
    GenerativeRegistration,
}

/// Records it.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let Command::Record(record) = &args.command;
    let operation = Operation::Filing {
        number: record.registration.clone(),
        kind: match record.kind {
            Kind::Algorithm => FilingKind::Algorithm,
            Kind::GenerativeService => FilingKind::GenerativeService,
            Kind::GenerativeRegistration => FilingKind::GenerativeRegistration,
        },
        authority: record.authority.clone(),
        filed_as: record.number.clone(),
        date: record.date.clone(),
        document: hash(&record.document)?,
    };
    operate(globals, record.json, &operation)
}

fn hash(file: &PathBuf) -> Result<Digest, Failure> {
    let refuse = |reason: String| {
        Failure::new(
            "filing-document",
            format!("cannot read the document {}: {reason}", file.display()),
            "name the authority's document as a file",
        )
    };
    let size = std::fs::metadata(file).map_err(|error| refuse(error.to_string()))?;
    if size.len() > DOCUMENT_BYTES_MAX {
        return Err(refuse(format!(
            "it has more than {DOCUMENT_BYTES_MAX} bytes"
        )));
    }
    let bytes = std::fs::read(file).map_err(|error| refuse(error.to_string()))?;
    Ok(Digest::of(&bytes))
}
