//! What a daemon logs to standard error: lines for people, or JSON objects for machines.
//!
//! `LATHE_LOG` says how much. What was asked and answered stands under one target, which is off
//! whatever `LATHE_LOG` says, unless texts are switched on.

use tracing_subscriber::filter::Directive;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, registry};

use crate::syslog;

/// The target of texts (`lathe_serve::receipt`).
const TEXTS: &str = "lathe_serve::texts";

/// How much is logged where LATHE_LOG does not say.
const USUAL: &str = "warn";

/// How a daemon logs.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct Logging {
    /// How lines of the log are written.
    #[arg(long, value_enum, default_value_t)]
    log_format: LogFormat,
    /// Log what is asked and answered in clear; without this no text is logged.
    #[arg(long)]
    log_texts: bool,
}

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

impl Logging {
    /// How lines are written, as the flag names it.
    pub fn format(self) -> &'static str {
        match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
    }

    /// Whether what is asked and answered is logged in clear.
    pub fn texts(self) -> bool {
        self.log_texts
    }
}

/// How much is logged, as a filter.
pub fn asked() -> String {
    let named = std::env::var("LATHE_LOG").ok();
    let named = named.filter(|it| EnvFilter::try_new(it).is_ok());
    named.unwrap_or_else(|| USUAL.to_owned())
}

/// Logs to standard error as LATHE_LOG asks; warnings by default.
pub fn to_stderr(logging: Logging) {
    let asked = EnvFilter::try_from_env("LATHE_LOG").unwrap_or_else(|_| EnvFilter::new(USUAL));
    let filter = asked.add_directive(texts(logging.log_texts));
    let lines = fmt::layer::<Registry>().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match logging.log_format {
        LogFormat::Text => Box::new(lines),
        LogFormat::Json => Box::new(lines.json().flatten_event(true)),
    };
    let all = registry().with(lines.with_filter(filter));
    // A second call finds the first one's subscriber in place, which is as good.
    let _ = all.with(syslog::layer()).try_init();
}

/// Logs nothing, but lets the audit through, in a command that does not log.
pub fn only_audit() {
    let _ = registry().with(syslog::layer()).try_init();
}

/// The most particular directive of a filter wins: this one, over any of LATHE_LOG's for crates.
fn texts(on: bool) -> Directive {
    let level = if on { "info" } else { "off" };
    format!("{TEXTS}={level}")
        .parse()
        .expect("a target and a level")
}
