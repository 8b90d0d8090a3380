//! cargo run --release -p lathe-serve --example load -- HOST:PORT MODEL FILE.gguf
//!     [callers=32] [requests=20] [system=600] [question=40] [answer=64]
//!
//! Measures a running OpenAI-compatible server that has the model of FILE: so many callers at once,
//! each sending so many streamed chat completions one after the other, after one that is not counted.
//! All share a system prompt of exactly so many tokens by the file's tokenizer, every question is
//! another one of exactly so many, and every answer has exactly so many, or the run fails. Prints one
//! JSON object: requests a second, the time to the first token and the gap between tokens in
//! milliseconds.
//!
//! It speaks HTTP/1.1 by hand and looks only for the lines that hold a piece of the answer, so that
//! the measuring takes little of the machine.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use lathe_engine::Tokenizer;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the system prompt is made of.
const SYSTEM: &str = "You answer questions about products for a shop that sells cameras, phones and \
    players. Write a long and detailed text in plain words and whole sentences, say what people like \
    and what they do not like, give reasons, and never stop early.";
/// What questions are made of.
const WORDS: [&str; 32] = [
    "battery", "screen", "camera", "price", "sound", "menu", "lens", "people", "good", "bad",
    "long", "small", "light", "heavy", "cheap", "better", "after", "before", "with", "without",
    "and", "but", "what", "when", "about", "picture", "button", "cable", "quality", "size",
    "color", "time",
];

/// What is asked of the server.
#[derive(Clone)]
struct Load {
    address: String,
    model: String,
    callers: usize,
    requests: usize,
    system: String,
    question_tokens: usize,
    answer_tokens: usize,
}

/// What one answer took.
struct Timing {
    first: Duration,
    gaps: Vec<Duration>,
    prompt_tokens: u64,
    cached_tokens: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, model, file, options @ ..] = arguments.as_slice() else {
        return Err("usage: load HOST:PORT MODEL FILE.gguf [NAME=NUMBER]...".into());
    };
    let option = |name: &str, default: usize| {
        let given = options
            .iter()
            .find_map(|it| it.strip_prefix(name)?.strip_prefix('='));
        given.map_or(Ok(default), str::parse::<usize>)
    };
    let tokenizer = lathe_engine::open(Path::new(file))?.tokenizer;
    let load = Load {
        address: address.clone(),
        model: model.clone(),
        callers: option("callers", 32)?,
        requests: option("requests", 20)?,
        system: text_of(
            &tokenizer,
            option("system", 600)?,
            "",
            SYSTEM.split(' ').cycle(),
        )?,
        question_tokens: option("question", 40)?,
        answer_tokens: option("answer", 64)?,
    };
    println!("{}", measure(&load, &tokenizer).await?);
    Ok(())
}

/// `start` and as many of the words as make a text of exactly `tokens` tokens.
fn text_of<'w>(
    tokenizer: &Tokenizer,
    tokens: usize,
    start: &str,
    words: impl Iterator<Item = &'w str>,
) -> Outcome<String> {
    /// Words that are looked at.
    const WORDS_MAX: usize = 10_000;
    let mut text = start.to_owned();
    for word in words.take(WORDS_MAX) {
        let longer = if text.is_empty() {
            word.to_owned()
        } else {
            format!("{text} {word}")
        };
        let count = tokenizer.encode(&longer).len();
        if count <= tokens {
            text = longer;
        }
        if count == tokens {
            return Ok(text);
        }
    }
    Err(format!("no text of exactly {tokens} tokens was found").into())
}

/// The question that a caller asks in a certain request.
fn question(load: &Load, tokenizer: &Tokenizer, caller: usize, request: usize) -> Outcome<String> {
    let mut state = (caller * 1000 + request + 1) as u64;
    let words = std::iter::repeat_with(move || {
        // Knuth's MMIX generator; its upper bits are good enough for choosing words.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 33) as usize % WORDS.len()]
    });
    let start = format!("Caller {caller} asks, as number {request}, for a long story of");
    text_of(tokenizer, load.question_tokens, &start, words)
}

