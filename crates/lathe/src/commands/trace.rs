//! `lathe trace`: from an answer to its records, from a record to its answers, from a quotation to
//! the answer it came from.

use std::path::PathBuf;

use super::{Globals, with_daemon};
use crate::client::escaped;
use crate::fail::{Failure, Outcome};

/// Longest quotation that is looked for.
const TEXT_BYTES_MAX: usize = 16 << 10;

/// Arguments of `lathe trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe trace 0199a1c2-…                 an answer: its deployment, approval, report, records
  lathe trace --text quotation.txt       the answers that a passage may have come from
  lathe trace --record 5f0c…             the models and answers that depend on a record")]
pub struct Args {
    #[command(flatten)]
    sought: Sought,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

// A group of its own: one that held `json` too would refuse it beside what is sought.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Sought {
    /// The receipt of an answer: its x-lathe-receipt header.
    receipt: Option<String>,
    /// A file with a quoted passage.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// A record, by its leaf.
    #[arg(long, value_name = "LEAF")]
    record: Option<String>,
}

/// Looks it up.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let sought = &args.sought;
    let path = match (&sought.receipt, &sought.text, &sought.record) {
        (Some(receipt), _, _) => format!("/api/receipts/{}", escaped(receipt)),
        (_, Some(file), _) => format!("/api/trace?q={}", escaped(&quotation(file)?)),
        (_, _, Some(leaf)) => format!("/api/records/{}", escaped(leaf)),
        (None, None, None) => unreachable!("clap asks for one of them"),
    };
    with_daemon(globals, args.json, |client| client.value(&path))
}

fn quotation(file: &PathBuf) -> Result<String, Failure> {
    let refuse = |reason: String| {
        Failure::new(
            "trace-text",
            format!(
                "cannot look for the passage in {}: {reason}",
                file.display()
            ),
            "name a short text file",
        )
    };
    let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    if text.len() > TEXT_BYTES_MAX {
        return Err(refuse(format!("it has more than {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}
