//! One caller of the scenarios with many: asks, reads, waits when told to, sometimes hangs up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Longest silence of the server; longer than any request may wait.
const SILENCE_MAX: Duration = Duration::from_secs(180);
/// Every so many requests, the caller hangs up in the middle.
const HANG_UP_EVERY: usize = 11;
/// Bytes of an answer that are shown when it makes no sense.
const SHOWN_BYTES: usize = 300;

/// What came of requests.
#[derive(Default)]
pub struct Count {
    pub answered: usize,
    pub hung_up: usize,
    /// By status and code.
    refused: BTreeMap<String, usize>,
    /// What is neither an answer nor a refusal.
    pub broken: Vec<String>,
}

impl Count {
    /// Takes up another's.
    pub fn add(&mut self, other: Count) {
        self.answered += other.answered;
        self.hung_up += other.hung_up;
        self.broken.extend(other.broken);
        for (code, times) in other.refused {
            *self.refused.entry(code).or_default() += times;
        }
    }

    /// Rows of a table, one for each reason.
    pub fn refusals(&self) -> String {
        let mut rows = String::new();
        for (code, times) in &self.refused {
            // Writing into a string does not fail.
            let _ = writeln!(rows, "| refused: {code} | {times} |");
        }
        rows
    }
}

/// A caller with questions of its own.
pub struct Caller {
    address: String,
    model: String,
    number: usize,
}

/// An answer that is being streamed; dropping it is hanging up.
pub struct Hold(BufReader<TcpStream>);

/// What a server answers at a path, head and body; without a key.
pub fn get(address: &str, path: &str) -> Result<String, String> {
    let ask = || -> std::io::Result<String> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(SILENCE_MAX))?;
        write!(
            connection,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().map_err(|error| format!("asking {address} for {path}: {error}"))
}

impl Hold {
    /// Waits for a piece of the answer.
    pub fn read_a_piece(&mut self) -> Result<(), String> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.0.read_line(&mut line) {
                Ok(0) => return Err("the stream ended without a piece".to_owned()),
                Ok(_) if line.contains("\"content\":\"") && !line.contains("\"content\":\"\"") => {
                    return Ok(());
                }
                Ok(_) => {}
                Err(error) => return Err(format!("waiting for a piece: {error}")),
            }
        }
    }
}

impl Caller {
    /// The caller of that number.
    pub fn new(address: &str, model: &str, number: usize) -> Caller {
        Caller {
            address: address.to_owned(),
            model: model.to_owned(),
            number,
        }
    }

