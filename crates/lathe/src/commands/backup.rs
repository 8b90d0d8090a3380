//! `lathe backup FILE`: the home as one file, while it is served.

use std::path::PathBuf;
use std::process::ExitCode;

use lathe_workshop::Progress;
use lathe_workshop::backup;
use lathe_workshop::words::{self, Lang};
use serde_json::json;

use super::{Globals, Printing, absolute, say};
use crate::bars::Bar;
use crate::fail::Outcome;
use crate::table::megabytes;

/// Arguments of `lathe backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe backup /mnt/backup/lathe-monday.tar.zst
  lathe backup /mnt/safe/lathe-with-keys.tar --with-keys

Orders and answers go on meanwhile: the file holds the home as it stood at one moment. A name that
ends in .zst is compressed. Packs made here and files being brought are in it; downloads, caches and
checkpoints of unfinished steps stay out. Without the private keys a restored home can be read and
verified, and not continued. Keep a checkpoint elsewhere too (lathe checkpoint), and never beside the keys.")]
pub struct Args {
    /// The file to write; nothing is written over.
    file: PathBuf,
    /// Put the private keys in as well: whoever has the file then signs as this workshop.
    #[arg(long)]
    with_keys: bool,
    #[command(flatten)]
    printing: Printing,
}

/// Writes it.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let lang = Lang::from_env();
    let (home, file) = (globals.home()?, absolute(&args.file)?);
    let bar = Bar::new(lang, !args.printing.json);
    let name = say("cli.backup.saving");
    let saved = backup::save(&home, &file, args.with_keys, &mut |done, total| {
        bar.show(&name, Some(&bytes(done, total)));
    })?;
    bar.clear();
    if args.printing.json {
        args.printing.print(&json!(saved))?;
        return Ok(ExitCode::SUCCESS);
    }
    let figures = [
        ("file", saved.file.display().to_string()),
        ("size", megabytes(saved.file_bytes)),
        ("artifacts", saved.artifacts.to_string()),
    ];
    let figures: Vec<(&str, &str)> = figures.iter().map(|(key, it)| (*key, &it[..])).collect();
    println!("{}", words::get(lang, "cli.backup.saved", &figures));
    let keys = if saved.with_keys {
        "cli.backup.with-keys"
    } else {
        "cli.backup.without-keys"
    };
    println!("{}", say(keys));
    if saved.signed_by.is_none() {
        println!("{}", say("cli.backup.unsigned"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Progress in bytes.
pub(super) fn bytes(done: u64, total: u64) -> Progress {
    Progress {
        done,
        total,
        unit: "unit.bytes".to_owned(),
        eta_s: None,
        memory: None,
    }
}
