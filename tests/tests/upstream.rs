//! Another server behind the door, as an operator meets it: added, asked, gone, back, removed. The other
//! server is a second workshop, which is an OpenAI-compatible server with keys and a model like any.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use lathe_tests::{Home, Serving, fixture, text, wait_for};
use serde_json::{Value, json};

/// The key that the second workshop asks for.
const KEY: &str = "sk-of-the-other-workshop";

fn up(home: &Home, more: &[&str]) -> Serving {
    let mut args = vec!["up", "--listen", "127.0.0.1:0"];
    args.extend(more);
    let log = home.path().join("up.log");
    Serving::start_logged(home, home.lathe(&args).env("LATHE_LOG", "debug"), &log)
}

/// `lathe` with the words of a line, which must succeed.
fn lathe(home: &Home, line: &str) -> String {
    let output = home.output(&line.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Asks for an answer of three tokens, with more members in the request.
fn ask(serving: &Serving, more: Value) -> (u16, Value) {
    let mut body = json!({
        "model": "theirs",
        "messages": [{ "role": "user", "content": "the camera is great" }],
        "max_tokens": 3,
    });
    let members = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    serving.post("/v1/chat/completions", &body)
}

/// Status and code of the refusal of a plain question.
fn refusal(serving: &Serving) -> (u16, Value) {
    let (status, answer) = ask(serving, json!({}));
    (status, answer["error"]["code"].clone())
}

/// The state of the one upstream, once it is as wanted.
fn wait_for_state(home: &Home, wanted: &str) -> Value {
    wait_for(&format!("an upstream that is {wanted}"), || {
        let list = home.json(&["upstream", "list", "--json"]);
        let found = list["upstreams"][0].clone();
        (found["state"] == wanted).then_some(found)
    })
}

/// The files below a folder that hold a text.
fn holding(folder: &std::path::Path, wanted: &str, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("lists") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            holding(&path, wanted, found);
        } else if text(&fs::read(&path).expect("reads")).contains(wanted) {
            found.push(path.display().to_string());
        }
    }
}

/// A second workshop that asks for [`KEY`], in a file of this path, and has a model.
fn another() -> (Home, String) {
    let theirs = Home::new();
    theirs.finish(&fixture("tiny-pack"), &[]);
    let key = theirs.path().join("key.txt");
    fs::write(&key, KEY).expect("writes");
    (theirs, key.display().to_string())
}

#[test]
fn another_server_answers_behind_the_door_and_everything_says_that_nobody_verified_it() {
    let ((theirs, key), ours) = (another(), Home::new());
    let other = up(&theirs, &["--key-file", &key]);
    let port = other.url.rsplit(':').next().expect("a port");
    let serving = up(&ours, &[]);
    let add = format!("upstream add theirs --url http://localhost:{port}/v1 --model tiny-pack");
    let added = lathe(
        &ours,
        &format!("{add} --key-file {key} --reason tried --json"),
    );
    assert!(added.contains("\"weights\": \"not verified\""), "{added}");
    wait_for_state(&ours, "up");
    let shown = serving.get("/api/deployments")["upstreams"][0].clone();
    let said = (&shown["name"], &shown["state"], &shown["weights"]);
    assert_eq!(
        said,
        (&json!("theirs"), &json!("up"), &json!("not verified"))
    );
    let (_, page) = serving.get_text("/try?lang=en");
    assert!(page.contains("Weights not verified"), "{page}");

    let (status, answer) = ask(&serving, json!({}));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["model"], "theirs");
    assert_eq!(answer["usage"]["completion_tokens"], 3);
    let said = &answer["lathe"];
    assert_eq!(said["weights"], "not verified");
    let server = json!({"name": "theirs", "model": "tiny-pack", "counted": "upstream"});
    assert_eq!(said["upstream"], server);
    // A parameter that only the other one knows is its own to refuse, in its words.
    let (status, answer) = ask(&serving, json!({"min_p": 0.1}));
    let code = &answer["error"]["code"];
    assert_eq!((status, code), (400, &json!("unknown_parameter")));
    let (_, figures) = serving.get_text("/metrics");
    let up = "lathe_upstream_up{model_name=\"theirs\"} 1";
    assert!(figures.contains(up), "{figures}");

    // The breaker in front of it is like any other.
    lathe(&ours, "breaker theirs open --reason tried");
    assert_eq!(refusal(&serving), (503, json!("breaker_open")));
    lathe(&ours, "breaker theirs close --reason tried");
    assert_eq!(ask(&serving, json!({})).0, 200);
    lathe(&ours, "upstream remove theirs --reason tried");
    assert_eq!(refusal(&serving), (404, json!("model_not_found")));

    let receipt = said["receipt"].as_str().expect("an id");
    let trace = serving.get(&format!("/api/receipts/{receipt}"));
    let weights = &trace["receipt"]["upstream"]["weights"];
    assert_eq!(weights, "not-verified", "{trace}");
    let (_, page) = serving.get_text(&format!("/receipts/{receipt}"));
    assert!(page.contains("Not verified"), "{page}");
    drop((serving, other));
    lathe(&ours, "verify");
    let said = ours.ledger_kinds();
    assert_eq!(said.iter().filter(|kind| *kind == "upstream").count(), 2);
}