    /// Asks one question after the other.
    pub fn ask_until(&self, stop: &AtomicBool) -> Count {
        let mut count = Count::default();
        for request in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let hangs_up = (self.number + request).is_multiple_of(HANG_UP_EVERY);
            let wait = if hangs_up {
                self.hang_up(request, &mut count)
            } else {
                self.ask(request, &mut count)
            };
            // In short pieces, to end soon when it is over.
            for _ in 0..wait.as_millis() / 100 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                thread::sleep(Duration::from_millis(100));
            }
        }
        count
    }

    /// Asks for a stream and is told that it begins.
    pub fn hold(&self) -> Result<Hold, String> {
        self.begin(&self.body(0, true, 512))
    }

    fn begin(&self, body: &Value) -> Result<Hold, String> {
        let connection = self.send(body);
        let mut reader = BufReader::new(connection.map_err(|error| error.to_string())?);
        let mut line = String::new();
        reader
            .read_line(&mut line)
            .map_err(|error| error.to_string())?;
        if line.starts_with("HTTP/1.1 200") {
            Ok(Hold(reader))
        } else {
            Err(format!("the server said {}", line.trim()))
        }
    }

    /// Asks for a stream and reads it to its end: how long the first piece of the answer took.
    pub fn first_token(&self, request: usize, answer_tokens: usize) -> Result<Duration, String> {
        let began = Instant::now();
        let mut hold = self.begin(&self.body(request, true, answer_tokens))?;
        hold.read_a_piece()?;
        let took = began.elapsed();
        let mut rest = String::new();
        hold.0
            .read_to_string(&mut rest)
            .map_err(|error| format!("reading the rest of an answer: {error}"))?;
        if rest.contains("data: [DONE]") {
            return Ok(took);
        }
        let shown: String = rest.chars().take(SHOWN_BYTES).collect();
        Err(format!("an answer has no end: {shown}"))
    }

    fn hang_up(&self, request: usize, count: &mut Count) -> Duration {
        let connection = match self.send(&self.body(request, true, 64)) {
            Ok(connection) => connection,
            Err(error) => return broken(count, &format!("asking: {error}")),
        };
        let mut reader = BufReader::new(connection);
        let mut line = String::new();
        if let Err(error) = reader.read_line(&mut line) {
            return broken(count, &format!("reading a status: {error}"));
        }
        if line.starts_with("HTTP/1.1 200") {
            // In the middle where its turn has come, before it otherwise: both happen.
            thread::sleep(Duration::from_millis(50));
            count.hung_up += 1;
            return Duration::ZERO;
        }
        let mut rest = line.into_bytes();
        match reader.read_to_end(&mut rest) {
            Ok(_) => judge(&String::from_utf8_lossy(&rest), count),
            Err(error) => broken(count, &format!("reading a refusal: {error}")),
        }
    }

    fn ask(&self, request: usize, count: &mut Count) -> Duration {
        let streamed = (self.number + request).is_multiple_of(2);
        let asked = self.send(&self.body(request, streamed, 8 + request % 57));
        let mut answer = Vec::new();
        match asked.and_then(|mut connection| connection.read_to_end(&mut answer)) {
            Ok(_) => judge(&String::from_utf8_lossy(&answer), count),
            Err(error) => broken(count, &format!("asking: {error}")),
        }
    }

    fn body(&self, request: usize, streamed: bool, answer_tokens: usize) -> Value {
        let system = "You answer in plain words, at length, and say what people like. ".repeat(8);
        let sentence = format!(
            "Caller {} asks question {request} about the camera. ",
            self.number
        );
        // Most are short, some of several hundred tokens.
        let question =
            sentence.repeat(1 + 24 * usize::from((self.number + request).is_multiple_of(7)));
        json!({
            "model": self.model,
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
            "max_tokens": answer_tokens,
            "ignore_eos": true,
            "stream": streamed,
        })
    }

    fn send(&self, body: &Value) -> std::io::Result<TcpStream> {
        let body = body.to_string();
        let mut connection = TcpStream::connect(&self.address)?;
        connection.set_read_timeout(Some(SILENCE_MAX))?;
        write!(
            connection,
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )?;
        Ok(connection)
    }
}

/// Counts an answer; how long the caller is to wait before the next request.
fn judge(answer: &str, count: &mut Count) -> Duration {
    let status = answer.get(9..12).unwrap_or_default();
    let ended =
        answer.contains("data: [DONE]") || answer.contains("\"object\":\"chat.completion\"");
    let code = answer.split("\"code\":\"").nth(1);
    let code = code.and_then(|rest| rest.split('"').next());
    match (status, code) {
        ("200", None) if ended => {
            count.answered += 1;
            Duration::ZERO
        }
        // A stream whose turn never came says so in an event.
        ("200", Some("queue_timeout")) => refused(count, "200 and then queue_timeout"),
        ("429" | "503", Some(code)) => match retry_after(answer) {
            Some(wait) => {
                refused(count, &format!("{status} {code}"));
                wait
            }
            None => broken(count, answer),
        },
        _ => broken(count, answer),
    }
}

fn refused(count: &mut Count, code: &str) -> Duration {
    *count.refused.entry(code.to_owned()).or_default() += 1;
    Duration::from_secs(1)
}

fn broken(count: &mut Count, what: &str) -> Duration {
    let shown: String = what.chars().take(SHOWN_BYTES).collect();
    count.broken.push(shown);
    Duration::from_secs(1)
}

/// What the header of that name says.
fn retry_after(answer: &str) -> Option<Duration> {
    let head = answer.split("\r\n\r\n").next()?;
    let seconds = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("retry-after")
            .then(|| value.trim().parse().ok())?
    });
    seconds.map(Duration::from_secs)
}
