//! Running the server: keys, limits, what it says while it starts and ends, what it logs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use lathe_tests::{Home, Serving, copy_folder, fixture, text, wait_for};
use serde_json::{Value, json};

const NAME: &str = "tiny-pack";

/// Nothing else in a home or a log says this.
const SECRET: &str = "zebra quartz umbrella";

/// What came back.
struct Reply {
    status: u16,
    headers: ureq::http::HeaderMap,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|it| it.to_str().expect("text"))
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.body))
    }

    /// The code of an error in OpenAI's shape.
    fn code(&self) -> String {
        let error = &self.json()["error"];
        assert!(
            error["message"].is_string() && error["type"].is_string(),
            "{error}"
        );
        error["code"].as_str().expect("a code").to_owned()
    }
}

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Reply {
    let mut response = response.expect("the daemon answers");
    Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        body: response.body_mut().read_to_string().expect("a text"),
    }
}

fn get(serving: &Serving, path: &str, key: &str) -> Reply {
    let request = agent().get(format!("{}{path}", serving.url));
    read(match key {
        "" => request.call(),
        key => request
            .header("authorization", format!("Bearer {key}"))
            .call(),
    })
}

fn post(serving: &Serving, path: &str, key: &str, body: &Value) -> Reply {
    let request = agent().post(format!("{}{path}", serving.url));
    read(match key {
        "" => request.send_json(body),
        key => request
            .header("authorization", format!("Bearer {key}"))
            .send_json(body),
    })
}

fn ask(serving: &Serving, key: &str, extra: &Value) -> Reply {
    let mut body = json!({
        "model": NAME,
        "messages": [{ "role": "user", "content": SECRET }],
        "max_tokens": 3,
    });
    let members = extra.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    post(serving, "/v1/chat/completions", key, &body)
}

fn up(home: &Home, more: &[&str]) -> Serving {
    let mut args = vec!["up", "--listen", "127.0.0.1:0"];
    args.extend(more);
    let serving = Serving::start(home, &mut home.lathe(&args));
    wait_for("the model", || {
        (get(&serving, "/health/ready", "").status == 200).then_some(())
    });
    serving
}

fn create(home: &Home, more: &[&str]) -> (String, String) {
    let mut args = vec!["token", "create", "--json", "--name", "the shop"];
    args.extend(more);
    let made = home.json(&args);
    let part = |name: &str| made[name].as_str().expect("a text").to_owned();
    (part("key"), part("id"))
}

/// Every file under a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn from_the_first_key_on_every_request_presents_one() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let serving = up(&home, &[]);
    assert_eq!(
        ask(&serving, "", &json!({})).status,
        200,
        "no key was issued"
    );
    // OpenAI's clients send a key always.
    assert_eq!(ask(&serving, "placeholder", &json!({})).status, 200);

    let (key, id) = create(&home, &[]);
    strangers_are_refused(&serving, &key);
    scopes_are_kept(&home, &serving, &key);

    // The home's own user needs none, also when another daemon has the home next.
    let listed = home.json(&["token", "list", "--json"]);
    assert_eq!(listed["tokens"][0]["id"], id.as_str());
    assert_eq!(listed["tokens"][0]["today"]["requests"], 1);
    assert!(!listed.to_string().contains(&key));
    home.finish(&fixture(NAME), &["--offline"]);
    assert!(serving.interrupt().success());

    let serving = up(&home, &[]);
    assert_eq!(ask(&serving, "", &json!({})).status, 401);
    assert_eq!(ask(&serving, &key, &json!({})).status, 200);
    let listed = home.json(&["token", "list", "--json"]);
    assert_eq!(
        listed["tokens"][0]["today"]["requests"], 2,
        "use outlives the daemon"
    );
    let revoke = [
        "token",
        "revoke",
        id.as_str(),
        "--reason",
        "it was in a repository",
        "--json",
    ];
    home.json(&revoke);
    let reply = ask(&serving, &key, &json!({}));
    assert_eq!(
        (reply.status, reply.code()),
        (401, "invalid_api_key".to_owned())
    );
    assert!(reply.body.contains("revoked"), "{}", reply.body);
    assert!(serving.interrupt().success());
    it_is_said_and_the_key_is_nowhere(&home, &key);
}

