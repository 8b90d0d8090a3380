//! TLS by files: a certificate chain and its private key in PEM, read again when the process is asked to.
//!
//! The handshakes run beside one another and each has a bound, so that a caller who never ends his does
//! not keep the others out. TLS 1.2 and 1.3 with ring, HTTP/1.1 inside. Not here: getting certificates,
//! and asking callers for theirs.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use crate::fail::Failure;
use lathe_workshop::people::reach;

/// Handshakes under way at once; more callers wait in the system's queue.
const HANDSHAKES_MAX: usize = 256;
/// How long one may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long nothing is accepted after the system refused, for instance for want of file descriptors.
const REFUSED_PAUSE: Duration = Duration::from_millis(200);
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The certificate in use and where it came from.
pub struct Tls {
    cert: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.cert.display())
    }
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// `tls`, naming the file: it cannot be read, or they do not belong together.
    pub fn read(cert: &Path, key: &Path) -> Result<Arc<Tls>, Failure> {
        let config = config(cert, key)?;
        Ok(Arc::new(Tls {
            cert: cert.to_owned(),
            key: key.to_owned(),
            config: RwLock::new(config),
        }))
    }

    /// Reads both files again; after an error callers go on being answered with what there was.
    fn reload(&self) -> Result<(), Failure> {
        let config = config(&self.cert, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// Reads both files again each time the process gets a SIGHUP. Within a tokio runtime.
    ///
    /// # Errors
    /// The system lets nobody listen for it.
    pub fn reload_on_hangup(self: &Arc<Self>) -> Result<(), Failure> {
        let mut hangups = signal(SignalKind::hangup()).map_err(|error| {
            Failure::new("signal", format!("cannot listen for signals: {error}"), "")
        })?;
        let tls = self.clone();
        reach::spawn(async move {
            while hangups.recv().await.is_some() {
                match tls.reload() {
                    Ok(()) => tracing::info!("{} was read again", tls.cert.display()),
                    Err(error) => tracing::error!("the certificate stays as it was: {error}"),
                }
            }
        });
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner);
        TlsAcceptor::from(Arc::clone(&config))
    }

    /// Accepts over TLS what connects to `tcp`. Within a tokio runtime.
    pub fn listen(self: &Arc<Self>, tcp: TcpListener, address: SocketAddr) -> TlsListener {
        let (sender, accepted) = mpsc::channel(HANDSHAKES_MAX);
        let accepting = reach::spawn(accept(self.clone(), tcp, sender));
        TlsListener {
            accepted,
            address,
            accepting,
        }
    }
}

type Accepted = (TlsStream<TcpStream>, SocketAddr);

/// Connections whose handshake is done.
pub struct TlsListener {
    accepted: mpsc::Receiver<Accepted>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Accepted {
        match self.accepted.recv().await {
            Some(accepted) => accepted,
            // The accepting task ends only with this.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Drop for TlsListener {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(tls: Arc<Tls>, tcp: TcpListener, accepted: mpsc::Sender<Accepted>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        let (stream, address) = match tcp.accept().await {
            Ok(connected) => connected,
            Err(error) => {
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(REFUSED_PAUSE).await;
                continue;
            }
        };
        // As on a plain port: a streamed token is not to wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let (handshake, accepted) = (tls.acceptor().accept(stream), accepted.clone());
        reach::spawn(async move {
            match tokio::time::timeout(HANDSHAKE_MAX, handshake).await {
                // Nobody receives any more when the daemon ends.
                Ok(Ok(stream)) => drop(accepted.send((stream, address)).await),
                Ok(Err(error)) => tracing::debug!("{address} and we did not agree: {error}"),
                Err(_) => tracing::debug!("{address} did not end its handshake"),
            }
            drop(place);
        });
    }
}

fn config(cert: &Path, key: &Path) -> Result<Arc<ServerConfig>, Failure> {
    let refuse = |file: &Path, reason: &dyn fmt::Display| {
        Failure::new(
            "tls",
            format!("cannot serve over TLS with {}: {reason}", file.display()),
            "pass a certificate chain and its private key, both in PEM: --tls-cert FILE --tls-key FILE",
        )
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&read(cert)?)
        .collect::<Result<_, _>>()
        .map_err(|error| refuse(cert, &error))?;
    if chain.is_empty() {
        return Err(refuse(cert, &"there is no certificate in it"));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read(key)?).map_err(|error| refuse(key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(cert, &error))?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .map_err(|error| refuse(key, &error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = std::fs::metadata(file).and_then(|data| match data.len() {
        0..=FILE_BYTES_MAX => std::fs::read(file),
        more => Err(io::Error::other(format!("it has {more} bytes"))),
    });
    bytes.map_err(|error| {
        Failure::new(
            "tls",
            format!("cannot read {}: {error}", file.display()),
            "name files that this user may read",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (cert, key) = (
            folder.join(format!("{name}.pem")),
            folder.join(format!("{name}.key")),
        );
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (cert, key)
    }

    #[test]
    fn files_that_do_not_belong_together_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = written(folder.path(), "a");
        let (_, other) = written(folder.path(), "b");
        assert!(Tls::read(&cert, &key).is_ok());
        for (cert, key, named) in [
            (&cert, &other, "b.key"),
            (&key, &key, "no certificate"),
            (&cert, &cert, "a.pem"),
            (&folder.path().join("c"), &key, "cannot read"),
        ] {
            let error = Tls::read(cert, key).unwrap_err();
            assert!(error.to_string().contains(named), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_again_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = written(folder.path(), "a");
        let tls = Tls::read(&cert, &key).unwrap();
        let config = || Arc::clone(&tls.config.read().unwrap());
        let before = config();
        let good = std::fs::read(&key).unwrap();
        std::fs::write(&key, "no key").unwrap();
        assert!(tls.reload().is_err());
        assert!(Arc::ptr_eq(&before, &config()));
        std::fs::write(&key, good).unwrap();
        tls.reload().unwrap();
        assert!(!Arc::ptr_eq(&before, &config()));
    }
}
