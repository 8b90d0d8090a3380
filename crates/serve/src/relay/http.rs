//! One request to an upstream over a connection of its own, HTTP/1.1, in clear or over TLS.
//!
//! The connection lives as long as its answer: dropping that closes it, by which the other side knows to
//! stop. Redirects are answers like any other. The certificates that are trusted are the system's
//! (`SSL_CERT_FILE` names others).

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lathe_workshop::Upstream;
use lathe_workshop::people::reach;
use lathe_workshop::upstream::is_loopback;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Host;

/// What is asked.
pub(super) struct Call<'a> {
    /// `GET` or `POST`.
    pub method: Method,
    /// The whole path.
    pub path: &'a str,
    /// JSON, or nothing.
    pub body: Bytes,
    /// Whether events are wanted.
    pub streamed: bool,
    /// The request's id here, passed on; may be empty.
    pub request_id: &'a str,
}

/// An answer that began.
#[derive(Debug)]
pub(super) struct Sent {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// What follows.
    pub body: Body,
}

/// What follows, piece by piece; dropped, the connection is closed.
#[derive(Debug)]
pub(super) struct Body {
    incoming: Incoming,
    silence_max: Duration,
    _connection: Connection,
}

/// The task that moves the bytes.
#[derive(Debug)]
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It could not be reached: nothing of the request arrived.
    Unreached(String),
    /// The connection broke.
    Broken(String),
    /// It said nothing for this long.
    Silent(Duration),
    /// What it says is no answer, or too much.
    Unreadable(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Unreached(why) => write!(f, "it cannot be reached: {why}"),
            Trouble::Broken(why) => write!(f, "the connection broke: {why}"),
            Trouble::Silent(longest) => {
                write!(f, "it said nothing for {} s", longest.as_secs_f64())
            }
            Trouble::Unreadable(why) => f.write_str(why),
        }
    }
}

/// Sends a request and waits for the head of its answer.
///
/// # Errors
/// It could not be reached, broke off, or was silent for too long.
pub(super) async fn send(upstream: &Upstream, call: Call<'_>) -> Result<Sent, Trouble> {
    let connecting = tokio::time::timeout(upstream.connect_max, connect(upstream)).await;
    let stream = connecting.unwrap_or_else(|_| {
        let ms = upstream.connect_max.as_millis();
        Err(format!("no connection within {ms} ms"))
    });
    let stream = stream.map_err(Trouble::Unreached)?;
    let broken = |error: hyper::Error| Trouble::Broken(reason(&error));
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let moving = reach::spawn(async move {
        // What goes wrong is told to whoever reads the answer.
        let _ = connection.await;
    });
    let connection = Connection(moving.abort_handle());
    let request = request(upstream, call)?;
    let answering = tokio::time::timeout(upstream.silence_max, sender.send_request(request)).await;
    let response = answering.map_err(|_| Trouble::Silent(upstream.silence_max))?;
    let (head, incoming) = response.map_err(broken)?.into_parts();
    Ok(Sent {
        status: head.status,
        headers: head.headers,
        body: Body {
            incoming,
            silence_max: upstream.silence_max,
            _connection: connection,
        },
    })
}

/// Why a connection broke, with what lies behind it.
fn reason(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn request(upstream: &Upstream, call: Call<'_>) -> Result<Request<Full<Bytes>>, Trouble> {
    let accept = if call.streamed {
        "text/event-stream"
    } else {
        "application/json"
    };
    let mut request = Request::builder()
        .method(call.method)
        .uri(call.path)
        .header(header::HOST, upstream.url.authority())
        .header(
            header::USER_AGENT,
            concat!("lathe/", env!("CARGO_PKG_VERSION")),
        )
        .header(header::ACCEPT, accept);
    if !call.body.is_empty() {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    if !call.request_id.is_empty() {
        request = request.header("x-request-id", call.request_id);
    }
    if let Some(key) = &upstream.key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.reveal()));
    }
    let request = request.body(Full::new(call.body));
    // Without the error, which might repeat a header.
    request.map_err(|_| Trouble::Unreadable("the request cannot be written".to_owned()))
}

impl Body {
    /// When it will have been silent for too long, if nothing comes from now on.
    pub(super) fn patience(&self) -> Instant {
        Instant::now() + self.silence_max
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// It broke off, or nothing came until `deadline`.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Option<Bytes>, Trouble> {
        loop {
            // What is there at once is not waited for, and might come for ever.
            if Instant::now() >= deadline {
                return Err(Trouble::Silent(self.silence_max));
            }
            let reading = tokio::time::timeout_at(deadline, self.incoming.frame()).await;
            let frame = match reading {
                Err(_) => return Err(Trouble::Silent(self.silence_max)),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Trouble::Broken(reason(&error))),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers hold nothing that is wanted.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
    }

    /// All that is left, at most so many bytes: as long as it is not whole nothing is said.
    ///
    /// # Errors
    /// As [`Body::next`]; there is more.
    pub(super) async fn whole(mut self, bytes_max: usize) -> Result<Vec<u8>, Trouble> {
        let mut all = Vec::new();
        let deadline = self.patience();
        while let Some(piece) = self.next(deadline).await? {
            if all.len() + piece.len() > bytes_max {
                let why = format!("it answered with more than {bytes_max} bytes");
                return Err(Trouble::Unreadable(why));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }
}

/// What bytes go through.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection, over TLS where the address says so.
async fn connect(upstream: &Upstream) -> Result<Box<dyn Stream>, String> {
    let tcp = connect_tcp(upstream).await?;
    // Else small requests may wait for the acknowledgement of the one before.
    let _ = tcp.set_nodelay(true);
    if upstream.url.scheme() != "https" {
        return Ok(Box::new(tcp));
    }
    let host = upstream.url.host_str().unwrap_or_default();
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(host).map_err(|error| format!("its name: {error}"))?;
    let connector = TlsConnector::from(tls()?);
    let stream = connector.connect(name, tcp).await;
    Ok(Box::new(stream.map_err(|error| format!("TLS: {error}"))?))
}

/// Connects to the first address that takes it. Where text may not leave this machine, only its own
/// addresses count, whatever names lead to.
async fn connect_tcp(upstream: &Upstream) -> Result<TcpStream, String> {
    let port = upstream.url.port_or_known_default().unwrap_or(80);
    let addresses: Vec<SocketAddr> = match upstream.url.host() {
        None => Vec::new(),
        Some(Host::Ipv4(address)) => vec![(address, port).into()],
        Some(Host::Ipv6(address)) => vec![(address, port).into()],
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, port)).await;
            found.map_err(|error| error.to_string())?.collect()
        }
    };
    let mut failed = "it has no address of this machine".to_owned();
    let own = !upstream.remote || is_loopback(&upstream.url);
    for address in addresses {
        if own && !address.ip().is_loopback() {
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => failed = error.to_string(),
        }
    }
    Err(failed)
}

/// The certificates of the system, read once.
fn tls() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Result<Arc<ClientConfig>, String>> = OnceLock::new();
    CONFIG.get_or_init(read_tls).clone()
}

fn read_tls() -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        return Err("this machine trusts no certificates; SSL_CERT_FILE names some".to_owned());
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
