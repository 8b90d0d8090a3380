//! `lathe version`: what this is and what it computes with.

use std::process::ExitCode;

use lathe_kernel::{Isa, default_threads};
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
    if args.json {
        println!(
            "{}",
            json!({ "version": version, "instructions": isa, "threads": threads })
        );
    } else {
        println!("lathe {version} ({isa}, {threads} threads)");
    }
    Ok(ExitCode::SUCCESS)
}
