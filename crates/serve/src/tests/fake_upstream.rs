//! An upstream that does as the test says, on a socket: what no real server can be made to do at will,
//! breaking off, falling silent, talking nonsense. How a real one behaves `cargo xtask acceptance
//! upstream` shows.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lathe_evidence::Digest;
use lathe_workshop::people::reach;
use lathe_workshop::upstream::unsaid;
use lathe_workshop::{Door as _, Upstream, UpstreamHealth};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::caller::PATIENCE;
use super::fixture::{MemoryBook, book};
use crate::{Door, Limits};

/// What the upstream does next.
pub(super) enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits for a permit of [`Fake::turns`].
    Turn,
    /// Waits until the other side has closed.
    UntilGone,
    /// Sends the same bytes every few milliseconds until the other side has closed.
    Again(&'static [u8]),
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    /// Its head, as it was sent.
    pub head: String,
    /// Its path.
    pub path: String,
    /// Its body; null where it had none.
    pub body: Value,
    /// How many questions (not looks) came before it.
    pub nth: usize,
}

/// A running upstream.
pub(super) struct Fake {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// How often the other side was seen to be gone.
    pub gone: Arc<Semaphore>,
    pub turns: Arc<Semaphore>,
}

type Script = Arc<dyn Fn(&Heard) -> Vec<Step> + Send + Sync>;

/// Begins one that answers questions by `script`, and looks at its health with 200.
pub(super) async fn fake(script: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static) -> Fake {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    serve(listener, script)
}

/// The same behind a listener there is.
pub(super) fn serve(
    listener: TcpListener,
    script: impl Fn(&Heard) -> Vec<Step> + Send + Sync + 'static,
) -> Fake {
    let fake = Fake {
        address: listener.local_addr().expect("an address"),
        heard: Arc::default(),
        gone: Arc::new(Semaphore::new(0)),
        turns: Arc::new(Semaphore::new(0)),
    };
    let script: Script = Arc::new(script);
    let (heard, gone, turns) = (fake.heard.clone(), fake.gone.clone(), fake.turns.clone());
    reach::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let one = one(
                tcp,
                script.clone(),
                heard.clone(),
                gone.clone(),
                turns.clone(),
            );
            reach::spawn(one);
        }
    });
    fake
}

async fn one(
    mut tcp: TcpStream,
    script: Script,
    heard: Arc<Mutex<Vec<Heard>>>,
    gone: Arc<Semaphore>,
    turns: Arc<Semaphore>,
) {
    let Some(mut request) = read(&mut tcp).await else {
        return;
    };
    if request.path == "/health" {
        let _ = tcp
            .write_all(&whole(200, &[], &json!({"status": "ok"})))
            .await;
        return;
    }
    {
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        request.nth = heard.len();
        heard.push(request.clone());
    }
    for step in script(&request) {
        match step {
            Step::Send(bytes) => {
                if tcp.write_all(&bytes).await.is_err() {
                    gone.add_permits(1);
                    return;
                }
            }
            Step::Again(bytes) => {
                while tcp.write_all(bytes).await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                gone.add_permits(1);
                return;
            }
            Step::Turn => turns.acquire().await.expect("never closed").forget(),
            Step::UntilGone => {
                let mut rest = [0; 64];
                while matches!(tcp.read(&mut rest).await, Ok(count) if count > 0) {}
                gone.add_permits(1);
            }
        }
    }
}

async fn read(tcp: &mut TcpStream) -> Option<Heard> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at + 4;
        }
        let mut piece = [0; 4096];
        let count = tcp.read(&mut piece).await.ok().filter(|it| *it > 0)?;
        bytes.extend_from_slice(&piece[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse::<usize>().ok())?
    });
    let length = length.unwrap_or(0);
    let mut body = bytes.split_off(end);
    while body.len() < length {
        let mut piece = [0; 4096];
        let count = tcp.read(&mut piece).await.ok().filter(|it| *it > 0)?;
        body.extend_from_slice(&piece[..count]);
    }
    Some(Heard {
        path: head.split(' ').nth(1)?.to_owned(),
        head,
        body: serde_json::from_slice(&body).unwrap_or_default(),
        nth: 0,
    })
}

