//! `lathe run PACK`: one order from base model and data to a served model.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use lathe_tune::recipe::learning::LEARNING_BYTES_MAX;
use lathe_workshop::draft::{self, OrderRecipe};
use lathe_workshop::pack::change;
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Home, Operation, OrderId, OrderRequest};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::{Evidence, Globals, log_to_stderr, operate, runtime, tour};
use crate::client::Client;
use crate::daemon::{self, DRAIN_S_DEFAULT, Daemon, LISTEN_DEFAULT, Listen, Session};
use crate::fail::{EXIT_INTERRUPTED, EXIT_WAITING, Failure, Outcome};
use crate::follow::{self, Ended, Telling};
use crate::interrupt::Interrupt;
use crate::logs::Logging;
use crate::syslog;

/// Arguments of `lathe run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe run packs/customer-care
  lathe run packs/customer-care --quick --exit --json
  lathe run packs/customer-care --set tune.sft.rank=8 --set tune.sft.epochs=2 --dry-run
  lathe run packs/customer-care --recipe recipes/sft.yaml --dry-run

The order is reused where nothing changed and resumed where it was interrupted.
A running daemon of the same home is used; otherwise this process becomes it
and stays up after the last step (unless --exit) until Ctrl-C.")]
pub struct Args {
    /// The pack's folder, or its pack.yaml; or the name of one that was made in this home.
    pack: PathBuf,
    /// A setting of the pack to change; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// A recipe in LLaMA-Factory's words: what it says of learning changes the pack; --set wins over it.
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Say what the order would be and take, and what of it cannot be; place none.
    #[arg(long)]
    dry_run: bool,
    /// Run on few records, as the pack's `quick` section says; all it makes is marked "demonstration".
    #[arg(long)]
    quick: bool,
    /// End after the last step instead of staying up.
    #[arg(long)]
    exit: bool,
    /// Print one JSON object per finished step and a last one with the metrics.
    #[arg(long)]
    json: bool,
    /// Show the tour of the evidence at the end; done anyway unless --exit or --json.
    #[arg(long)]
    tour: bool,
    /// Touch no network: everything must have been fetched before.
    #[arg(long)]
    offline: bool,
    /// The project that the order and all it makes belong to.
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// Where to listen; the next free port is taken when this one is not.
    #[arg(long, value_name = "ADDR:PORT", default_value = LISTEN_DEFAULT)]
    listen: SocketAddr,
    #[command(flatten)]
    evidence: Evidence,
    /// A file with one key a line; required to listen beyond loopback.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Runs the order and tells of it.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    log_to_stderr();
    let home = globals.home()?;
    // Before anything is started: a mistake in the pack is the commonest one.
    let mut request = OrderRequest {
        pack: args.pack.clone(),
        quick: args.quick,
        offline: args.offline,
        set: BTreeMap::new(),
        project: args.project.clone(),
    };
    if let Some(file) = &args.recipe {
        request.set = learning_of(&home, &request, file)?;
    }
    let settings = args.settings.iter().map(String::as_str);
    request.set.extend(change::parse_all(settings)?);
    if args.dry_run {
        return plan(globals, request, args.json);
    }
    request.pack = draft::load(&home, &request)?.folder;
    let listen = Listen {
        address: args.listen,
        or_next_free: true,
        key_file: args.key_file.clone(),
        approval: args.evidence.approval.into(),
        keeps_texts: args.evidence.keep_texts,
        scrub_every: Duration::from_secs(args.evidence.scrub_s),
        drain: Duration::from_secs(DRAIN_S_DEFAULT),
        tls: None,
        audit: syslog::named(),
        signs_in: true,
        logging: Some(Logging::default()),
    };
    let runtime = runtime()?;
    let interrupt = runtime.block_on(async { Interrupt::listen() })?;
    match runtime.block_on(daemon::join_or_start(&home, &listen))? {
        Session::Mine(daemon) => as_daemon(&home, args, &request, &runtime, interrupt, *daemon),
        Session::Theirs(url) => as_client(&home, args, &request, &runtime, &interrupt, &url),
    }
}

/// What a recipe changes of the pack; its other keys are named.
fn learning_of(
    home: &Home,
    request: &OrderRequest,
    file: &Path,
) -> Result<BTreeMap<String, Value>, Failure> {
    let unread = |error: std::io::Error| {
        let text = format!("cannot read the recipe {}: {error}", file.display());
        Failure::new("order-recipe", text, "name a text file of YAML")
    };
    let opened = File::open(file).map_err(unread)?;
    let mut bytes = Vec::new();
    // One byte more than is taken, so that what is too long is seen to be.
    let mut opened = opened.take(LEARNING_BYTES_MAX as u64 + 1);
    opened.read_to_end(&mut bytes).map_err(unread)?;
    let text = String::from_utf8_lossy(&bytes);
    let read = draft::with_recipe(home, request.clone(), &text)?;
    if !read.mistakes.is_empty() {
        return Err(not_taken(file, &read));
    }
    let lang = Lang::from_env();
    let left: Vec<&str> = read.left.iter().map(|it| it.key.as_str()).collect();
    for (words, keys) in [
        ("cli.recipe.left", left.join(", ")),
        ("cli.tune.ignored", read.ignored.join(", ")),
    ] {
        if !keys.is_empty() {
            eprintln!("{}", words::get(lang, words, &[("keys", &*keys)]));
        }
    }
    Ok(read.set)
}

