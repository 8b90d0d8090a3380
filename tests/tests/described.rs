//! The description at /openapi.json: before the programs that other people hold such descriptions and servers
//! against each other with, and before what the fine-tuning API answers, good and bad.

use std::process::Command;

use lathe_tests::{Home, Serving, fixture, root, text, wait_for};
use serde_json::{Value, json};

fn serve(home: &Home, command: &mut Command) -> Serving {
    let serving = Serving::start_logged(home, command, &home.path().join("log.txt"));
    wait_for("the deployment to be opened", || {
        let body = json!({"model": "tiny-pack", "prompt": "hello", "max_tokens": 1});
        (serving.post("/v1/completions", &body).0 == 200).then_some(())
    });
    serving
}

/// `cargo xtask ci` makes an environment with the pinned packages and names its interpreter.
#[test]
fn schemathesis_finds_no_answer_that_is_not_described() {
    let Some(python) = std::env::var_os("LATHE_TEST_PYTHON") else {
        eprintln!(
            "not run: LATHE_TEST_PYTHON names no interpreter with schemathesis; cargo xtask ci sets it"
        );
        return;
    };
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    // Relative paths that are made up are looked for in an empty folder.
    let empty = tempfile::tempdir().expect("a folder");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = serve(&home, command.current_dir(empty.path()));
    let output = Command::new(python)
        .arg(root().join("tests/python/described.py"))
        .env("LATHE_URL", &serving.url)
        .env("LATHE_MODEL", "tiny-pack")
        .output()
        .expect("python starts");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("openapi-spec-validator: "), "{said}");
    // What it found once.
    assert_eq!(serving.get_text("/api/trace?q=").0, 400);
    // And after all that it answers.
    assert_eq!(serving.get_text("/health").0, 200);
}

/// A server whose every answer is held against its description.
struct Held<'a> {
    serving: &'a Serving,
    document: Value,
    agent: ureq::Agent,
}

/// What is sent.
enum Sent<'a> {
    Nothing,
    Json(Value),
    /// The one file of a form, in lines.
    File(&'a str),
}

impl Held<'_> {
    /// Asks at `path`, which is described as `described`; gives the status and, of JSON, the answer.
    fn ask(&self, method: &str, described: &str, path: &str, sent: Sent<'_>) -> (u16, Value) {
        let url = format!("{}{path}", self.serving.url);
        let response = match (method, sent) {
            ("GET", _) => self.agent.get(url).call(),
            ("DELETE", _) => self.agent.delete(url).call(),
            (_, Sent::Nothing) => self.agent.post(url).send_empty(),
            (_, Sent::Json(body)) => self.agent.post(url).send_json(body),
            (_, Sent::File(lines)) => {
                let form = "multipart/form-data; boundary=edge";
                let body = format!(
                    "--edge\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n\
                     --edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f.jsonl\"\r\n\r\n\
                     {lines}\r\n--edge--\r\n"
                );
                let request = self.agent.post(url).header("content-type", form);
                request.send(body.as_bytes())
            }
        };
        let mut response = response.expect("it answers");
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").cloned();
        let kind = kind.and_then(|it| it.to_str().ok().map(str::to_owned));
        let kind = kind.expect("a content type");
        let answer = response.body_mut().read_to_string().expect("a text");
        let what = format!("{method} {path}: {status} {answer}");
        let operation = &self.document["paths"][described][method.to_lowercase()];
        let content = &self.resolved(&operation["responses"][status.to_string()])["content"];
        let schema = &content[&kind]["schema"];
        assert!(schema.is_object(), "{what} ({kind}) is not described");
        if kind != "application/json" {
            return (status, Value::Null);
        }
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let mut schema = schema.clone();
        schema["components"] = self.document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        let wrong = validator.iter_errors(&answer).map(|it| it.to_string());
        assert_eq!(wrong.collect::<Vec<_>>(), [""; 0], "{what}");
        (status, answer)
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str().and_then(|it| it.strip_prefix('#')) {
            Some(pointer) => self.document.pointer(pointer).expect("it is there"),
            None => value,
        }
    }

    fn get(&self, described: &str, path: &str) -> (u16, Value) {
        self.ask("GET", described, path, Sent::Nothing)
    }

    /// A file of so many conversations; its id.
    fn upload(&self, records: usize) -> String {
        let line = |at: usize| {
            let question = json!({"role": "user", "content": format!("Is number {at} good?")});
            let answer = json!({"role": "assistant", "content": "It is good."});
            format!("{}\n", json!({ "messages": [question, answer] }))
        };
        let lines: String = (0..records).map(line).collect();
        let (status, file) = self.ask("POST", FILES, FILES, Sent::File(&lines));
        assert_eq!(status, 200, "{file}");
        id_of(&file)
    }

    /// Places a job of so many epochs, with so many conversations a step; its id.
    fn place(&self, epochs: u32, batch: u32) -> String {
        let file = self.upload(24);
        let rates =
            json!({"n_epochs": epochs, "batch_size": batch, "learning_rate_multiplier": 20});
        let method = json!({"type": "supervised", "supervised": {"hyperparameters": rates}});
        let asked = json!({
            "model": "tiny-model", "training_file": file, "suffix": "held", "method": method,
            "metadata": {"owner": "the shop"},
        });
        let (status, job) = self.ask("POST", JOBS, JOBS, Sent::Json(asked));
        assert_eq!(status, 200, "{job}");
        id_of(&job)
    }

    /// Waits until a job has a status.
    fn wait(&self, id: &str, wanted: &str) {
        wait_for(&format!("a job that is {wanted}"), || {
            let (_, job) = self.get(JOB, &format!("{JOBS}/{id}"));
            let ended = ["failed", "cancelled"]
                .iter()
                .any(|it| job["status"] == *it);
            assert!(!ended || job["status"] == wanted, "{job}");
            (job["status"] == wanted).then_some(())
        });
    }
}

