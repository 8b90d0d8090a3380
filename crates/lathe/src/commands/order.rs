//! `lathe order`: what was run, how it stands, what it said.

use std::process::ExitCode;

use clap::Subcommand;
use lathe_workshop::store::Store;
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{OrderId, StepState, view};

use super::{Globals, ROWS_MAX, print_json, runtime, say};
use crate::fail::{Failure, Outcome};
use crate::follow::in_lang;
use crate::table;

/// Orders among which an id's beginning is looked for.
const ORDERS_MAX: u32 = 100_000;

/// Lines of a log fetched at a time.
const LOG_LINES: u32 = 1000;

/// Arguments of `lathe order`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List orders, newest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show an order with its steps and figures.
    Show {
        /// Its id, or the beginning of it.
        order: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print an order's log.
    Log {
        /// Its id, or the beginning of it.
        order: String,
    },
}

/// Reads the store; no daemon is needed.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    runtime()?.block_on(async {
        let Some(store) = globals.store().await? else {
            println!("{}", say("cli.no-orders"));
            return Ok(ExitCode::SUCCESS);
        };
        match &args.command {
            Command::List { json } => list(&store, *json).await?,
            Command::Show { order, json } => {
                show(&store, &find(&store, order).await?, *json).await?
            }
            Command::Log { order } => log(&store, &find(&store, order).await?).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn list(store: &Store, json: bool) -> Result<(), Failure> {
    let lang = Lang::from_env();
    let orders = store.orders(ROWS_MAX, 0).await?;
    if json {
        return print_json(&orders);
    }
    let rows: Vec<Vec<String>> = orders
        .iter()
        .map(|order| {
            let state = serde_json::to_value(order.state).unwrap_or_default();
            let state = state.as_str().unwrap_or_default().to_owned();
            vec![
                order.id.to_string(),
                order.pack.clone(),
                words::get(lang, &format!("state.{state}"), &[]),
                words::get(lang, &format!("step.{}", order.step), &[]),
                table::minute(order.created_ms),
                if order.demonstration {
                    say("mark.demonstration")
                } else {
                    String::new()
                },
            ]
        })
        .collect();
    let heading = ["order", "pack", "state", "step", "placed (UTC)", ""];
    table::print(&heading, &rows, &say("cli.no-orders"));
    Ok(())
}

/// The one order whose id begins like this.
async fn find(store: &Store, start: &str) -> Result<OrderId, Failure> {
    let orders = store.orders(ORDERS_MAX, 0).await?;
    let mut found = orders
        .into_iter()
        .filter(|order| order.id.0.starts_with(start));
    match (found.next(), found.next()) {
        (Some(order), None) => Ok(order.id),
        (None, _) => Err(Failure::new(
            "order-unknown",
            format!("no order begins with {start:?}"),
            "list them with `lathe order list`",
        )),
        (Some(_), Some(_)) => Err(Failure::new(
            "order-ambiguous",
            format!("more than one order begins with {start:?}"),
            "give more of its id",
        )),
    }
}

async fn show(store: &Store, id: &OrderId, json: bool) -> Result<(), Failure> {
    let lang = Lang::from_env();
    let Some(view) = view::stored_view(store, id).await? else {
        return Ok(());
    };
    if json {
        return print_json(&view);
    }
    println!("{}  {}", view.id, in_lang(&view.title, lang));
    if view.demonstration {
        println!("{}", say("cli.demonstration"));
    }
    let rows: Vec<Vec<String>> = view
        .steps
        .iter()
        .map(|step| {
            let state = match step.state {
                StepState::Waiting => "waiting",
                StepState::Running => "running",
                StepState::Done => "done",
                StepState::Reused => "reused",
                StepState::Failed => "failed",
            };
            let said = match (&step.figure, &step.error) {
                (_, Some(error)) => format!("{}: {}", error.code, error.text),
                (Some(figure), None) => in_lang(figure, lang).to_owned(),
                (None, None) => String::new(),
            };
            vec![
                words::get(lang, &format!("step.{}", step.name), &[]),
                words::get(lang, &format!("state.{state}"), &[]),
                said,
            ]
        })
        .collect();
    table::print(&["step", "state", "figure"], &rows, "");
    Ok(())
}

async fn log(store: &Store, id: &OrderId) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let lines = store.log(id, after, LOG_LINES).await?;
        let Some(last) = lines.last() else {
            return Ok(());
        };
        after = last.seq;
        for line in &lines {
            println!(
                "{}  {:<11}  {}",
                table::minute(line.at_ms),
                line.step,
                line.text
            );
        }
    }
}
