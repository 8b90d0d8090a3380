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

fn question(more: Value) -> Value {
    let mut body = json!({
        "model": "theirs",
        "messages": [{ "role": "user", "content": "the camera is great" }],
        "max_tokens": 3,
    });
    let members = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
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

#[test]
fn another_server_answers_behind_the_door_and_everything_says_that_nobody_verified_it() {
    let (theirs, ours) = (Home::new(), Home::new());
    theirs.finish(&fixture("tiny-pack"), &[]);
    let key = theirs.path().join("key.txt");
    fs::write(&key, KEY).expect("writes");
    let key = key.to_str().expect("a plain name").to_owned();
    let other = up(&theirs, &["--key-file", &key]);
    let port = other.url.rsplit(':').next().expect("a port").to_owned();
    let serving = up(&ours, &[]);

    let address = format!("http://localhost:{port}/v1");
    let add = [
        "upstream",
        "add",
        "theirs",
        "--url",
        &address,
        "--model",
        "tiny-pack",
    ];
    let refused = ours.output(&[&add[..], &["--reason", " "]].concat());
    assert!(!refused.status.success(), "why has to be said");
    let added = ours.json(
        &[
            &add[..],
            &["--key-file", &key, "--reason", "tried", "--json"],
        ]
        .concat(),
    );
    assert_eq!(added["weights"], "not verified");
    wait_for_state(&ours, "up");

    let (status, answer) = serving.post("/v1/chat/completions", &question(json!({})));
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["model"], "theirs");
    assert_eq!(answer["lathe"]["weights"], "not verified");
    assert_eq!(answer["lathe"]["upstream"]["model"], "tiny-pack");
    assert_eq!(answer["lathe"]["upstream"]["counted"], "upstream");
    assert_eq!(answer["usage"]["completion_tokens"], 3);
    // A parameter that only the other one knows is its own to refuse, in its words.
    let (status, answer) = serving.post("/v1/chat/completions", &question(json!({"min_p": 0.1})));
    assert_eq!(
        (status, &answer["error"]["code"]),
        (400, &json!("unknown_parameter"))
    );
    let (_, page) = serving.get_text("/metrics");
    assert!(
        page.contains("lathe_upstream_up{model_name=\"theirs\"} 1"),
        "{page}"
    );

    // It goes away and comes back, on the same port.
    drop(other);
    let (status, answer) = serving.post("/v1/chat/completions", &question(json!({})));
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &json!("upstream_down"))
    );
    wait_for_state(&ours, "down");
    let listen = format!("127.0.0.1:{port}");
    let log = theirs.path().join("again.log");
    let again = ["up", "--listen", &listen, "--key-file", &key];
    let other = Serving::start_logged(&theirs, &mut theirs.lathe(&again), &log);
    wait_for_state(&ours, "up");
    let receipt = wait_for("an answer", || {
        let (status, answer) = serving.post("/v1/chat/completions", &question(json!({})));
        (status == 200).then(|| {
            answer["lathe"]["receipt"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
    });

    // The breaker in front of it is like any other.
    ours.json(&["breaker", "theirs", "open", "--reason", "a test", "--json"]);
    let (status, answer) = serving.post("/v1/chat/completions", &question(json!({})));
    assert_eq!(
        (status, &answer["error"]["code"]),
        (503, &json!("breaker_open"))
    );
    ours.json(&[
        "breaker",
        "theirs",
        "close",
        "--reason",
        "it was one",
        "--json",
    ]);

    let removed = ours.output(&["upstream", "remove", "theirs", "--reason", "given back"]);
    assert!(removed.status.success(), "{}", text(&removed.stderr));
    let (status, _) = serving.post("/v1/chat/completions", &question(json!({})));
    assert_eq!(status, 404);
    let trace = serving.get(&format!("/api/receipts/{receipt}"));
    let upstream = &trace["receipt"]["upstream"];
    assert_eq!(upstream["weights"], "not-verified", "{trace}");
    let (_, page) = serving.get_text(&format!("/receipts/{receipt}"));
    assert!(page.contains("Not verified"), "{page}");
    drop((serving, other));
    let verified = ours.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    let said = ours.ledger_kinds();
    assert_eq!(said.iter().filter(|kind| *kind == "upstream").count(), 2);
}

#[test]
fn a_key_for_an_upstream_lies_in_one_file_and_comes_into_no_log() {
    let home = Home::new();
    let file = home.path().with_extension("key");
    fs::write(&file, format!("{KEY}\n")).expect("writes");
    let file = file.to_str().expect("a plain name").to_owned();
    let serving = up(&home, &[]);
    let nobody = "http://127.0.0.1:1/v1";
    let add = [
        "upstream",
        "add",
        "theirs",
        "--url",
        nobody,
        "--key-file",
        &file,
        "--reason",
        "tried",
    ];
    assert!(home.output(&add).status.success());
    assert_eq!(
        serving.post("/v1/chat/completions", &question(json!({}))).0,
        503
    );
    let leaving = [
        "upstream",
        "add",
        "far",
        "--url",
        "https://models.example/v1",
        "--reason",
        "tried",
    ];
    let refused = home.output(&leaving);
    assert!(
        text(&refused.stderr).contains("--remote"),
        "{}",
        text(&refused.stderr)
    );

    let mut found = Vec::new();
    holding(home.path(), KEY, &mut found);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("/upstreams/"), "{found:?}");
    let mode = fs::metadata(&found[0])
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        home.output(&["upstream", "remove", "theirs", "--reason", "done"])
            .status
            .success()
    );
    assert!(!std::path::Path::new(&found[0]).exists());
    drop(serving);
    fs::remove_file(&file).expect("removes");
}
