//! The daemon of a home, inside this process: the lock, the listener, the
//! workshop, the door, pages and API on one port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener, ListenerExt};
use axum::{Extension, Router};
use lathe_evidence::statement::ApprovalPolicy;
use lathe_serve::{Door, Limits};
use lathe_web::{Access, AppState, OverTls};
use lathe_workshop::home::{Holder, HomeLock, Locked};
use lathe_workshop::people::{SignIn, reach};
use lathe_workshop::settings::{RunningLimits, Started};
use lathe_workshop::{Home, Workshop, WorkshopOptions, token, workshop};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::client;
use crate::fail::Failure;
use crate::keys::{self, Keys};
use crate::logs::Logging;
use crate::tls::Tls;
use crate::{logs, out, syslog};

/// Where people expect the pages.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7878";

/// Seconds after which the evidence of what answers is looked at anew.
pub const SCRUB_S_DEFAULT: u64 = 60;

/// How long another daemon may take to say where it listens.
const STARTING_WAIT_MAX: Duration = Duration::from_secs(30);

/// Seconds that answers may go on when the daemon is asked to end: less than the 30 after which Kubernetes
/// kills what it asked.
pub const DRAIN_S_DEFAULT: u64 = 25;

/// Ports tried after the wanted one.
const PORTS_TRIED_MAX: u16 = 32;

/// How to listen.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The wanted address.
    pub address: SocketAddr,
    /// Take the next free port when it is taken.
    pub or_next_free: bool,
    /// The keys to ask for.
    pub key_file: Option<PathBuf>,
    /// Who has to approve, where the ledger has yet to begin.
    pub approval: ApprovalPolicy,
    /// Keep the texts of answers beside their receipts.
    pub keeps_texts: bool,
    /// How often the evidence of what answers is looked at anew.
    pub scrub_every: Duration,
    /// How long answers may go on when the daemon is asked to end.
    pub drain: Duration,
    /// Answer over TLS alone at that address; this machine's own commands then have a plain port on loopback.
    pub tls: Option<Arc<Tls>>,
    /// Where what is decided is told to.
    pub audit: Option<String>,
    /// Whether people sign in here in the other ways, too, that the home's file names.
    pub signs_in: bool,
    /// How it logs; none for a command that does not.
    pub logging: Option<Logging>,
}

impl Listen {
    /// For a command that becomes the daemon only as long as it takes.
    pub fn briefly() -> Listen {
        Listen {
            address: LISTEN_DEFAULT.parse().expect("a constant address"),
            or_next_free: true,
            key_file: None,
            approval: ApprovalPolicy::default(),
            keeps_texts: false,
            scrub_every: Duration::from_secs(SCRUB_S_DEFAULT),
            drain: Duration::from_secs(DRAIN_S_DEFAULT),
            tls: None,
            audit: syslog::named(),
            signs_in: false,
            logging: None,
        }
    }

    /// The other ways to sign in, before anything listens: one that this program was built without is no way.
    fn sign_in(&self, home: &Home) -> Result<SignIn, Failure> {
        let file = match self.signs_in {
            true => SignIn::read(home)?,
            false => SignIn::default(),
        };
        file.is_built()?;
        Ok(file)
    }
}

/// A daemon in this process.
pub struct Daemon {
    /// The workshop it works for.
    pub workshop: Workshop,
    /// Where it answers this machine's own commands.
    pub url: String,
    /// Where it answers people; the same unless over TLS.
    pub shown: String,
    /// The wanted port was taken; this says which it is instead.
    pub moved: bool,
    home: Home,
    drain: Duration,
    door: Door,
    stop: watch::Sender<bool>,
    servers: Vec<JoinHandle<std::io::Result<()>>>,
    _lock: HomeLock,
}

/// Who serves this home.
pub enum Session {
    /// This process.
    Mine(Box<Daemon>),
    /// Another one, at this URL.
    Theirs(String),
}

