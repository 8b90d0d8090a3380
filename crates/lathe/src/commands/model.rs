//! `lathe model`: base models and tuned ones.

use std::process::ExitCode;

use clap::Subcommand;
use lathe_workshop::Operation;
use lathe_workshop::ops::AliasRequest;

use super::{Globals, ROWS_MAX, operate, print_json, runtime, say};
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
    /// Call a version of a registered model something beside its number.
    #[command(after_help = "Examples:
  lathe model alias customer-care shadow 3
  lathe model alias customer-care production 3
  lathe model alias customer-care shadow --remove

`production` and `champion` are at the version that answers: setting one passes admission, or tells what is missing.")]
    Alias {
        /// The registered model.
        name: String,
        /// The alias.
        alias: String,
        /// The version it is to be at.
        #[arg(required_unless_present = "remove")]
        version: Option<u32>,
        /// Take the alias away.
        #[arg(long, conflicts_with = "version")]
        remove: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Lists, or sets an alias.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    match &args.command {
        Command::List { json } => list(globals, *json),
        Command::Alias {
            name,
            alias,
            version,
            json,
            ..
        } => {
            let asked = AliasRequest {
                name: name.clone(),
                alias: alias.clone(),
                version: *version,
            };
            operate(globals, *json, &Operation::Alias(asked))
        }
    }
}

fn list(globals: &Globals, json: bool) -> Outcome {
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
