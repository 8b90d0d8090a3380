//! One file per command: its arguments, its help, its function.

pub mod approve;
pub mod backup;
pub mod breaker;
pub mod bundle;
pub mod checkpoint;
pub mod data;
mod data_bring;
mod data_card;
mod data_preview;
pub mod doctor;
pub mod dossier;
pub mod eval;
pub mod export;
pub mod feedback;
pub mod filing;
pub mod gate;
mod held;
pub mod keys;
pub mod ledger;
pub mod merge;
pub mod model;
pub mod order;
mod order_change;
mod order_compare;
pub mod pack;
pub mod people;
pub mod project;
mod recipe_files;
pub mod register;
pub mod restore;
pub mod restored;
pub mod run;
pub mod settings;
pub mod token;
pub mod tour;
pub mod trace;
pub mod tune;
pub mod up;
pub mod upgrade;
pub mod upstream;
pub mod verify;
pub mod version;
pub mod withdraw;
pub mod worker;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lathe_evidence::statement::ApprovalPolicy;
use lathe_workshop::store::Store;
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Home, Operation};
use serde_json::Value;

use crate::client::Client;
use crate::daemon::{self, Listen, SCRUB_S_DEFAULT, Session};
use crate::fail::{Failure, Outcome};
use crate::table;

/// Rows shown by a list.
const ROWS_MAX: u32 = 200;

/// What every command understands.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// Where everything lives [default: $LATHE_HOME, else ~/.lathe].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub home: Option<PathBuf>,
}

/// How a command prints what came of it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Printing {
    /// Print JSON.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Printing {
    /// Prints it as JSON, or as lines.
    pub fn print(self, value: &Value) -> Result<(), Failure> {
        if self.json {
            return print_json(value);
        }
        table::tree(value);
        Ok(())
    }
}

/// Why something is decided.
#[derive(Debug, clap::Args)]
pub struct Reason {
    /// Why; it stands in the ledger for good.
    #[arg(long)]
    pub reason: String,
}

/// What a daemon keeps of its evidence.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Evidence {
    /// Who has to approve a registration; counts only for a home that is new.
    #[arg(long, value_enum, default_value_t)]
    pub approval: Approval,
    /// Keep the texts of answers beside their receipts.
    #[arg(long)]
    pub keep_texts: bool,
    /// Seconds after which the evidence of what answers is looked at anew.
    #[arg(long, value_name = "SECONDS", env = "LATHE_SCRUB_S", default_value_t = SCRUB_S_DEFAULT,
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub scrub_s: u64,
}

/// Who has to approve a registration.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub enum Approval {
    /// The workshop's own key; everything it shows says so.
    #[default]
    #[value(name = "self")]
    Itself,
    /// Somebody whose key does not lie in the home.
    TwoPerson,
}

impl From<Approval> for ApprovalPolicy {
    fn from(approval: Approval) -> Self {
        match approval {
            Approval::Itself => ApprovalPolicy::Itself,
            Approval::TwoPerson => ApprovalPolicy::TwoPerson,
        }
    }
}

impl Globals {
    /// The home.
    pub fn home(&self) -> Result<Home, Failure> {
        Ok(Home::locate(self.home.clone())?)
    }

    /// The store for reading, or `None` when nothing was ever stored here.
    async fn store(&self) -> Result<Option<Store>, Failure> {
        let home = self.home()?;
        if !home.store().is_file() {
            return Ok(None);
        }
        Ok(Some(Store::open_read_only(&home.store()).await?))
    }
}

/// Does something with the daemon of the home, or as it for as long as that takes. Also tells whether
/// a daemon is there that goes on.
fn ask_daemon<T>(
    globals: &Globals,
    ask: impl FnOnce(&Client) -> Result<T, Failure>,
) -> Result<(T, bool), Failure> {
    let home = globals.home()?;
    let runtime = runtime()?;
    match runtime.block_on(daemon::join_or_start(&home, &Listen::briefly()))? {
        Session::Theirs(url) => Ok((ask(&Client::new(&url, None))?, true)),
        Session::Mine(daemon) => {
            let value = ask(&Client::new(&daemon.url, None));
            runtime.block_on(daemon.stop());
            Ok((value?, false))
        }
    }
}

/// Asks the daemon, or as it, and prints what came of it: as JSON, or as lines.
fn with_daemon(
    globals: &Globals,
    json: bool,
    ask: impl FnOnce(&Client) -> Result<Value, Failure>,
) -> Outcome {
    let (value, _) = ask_daemon(globals, ask)?;
    Printing { json }.print(&value)?;
    Ok(ExitCode::SUCCESS)
}

/// An operation, done and told.
fn operate(globals: &Globals, json: bool, operation: &Operation) -> Outcome {
    with_daemon(globals, json, |client| client.operate(operation))
}

/// A path as the daemon understands it, wherever that was started.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| {
        Failure::new(
            "path",
            format!("cannot tell where {} is: {error}", path.display()),
            "name another path",
        )
    })
}

/// The runtime that carries the daemon and the store.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        // Waiting is all it does: computing has threads of its own.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("runtime", error.to_string(), ""))
}

/// A word of the catalogue in this process's language.
fn say(key: &str) -> String {
    words::get(Lang::from_env(), key, &[])
}

/// The daemon's log on standard error, as LATHE_LOG asks; warnings by default.
fn log_to_stderr() {
    crate::logs::to_stderr(crate::logs::Logging::default());
}

/// What a list prints when there is nothing.
fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new("json", error.to_string(), ""))?;
    println!("{text}");
    Ok(())
}
