//! `kill -9` of the daemon while it answers: every answer that reached its caller whole has its receipt
//! afterwards, what was broken off says so, and an order that was taken is done.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lathe_tests::{Home, Serving, fixture, text, wait_for};
use serde_json::{Value, json};

const NAME: &str = "tiny-pack";
/// How long the daemon goes on after its first answer before it is killed, in the rounds under load.
const ROUNDS_MS: [u64; 3] = [350, 600, 150];

/// What is asked: a path and a body.
type Asked = (&'static str, Value);

fn chat(extra: Value) -> Asked {
    let messages = json!([{"role": "user", "content": "the camera is great"}]);
    (
        "/v1/chat/completions",
        with(json!({"model": NAME, "messages": messages}), extra),
    )
}

fn completion(prompt: Value, extra: Value) -> Asked {
    (
        "/v1/completions",
        with(json!({"model": NAME, "prompt": prompt}), extra),
    )
}

fn with(mut body: Value, extra: Value) -> Value {
    let members = extra.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}

/// Every way of asking that writes receipts, and how many it writes.
fn ways() -> Vec<(Asked, usize)> {
    let short = json!({"max_tokens": 6});
    let several = json!({"max_tokens": 4, "n": 3, "temperature": 1.0});
    let streamed = json!({"max_tokens": 5, "stream": true});
    let streams = json!({"max_tokens": 3, "stream": true, "n": 2, "temperature": 1.0});
    let scored = json!({"max_tokens": 0, "echo": true, "logprobs": 1});
    let texts = json!(["It broke.", "Why?"]);
    let embedding = json!({"model": NAME, "input": texts.clone()});
    vec![
        (chat(short.clone()), 1),
        (chat(several), 3),
        (chat(streamed.clone()), 1),
        (chat(streams), 2),
        (completion(json!("The screen"), short.clone()), 1),
        (completion(texts.clone(), with(short, json!({"n": 2}))), 4),
        (completion(json!("The lens"), streamed), 1),
        (completion(texts, scored), 2),
        (("/v1/embeddings", embedding), 1),
    ]
}

/// Asks and reads to the end; what came, or nothing where it was broken off.
fn ask(url: &str, (path, body): &Asked) -> Option<String> {
    let config = ureq::Agent::config_builder().proxy(None).build();
    let agent: ureq::Agent = config.into();
    let answer = agent.post(format!("{url}{path}")).send_json(body).ok()?;
    let mut text = String::new();
    answer
        .into_body()
        .into_reader()
        .read_to_string(&mut text)
        .ok()?;
    Some(text)
}

/// The receipts that an answer names, each with the digest it claims; none of an answer that has no end.
fn receipts(answer: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let events = answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let values: Vec<Value> = if !answer.starts_with('{') {
        if !answer.contains("data: [DONE]") {
            return found;
        }
        events
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect()
    } else {
        vec![serde_json::from_str(answer).unwrap_or_default()]
    };
    for value in values {
        let choices = value["choices"].as_array().cloned().unwrap_or_default();
        for label in choices.iter().chain([&value]).map(|it| &it["lathe"]) {
            let (receipt, digest) = (&label["receipt"], &label["aigc"]["ReservedCode1"]);
            if let (Some(receipt), Some(digest)) = (receipt.as_str(), digest.as_str()) {
                let digest = digest.trim_start_matches("sha256:");
                found.push((receipt.to_owned(), digest.to_owned()));
            }
        }
    }
    found
}

/// `lathe up` on the home, once its model answers.
fn up(home: &Home) -> Serving {
    let log = home.path().join("log.txt");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start_logged(home, &mut command, &log);
    wait_for("an answer", || {
        let (path, body) = chat(json!({"max_tokens": 1}));
        (serving.post(path, &body).0 == 200).then_some(())
    });
    serving
}

fn kill(serving: Serving) {
    serving.signal("KILL");
    assert!(!serving.wait().success());
}

/// That every receipt is there, closed as a finished answer, and in the ledger.
fn check(serving: &Serving, finished: &[(String, String)]) {
    for (receipt, digest) in finished {
        let path = format!("/api/receipts/{receipt}");
        let trace = serving.get(&path);
        let found = &trace["receipt"];
        assert_eq!(found["answer"].as_str(), Some(digest.as_str()), "{found}");
        let ended = found["ended"].as_str();
        assert!(matches!(ended, Some("stop" | "length")), "{found}");
        wait_for("its place in the ledger", || {
            serving.get(&path)["batch"].is_object().then_some(())
        });
    }
}

#[test]
fn kill_9_loses_no_receipt_of_any_way_of_asking_and_no_order() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let serving = up(&home);
    let mut finished = Vec::new();
    for (asked, count) in ways() {
        let answer = ask(&serving.url, &asked).expect("an answer");
        let named = receipts(&answer);
        assert_eq!(named.len(), count, "{asked:?}: {answer}");
        finished.extend(named);
    }
    let pack = fixture(NAME).display().to_string();
    let (status, order) = serving.post("/api/orders", &json!({"pack": pack}));
    assert_eq!(status, 202, "{order}");
    // One that is under way: its receipt was durable before the first token.
    let endless = json!({
        "max_tokens": 400, "stream": true, "ignore_eos": true, "n": 8, "temperature": 1.0,
    });
    let (path, body) = chat(endless);
    let config = ureq::Agent::config_builder().proxy(None).build();
    let agent: ureq::Agent = config.into();
    let begun = agent
        .post(format!("{}{path}", serving.url))
        .send_json(&body);
    let begun = begun.expect("it begins");
    let broken = begun.headers()["x-lathe-receipt"]
        .to_str()
        .expect("text")
        .to_owned();
    kill(serving);
    drop(begun);

    let serving = up(&home);
    check(&serving, &finished);
    let trace = serving.get(&format!("/api/receipts/{broken}"));
    assert_eq!(trace["receipt"]["ended"], "aborted", "{}", trace["receipt"]);
    let path = format!("/api/orders/{}", order["id"].as_str().expect("an id"));
    wait_for("the order's end", || {
        let state = serving.get(&path)["state"].clone();
        assert_ne!(state, "failed");
        (state == "done").then_some(())
    });
    assert_eq!(serving.interrupt().code(), Some(0));
    // And the home holds before a stranger.
    let verified = home.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
}

#[test]
fn kill_9_under_load_loses_no_receipt_of_a_finished_answer() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let mut all = Vec::new();
    for after_ms in ROUNDS_MS {
        let serving = up(&home);
        check(&serving, &all);
        let (finished, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let (url, finished, over) = (&serving.url, &finished, &over);
            for first in 0..4 {
                scope.spawn(move || {
                    for (asked, _) in ways().iter().cycle().skip(first * 2) {
                        if over.load(Ordering::Relaxed) {
                            return;
                        }
                        let named = ask(url, asked).map(|answer| receipts(&answer));
                        let mut finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
                        finished.extend(named.unwrap_or_default());
                    }
                });
            }
            wait_for("a first answer", || {
                let finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
                (!finished.is_empty()).then_some(())
            });
            std::thread::sleep(Duration::from_millis(after_ms));
            serving.signal("KILL");
            over.store(true, Ordering::Relaxed);
        });
        assert!(!serving.wait().success());
        let finished = finished
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        all.extend(finished);
    }
    let serving = up(&home);
    check(&serving, &all);
    assert_eq!(serving.interrupt().code(), Some(0));
}