/// Every mistake of a recipe, one a line.
fn not_taken(file: &Path, read: &OrderRecipe) -> Failure {
    let mut text = format!("the recipe {} cannot be an order's:", file.display());
    for mistake in &read.mistakes {
        let at = match mistake.key.as_str() {
            "" => String::new(),
            key => format!("{key}: "),
        };
        let _ = write!(text, "\n  {at}{}", mistake.text);
    }
    let next = "correct these keys or leave them out; docs/guide/recipes.md lists the keys";
    Failure::new("order-recipe", text, next)
}

/// Prints what the order would be, with its mistakes.
fn plan(globals: &Globals, mut request: OrderRequest, json: bool) -> Outcome {
    let named = draft::folder_of(&globals.home()?, &request.pack);
    let bare = lathe_workshop::pack::load(&named, request.quick)?;
    request.pack = bare.folder;
    operate(globals, json, &Operation::OrderPlan(request))
}

/// This process is the daemon, and its own client over HTTP.
fn as_daemon(
    home: &Home,
    args: &Args,
    request: &OrderRequest,
    runtime: &Runtime,
    mut interrupt: Interrupt,
    daemon: Daemon,
) -> Outcome {
    let lang = Lang::from_env();
    if daemon.moved {
        let url = [("url", daemon.url.as_str())];
        eprintln!("{}", words::get(lang, "cli.port-moved", &url));
    }
    let outcome = follow_own(home, args, request, runtime, &interrupt, &daemon);
    let done = matches!(outcome, Ok(Ended::Done | Ended::Waiting | Ended::Paused));
    if done && !args.exit {
        if !args.json {
            println!("{}", words::get(lang, "cli.stays-up", &[]));
        }
        runtime.block_on(interrupt.wait());
    }
    runtime.block_on(daemon.stop());
    match outcome? {
        Ended::Done => Ok(ExitCode::SUCCESS),
        Ended::Failed(error) => Err(error.into()),
        Ended::Waiting | Ended::Paused => Ok(ExitCode::from(EXIT_WAITING)),
        Ended::Interrupted => {
            eprintln!("{}", words::get(lang, "cli.interrupted", &[]));
            Ok(ExitCode::from(EXIT_INTERRUPTED))
        }
    }
}

fn follow_own(
    home: &Home,
    args: &Args,
    request: &OrderRequest,
    runtime: &Runtime,
    interrupt: &Interrupt,
    daemon: &Daemon,
) -> Result<Ended, Failure> {
    let client = Client::new(&daemon.url, None);
    let order = client.submit(request)?;
    {
        let _inside = runtime.enter();
        daemon.workshop.start();
    }
    let halted = || daemon::halted(&daemon.workshop);
    let ended = finish(args, &client, &order, interrupt, &halted)?;
    show_evidence(home, args, &client, runtime, &order, &ended)?;
    Ok(ended)
}

/// The tour of what was just made, where it is wanted.
fn show_evidence(
    home: &Home,
    args: &Args,
    client: &Client,
    runtime: &Runtime,
    order: &OrderId,
    ended: &Ended,
) -> Result<(), Failure> {
    let wanted = args.tour || !(args.exit || args.json);
    match (wanted, ended) {
        (true, Ended::Done) => {
            let name = client.order(order)?.deployment;
            tour::show(home, client, runtime, name.as_deref())
        }
        _ => Ok(()),
    }
}

/// Another process is the daemon.
fn as_client(
    home: &Home,
    args: &Args,
    request: &OrderRequest,
    runtime: &Runtime,
    interrupt: &Interrupt,
    url: &str,
) -> Outcome {
    let client = Client::new(url, None);
    let order = client.submit(request)?;
    let ended = finish(args, &client, &order, interrupt, &|| None)?;
    show_evidence(home, args, &client, runtime, &order, &ended)?;
    match ended {
        Ended::Done => Ok(ExitCode::SUCCESS),
        Ended::Failed(error) => Err(error.into()),
        Ended::Waiting | Ended::Paused => Ok(ExitCode::from(EXIT_WAITING)),
        Ended::Interrupted => Ok(ExitCode::from(EXIT_INTERRUPTED)),
    }
}

/// Follows the order to its end and tells what came of it.
fn finish(
    args: &Args,
    client: &Client,
    order: &OrderId,
    interrupt: &Interrupt,
    halted: &dyn Fn() -> Option<Failure>,
) -> Result<Ended, Failure> {
    let telling = Telling {
        lang: Lang::from_env(),
        json: args.json,
    };
    let ended = follow::follow(client, order, telling, interrupt, halted)?;
    match (&ended, args.json) {
        (Ended::Done, true) => println!("{}", follow::last_line(order, &client.report(order)?)),
        (Ended::Done, false) => follow::tell_end(&client.order(order)?, telling.lang, !args.exit),
        // What the gate refused was measured all the same.
        (Ended::Failed(_), true) => {
            if let Ok(report) = client.report(order) {
                println!("{}", follow::last_line(order, &report));
            }
        }
        (Ended::Waiting, _) => eprintln!("{}", words::get(telling.lang, "cli.waiting", &[])),
        (Ended::Paused, _) => {
            let order = [("order", order.0.as_str())];
            eprintln!("{}", words::get(telling.lang, "cli.paused", &order));
        }
        (Ended::Failed(_) | Ended::Interrupted, _) => {}
    }
    Ok(ended)
}
