//! A small HTTP server on loopback that does what a test tells it to, mishaps included.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was asked.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The method.
    pub method: String,
    /// The path with its query; a whole address at a proxy.
    pub path: String,
    /// The headers, their names in lower case.
    headers: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Closes the connection after so many bytes of the body.
    pub cut_after: Option<usize>,
    /// Stays silent after the head, for so long.
    pub silent_ms: Option<u64>,
}

impl Reply {
    pub(super) fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// `body` from the byte that a `Range` header asks for, as a server with entity tags does.
    pub(super) fn ranged(asked: &Asked, body: &[u8], etag: &str) -> Self {
        let start = asked
            .header("range")
            .and_then(|range| range.strip_prefix("bytes="))
            .and_then(|range| range.strip_suffix('-'))
            .and_then(|start| start.parse::<usize>().ok());
        let valid = asked.header("if-range").is_none_or(|tag| tag == etag);
        match start {
            Some(start) if valid => Self {
                status: 206,
                body: body[start..].to_vec(),
                ..Self::default()
            }
            .with(
                "content-range",
                format!("bytes {start}-{}/{}", body.len() - 1, body.len()),
            ),
            _ => Self::ok(body),
        }
        .with("etag", etag)
    }
}

type Handler = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server; it ends with the test's process.
pub(super) struct Server {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    pub(super) fn new(handler: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, handler): (_, Arc<Handler>) = (Arc::clone(&asked), Arc::new(handler));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                // A client that went away is part of the tests.
                std::thread::spawn(move || serve(stream, &seen, &*handler).ok());
            }
        });
        Self { address, asked }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Asked>>, handler: &Handler) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let Some(asked) = read_request(&mut reader)? else {
        return Ok(());
    };
    seen.lock().unwrap().push(asked.clone());
    if asked.method == "CONNECT" {
        return tunnel(stream, reader, &asked.path);
    }
    answer(stream, &handler(&asked))
}

fn read_request(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Asked>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (method, path) = (method.to_owned(), path.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    Ok(Some(Asked {
        method,
        path,
        headers,
    }))
}

fn answer(mut stream: TcpStream, reply: &Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Test\r\nconnection: close\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", reply.body.len()));
    stream.write_all(head.as_bytes())?;
    if let Some(silent_ms) = reply.silent_ms {
        std::thread::sleep(Duration::from_millis(silent_ms));
    }
    let end = reply.cut_after.unwrap_or(reply.body.len());
    stream.write_all(&reply.body[..end.min(reply.body.len())])?;
    stream.flush()
}

/// What a proxy does: bytes both ways until either side ends.
fn tunnel(
    mut client: TcpStream,
    mut reader: BufReader<TcpStream>,
    target: &str,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
    let mut back = server.try_clone()?;
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count) = reader.read(&mut buffer) {
            if count == 0 || server.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
    std::io::copy(&mut back, &mut client).map(drop)
}
