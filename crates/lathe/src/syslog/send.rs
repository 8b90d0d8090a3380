//! Where messages go, and the thread that takes them there.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::message::{Message, Sender, Severity};

/// Messages that wait for the other side.
const WAITING_MAX: usize = 1024;
/// Longest wait for a connection, and for bytes to be taken.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// How long it rests before it tries again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A datagram socket of this machine, a message a datagram.
    Unix(PathBuf),
    /// RFC 5426: a message a datagram.
    Udp(String),
    /// RFC 6587 (3.4.1): each message after its length.
    Tcp(String),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let remote = |address: &str| -> Result<String, String> {
            let (host, port) = address.rsplit_once(':').ok_or("it names no port")?;
            if host.is_empty() || port.parse::<u16>().is_err() {
                return Err("it is not HOST:PORT".to_owned());
            }
            Ok(address.to_owned())
        };
        if let Some(address) = text.strip_prefix("udp://") {
            return remote(address).map(Address::Udp);
        }
        if let Some(address) = text.strip_prefix("tcp://") {
            return remote(address).map(Address::Tcp);
        }
        let path = text.strip_prefix("unix:").unwrap_or(text);
        if path.starts_with('/') {
            return Ok(Address::Unix(path.into()));
        }
        Err("it is neither a path nor udp:// nor tcp://".to_owned())
    }
}

/// An open way there.
enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Address {
    fn connect(&self) -> io::Result<Socket> {
        match self {
            Address::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(SILENCE_MAX))?;
                Ok(Socket::Unix(socket))
            }
            Address::Udp(address) => first(address, |to| {
                let own: SocketAddr = match to {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(own)?;
                socket.connect(to)?;
                socket.set_write_timeout(Some(SILENCE_MAX))?;
                Ok(Socket::Udp(socket))
            }),
            Address::Tcp(address) => first(address, |to| {
                let socket = TcpStream::connect_timeout(&to, SILENCE_MAX)?;
                socket.set_write_timeout(Some(SILENCE_MAX))?;
                Ok(Socket::Tcp(socket))
            }),
        }
    }
}