#[test]
fn an_upstream_that_goes_away_is_told_and_taken_again_when_it_is_back() {
    let ((theirs, key), ours) = (another(), Home::new());
    let other = up(&theirs, &["--key-file", &key]);
    let address = other.url.trim_start_matches("http://").to_owned();
    let serving = up(&ours, &[]);
    let add = format!("upstream add theirs --url http://{address} --model tiny-pack");
    lathe(&ours, &format!("{add} --key-file {key} --reason tried"));
    wait_for_state(&ours, "up");
    drop(other);
    assert_eq!(refusal(&serving), (503, json!("upstream_down")));
    wait_for_state(&ours, "down");

    let log = theirs.path().join("again.log");
    let again = ["up", "--listen", &address, "--key-file", &key];
    let _other = Serving::start_logged(&theirs, &mut theirs.lathe(&again), &log);
    wait_for_state(&ours, "up");
    wait_for("an answer", || {
        (ask(&serving, json!({})).0 == 200).then_some(())
    });
    // What the ledger says holds for the next daemon too.
    assert!(serving.interrupt().success());
    let serving = up(&ours, &[]);
    wait_for_state(&ours, "up");
    assert_eq!(ask(&serving, json!({})).0, 200);
}

#[test]
fn a_key_for_an_upstream_lies_in_one_file_and_comes_into_no_log() {
    let (home, folder) = (Home::new(), tempfile::tempdir().expect("a folder"));
    let file = folder.path().join("key.txt");
    fs::write(&file, format!("{KEY}\n")).expect("writes");
    let serving = up(&home, &[]);
    let add = "upstream add theirs --url http://127.0.0.1:1/v1 --reason tried";
    lathe(&home, &format!("{add} --key-file {}", file.display()));
    assert_eq!(refusal(&serving), (503, json!("upstream_down")));
    let mut found = Vec::new();
    holding(home.path(), KEY, &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("/upstreams/"), "{found:?}");
    let mode = fs::metadata(&found[0])
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    lathe(&home, "upstream remove theirs --reason tried");
    assert!(!std::path::Path::new(&found[0]).exists());
}

#[test]
fn what_leaves_the_machine_is_asked_for_and_a_restored_home_asks_nobody() {
    let home = Home::new();
    let serving = up(&home, &[]);
    let far = "upstream add far --url https://models.example/v1 --reason tried";
    let refused = home.output(&far.split(' ').collect::<Vec<_>>());
    assert!(!refused.status.success());
    let said = text(&refused.stderr);
    assert!(
        said.contains("upstream-request") && said.contains("--remote"),
        "{said}"
    );
    let unsaid = home.output(&[
        "upstream",
        "add",
        "a",
        "--url",
        "http://127.0.0.1:1",
        "--reason",
        " ",
    ]);
    assert!(text(&unsaid.stderr).contains("reason-missing"));

    lathe(
        &home,
        "upstream add theirs --url http://127.0.0.1:1/v1 --reason tried",
    );
    assert_eq!(refusal(&serving), (503, json!("upstream_down")));
    // It does not know what was taken away since its backup.
    lathe(&home, "restored --reason tried");
    let list = home.json(&["upstream", "list", "--json"]);
    assert_eq!(list["upstreams"], json!([]));
    assert_eq!(refusal(&serving), (404, json!("model_not_found")));
}

#[test]
fn an_upstream_over_tls_is_trusted_by_the_certificates_that_the_system_names() {
    let (theirs, folder) = (Home::new(), tempfile::tempdir().expect("a folder"));
    let [cert, private] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("makes");
    fs::write(&cert, made.cert.pem()).expect("writes");
    fs::write(&private, made.signing_key.serialize_pem()).expect("writes");
    let mut command = theirs.lathe(&["up", "--listen", "127.0.0.1:0", "--tls-cert"]);
    command.arg(&cert).arg("--tls-key").arg(&private);
    let mut other = Serving::start(&theirs, &mut command);
    let line = other.wait_for_line("https://");
    let port = line.trim().trim_end_matches('/').rsplit(':').next();
    let port: String = port
        .expect("a port")
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    let address = format!("https://localhost:{port}/v1");
    // It has no model and says so: that much was heard only where it is trusted.
    for (trusted, heard) in [(true, "its health has status 503"), (false, "TLS")] {
        let ours = Home::new();
        let mut command = ours.lathe(&["up", "--listen", "127.0.0.1:0"]);
        if trusted {
            command.env("SSL_CERT_FILE", &cert);
        }
        let _serving = Serving::start(&ours, &mut command);
        let add = [
            "upstream", "add", "theirs", "--url", &address, "--reason", "tried",
        ];
        let added = ours.output(&add);
        assert!(added.status.success(), "{}", text(&added.stderr));
        let found = wait_for_state(&ours, "down");
        let reason = found["reason"].as_str().expect("a text");
        assert!(reason.contains(heard), "{reason}");
    }
}
