//! The audit to syslog: what the ledger says of a whole order, and what people do afterwards, arrives as
//! RFC 5424 messages at a socket; what is asked and answered does not.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lathe_tests::{Home, Serving, fixture, text, wait_for};
use serde_json::{Value, json};

/// Words that are asked, and must arrive nowhere.
const ASKED: &str = "xyzzy is what nobody else may read";

/// A syslog socket that keeps what it gets.
struct Receiver {
    folder: tempfile::TempDir,
    messages: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    fn start() -> Receiver {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("log")).expect("a socket");
        let messages = Arc::default();
        let kept: Arc<Mutex<Vec<String>>> = Arc::clone(&messages);
        // Ends with the test's process.
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(read) = socket.recv(&mut buffer) {
                kept.lock().expect("no panic").push(text(&buffer[..read]));
            }
        });
        Receiver { folder, messages }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn all(&self) -> Vec<String> {
        self.messages.lock().expect("no panic").clone()
    }

    /// A message that holds all of these.
    fn wait_for(&self, parts: &[&str]) -> String {
        wait_for(&format!("a message with {parts:?}"), || {
            let holds = |message: &String| parts.iter().all(|part| message.contains(part));
            self.all().into_iter().find(holds)
        })
    }
}

/// `<PRI>1 TIME HOST lathe PID KIND [lathe@32473 …] TEXT`
fn check_form(message: &str) {
    let fields: Vec<&str> = message.splitn(8, ' ').collect();
    assert!(["<109>1", "<108>1"].contains(&fields[0]), "{message}");
    assert!(
        fields[1].ends_with('Z') && fields[1].len() == 24,
        "{message}"
    );
    assert_eq!(fields[3], "lathe", "{message}");
    assert!(fields[4].parse::<u32>().is_ok(), "{message}");
    let kinds = ["said", "operation", "request", "refused"];
    assert!(kinds.contains(&fields[5]), "{message}");
    assert_eq!(fields[6], "[lathe@32473", "{message}");
    assert!(
        message.len() <= 2048 && !message.contains('\n'),
        "{message}"
    );
}

/// Asks without a key; the status.
fn ask(serving: &Serving) -> u16 {
    let body = json!({
        "model": "tiny-pack",
        "messages": [{ "role": "user", "content": ASKED }],
        "max_tokens": 3,
    });
    serving.post("/v1/chat/completions", &body).0
}

#[test]
fn what_is_decided_arrives_and_what_is_asked_does_not() {
    let (home, receiver) = (Home::new(), Receiver::start());
    let mut run = home.run(&fixture("tiny-pack"), &[]);
    let run = run.env("LATHE_AUDIT_SYSLOG", receiver.path());
    let output = run.output().expect("lathe starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut kinds = home.ledger_kinds();
    kinds.retain(|kind| kind != "receipts");
    let said = || {
        let all = receiver.all().into_iter();
        all.filter(|it| it.contains(" said [")).count()
    };
    wait_for("all statements", || (said() >= kinds.len()).then_some(()));
    assert_eq!(said(), kinds.len(), "{:#?}", receiver.all());
    for kind in &kinds {
        receiver.wait_for(&[&format!("kind=\"{kind}\"")]);
    }
    receiver.wait_for(&["request [", "method=\"POST\"", "path=\"/api/orders\""]);

    let path = receiver.path().display().to_string();
    let up = ["up", "--listen", "127.0.0.1:0", "--audit-syslog", &path];
    let serving = Serving::start(&home, home.lathe(&up).env("LATHE_LOG", "off"));
    wait_for("an answer", || (ask(&serving) == 200).then_some(()));
    let done = home.output(&["breaker", "tiny-pack", "open", "--reason", "a complaint"]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let moved = receiver.wait_for(&[
        "kind=\"breaker\"",
        "action=\"open\"",
        "by=\"anybody on this machine\"",
    ]);
    assert!(moved.contains("reason=\"a complaint\""), "{moved}");
    receiver.wait_for(&["operation=\"breaker\"", "an operation was done"]);
    let refused = home.output(&["upstream", "remove", "none", "--reason", "x"]);
    assert!(!refused.status.success());
    receiver.wait_for(&[
        "<108>1 ",
        "operation=\"upstream-remove\"",
        "code=\"upstream-unknown\"",
    ]);
    let issued: Value = home.json(&["token", "create", "--name", "the shop", "--json"]);
    let key = issued["key"].as_str().expect("a key");
    receiver.wait_for(&["kind=\"access\"", "action=\"issued\"", "name=\"the shop\""]);
    // From here on everybody presents a key, this home's own commands too.
    home.json(&["token", "list", "--json"]);
    receiver.wait_for(&["operation=\"tokens\"", "by=\"key "]);
    assert_eq!(ask(&serving), 401);
    receiver.wait_for(&[
        "refused [",
        "path=\"/v1/chat/completions\"",
        "code=\"key-required\"",
    ]);
    assert!(serving.interrupt().success());
    for message in receiver.all() {
        check_form(&message);
        assert!(
            !message.contains("xyzzy") && !message.contains(key),
            "{message}"
        );
    }
}

#[test]
fn an_audit_that_cannot_be_kept_is_told_before_anything_is_served() {
    let home = Home::new();
    for address in ["/nowhere/log", "tcp://127.0.0.1:1", "elsewhere"] {
        let output = home.output(&["up", "--listen", "127.0.0.1:0", "--audit-syslog", address]);
        assert!(!output.status.success(), "{address}");
        let said = text(&output.stderr);
        assert!(
            said.contains("audit-syslog") && said.contains(address),
            "{said}"
        );
    }
}
