//! `receipts`: what a receipt costs a request of 600 tokens in and 64 out.
//!
//! The served model is asked one request after the other over HTTP; what is counted is the time that
//! the requests spent opening and closing their receipts, both on disk, the search for verbatim
//! passages among the training records with it. The prompts are made of the records' own sentences,
//! so that there is much to be found, and no prompt begins like another.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use crate::acceptance::{FreshHome, append};
use crate::shell::{self, Outcome};

/// Requests that are counted, after [`WARM`].
const REQUESTS: usize = 24;
/// Requests before those.
const WARM: usize = 2;
/// Bytes of a prompt: 600 tokens of these sentences.
const PROMPT_BYTES: usize = 2_700;
/// Tokens of an answer.
const ANSWER_TOKENS: usize = 64;

/// Measures and appends the figure.
pub fn run() -> Outcome {
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "lathe",
    ]))?;
    let home = FreshHome::new("bench-receipts")?;
    let finished = home.run_order(&["--quick"])?;
    let model = finished.step("deploy")?["figures"]["name"]
        .as_str()
        .ok_or("the step deploy names no model")?
        .to_owned();
    let sentences = sentences(&home.object_of(&finished, "prepare")?)?;
    let log = home.path().join("up.log");
    let file =
        std::fs::File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    let (_up, url) = home.up_with(|command| {
        command
            .env("LATHE_LOG", "lathe_serve=debug")
            .env("NO_COLOR", "1")
            .stderr(file);
    })?;
    let address = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .to_owned();
    let (mut seconds, mut prompt_tokens) = (0.0, 0);
    for request in 0..WARM + REQUESTS {
        let began = Instant::now();
        let answer = ask(&address, &model, &prompt(&sentences, request))?;
        if request >= WARM {
            seconds += began.elapsed().as_secs_f64();
            prompt_tokens += answer["usage"]["prompt_tokens"].as_u64().unwrap_or(0);
        }
    }
    let text =
        std::fs::read_to_string(&log).map_err(|error| format!("{}: {error}", log.display()))?;
    report(&text, seconds, prompt_tokens)
}

fn sentences(dataset: &Path) -> Result<Vec<String>, String> {
    let path = dataset.join("records.jsonl");
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let sentence = |line: &str| {
        let record: Value = serde_json::from_str(line).ok()?;
        record["fields"]["text"].as_str().map(str::to_owned)
    };
    Ok(text.lines().filter_map(sentence).collect())
}

/// A prompt of sentences, begun at another one each time.
fn prompt(sentences: &[String], request: usize) -> String {
    let mut text = String::new();
    let all = sentences
        .iter()
        .cycle()
        .skip(request * 13 % sentences.len().max(1));
    for sentence in all {
        if text.len() >= PROMPT_BYTES {
            break;
        }
        text.push_str(sentence);
        text.push(' ');
    }
    text
}

/// One chat completion over a connection of its own.
fn ask(address: &str, model: &str, prompt: &str) -> Result<Value, String> {
    let body = json!({
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": ANSWER_TOKENS,
        "ignore_eos": true,
    })
    .to_string();
    let failed = |error: std::io::Error| format!("asking {address}: {error}");
    let mut connection = TcpStream::connect(address).map_err(failed)?;
    write!(
        connection,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .map_err(failed)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).map_err(failed)?;
    let begin = answer
        .find('{')
        .ok_or_else(|| format!("no JSON in '{answer}'"))?;
    let end = answer.rfind('}').map_or(answer.len(), |at| at + 1);
    let value: Value = serde_json::from_str(&answer[begin..end])
        .map_err(|error| format!("'{answer}' is not JSON: {error}"))?;
    match value.get("error") {
        Some(error) => Err(format!("the server refused: {error}")),
        None => Ok(value),
    }
}

fn report(log: &str, seconds: f64, prompt_tokens: u64) -> Outcome {
    let (opening, closing) = (micros(log, "receipt opened"), micros(log, "receipt closed"));
    let mean = |all: &[f64]| all.iter().sum::<f64>() / all.len().max(1) as f64 / 1000.0;
    if opening.len() != REQUESTS || closing.len() != REQUESTS {
        return Err(format!(
            "{} receipts opened and {} closed instead of {REQUESTS}",
            opening.len(),
            closing.len()
        ));
    }
    let request_ms = seconds * 1000.0 / REQUESTS as f64;
    let share = (mean(&opening) + mean(&closing)) / request_ms * 100.0;
    let body = format!(
        "| | ms, mean of {REQUESTS} |\n|---|---|\n| request of {} tokens in, {ANSWER_TOKENS} out | {request_ms:.1} |\n\
         | opening its receipt | {:.2} |\n| closing its receipt | {:.2} |\n\nThe receipt costs {share:.2} % of the request.\n",
        prompt_tokens / REQUESTS as u64,
        mean(&opening),
        mean(&closing),
    );
    append("what a receipt costs", "cargo xtask bench receipts", &body)
}

/// The microseconds of the counted lines that say `what`.
fn micros(log: &str, what: &str) -> Vec<f64> {
    let lines = log.lines().filter(|line| line.contains(what));
    let micros = lines.filter_map(|line| {
        let after = line.split("us=").nth(1)?;
        after.split_whitespace().next()?.parse().ok()
    });
    micros.skip(WARM).collect()
}
