//! `lathe model`: base models and tuned ones.

use std::process::ExitCode;

use clap::Subcommand;

use super::{Globals, ROWS_MAX, print_json, runtime, say};
use crate::fail::Outcome;
use crate::table;

/// Arguments of `lathe model`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List base models and tuned ones, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Lists the models.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let Command::List { json } = args.command;
    let models = runtime()?.block_on(async {
        match globals.store().await? {
            Some(store) => Ok(store.models(ROWS_MAX, 0).await?),
            None => Ok::<_, crate::fail::Failure>(Vec::new()),
        }
    })?;
    if json {
        print_json(&models)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = models
        .iter()
        .map(|model| {
            let mark = if model.demonstration {
                say("mark.demonstration")
            } else {
                String::new()
            };
            vec![
                model.digest[..12].to_owned(),
                model.kind.clone(),
                model.name.clone(),
                format!("{:.1} MB", model.bytes as f64 / 1e6),
                model.licence.clone(),
                model.source.clone(),
                mark,
            ]
        })
        .collect();
    table::print(
        &["digest", "kind", "name", "size", "licence", "source", ""],
        &rows,
        &say("cli.no-models"),
    );
    Ok(ExitCode::SUCCESS)
}
