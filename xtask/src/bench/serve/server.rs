//! A server that runs for as long as it is measured.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::acceptance::wait_until;
use crate::shell;

/// Longest wait until a server answers.
const START_MAX: Duration = Duration::from_secs(120);

/// A running server on loopback; ended when dropped.
pub struct Server {
    child: Child,
    address: String,
}

impl Server {
    /// Starts `program`; `{host}`, `{port}` and `{address}` in the arguments become its address.
    /// Returns once it answers.
    pub fn start(program: &Path, arguments: &[String]) -> Result<Server, String> {
        let (host, port) = ("127.0.0.1", free_port()?.to_string());
        let address = format!("{host}:{port}");
        let placed = arguments.iter().map(|word| {
            let word = word.replace("{host}", host).replace("{port}", &port);
            word.replace("{address}", &address)
        });
        let child = Command::new(program)
            .args(placed)
            .current_dir(shell::root())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("starting {}: {error}", program.display()))?;
        let server = Server { child, address };
        let what = format!("{}'s answering", program.display());
        wait_until(&what, START_MAX, || is_well(&server.address))?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on at this moment.
fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let address = listener.map_err(|error| format!("looking for a free port: {error}"))?;
    Ok(address.port())
}

/// Whether `GET /health` says 200, as it does on both sides once the model is loaded.
fn is_well(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(address)?;
        write!(
            connection,
            "GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