const FILES: &str = "/v1/files";
const FILE: &str = "/v1/files/{id}";
const JOBS: &str = "/v1/fine_tuning/jobs";
const JOB: &str = "/v1/fine_tuning/jobs/{id}";

fn id_of(value: &Value) -> String {
    value["id"].as_str().expect("an id").to_owned()
}

#[test]
fn what_the_fine_tuning_api_answers_is_what_is_described() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let serving = serve(&home, &mut home.lathe(&["up", "--listen", "127.0.0.1:0"]));
    let held = Held {
        serving: &serving,
        document: serving.get("/openapi.json"),
        agent: ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into(),
    };
    check_files(&held);
    check_jobs(&held);
}

fn check_files(held: &Held<'_>) {
    assert_eq!(held.get(FILES, FILES).1["data"], json!([]));
    let id = held.upload(12);
    assert_eq!(held.get(FILES, FILES).1["data"][0]["id"], *id);
    assert_eq!(held.get(FILES, "/v1/files?order=sideways").0, 400);
    let path = format!("{FILES}/{id}");
    assert_eq!(held.get(FILE, &path).0, 200);
    let content = "/v1/files/{id}/content";
    assert_eq!(held.get(content, &format!("{path}/content")).0, 200);
    for (described, path) in [
        (FILE, "/v1/files/file-none"),
        (content, "/v1/files/file-none/content"),
    ] {
        assert_eq!(held.get(described, path).0, 404);
    }
    assert_eq!(held.get(FILE, "/v1/files/%FF").0, 400);
    let bad = held.ask("POST", FILES, FILES, Sent::File("{\n"));
    assert_eq!(
        (bad.0, &bad.1["error"]["code"]),
        (400, &json!("file-invalid"))
    );
    assert_eq!(held.ask("POST", FILES, FILES, Sent::Json(json!({}))).0, 400);
    for expected in [200, 404] {
        let (status, _) = held.ask("DELETE", FILE, &path, Sent::Nothing);
        assert_eq!(status, expected);
    }
}

fn check_jobs(held: &Held<'_>) {
    let (long, short) = (held.place(50, 1), held.place(4, 4));
    let job = |id: &str, end: &str| format!("{JOBS}/{id}{end}");
    let does = |what: &str, id: &str| {
        let described = format!("{JOB}/{what}");
        let path = job(id, &format!("/{what}"));
        held.ask("POST", &described, &path, Sent::Nothing).0
    };
    held.wait(&long, "running");
    assert_eq!((does("pause", &long), does("pause", &long)), (200, 400));
    held.wait(&short, "succeeded");
    assert_eq!((does("resume", &long), does("resume", &long)), (200, 400));
    assert_eq!((does("cancel", &long), does("cancel", &long)), (200, 400));
    // What is done to a job is an operation on its order, like any other.
    let (_, audit) = held.get("/api/audit", "/api/audit");
    let audit = audit.to_string();
    for told in ["order-pause", "order-resume", "order-cancel"] {
        assert!(audit.contains(told), "{told}: {audit}");
    }
    for id in [&long, &short] {
        for part in ["events", "checkpoints"] {
            let described = format!("{JOB}/{part}");
            let (status, list) = held.get(&described, &job(id, &format!("/{part}")));
            assert_eq!(status, 200, "{list}");
            let empty = list["data"] == json!([]);
            assert_eq!(
                empty,
                part == "checkpoints" && *id == long,
                "{part}: {list}"
            );
        }
    }
    let (_, jobs) = held.get(JOBS, JOBS);
    assert_eq!(jobs["data"][0]["id"], *short, "the newest first");
    assert_eq!(held.get(JOBS, &format!("{JOBS}?after=ftjob-none")).0, 404);
    assert_eq!(held.get(JOB, &job("ftjob-none", "")).0, 404);
    assert_eq!(held.get(JOB, &job("%FF", "")).0, 400);
    for what in ["pause", "resume", "cancel"] {
        assert_eq!((does(what, "ftjob-none"), does(what, "%FF")), (404, 400));
    }
    let refused = json!({"model": "gpt-none", "training_file": "file-none"});
    assert_eq!(held.ask("POST", JOBS, JOBS, Sent::Json(refused)).0, 400);
    assert_eq!(held.ask("POST", JOBS, JOBS, Sent::Nothing).0, 415);
}
