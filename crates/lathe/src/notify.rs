//! Telling the service manager how the daemon stands: `sd_notify(3)`, one datagram to the socket that
//! `NOTIFY_SOCKET` names. Where none is named nobody is told.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable that names the socket.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// It answers.
pub const READY: &str = "READY=1";
/// It ends.
pub const STOPPING: &str = "STOPPING=1";

/// Tells the service manager, if there is one.
pub fn tell(state: &str) {
    let Some(socket) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(
            "the service manager at {} is not told: {error}",
            socket.display()
        );
    }
}

/// A name that begins with @ is one of Linux's abstract ones.
fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let sent = UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    if sent == state.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_a_path_or_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("lathe-notify-test-{}", std::process::id());
        let abstracted = SocketAddr::from_abstract_name(&name).unwrap();
        for (bound, named) in [
            (UnixDatagram::bind(&path), path.clone().into_os_string()),
            (
                UnixDatagram::bind_addr(&abstracted),
                format!("@{name}").into(),
            ),
        ] {
            let bound = bound.unwrap();
            send(&named, READY).unwrap();
            let mut buffer = [0; 64];
            let read = bound.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..read], READY.as_bytes());
        }
        assert!(send(folder.path().join("nobody").as_os_str(), READY).is_err());
    }
}
