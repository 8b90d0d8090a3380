//! One file per command: its arguments, its help, its function.

pub mod data;
mod data_card;
pub mod model;
pub mod order;
pub mod pack;
pub mod run;
pub mod tour;
pub mod up;
pub mod version;
pub mod worker;

use std::path::PathBuf;

use lathe_evidence::statement::ApprovalPolicy;
use lathe_workshop::Home;
use lathe_workshop::store::Store;
use lathe_workshop::words::{self, Lang};

use crate::fail::Failure;

/// Rows shown by a list.
const ROWS_MAX: u32 = 200;

/// What every command understands.
#[derive(Debug, clap::Args)]
pub struct Globals {
    /// Where everything lives [default: $LATHE_HOME, else ~/.lathe].
    #[arg(long, global = true, value_name = "FOLDER")]
    pub home: Option<PathBuf>,
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
    let filter = tracing_subscriber::EnvFilter::try_from_env("LATHE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second call finds the first one's subscriber in place, which is as good.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}

/// What a list prints when there is nothing.
fn print_json<T: serde::Serialize>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new("json", error.to_string(), ""))?;
    println!("{text}");
    Ok(())
}