/// Becomes the daemon of `home`, or finds the one there is. No order runs before
/// [`Workshop::start`].
pub async fn join_or_start(home: &Home, listen: &Listen) -> Result<Session, Failure> {
    let keys = keys::read(listen.address, listen.key_file.as_deref())?;
    home.create()?;
    let begun = Instant::now();
    loop {
        match home.lock()? {
            Locked::Mine(lock) => {
                let daemon = start(home, listen, keys, lock).await?;
                return Ok(Session::Mine(Box::new(daemon)));
            }
            Locked::Other(Holder { url: Some(url), .. }) => {
                client::present(token::own_of(home));
                return Ok(Session::Theirs(url));
            }
            Locked::Other(holder) if begun.elapsed() > STARTING_WAIT_MAX => {
                return Err(busy(home.root(), holder.pid));
            }
            // It starts or ends, or it is a command that will be done soon.
            Locked::Other(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Another process holds the home and does not answer.
pub fn busy(root: &Path, pid: u32) -> Failure {
    Failure::new(
        "home-busy",
        format!(
            "{} is held by process {pid}, which does not answer",
            root.display()
        ),
        "wait for it to end, or pass --home FOLDER",
    )
}

async fn start(
    home: &Home,
    listen: &Listen,
    keys: Keys,
    mut lock: HomeLock,
) -> Result<Daemon, Failure> {
    let sign_in = listen.sign_in(home)?;
    let listener = bind(listen).await?;
    let address = listener.local_addr().map_err(unheard)?;
    let shown = workshop::url_of(address);
    let (listener, own, secure) = match &listen.tls {
        None => (listener, address, None),
        Some(tls) => {
            let own = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
                .await
                .map_err(unheard)?;
            let at = own.local_addr().map_err(unheard)?;
            // The tap is for the address it tells, which axum knows of its own listeners only.
            (own, at, Some(tls.listen(listener, address).tap_io(|_| ())))
        }
    };
    audit(listen)?;
    let door = Door::new(lathe_kernel::default_threads());
    let started = started(listen, &keys, &sign_in, (address, door.limits()));
    let key = token::issue_own(home)?;
    client::present(Some(key.clone()));
    let options = WorkshopOptions {
        listen: own,
        key: Some(key),
        worker: own_program()?,
        approval: listen.approval,
        keeps_texts: listen.keeps_texts,
        scrub_every: listen.scrub_every,
    };
    let workshop = Workshop::open(home.clone(), Arc::new(door.clone()), options).await?;
    if let Err(failure) = open_ways(&workshop, sign_in, &keys, address) {
        workshop.stop().await;
        return Err(failure);
    }
    workshop.started_with(started);
    let state = AppState::new(workshop.clone(), api(&door, &workshop), keys.access);
    let listener = listener.tap_io(at_once);
    let (stop, stopped) = watch::channel(false);
    let router = door.observed(lathe_web::router(state));
    let mut servers = vec![serve(listener, router.clone(), stopped.clone())];
    let shown = match secure {
        None => shown,
        Some(secure) => {
            let router = router.layer(Extension(OverTls));
            servers.push(serve(secure, router, stopped));
            shown.replacen("http:", "https:", 1)
        }
    };
    let url = workshop::url_of(own);
    lock.announce(Some(&url))?;
    out::serves(true);
    Ok(Daemon {
        workshop,
        url,
        shown,
        moved: address.port() != listen.address.port() && listen.address.port() != 0,
        door,
        home: home.clone(),
        drain: listen.drain,
        stop,
        servers,
        _lock: lock,
    })
}

/// How this process was started, for those who look at the settings: addresses and names, no secret.
fn started(
    listen: &Listen,
    keys: &Keys,
    sign_in: &SignIn,
    (address, limits): (SocketAddr, &Limits),
) -> Started {
    let scheme = if listen.tls.is_some() {
        "https"
    } else {
        "http"
    };
    Started {
        url: format!("{scheme}://{address}"),
        over_tls: listen.tls.is_some(),
        asks_for_a_key: matches!(keys.access, Access::Keys(_)),
        takes_key_file: listen.key_file.is_some(),
        drain_s: listen.drain.as_secs(),
        sign_in: sign_in.kinds(),
        log: listen.logging.map(|_| logs::asked()),
        log_format: listen.logging.map_or("text", Logging::format),
        logs_texts: listen.logging.is_some_and(Logging::texts),
        audit_syslog: listen.audit.clone(),
        limits: Some(running(limits)),
    }
}

/// The server's limits that people ask after.
fn running(limits: &Limits) -> RunningLimits {
    let number = |it: usize| u64::try_from(it).unwrap_or(u64::MAX);
    let bounded = limits.weights_bytes_max != usize::MAX;
    RunningLimits {
        answers_max: number(limits.slots_max),
        queue_requests_max: number(limits.queue_requests_max),
        wait_ms_max: limits.wait_ms_max,
        step_rows_max: number(limits.prefill_tokens_max),
        step_ms_max: limits.step_ms_max,
        cache_bytes_max: number(limits.cache_bytes_max),
        weights_bytes_max: bounded.then(|| number(limits.weights_bytes_max)),
        body_bytes_max: number(limits.body_bytes_max),
        upstream_requests_max: number(limits.upstream_requests_max),
    }
}

/// What has to hold before anybody is answered: every way to sign in can be used, and somebody can come in.
fn open_ways(
    workshop: &Workshop,
    sign_in: SignIn,
    keys: &Keys,
    address: SocketAddr,
) -> Result<(), Failure> {
    workshop.people().sign_in_by(sign_in)?;
    let nobody = workshop.tokens().is_empty() && workshop.people().is_empty();
    if keys.needs_token && nobody {
        return Err(keys::none(address));
    }
    Ok(())
}

/// Tells what is decided to where that is asked for.
fn audit(listen: &Listen) -> Result<(), Failure> {
    if let Some(address) = &listen.audit {
        syslog::begin(address)?;
        logs::only_audit();
    }
    Ok(())
}

/// OpenAI's interfaces and what stands beside them.
fn api(door: &Door, workshop: &Workshop) -> Router {
    door.router()
        .merge(lathe_serve::tuning::router(workshop.clone()))
        .merge(lathe_serve::feedback::router(workshop.clone()))
}

/// Else a streamed token may wait 40 ms for the acknowledgement of the one before; a connection on which it
/// cannot be set still works.
fn at_once(tcp: &mut TcpStream) {
    let _ = tcp.set_nodelay(true);
}

/// Answers at a listener until told to end. The callers' addresses are for the scheduler, which is fair
/// between them.
fn serve<L>(
    listener: L,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<std::io::Result<()>>
where
    L: Listener<Addr = SocketAddr>,
    SocketAddr: for<'a> Connected<IncomingStream<'a, L>>,
{
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        // A dropped sender means the daemon is gone: end as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    reach::spawn(server.into_future())
}

fn unheard(error: std::io::Error) -> Failure {
    Failure::new("listen", error.to_string(), "try another --listen")
}

async fn bind(listen: &Listen) -> Result<TcpListener, Failure> {
    let tries = if listen.or_next_free {
        PORTS_TRIED_MAX
    } else {
        0
    };
    let mut address = listen.address;
    for _ in 0..=tries {
        match TcpListener::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                address.set_port(address.port().saturating_add(1));
            }
            Err(error) => {
                return Err(Failure::new(
                    "listen",
                    format!("cannot listen on {address}: {error}"),
                    "pass another --listen ADDR:PORT",
                ));
            }
        }
    }
    Err(Failure::new(
        "port-taken",
        format!("cannot listen on {}: the port is taken", listen.address),
        "end what listens there, or pass another --listen ADDR:PORT (port 0 picks a free one)",
    ))
}

/// This very program: on Linux through /proc, so that a rebuilt or removed file does not matter.
fn own_program() -> Result<PathBuf, Failure> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        return Ok(running);
    }
    std::env::current_exe().map_err(|error| {
        Failure::new(
            "own-program",
            format!("cannot find this program's own file: {error}"),
            "start it by its full path",
        )
    })
}

impl Daemon {
    /// Ends in order. From the first moment the server says that it is not ready; the running step is
    /// interrupted and will resume; then new requests are refused (503) and those that are here go on to
    /// their end or the deadline. Listener and store close when their receipts are closed; then the
    /// home is free.
    pub async fn stop(self) {
        self.door.leave();
        // First: an order that asks its model would else be refused by its own door.
        self.workshop.rest().await;
        self.door.shut_down(self.drain).await;
        self.stop.send_replace(true);
        // What is left is to send last bytes; event streams have no end of their own.
        for server in self.servers {
            let _ = tokio::time::timeout(Duration::from_millis(500), server).await;
        }
        self.workshop.stop().await;
        token::withdraw_own(&self.home);
        // It blocks for a moment at most; where it cannot be waited for, nothing is left to do.
        let _ = reach::spawn_blocking(syslog::flush).await;
        out::serves(false);
    }
}

/// Why the daemon's queue ended by itself, if it did.
pub fn halted(workshop: &Workshop) -> Option<Failure> {
    let (text, next) = workshop.halted().borrow().clone()?;
    Some(Failure::new("queue-halted", text, next))
}