/// Runs all callers at once; the figures as JSON.
async fn measure(load: &Load, tokenizer: &Tokenizer) -> Outcome<Value> {
    let mut bodies = Vec::new();
    for caller in 0..load.callers {
        let of = |request| Ok(body(load, &question(load, tokenizer, caller, request)?));
        bodies.push(
            (0..=load.requests)
                .map(of)
                .collect::<Outcome<Vec<String>>>()?,
        );
    }
    let warm = bodies.iter().map(|of| ask(load, &of[0]));
    futures_util::future::try_join_all(warm).await?;
    let began = Instant::now();
    let work = bodies.iter().map(|of| async move {
        let mut timings = Vec::new();
        for body in &of[1..] {
            timings.push(ask(load, body).await?);
        }
        Outcome::Ok(timings)
    });
    let timings = futures_util::future::try_join_all(work).await?;
    let seconds = began.elapsed().as_secs_f64();
    figures(
        load,
        &timings.into_iter().flatten().collect::<Vec<_>>(),
        seconds,
    )
}

fn figures(load: &Load, timings: &[Timing], seconds: f64) -> Outcome<Value> {
    let first: Vec<Duration> = timings.iter().map(|timing| timing.first).collect();
    let gaps: Vec<Duration> = timings
        .iter()
        .flat_map(|timing| timing.gaps.clone())
        .collect();
    let prompt_tokens = timings.first().map_or(0, |timing| timing.prompt_tokens);
    if let Some(other) = timings.iter().find(|it| it.prompt_tokens != prompt_tokens) {
        let (a, b) = (prompt_tokens, other.prompt_tokens);
        return Err(format!("prompts differ in length: {a} and {b} tokens").into());
    }
    let count = timings.len() as f64;
    let cached: u64 = timings.iter().map(|timing| timing.cached_tokens).sum();
    Ok(json!({
        "requests_per_s": count / seconds,
        "tokens_per_s": count * load.answer_tokens as f64 / seconds,
        "first_ms_p50": percentile(&first, 0.50),
        "first_ms_p99": percentile(&first, 0.99),
        "gap_ms_p50": percentile(&gaps, 0.50),
        "gap_ms_p99": percentile(&gaps, 0.99),
        "prompt_tokens": prompt_tokens,
        "cached_tokens_mean": cached as f64 / count,
        "pieces_mean": 1.0 + gaps.len() as f64 / count,
        "requests": timings.len(),
        "seconds": seconds,
    }))
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

/// A request, made before the clock runs.
fn body(load: &Load, question: &str) -> String {
    let body = json!({
        "model": load.model,
        "messages": [{"role": "system", "content": load.system}, {"role": "user", "content": question}],
        "max_tokens": load.answer_tokens,
        "temperature": 0,
        "ignore_eos": true,
        "stream": true,
        "stream_options": {"include_usage": true},
    })
    .to_string();
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        load.address,
        body.len()
    )
}

/// One streamed answer.
async fn ask(load: &Load, request: &str) -> Outcome<Timing> {
    let began = Instant::now();
    let mut connection = TcpStream::connect(&load.address).await?;
    connection.set_nodelay(true)?;
    connection.write_all(request.as_bytes()).await?;
    read_answer(load, BufReader::new(connection), began).await
}

async fn read_answer(
    load: &Load,
    mut reader: BufReader<TcpStream>,
    began: Instant,
) -> Outcome<Timing> {
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(format!("the server refused: {}", line.trim()).into());
    }
    let (mut arrivals, mut usage) = (Vec::new(), Value::Null);
    loop {
        line.clear();
        if reader.read_line(&mut line).await? == 0 {
            return Err("the stream ended without [DONE]".into());
        }
        match line.trim_end().strip_prefix("data: ") {
            Some("[DONE]") => break,
            Some(data) if has_text(data) => arrivals.push(began.elapsed()),
            Some(data) if data.contains("\"usage\":{") => {
                usage = serde_json::from_str::<Value>(data)?["usage"].take();
            }
            _ => {}
        }
    }
    if usage["completion_tokens"] != load.answer_tokens {
        return Err(format!("not an answer of {} tokens: {usage}", load.answer_tokens).into());
    }
    let first = *arrivals.first().ok_or("the answer holds no text")?;
    let cached = &usage["prompt_tokens_details"]["cached_tokens"];
    Ok(Timing {
        first,
        gaps: arrivals.windows(2).map(|pair| pair[1] - pair[0]).collect(),
        prompt_tokens: usage["prompt_tokens"].as_u64().unwrap_or(0),
        cached_tokens: cached.as_u64().unwrap_or(0),
    })
}

/// Whether a chunk holds a piece of the answer; the one with the role holds none.
fn has_text(data: &str) -> bool {
    data.contains("\"content\":\"") && !data.contains("\"content\":\"\"")
}