fn strangers_are_refused(serving: &Serving, key: &str) {
    assert!(key.starts_with("lathe-") && key.len() == 70, "{key}");
    let longer = format!("{key}0");
    for wrong in ["", "placeholder", &key[..69], longer.as_str()] {
        let reply = ask(serving, wrong, &json!({}));
        assert_eq!(
            (reply.status, reply.code()),
            (401, "invalid_api_key".to_owned())
        );
        let error = reply.json();
        let message = error["error"]["message"].as_str().expect("a text");
        assert!(message.len() > 40, "{message}");
    }
    let reply = ask(serving, key, &json!({}));
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.header("x-request-id").is_some());
}

/// The key opens answers and nothing else; what probes the server presents none.
fn scopes_are_kept(home: &Home, serving: &Serving, key: &str) {
    for path in ["/", "/api", "/api/orders", "/metrics"] {
        assert_eq!(get(serving, path, "").status, 401, "{path}");
        assert_eq!(get(serving, path, key).status, 403, "{path}");
    }
    assert_eq!(get(serving, "/health/live", "").status, 200);
    let told = get(serving, "/health/ready", "");
    let names = told.body.contains(NAME);
    assert_eq!((told.status, names), (200, false), "{}", told.body);
    assert!(get(serving, "/health/ready", key).body.contains(NAME));
    let (scraper, _) = create(home, &["--scope", "metrics"]);
    let figures = get(serving, "/metrics", &scraper).body;
    assert!(figures.contains("vllm:num_requests_running"), "{figures}");
}

/// Who may ask is said in the ledger, and the key is in no file.
fn it_is_said_and_the_key_is_nowhere(home: &Home, key: &str) {
    let said = home.ledger_kinds();
    assert_eq!(said.iter().filter(|kind| *kind == "access").count(), 3);
    let verified = home.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    let mut all = Vec::new();
    files(home.path(), &mut all);
    assert!(all.len() > 10);
    for file in all {
        let bytes = fs::read(&file).expect("reads");
        let holds = bytes.windows(key.len()).any(|it| it == key.as_bytes());
        assert!(!holds, "{} holds the key", file.display());
    }
}

#[test]
fn a_key_has_its_limits_and_is_told_what_is_left() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let serving = up(&home, &[]);
    let (key, _) = create(&home, &["--requests-per-minute", "2", "--model", NAME]);
    for left in ["1", "0"] {
        let reply = ask(&serving, &key, &json!({}));
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some(left));
    }
    let reply = ask(&serving, &key, &json!({}));
    assert_eq!(
        (reply.status, reply.code()),
        (429, "rate_limit_exceeded".to_owned())
    );
    assert!(reply.header("retry-after").is_some());
    let (other, _) = create(&home, &["--model", "another"]);
    let reply = ask(&serving, &other, &json!({}));
    assert_eq!(
        (reply.status, reply.code()),
        (403, "model_not_allowed".to_owned())
    );
    let refused = home.output(&["token", "create", "--name", "x", "--tokens-per-day", "0"]);
    assert!(
        text(&refused.stderr).contains("token-request"),
        "{}",
        text(&refused.stderr)
    );
    let refused = home.output(&["token", "revoke", "nothing", "--reason", "x"]);
    assert!(
        text(&refused.stderr).contains("token-unknown"),
        "{}",
        text(&refused.stderr)
    );
}

#[test]
fn beyond_loopback_an_issued_key_suffices() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let (key, _) = create(&home, &[]);
    let serving = Serving::start(&home, &mut home.lathe(&["up", "--listen", "0.0.0.0:0"]));
    assert_eq!(get(&serving, "/v1/models", "").status, 401);
    assert_eq!(get(&serving, "/v1/models", &key).status, 200);
}

#[test]
fn a_deployed_model_is_never_unknown_while_the_daemon_starts() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let serving = Serving::start(&home, &mut home.lathe(&["up", "--listen", "127.0.0.1:0"]));
    wait_for("an answer", || {
        let reply = ask(&serving, "", &json!({}));
        match reply.status {
            200 => Some(()),
            503 => {
                assert_eq!(reply.code(), "model_opening");
                assert_eq!(reply.header("retry-after"), Some("1"));
                None
            }
            other => panic!("{other}: {}", reply.body),
        }
    });
}

