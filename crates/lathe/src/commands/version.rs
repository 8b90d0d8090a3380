//! `lathe version`: what this is and what it computes with.

use std::process::ExitCode;

use lathe_kernel::{Isa, default_threads};
use lathe_workshop::people::Kind;
use serde_json::json;

use crate::fail::Outcome;

/// Arguments of `lathe version`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the version.
pub fn run(args: &Args) -> Outcome {
    let (version, isa, threads) = (
        env!("CARGO_PKG_VERSION"),
        Isa::detect().to_string(),
        default_threads(),
    );
    let ways = Kind::ALL.into_iter().filter(|it| it.is_built());
    let features: Vec<&str> = ways.map(Kind::name).collect();
    if args.json {
        println!(
            "{}",
            json!({
                "version": version, "instructions": isa, "threads": threads, "features": features,
            })
        );
    } else {
        let built = features.iter().map(|name| format!(", with {name}"));
        let built: String = built.collect();
        println!("lathe {version} ({isa}, {threads} threads{built})");
    }
    Ok(ExitCode::SUCCESS)
}
