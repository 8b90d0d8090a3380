//! `lathe order`: what was run, how it stands, what it said; the queue, and orders side by side.

use std::process::ExitCode;

use clap::Subcommand;
use lathe_workshop::store::Store;
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Ending, OrderId, OrderState, Origin, StepState, view};
use serde_json::json;

use super::{Globals, ROWS_MAX, order_change, order_compare, print_json, runtime, say};
use crate::fail::{Failure, Outcome};
use crate::follow::in_lang;
use crate::table;

/// Orders among which an id's beginning is looked for.
const ORDERS_MAX: u32 = 100_000;

/// Lines of a log fetched at a time.
const LOG_LINES: u32 = 1000;

/// Arguments of `lathe order`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe order list
  lathe order pause 019a4a1e
  lathe order resume 019a4a1e
  lathe order cancel 019a4a1e
  lathe order clone 019a4a1e --set tune.sft.learning_rate=5e-4 --set tune.sft.epochs=3
  lathe order compare 019a4a1e 019a4a2b

An order is named by its id or the beginning of it. Orders run one after another, in the order in
which they were placed; lathe up works through them.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List orders, newest first, with their places in the queue.
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
        /// Print JSON, one line of the log a line.
        #[arg(long)]
        json: bool,
    },
    /// Set an order aside; the next one runs. Resumed, tuning goes on where it was.
    Pause {
        /// Its id, or the beginning of it.
        order: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put a paused order back into the queue, or try a failed one again.
    Resume {
        /// Its id, or the beginning of it.
        order: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give an order up: it ends where it stands, and what it made is kept. Resume puts it back.
    Cancel {
        /// Its id, or the beginning of it.
        order: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Place an order again with settings changed; what they do not touch is taken over.
    Clone {
        /// Its id, or the beginning of it.
        order: String,
        /// A setting of its pack by its dotted path; lists count from 0 (gate.thresholds.0.at_least).
        #[arg(long = "set", value_name = "KEY=VALUE")]
        settings: Vec<String>,
        /// The project that the new order belongs to [default: the old one's].
        #[arg(long)]
        project: Option<String>,
        /// Say what the new order would be and would take, with every mistake in it, and place nothing.
        #[arg(long)]
        dry_run: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Put orders side by side: metrics with intervals, times, settings in which they differ.
    Compare {
        /// Their ids, or the beginnings; the others are held against the first.
        #[arg(required = true, num_args = 2..=8)]
        orders: Vec<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Reads the store, which needs no daemon; what changes an order asks one.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    match &args.command {
        Command::Pause { order, json } => {
            order_change::pause(globals, known(globals, order)?, *json)
        }
        Command::Resume { order, json } => {
            order_change::resume(globals, known(globals, order)?, *json)
        }
        Command::Cancel { order, json } => {
            order_change::cancel(globals, known(globals, order)?, *json)
        }
        Command::Clone {
            order,
            settings,
            project,
            dry_run,
            json,
        } => {
            let order = known(globals, order)?;
            let changed = (settings.as_slice(), project.clone());
            order_change::clone(globals, order, changed, (*dry_run, *json))
        }
        command => runtime()?.block_on(read(globals, command)),
    }
}

/// The commands that only read.
async fn read(globals: &Globals, command: &Command) -> Outcome {
    let Some(store) = globals.store().await? else {
        println!("{}", say("cli.no-orders"));
        return Ok(ExitCode::SUCCESS);
    };
    match command {
        Command::List { json } => list(&store, *json).await?,
        Command::Show { order, json } => show(&store, &find(&store, order).await?, *json).await?,
        Command::Log { order, json } => log(&store, &find(&store, order).await?, *json).await?,
        Command::Compare { orders, json } => {
            let mut ids = Vec::new();
            for order in orders {
                ids.push(find(&store, order).await?);
            }
            order_compare::run(&store, &globals.home()?, &ids, *json).await?;
        }
        Command::Pause { .. }
        | Command::Resume { .. }
        | Command::Cancel { .. }
        | Command::Clone { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
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
            vec![
                order.id.to_string(),
                order.pack.clone(),
                state_text(lang, order.state, order.ending, order.position),
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
    let heading = ["order", "pack", "state", "step", "placed"]
        .map(|column| say(&format!("cli.order.list.{column}")));
    let mut heading: Vec<&str> = heading.iter().map(String::as_str).collect();
    heading.push("");
    table::print(&heading, &rows, &say("cli.no-orders"));
    Ok(())
}

/// The state of an order in words, with its place where it is queued; what somebody ended did not fail.
pub(super) fn state_text(
    lang: Lang,
    state: OrderState,
    ending: Option<Ending>,
    position: Option<u32>,
) -> String {
    if let Some(place) = position {
        let place = place.to_string();
        return words::get(lang, "state.queued.place", &[("place", &place)]);
    }
    if let Some(ending) = ending.and_then(Ending::willed) {
        return words::get(lang, &format!("state.{}", ending.as_str()), &[]);
    }
    let name = serde_json::to_value(state).unwrap_or_default();
    let name = name.as_str().unwrap_or_default();
    words::get(lang, &format!("state.{name}"), &[])
}

/// The order that the command line names.
fn known(globals: &Globals, start: &str) -> Result<OrderId, Failure> {
    runtime()?.block_on(async {
        match globals.store().await? {
            Some(store) => find(&store, start).await,
            None => Err(unknown(start)),
        }
    })
}

/// The one order whose id begins like this.
async fn find(store: &Store, start: &str) -> Result<OrderId, Failure> {
    let orders = store.orders(ORDERS_MAX, 0).await?;
    let mut found = orders
        .into_iter()
        .filter(|order| order.id.0.starts_with(start));
    match (found.next(), found.next()) {
        (Some(order), None) => Ok(order.id),
        (None, _) => Err(unknown(start)),
        (Some(_), Some(_)) => Err(Failure::new(
            "order-ambiguous",
            format!("more than one order begins with {start:?}"),
            "give more of its id",
        )),
    }
}

fn unknown(start: &str) -> Failure {
    Failure::new(
        "order-unknown",
        format!("no order begins with {start:?}"),
        "list them with `lathe order list`",
    )
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
    let state = state_text(lang, view.state, view.ending(), view.position);
    println!("{state}");
    if let Some(origin) = &view.origin {
        tell_origin(lang, &view.id, origin);
    }
    if view.demonstration {
        println!("{}", say("cli.demonstration"));
    }
    let rows: Vec<Vec<String>> = view
        .steps
        .iter()
        .map(|step| {
            let said = match (&step.figure, &step.error) {
                (_, Some(error)) => format!("{}: {}", error.code, error.text),
                (Some(figure), None) => in_lang(figure, lang).to_owned(),
                (None, None) => String::new(),
            };
            vec![
                words::get(lang, &format!("step.{}", step.name), &[]),
                words::get(lang, &format!("state.{}", step_state(step.state)), &[]),
                said,
            ]
        })
        .collect();
    table::print(&["step", "state", "figure"], &rows, "");
    Ok(())
}

/// The name of a step's state, as the catalogue has it.
pub(super) fn step_state(state: StepState) -> &'static str {
    match state {
        StepState::Waiting => "waiting",
        StepState::Running => "running",
        StepState::Done => "done",
        StepState::Reused => "reused",
        StepState::Failed => "failed",
    }
}

/// Prints which order it was cloned from and what was changed.
pub(super) fn tell_origin(lang: Lang, order: &OrderId, origin: &Origin) {
    let names = [("order", &order.0[..]), ("of", &origin.order.0[..])];
    println!("{}", words::get(lang, "cli.order.cloned", &names));
    if origin.changes.is_empty() {
        println!("  {}", words::get(lang, "cli.order.unchanged", &[]));
    }
    for change in &origin.changes {
        println!("  {}: {} → {}", change.key, change.from, change.to);
    }
}

async fn log(store: &Store, id: &OrderId, json: bool) -> Result<(), Failure> {
    let mut after = 0;
    loop {
        let lines = store.log(id, after, LOG_LINES).await?;
        let Some(last) = lines.last() else {
            return Ok(());
        };
        after = last.seq;
        for line in &lines {
            let minute = table::minute(line.at_ms);
            if json {
                println!("{}", json!(line));
            } else {
                println!("{minute}  {:<11}  {}", line.step, line.text);
            }
        }
    }
}