/// The pack over a model with a context that no answer fills before the test is done with it.
fn endless_pack(folder: &Path) -> PathBuf {
    for name in ["tiny-model", NAME] {
        copy_folder(&fixture(name), &folder.join(name));
    }
    let config = folder.join("tiny-model/config.json");
    let written = fs::read_to_string(&config).expect("reads");
    let longer = written.replace(
        "\"max_position_embeddings\": 512",
        "\"max_position_embeddings\": 131072",
    );
    assert_ne!(written, longer, "the fixture's context");
    fs::write(&config, longer).expect("writes");
    folder.join(NAME)
}

#[test]
fn sigterm_drains_to_a_deadline_and_loses_no_receipt() {
    let (home, packs) = (Home::new(), tempfile::tempdir().expect("a folder"));
    home.finish(&endless_pack(packs.path()), &[]);
    let serving = up(&home, &["--drain-s", "6"]);
    let body = json!({
        "model": NAME,
        "messages": [{ "role": "user", "content": "hello" }],
        "stream": true,
        "ignore_eos": true,
        "max_tokens": 120_000,
    });
    let response = agent()
        .post(format!("{}/v1/chat/completions", serving.url))
        .send_json(&body)
        .expect("the daemon answers");
    let receipt = response.headers()["x-lathe-receipt"]
        .to_str()
        .expect("text")
        .to_owned();
    let mut lines = BufReader::new(response.into_body().into_reader()).lines();
    lines.next().expect("a first line").expect("reads");

    serving.signal("TERM");
    // While the answer goes on: not ready, alive, and soon nothing new.
    wait_for("not ready", || {
        (get(&serving, "/health/ready", "").status == 503).then_some(())
    });
    assert_eq!(get(&serving, "/health/live", "").status, 200);
    let refused = wait_for("a refusal", || {
        let reply = ask(&serving, "", &json!({}));
        (reply.status == 503).then_some(reply)
    });
    assert_eq!(refused.code(), "unavailable");
    assert!(refused.header("retry-after").is_some());
    let told: Vec<String> = lines.map_while(Result::ok).collect();
    let told = told.join("\n");
    assert!(
        told.contains("stopped before the answer ended"),
        "{told:.200}"
    );
    assert!(serving.wait().success());

    // Its receipt was closed before the store was: nothing is left for the next start to mend.
    let serving = up(&home, &[]);
    let trace = get(&serving, &format!("/api/receipts/{receipt}"), "").json();
    assert_eq!(trace["receipt"]["ended"], "aborted");
    assert!(
        trace["receipt"]["answer_tokens"].as_u64() > Some(0),
        "{}",
        trace["receipt"]
    );
}

#[test]
fn the_log_holds_no_text_unless_it_is_switched_on() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    for (flag, expected) in [(None, false), (Some("--log-texts"), true)] {
        let log = home.path().join("log.txt");
        let mut args = vec!["up", "--listen", "127.0.0.1:0", "--log-format", "json"];
        args.extend(flag);
        // The most that can be asked for.
        let mut command = home.lathe(&args);
        let serving = Serving::start_logged(&home, command.env("LATHE_LOG", "trace"), &log);
        wait_for("an answer", || {
            (ask(&serving, "", &json!({})).status == 200).then_some(())
        });
        let quoted = format!("/api/trace?q={}", SECRET.replace(' ', "%20"));
        assert_eq!(get(&serving, &quoted, "").status, 200);
        let sent = agent()
            .get(format!("{}/v1/models", serving.url))
            .header("x-request-id", "order-17")
            .call();
        assert_eq!(read(sent).header("x-request-id"), Some("order-17"));
        assert!(serving.interrupt().success());
        let said = fs::read_to_string(&log).expect("reads");
        assert_eq!(said.contains(SECRET), expected, "{flag:?}");
        let lines: Vec<Value> = said
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let of = |message: &str| lines.iter().filter(|it| it["message"] == message).count();
        assert!(
            of("request answered") >= 3 && of("answer ended") >= 1,
            "{flag:?}"
        );
        let own = lines.iter().find(|it| it["request_id"] == "order-17");
        assert_eq!(own.expect("the request's line")["status"], 200);
    }
}