/// What comes of the first address of a name that works.
fn first(name: &str, mut open: impl FnMut(SocketAddr) -> io::Result<Socket>) -> io::Result<Socket> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in name.to_socket_addrs()? {
        match open(address) {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

impl Socket {
    fn send(&mut self, message: &str) -> io::Result<()> {
        match self {
            Socket::Unix(socket) => socket.send(message.as_bytes()).map(drop),
            Socket::Udp(socket) => socket.send(message.as_bytes()).map(drop),
            Socket::Tcp(socket) => {
                if is_closed(socket)? {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                // One write, so that a message is whole or not there wherever it breaks off.
                socket.write_all(format!("{} {message}", message.len()).as_bytes())
            }
        }
    }
}

/// Whether the other side has gone: the first write after that would succeed, and its bytes be lost.
fn is_closed(socket: &TcpStream) -> io::Result<bool> {
    socket.set_nonblocking(true)?;
    let peeked = socket.peek(&mut [0]);
    socket.set_nonblocking(false)?;
    match peeked {
        Ok(bytes) => Ok(bytes == 0),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// Messages on their way.
pub struct Outbox {
    sender: Sender,
    to: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

enum Item {
    Message(String),
    /// Whoever waits for all before this.
    Flush(SyncSender<()>),
}

impl Outbox {
    /// Opens the way, which has to be there, and begins to send.
    pub fn open(address: Address) -> io::Result<Outbox> {
        let socket = address.connect()?;
        let (to, inbox) = sync_channel(WAITING_MAX);
        let courier = Courier {
            address,
            socket: Some(socket),
            sender: Sender::this(),
            lost: Arc::default(),
        };
        let outbox = Outbox {
            sender: courier.sender.clone(),
            to,
            lost: courier.lost.clone(),
        };
        thread::Builder::new()
            .name("lathe-syslog".to_owned())
            .spawn(move || courier.run(&inbox))?;
        Ok(outbox)
    }

    /// Puts a message behind those that wait; counts it where there are too many.
    pub fn put(&self, message: &Message) {
        let item = Item::Message(message.written(&self.sender));
        if self.to.try_send(item).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was put is sent, at most so long.
    pub fn flush(&self, longest: Duration) {
        let (done, sent) = sync_channel(1);
        if self.to.try_send(Item::Flush(done)).is_ok() {
            // In vain where the other side is away, which was logged.
            let _ = sent.recv_timeout(longest);
        }
    }
}

/// The thread that sends.
struct Courier {
    address: Address,
    socket: Option<Socket>,
    sender: Sender,
    lost: Arc<AtomicU64>,
}

impl Courier {
    fn run(mut self, inbox: &Receiver<Item>) {
        while let Ok(item) = inbox.recv() {
            match item {
                Item::Message(message) => {
                    self.deliver(&message);
                    self.tell_lost();
                }
                // Who no longer waits is not told.
                Item::Flush(done) => drop(done.try_send(())),
            }
        }
    }

    /// Tries until it is sent.
    fn deliver(&mut self, message: &str) {
        let mut failed = 0u32;
        while let Err(error) = self.send(message) {
            self.socket = None;
            failed += 1;
            // Once is what the restart of the other side looks like.
            if failed == 2 {
                tracing::warn!("the audit does not reach {:?}: {error}", self.address);
            }
            if failed >= 2 {
                thread::sleep(RETRY_PAUSE);
            }
        }
        if failed >= 2 {
            tracing::warn!("the audit reaches {:?} again", self.address);
        }
    }

    fn send(&mut self, message: &str) -> io::Result<()> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(self.address.connect()?),
        };
        socket.send(message)
    }

    /// Says how many messages found no room.
    fn tell_lost(&mut self) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let mut message = Message::now(Severity::Warning);
        "lost".clone_into(&mut message.id);
        message.members.push(("count", lost.to_string()));
        "messages of the audit were lost; the ledger has what was decided"
            .clone_into(&mut message.text);
        let written = message.written(&self.sender);
        self.deliver(&written);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    fn message(text: &str) -> Message {
        let mut message = Message::now(Severity::Notice);
        text.clone_into(&mut message.text);
        message
    }

    /// What a connection brought, until it has this many messages: each after its length.
    fn framed(stream: &mut TcpStream, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < count {
            let mut length = String::new();
            let mut byte = [0];
            loop {
                stream.read_exact(&mut byte).unwrap();
                if byte[0] == b' ' {
                    break;
                }
                length.push(char::from(byte[0]));
            }
            let mut message = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut message).unwrap();
            all.push(String::from_utf8(message).unwrap());
        }
        all
    }

    #[test]
    fn addresses_are_paths_or_urls() {
        let read = |text: &str| Address::from_str(text);
        assert_eq!(read("/dev/log"), Ok(Address::Unix("/dev/log".into())));
        assert_eq!(read("unix:/a"), Ok(Address::Unix("/a".into())));
        assert_eq!(
            read("udp://[::1]:514"),
            Ok(Address::Udp("[::1]:514".to_owned()))
        );
        assert_eq!(
            read("tcp://logs:601"),
            Ok(Address::Tcp("logs:601".to_owned()))
        );
        for wrong in ["", "log", "udp://", "udp://host", "tcp://:514", "tcp://a:b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn datagrams_hold_a_message_each() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let address = Address::Udp(receiver.local_addr().unwrap().to_string());
        let outbox = Outbox::open(address).unwrap();
        for text in ["one", "two"] {
            outbox.put(&message(text));
            let mut buffer = [0; 4096];
            let read = receiver.recv(&mut buffer).unwrap();
            let said = String::from_utf8(buffer[..read].to_vec()).unwrap();
            assert!(
                said.starts_with("<109>1 ") && said.ends_with(text),
                "{said}"
            );
        }
    }

    #[test]
    fn a_receiver_that_comes_back_gets_what_waited() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let outbox = Outbox::open(Address::Tcp(address.to_string())).unwrap();
        outbox.put(&message("before"));
        let (mut first, _) = listener.accept().unwrap();
        assert!(framed(&mut first, 1)[0].ends_with("before"));
        drop((first, listener));
        outbox.put(&message("meanwhile"));
        outbox.flush(Duration::from_millis(200));
        let listener = TcpListener::bind(address).unwrap();
        outbox.put(&message("after"));
        let (mut second, _) = listener.accept().unwrap();
        let said = framed(&mut second, 2);
        assert!(said[0].ends_with("meanwhile") && said[1].ends_with("after"));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_the_count_is_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let outbox = Outbox::open(Address::Tcp(address.to_string())).unwrap();
        drop((listener.accept().unwrap(), listener));
        // One may be in the thread's hands.
        for _ in 0..WAITING_MAX + 10 {
            outbox.put(&message("x"));
        }
        let lost = outbox.lost.load(Ordering::Relaxed);
        assert!((9..=10).contains(&lost), "{lost}");
        let listener = TcpListener::bind(address).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let said = framed(&mut stream, 2);
        let told = format!("count=\"{lost}\"");
        assert!(
            said[0].ends_with('x') && said[1].contains(&told),
            "{said:?}"
        );
    }
}
