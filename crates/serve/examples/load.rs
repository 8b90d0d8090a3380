//! cargo run --release -p lathe-serve --example load -- HOST:PORT MODEL [REQUESTS [SYSTEM_WORDS [ANSWER_TOKENS]]]
//!
//! Measures a running OpenAI-compatible server: 1, 8, 16 and 32 callers at once, each
//! sending REQUESTS streamed chat completions one after the other (after one that is
//! not counted), with a system prompt of SYSTEM_WORDS words that all share and a
//! question of their own. Prints the time to the first token, the gap between tokens
//! and the throughput. It speaks HTTP/1.1 by hand and looks only for the lines that
//! hold a piece of the answer, so that the measuring takes little of the machine.

use std::error::Error;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What is asked of the server.
#[derive(Clone)]
struct Load {
    address: String,
    model: String,
    requests: usize,
    system_words: usize,
    answer_tokens: usize,
}

/// What one answer took.
struct Timing {
    first: Duration,
    gaps: Vec<Duration>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: load HOST:PORT MODEL [REQUESTS [SYSTEM_WORDS [ANSWER_TOKENS]]]";
    let number = |default: usize, text: Option<String>| match text {
        Some(text) => text.parse::<usize>(),
        None => Ok(default),
    };
    let load = Load {
        address: arguments.next().ok_or(usage)?,
        model: arguments.next().ok_or(usage)?,
        requests: number(8, arguments.next())?,
        system_words: number(100, arguments.next())?,
        answer_tokens: number(64, arguments.next())?,
    };
    println!("callers  first token ms p50    p99   gap ms p50    p99   tokens/s  requests/s");
    for callers in [1, 8, 16, 32] {
        measure(&load, callers).await?;
    }
    Ok(())
}

/// Runs `callers` at once and prints a line.
async fn measure(load: &Load, callers: usize) -> Outcome<()> {
    let warm: Vec<_> = (0..callers)
        .map(|caller| ask(load.clone(), caller, 0))
        .collect();
    futures_util::future::try_join_all(warm).await?;
    let began = Instant::now();
    let work = (0..callers).map(|caller| {
        let load = load.clone();
        async move {
            let mut timings = Vec::new();
            for request in 1..=load.requests {
                timings.push(ask(load.clone(), caller, request).await?);
            }
            Outcome::Ok(timings)
        }
    });
    let timings: Vec<Timing> = futures_util::future::try_join_all(work)
        .await?
        .into_iter()
        .flatten()
        .collect();
    let seconds = began.elapsed().as_secs_f64();
    let first: Vec<Duration> = timings.iter().map(|timing| timing.first).collect();
    let gaps: Vec<Duration> = timings
        .iter()
        .flat_map(|timing| timing.gaps.iter().copied())
        .collect();
    println!(
        "{callers:7}  {:18.1} {:6.1}  {:11.1} {:6.1}  {:9.1}  {:10.2}",
        percentile(&first, 0.50),
        percentile(&first, 0.99),
        percentile(&gaps, 0.50),
        percentile(&gaps, 0.99),
        (timings.len() * load.answer_tokens) as f64 / seconds,
        timings.len() as f64 / seconds,
    );
    Ok(())
}

/// Milliseconds that `share` of the durations do not exceed.
fn percentile(durations: &[Duration], share: f64) -> f64 {
    let mut sorted = durations.to_vec();
    sorted.sort_unstable();
    let index = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    sorted
        .get(index)
        .map_or(f64::NAN, |duration| duration.as_secs_f64() * 1000.0)
}

/// One streamed answer.
async fn ask(load: Load, caller: usize, request: usize) -> Outcome<Timing> {
    let system =
        "The workshop answers in a few plain words. ".repeat(load.system_words.div_ceil(8));
    let question =
        format!("Caller {caller} asks question {request}: what do people say of the camera?");
    let body = json!({
        "model": load.model,
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": question}],
        "max_tokens": load.answer_tokens,
        "temperature": 0,
        "ignore_eos": true,
        "stream": true,
    })
    .to_string();
    let began = Instant::now();
    let mut connection = TcpStream::connect(&load.address).await?;
    connection.set_nodelay(true)?;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        load.address,
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    connection.write_all(body.as_bytes()).await?;
    read_answer(BufReader::new(connection), began).await
}

async fn read_answer(mut reader: BufReader<TcpStream>, began: Instant) -> Outcome<Timing> {
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(format!("the server refused: {}", line.trim()).into());
    }
    let mut arrivals = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).await? == 0 {
            return Err("the stream ended without [DONE]".into());
        }
        match line.trim_end() {
            "data: [DONE]" => break,
            data if data.starts_with("data: ") && has_text(data) => arrivals.push(began.elapsed()),
            _ => {}
        }
    }
    let first = *arrivals.first().ok_or("the answer holds no text")?;
    let gaps = arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect();
    Ok(Timing { first, gaps })
}

/// Whether a chunk holds a piece of the answer; the one with the role holds none.
fn has_text(data: &str) -> bool {
    data.contains("\"content\":\"") && !data.contains("\"content\":\"\"")
}
