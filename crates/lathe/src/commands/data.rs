//! `lathe data`: datasets of one's own, and those that orders prepared.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;
use lathe_workshop::words::Lang;
use lathe_workshop::{DatasetRequest, DatasetView, Home, Operation};

use super::{
    Globals, ROWS_MAX, data_bring, data_card, data_preview, operate, print_json, runtime, say,
};
use crate::client::Client;
use crate::daemon::{self, Listen, Session};
use crate::fail::{Failure, Outcome};
use crate::table;

/// Arguments of `lathe data`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Register a file: csv, tsv, jsonl, json, xlsx or parquet.
    #[command(
        after_help = "Example:\n  lathe data add reviews.csv --licence CC-BY-4.0 --owner \"Our shop\" --group review --dedupe text"
    )]
    Add(AddArgs),
    /// List datasets, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show a dataset: terms, counts, statistics, duplicates, broken rows.
    Show {
        /// Its name, or the beginning of its digest.
        dataset: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show what tuning learns from: every token, and which of them are supervised.
    Preview(data_preview::Args),
    /// Map the columns of a file, look at what comes of it, make a dataset and a pack to tune on.
    Bring(data_bring::Args),
    /// List the files that were brought and of which nothing was made yet.
    Brought {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Forget a file that was brought.
    Forget {
        /// Its id, as `lathe data brought` lists it.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say which records one dataset has and another lacks.
    #[command(after_help = "Example:\n  lathe data compare 3f9c2a41 reviews")]
    Compare {
        /// The former one: its name, or the beginning of its digest.
        from: String,
        /// The latter one.
        to: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The file.
    file: PathBuf,
    /// The licence it comes under, as an SPDX identifier where there is one.
    #[arg(long)]
    licence: String,
    /// Who owns it.
    #[arg(long)]
    owner: String,
    /// Its name [default: the file's].
    #[arg(long)]
    name: Option<String>,
    /// The column whose equal values stay on one side of the split.
    #[arg(long, value_name = "COLUMN")]
    group: Option<String>,
    /// The column by which duplicates are found.
    #[arg(long, value_name = "COLUMN")]
    dedupe: Option<String>,
    /// The project it belongs to [default: the common one].
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Adds, lists or shows.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    match &args.command {
        Command::Add(add_args) => add(&globals.home()?, add_args)?,
        Command::List { json } => list(globals, *json)?,
        Command::Show { dataset, json } => show(globals, dataset, *json)?,
        Command::Preview(args) => return data_preview::run(globals, args),
        Command::Bring(args) => return data_bring::run(globals, args),
        Command::Brought { json } => return operate(globals, *json, &Operation::Brought {}),
        Command::Forget { id, json } => {
            return operate(globals, *json, &Operation::BringForget { id: id.clone() });
        }
        Command::Compare { from, to, json } => return compare(globals, [from, to], *json),
    }
    Ok(ExitCode::SUCCESS)
}

fn add(home: &Home, args: &AddArgs) -> Result<(), Failure> {
    let view = place(home, &request_of(args)?)?;
    if args.json {
        return print_json(&view);
    }
    tell(&view);
    Ok(())
}

fn request_of(args: &AddArgs) -> Result<DatasetRequest, Failure> {
    let file = args.file.canonicalize().map_err(|error| {
        Failure::new(
            "data-missing",
            format!("cannot read {}: {error}", args.file.display()),
            "name a csv, tsv, jsonl, json, xlsx or parquet file",
        )
    })?;
    let stem = || {
        file.file_stem()
            .map_or_else(|| "data".into(), |stem| stem.to_string_lossy().into_owned())
    };
    Ok(DatasetRequest {
        name: args.name.clone().unwrap_or_else(stem),
        licence: args.licence.clone(),
        owner: args.owner.clone(),
        group: args.group.clone(),
        dedupe: args.dedupe.clone(),
        project: args.project.clone(),
        file,
    })
}

/// Through the daemon of this home, or as it for as long as this takes.
fn place(home: &Home, request: &DatasetRequest) -> Result<DatasetView, Failure> {
    let runtime = runtime()?;
    match runtime.block_on(daemon::join_or_start(home, &Listen::briefly()))? {
        Session::Theirs(url) => Client::new(&url, None).add_dataset(request),
        Session::Mine(daemon) => {
            let added = runtime.block_on(daemon.workshop.add_dataset(request.clone()));
            runtime.block_on(daemon.stop());
            Ok(added?)
        }
    }
}

fn datasets(globals: &Globals) -> Result<Vec<DatasetView>, Failure> {
    runtime()?.block_on(async {
        match globals.store().await? {
            Some(store) => Ok(store.datasets(ROWS_MAX, 0).await?),
            None => Ok(Vec::new()),
        }
    })
}

fn list(globals: &Globals, json: bool) -> Result<(), Failure> {
    let datasets = datasets(globals)?;
    if json {
        return print_json(&datasets);
    }
    let rows: Vec<Vec<String>> = datasets
        .iter()
        .map(|dataset| {
            let count = |name: &str| {
                dataset
                    .card
                    .pointer(&format!("/statistics/{name}"))
                    .map_or_else(String::new, ToString::to_string)
            };
            vec![
                dataset.digest[..12].to_owned(),
                dataset.name.clone(),
                count("records"),
                count("duplicates"),
                dataset.licence.clone(),
                dataset.owner.clone(),
                if dataset.demonstration {
                    say("mark.demonstration")
                } else {
                    String::new()
                },
            ]
        })
        .collect();
    let heading = [
        "digest",
        "name",
        "records",
        "duplicates",
        "licence",
        "owner",
        "",
    ];
    table::print(&heading, &rows, &say("cli.no-datasets"));
    Ok(())
}

/// What one dataset has and another lacks.
fn compare(globals: &Globals, wanted: [&str; 2], json: bool) -> Outcome {
    let [from, to] = wanted.map(|it| find(globals, it));
    let operation = Operation::DataCompare {
        from: from?.digest,
        to: to?.digest,
    };
    operate(globals, json, &operation)
}

fn show(globals: &Globals, wanted: &str, json: bool) -> Result<(), Failure> {
    let dataset = find(globals, wanted)?;
    if json {
        return print_json(&dataset);
    }
    tell(&dataset);
    Ok(())
}

/// The newest dataset of a name, or that whose digest begins so.
fn find(globals: &Globals, wanted: &str) -> Result<DatasetView, Failure> {
    let mut all = datasets(globals)?.into_iter();
    all.find(|dataset| dataset.name == wanted || dataset.digest.starts_with(wanted))
        .ok_or_else(|| {
            Failure::new(
                "dataset-unknown",
                format!("no dataset is called {wanted:?} or begins with it"),
                "list them with `lathe data list`",
            )
        })
}

fn tell(dataset: &DatasetView) {
    for line in data_card::lines(dataset, Lang::from_env()) {
        println!("{line}");
    }
}
