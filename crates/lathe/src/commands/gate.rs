//! `lathe gate`: look at a pack's rules before an order runs.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::json;

use super::{print_json, say};
use crate::fail::{Failure, Outcome};

/// Arguments of `lathe gate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Refuse rules that nothing can satisfy, and rules that nothing can break.
    #[command(after_help = "Example:\n  lathe gate check packs/customer-care")]
    Check {
        /// The pack's folder, or its pack.yaml.
        pack: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Checks the rules, as the pack has them and as its `quick` section has them.
pub fn run(args: &Args) -> Outcome {
    let Command::Check { pack, json } = &args.command;
    let mut orphans = Vec::new();
    for quick in [false, true] {
        let loaded = lathe_workshop::pack::load(pack, quick)?;
        for orphan in lathe_workshop::pack::lint::orphans(&loaded.pack) {
            if !orphans.contains(&orphan) {
                orphans.push(orphan);
            }
        }
    }
    if *json {
        let list: Vec<_> = orphans
            .iter()
            .map(|it| json!({ "place": it.place, "reason": it.reason, "cure": it.cure }))
            .collect();
        print_json(&json!({ "orphans": list }))?;
    }
    if orphans.is_empty() {
        if !json {
            println!("{}", say("cli.gate-sound"));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let texts: Vec<String> = orphans
        .iter()
        .map(|it| format!("gate.{}: {}", it.place, it.reason))
        .collect();
    let cures: Vec<&str> = orphans.iter().map(|it| it.cure.as_str()).collect();
    Err(Failure::new(
        "gate-orphan",
        texts.join("\n"),
        cures.join("; "),
    ))
}
