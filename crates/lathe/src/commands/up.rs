//! `lathe up`: the daemon until Ctrl-C.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lathe_workshop::words::{self, Lang};

use super::{Evidence, Globals, runtime};
use crate::daemon::{self, DRAIN_S_DEFAULT, LISTEN_DEFAULT, Listen, Session};
use crate::fail::{Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::logs::{self, Logging};
use crate::notify;
use crate::syslog;
use crate::tls::Tls;

/// Arguments of `lathe up`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen; beyond loopback a key is required: one of `lathe token create`, or --key-file.
    #[arg(long, value_name = "ADDR:PORT", env = "LATHE_LISTEN", default_value = LISTEN_DEFAULT)]
    listen: SocketAddr,
    #[command(flatten)]
    evidence: Evidence,
    /// A file with one key a line, each of which opens everything; every request then has to present a key.
    #[arg(long, value_name = "FILE", env = "LATHE_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// How long answers may go on when the daemon is asked to end (SIGTERM, Ctrl-C).
    #[arg(long, value_name = "SECONDS", default_value_t = DRAIN_S_DEFAULT)]
    drain_s: u64,
    #[command(flatten)]
    logging: Logging,
    /// Tell what is decided as RFC 5424 messages, in clear, to a socket (/dev/log), udp://HOST:PORT or
    /// tcp://HOST:PORT.
    #[arg(long, value_name = "ADDRESS", env = syslog::VARIABLE)]
    audit_syslog: Option<String>,
    #[command(flatten)]
    secured: Secured,
}

/// The files of TLS; both or none.
#[derive(Debug, clap::Args)]
struct Secured {
    /// A certificate chain in PEM: answer over TLS alone. A SIGHUP has it read again.
    #[arg(
        long,
        value_name = "FILE",
        env = "LATHE_TLS_CERT",
        requires = "tls_key"
    )]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM.
    #[arg(
        long,
        value_name = "FILE",
        env = "LATHE_TLS_KEY",
        requires = "tls_cert"
    )]
    tls_key: Option<PathBuf>,
}

impl Secured {
    fn read(&self) -> Result<Option<Arc<Tls>>, Failure> {
        match (&self.tls_cert, &self.tls_key) {
            (Some(cert), Some(key)) => Ok(Some(Tls::read(cert, key)?)),
            _ => Ok(None),
        }
    }
}

/// Serves until asked to end.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    logs::to_stderr(args.logging);
    let home = globals.home()?;
    let listen = Listen {
        address: args.listen,
        or_next_free: false,
        key_file: args.key_file.clone(),
        approval: args.evidence.approval.into(),
        keeps_texts: args.evidence.keep_texts,
        scrub_every: Duration::from_secs(args.evidence.scrub_s),
        drain: Duration::from_secs(args.drain_s),
        tls: args.secured.read()?,
        audit: args.audit_syslog.clone().filter(|it| !it.is_empty()),
        signs_in: true,
        logging: Some(args.logging),
    };
    let runtime = runtime()?;
    runtime.block_on(async {
        let mut interrupt = match &listen.tls {
            None => Interrupt::listen()?,
            Some(tls) => {
                tls.reload_on_hangup()?;
                Interrupt::listen_but_to_hangup()?
            }
        };
        let daemon = match daemon::join_or_start(&home, &listen).await? {
            Session::Mine(daemon) => daemon,
            Session::Theirs(url) => return Err(already(&url)),
        };
        daemon.workshop.start();
        let url = [("url", daemon.shown.as_str())];
        println!("{}", words::get(Lang::from_env(), "cli.up", &url));
        notify::tell(notify::READY);
        let mut halted = daemon.workshop.halted();
        let failure = tokio::select! {
            () = interrupt.wait() => None,
            _ = halted.changed() => daemon::halted(&daemon.workshop),
        };
        notify::tell(notify::STOPPING);
        daemon.stop().await;
        match failure {
            Some(failure) => Err(failure),
            None => Ok(ExitCode::SUCCESS),
        }
    })
}

fn already(url: &str) -> Failure {
    Failure::new(
        "daemon-runs",
        format!("a daemon of this home already answers at {url}"),
        "use that one, end it first, or pass another --home FOLDER",
    )
}