/// A whole answer.
pub(super) fn whole(status: u16, headers: &[(&str, &str)], body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("content-type: application/json\r\nconnection: close\r\n\r\n");
    text.push_str(&body);
    text.into_bytes()
}

/// The head of a stream, which ends with its connection.
pub(super) fn stream_head() -> Step {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                connection: close\r\n\r\n";
    Step::Send(head.as_bytes().to_vec())
}

/// An event.
pub(super) fn event(data: &Value) -> Step {
    Step::Send(format!("data: {data}\n\n").into_bytes())
}

/// A piece of a streamed chat completion, as vLLM sends one.
pub(super) fn piece(text: &str) -> Step {
    event(&json!({
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "theirs-72b",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
    }))
}

/// How a stream ends: the reason, the usage, `[DONE]`.
pub(super) fn ending() -> Vec<Step> {
    let base = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "theirs-72b"});
    let mut finish = base.clone();
    finish["choices"] = json!([{"index": 0, "delta": {}, "finish_reason": "stop"}]);
    let mut usage = base;
    usage["choices"] = json!([]);
    usage["usage"] = json!({"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14});
    vec![
        event(&finish),
        event(&usage),
        Step::Send(b"data: [DONE]\n\n".to_vec()),
    ]
}

/// A whole stream of these pieces.
pub(super) fn stream(pieces: &[&str]) -> Vec<Step> {
    let mut steps = vec![stream_head()];
    steps.extend(pieces.iter().map(|text| piece(text)));
    steps.extend(ending());
    steps
}

/// A whole chat completion.
pub(super) fn completion(text: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "theirs-72b",
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop",
        }],
        "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14},
    })
}

impl Fake {
    /// What it was asked so far, looks at its health left out.
    pub(super) fn heard(&self) -> Vec<Heard> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until the other side was seen to be gone.
    pub(super) async fn until_gone(&self) {
        let gone = tokio::time::timeout(PATIENCE, self.gone.acquire()).await;
        gone.expect("in time").expect("never closed").forget();
    }
}

/// An upstream called `name` at an address.
pub(super) fn upstream(name: &str, address: SocketAddr) -> Upstream {
    Upstream {
        name: name.to_owned(),
        url: format!("http://{address}/v1").parse().expect("a URL"),
        model: "theirs".to_owned(),
        remote: false,
        failover: None,
        retries: 0,
        connect_max: PATIENCE,
        silence_max: PATIENCE,
        key: None,
        link: Digest::of(b"statement"),
        subject: Digest::of(name.as_bytes()),
        origin: "lathe.test/tiny".to_owned(),
        created_ms: 1_750_000_000_000,
    }
}

/// Limits under which upstreams are looked at often.
pub(super) fn watchful() -> Limits {
    Limits {
        upstream_look_ms: 10,
        ..Limits::default()
    }
}

/// A door to these upstreams and its book.
pub(super) fn door_to(upstreams: Vec<Upstream>) -> (Door, Arc<MemoryBook>) {
    let (door, book) = (Door::with_limits(1, watchful()), book());
    door.relay(upstreams.into_iter().map(unsaid).collect(), book.clone());
    (door, book)
}

/// Waits until an upstream was found up, or down.
pub(super) async fn until_found(door: &Door, name: &str, up: bool) -> UpstreamHealth {
    let found = async {
        loop {
            let health = door.relays().into_iter().find(|it| it.name == name);
            let health = health.expect("it stands");
            if health.up == Some(up) {
                return health;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found)
        .await
        .expect("in time")
}

/// A question to the upstream `big`, and `extra` laid over it.
pub(super) fn asks(extra: Value) -> Value {
    let mut body = json!({"model": "big", "messages": [{"role": "user", "content": "hello"}]});
    let members = extra.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}
