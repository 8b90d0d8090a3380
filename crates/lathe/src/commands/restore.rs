//! `lathe restore FILE`: an empty home becomes the one that was backed up.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use lathe_evidence::Digest;
use lathe_verify::{Findings, Request};
use lathe_workshop::Home;
use lathe_workshop::backup::{self, PutBack};
use lathe_workshop::home::Locked;
use lathe_workshop::words::{self, Lang};
use serde_json::{Value, json};

use super::backup::bytes;
use super::{Globals, Printing, absolute, say};
use crate::bars::Bar;
use crate::daemon;
use crate::fail::{Failure, Outcome};
use crate::table::{megabytes, minute};

/// Arguments of `lathe restore`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  lathe restore /mnt/backup/lathe-monday.tar.zst --home /srv/lathe
  lathe restore lathe-monday.tar.zst --key 3c59dc048e8850243be8079a5c74d079… --home /srv/lathe
  lathe restored --reason \"disk replaced; backup of Monday\" --home /srv/lathe

Its list is signed by the key that continues the ledger in it; --key holds both against a key that you
know from elsewhere (lathe keys list showed it). Every file is held against the list of the backup before anything is put into the home; then the home
is verified as lathe verify does. Say lathe restored where anything may have happened after the backup:
a withdrawal, a newer deployment. Exit code 1: restored, and something in it does not hold.")]
pub struct Args {
    /// The backup.
    file: PathBuf,
    /// The id of a root key that must stand behind it: its list is then signed under that ledger.
    #[arg(long = "key", value_name = "ID")]
    keys: Vec<Digest>,
    #[command(flatten)]
    printing: Printing,
}

/// Restores, and verifies what was restored.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let (home, file) = (globals.home()?, absolute(&args.file)?);
    let bar = Bar::new(Lang::from_env(), !args.printing.json);
    home.create()?;
    let lock = match home.lock()? {
        Locked::Mine(lock) => lock,
        Locked::Other(holder) => return Err(daemon::busy(home.root(), holder.pid)),
    };
    let name = say("cli.restore.restoring");
    let put = backup::restore(&home, &file, &args.keys, &mut |done, total| {
        bar.show(&name, Some(&bytes(done, total)));
    })?;
    bar.show(&say("cli.restore.verifying"), None);
    let findings = verified(&home)?;
    bar.clear();
    drop(lock);
    if args.printing.json {
        let findings: Value = serde_json::from_str(&findings.to_json())
            .map_err(|error| Failure::new("json", error.to_string(), ""))?;
        args.printing
            .print(&json!({ "restored": put, "verified": findings }))?;
    } else {
        tell(&home, &put, &findings);
    }
    Ok(ExitCode::from(u8::from(!holds(&findings))))
}

fn verified(home: &Home) -> Result<Findings, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let request = Request {
        place: home.root().to_path_buf(),
        keys: Vec::new(),
        checkpoint: None,
        witnesses: Vec::new(),
        dossiers: Vec::new(),
        at_ms: now.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
    };
    lathe_verify::run(&request).map_err(|error| {
        let next = "the files are restored; look at them with `lathe verify`";
        Failure::new("verify", error.to_string(), next)
    })
}

/// Whether nothing fails; a home in which nothing was ever said has nothing to find.
fn holds(findings: &Findings) -> bool {
    findings.failures().next().is_none()
}

fn tell(home: &Home, put: &PutBack, findings: &Findings) {
    let lang = Lang::from_env();
    let figures = [
        ("home", home.root().display().to_string()),
        ("size", megabytes(put.bytes)),
        ("artifacts", put.artifacts.to_string()),
        ("made", minute(put.made_ms)),
        ("version", put.lathe.clone()),
        ("findings", findings.findings.len().to_string()),
    ];
    let figures: Vec<(&str, &str)> = figures.iter().map(|(key, it)| (*key, &it[..])).collect();
    println!("{}", words::get(lang, "cli.restore.restored", &figures));
    if holds(findings) {
        println!("{}", words::get(lang, "cli.restore.holds", &figures));
    } else {
        print!("{findings}");
    }
    match &put.signed_by {
        None => println!("{}", say("cli.restore.unsigned")),
        Some(key) => {
            let key = [("key", &key.to_string()[..])];
            println!("{}", words::get(lang, "cli.restore.signed", &key));
        }
    }
    if !put.with_keys {
        println!("{}", say("cli.restore.without-keys"));
    }
    println!("{}", say("cli.restore.next"));
}
