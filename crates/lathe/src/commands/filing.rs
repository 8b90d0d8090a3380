//! `lathe filing`: an authority's act (备案): which one applies, the package for it, and the act
//! itself, kept as evidence. The workshop grants none.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use lathe_evidence::Digest;
use lathe_evidence::statement::FilingKind;
use lathe_workshop::Operation;
use lathe_workshop::ops::{Answers, filing_answers, filing_check};
use lathe_workshop::words::Lang;

use super::{Globals, Printing, absolute, operate, with_daemon};
use crate::client::escaped;
use crate::fail::{Failure, Outcome};

/// Largest document that is hashed.
const DOCUMENT_BYTES_MAX: u64 = 256 << 20;

/// Arguments of `lathe filing`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    printing: Printing,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which act applies: 备案, 登记 or none. Needs no home.
    #[command(after_help = "Examples:
  lathe filing check                                 the questions
  lathe filing check --answer public=yes --answer generative=yes
  lathe filing check --answers answers.yaml --json

Exit code 0 when it is decided, 1 while a question is open. A reading of public
texts, each named with its source; not legal advice.")]
    Check(Answered),
    /// Write the package for it, in the official fields, Chinese first.
    #[command(after_help = "Example:
  lathe filing package customer-care --answers answers.yaml --out filing/

What the ledger knows is filled in, whether the model was tuned with it; what
only the operator can give is marked and listed.")]
    Package {
        /// The deployment's name, its order's id, or the registration's number.
        of: String,
        /// The folder to write, new or empty.
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        #[command(flatten)]
        answered: Answered,
    },
    /// Keep the authority's number, date and the digest of its document.
    #[command(
        after_help = "Example:\n  lathe filing record 2026-0001 --kind generative-service --authority CAC \\\n    --number X-2026-17 --date 2026-11-25 --document notice.pdf"
    )]
    Record(Record),
    /// Show what an authority did about a registration: number, date and document's digest.
    #[command(after_help = "Example:\n  lathe filing show customer-care")]
    Show {
        /// The deployment's name, its order's id, or the registration's number.
        of: String,
    },
}

/// Answers of the questionnaire.
#[derive(Debug, clap::Args)]
struct Answered {
    /// A YAML file, one line a question: `public: yes`.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// One answer; over the file's.
    #[arg(long = "answer", value_name = "ID=yes|no", value_parser = answer)]
    answer: Vec<(String, bool)>,
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

impl From<Kind> for FilingKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Algorithm => FilingKind::Algorithm,
            Kind::GenerativeService => FilingKind::GenerativeService,
            Kind::GenerativeRegistration => FilingKind::GenerativeRegistration,
        }
    }
}

/// Checks, writes, records, shows.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    match &args.command {
        Command::Check(answered) => check(args.printing, &answered.all()?),
        Command::Package { of, out, answered } => {
            let operation = Operation::FilingPackage {
                of: of.clone(),
                answers: answered.all()?,
                folder: Some(absolute(out)?),
                lang: Lang::from_env().tag().to_owned(),
            };
            operate(globals, args.printing.json, &operation)
        }
        Command::Record(record) => {
            let operation = Operation::Filing {
                number: record.registration.clone(),
                kind: record.kind.into(),
                authority: record.authority.clone(),
                filed_as: record.number.clone(),
                date: record.date.clone(),
                document: hash(&record.document)?,
            };
            operate(globals, args.printing.json, &operation)
        }
        Command::Show { of } => {
            let path = format!("/api/register/{}/filing", escaped(of));
            with_daemon(globals, args.printing.json, |client| client.value(&path))
        }
    }
}

/// Prints the questionnaire as answered; fails while something is open.
fn check(printing: Printing, answers: &Answers) -> Outcome {
    let checked = filing_check(answers, Lang::from_env())?;
    printing.print(&checked)?;
    let open = checked["open"].as_array().map_or(0, Vec::len);
    if open == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::new(
        "filing-open",
        format!("{open} questions are open, so nothing is decided"),
        "answer each with --answer ID=yes or --answer ID=no, or in a file with --answers",
    ))
}

impl Answered {
    /// The file's answers, and those of the command line over them.
    fn all(&self) -> Result<Answers, Failure> {
        let mut answers = match &self.answers {
            Some(file) => {
                let text = std::fs::read_to_string(file).map_err(|error| {
                    Failure::new(
                        "filing-answers",
                        format!("cannot read the answers {}: {error}", file.display()),
                        "name a YAML file with one line a question, as `public: yes`",
                    )
                })?;
                filing_answers(&text)?
            }
            None => Answers::new(),
        };
        answers.extend(self.answer.iter().cloned());
        Ok(answers)
    }
}

fn answer(text: &str) -> Result<(String, bool), String> {
    let (id, said) = text.split_once('=').ok_or("write it as ID=yes or ID=no")?;
    let said = match said {
        "yes" | "true" | "是" => true,
        "no" | "false" | "否" => false,
        other => return Err(format!("`{other}` is neither yes nor no")),
    };
    Ok((id.to_owned(), said))
}

fn hash(file: &Path) -> Result<Digest, Failure> {
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
