//! The daemon of a home, inside this process: the lock, the listener, the
//! workshop, the door, pages and API on one port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::serve::{Listener, ListenerExt};
use lathe_evidence::statement::ApprovalPolicy;
use lathe_serve::Door;
use lathe_web::AppState;
use lathe_workshop::home::{Holder, HomeLock, Locked};
use lathe_workshop::{Home, Workshop, WorkshopOptions, workshop};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::fail::Failure;
use crate::keys::{self, Keys};
use crate::tls::Tls;

/// Where people expect the pages.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:7878";

/// Seconds after which the evidence of what answers is looked at anew.
pub const SCRUB_S_DEFAULT: u64 = 60;

/// How long another daemon may take to say where it listens.
const STARTING_WAIT_MAX: Duration = Duration::from_secs(30);

/// How long open requests may take when the daemon ends.
const DRAIN_MAX: Duration = Duration::from_secs(3);

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
    /// Answer over TLS alone at that address; this machine's own commands then have a plain port on loopback.
    pub tls: Option<Arc<Tls>>,
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
            tls: None,
        }
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
            Locked::Other(Holder { url: Some(url), .. }) => return Ok(Session::Theirs(url)),
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
            (own, at, Some(tls.listen(listener, address)))
        }
    };
    let door = Door::new(lathe_kernel::default_threads());
    let options = WorkshopOptions {
        listen: own,
        key: keys.own,
        worker: own_program()?,
        approval: listen.approval,
        keeps_texts: listen.keeps_texts,
        scrub_every: listen.scrub_every,
    };
    let workshop = Workshop::open(home.clone(), Arc::new(door.clone()), options).await?;
    let state = AppState::new(workshop.clone(), door.router(), keys.access);
    // Else a streamed token may wait 40 ms for the acknowledgement of the one before; a
    // connection on which it cannot be set still works.
    let listener = listener.tap_io(|tcp| {
        let _ = tcp.set_nodelay(true);
    });
    let (stop, stopped) = watch::channel(false);
    let router = lathe_web::router(state);
    let mut servers = vec![serve(listener, router.clone(), stopped.clone())];
    let shown = match secure {
        None => shown,
        Some(secure) => {
            servers.push(serve(secure, router, stopped));
            shown.replacen("http:", "https:", 1)
        }
    };
    let url = workshop::url_of(own);
    lock.announce(Some(&url))?;
    Ok(Daemon {
        workshop,
        url,
        shown,
        moved: address.port() != listen.address.port() && listen.address.port() != 0,
        door,
        stop,
        servers,
        _lock: lock,
    })
}

/// Answers at a listener until told to end.
fn serve<L>(
    listener: L,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<std::io::Result<()>>
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    let server = axum::serve(listener, router).with_graceful_shutdown(async move {
        // A dropped sender means the daemon is gone: end as well.
        let _ = stopped.wait_for(|stop| *stop).await;
    });
    tokio::spawn(server.into_future())
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
    /// Ends in order: the running step is interrupted and will resume, open requests get
    /// a moment, the store is closed, the home is free.
    pub async fn stop(self) {
        self.workshop.stop().await;
        self.stop.send_replace(true);
        self.door.shut_down(DRAIN_MAX).await;
        // Event streams have no end of their own.
        for server in self.servers {
            let _ = tokio::time::timeout(Duration::from_millis(500), server).await;
        }
    }
}

/// Why the daemon's queue ended by itself, if it did.
pub fn halted(workshop: &Workshop) -> Option<Failure> {
    let (text, next) = workshop.halted().borrow().clone()?;
    Some(Failure::new("queue-halted", text, next))
}
