//! Black-box tests of the `lathe` binary: helpers shared by the test files in
//! `tests/`. They start the real program on homes of their own and look only at
//! what it prints, what it serves and what it leaves on the disk.

pub mod forge;
pub mod job;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for anything; far beyond what is ever needed, so that a slow machine passes.
pub const WAIT_MAX: Duration = Duration::from_secs(180);

/// The workspace's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the workspace")
        .to_path_buf()
}

/// A pack of the fixtures.
pub fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures").join(name)
}

/// The `lathe` program of the same profile as this test, built once if need be; the one that
/// `LATHE_TEST_PROGRAM` names where it is set.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(named) = std::env::var_os("LATHE_TEST_PROGRAM") {
            return named.into();
        }
        let test = std::env::current_exe().expect("a test knows its own file");
        let profile = test
            .parent()
            .and_then(Path::parent)
            .expect("tests lie in PROFILE/deps");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--package", "lathe", "--quiet"]);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        // What cargo tells this test about itself would make build scripts run again, and with
        // them every crate above them.
        let own = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_CRATE_",
            "CARGO_BIN_",
        ];
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if own.iter().any(|start| text.starts_with(start)) {
                build.env_remove(&name);
            }
        }
        let built = build.current_dir(root()).status().expect("cargo runs");
        assert!(built.success(), "lathe does not build");
        profile.join("lathe")
    })
}

/// A home that is removed with its value. Its salts are fixed, so that equal orders in two homes
/// make equal artifacts.
pub struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    /// A fresh one.
    pub fn new() -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("salt.seed"), [7; 32]).expect("writes");
        Home { folder }
    }

    /// A fresh one without anything in it.
    pub fn bare() -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        Home { folder }
    }

    /// A copy of this one, writable.
    pub fn copy(&self) -> Home {
        let folder = tempfile::tempdir().expect("a folder");
        copy_folder(self.path(), folder.path());
        Home { folder }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `lathe ARGS` on this home, in English, listening on a free port.
    pub fn lathe(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(args)
            .env("LATHE_HOME", self.path())
            .env("LATHE_LANG", "en")
            .env("LATHE_THREADS", "2")
            .env_remove("LATHE_TEST_PAUSE_AT")
            .stdin(Stdio::null());
        command
    }

    /// Runs `lathe ARGS` to its end.
    pub fn output(&self, args: &[&str]) -> Output {
        self.lathe(args).output().expect("lathe starts")
    }

    /// Runs `lathe ARGS`, which must succeed and print one JSON value.
    pub fn json(&self, args: &[&str]) -> Value {
        let output = self.output(args);
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).expect("it prints JSON")
    }

    /// `lathe run PACK --json --exit`, with more arguments.
    pub fn run(&self, pack: &Path, more: &[&str]) -> Command {
        let pack = pack.to_str().expect("fixtures have plain names");
        let mut args = vec!["run", pack, "--json", "--exit", "--listen", "127.0.0.1:0"];
        args.extend(more);
        self.lathe(&args)
    }

    /// Runs the pack to its end, which must be a good one, and returns the lines it printed.
    pub fn finish(&self, pack: &Path, more: &[&str]) -> Vec<Value> {
        let output = self.run(pack, more).output().expect("lathe starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        lines(&output.stdout)
    }

    /// The kinds of the ledger's entries, in order.
    pub fn ledger_kinds(&self) -> Vec<String> {
        let entries = self.json(&["ledger", "list", "--json"]);
        let entries = entries["entries"].as_array().expect("a list").iter();
        entries
            .map(|entry| entry["kind"].as_str().expect("a kind").to_owned())
            .collect()
    }

    /// The newest order, as `lathe order show --json` has it.
    pub fn newest_order(&self) -> Value {
        let orders = self.json(&["order", "list", "--json"]);
        let id = orders[0]["id"].as_str().expect("an order").to_owned();
        self.json(&["order", "show", &id, "--json"])
    }

    /// The digest of the tuned model.
    pub fn adapter(&self) -> String {
        let models = self.json(&["model", "list", "--json"]);
        let models = models.as_array().expect("a list").iter();
        let mut tuned = models.filter(|model| model["kind"] == "tuned");
        let digest = tuned.next().expect("a tuned model")["digest"].clone();
        assert!(tuned.next().is_none(), "one tuned model");
        digest.as_str().expect("a digest").to_owned()
    }

    /// The names in one of the home's folders.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path().join(folder)).expect("a folder of the home");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    /// Process ids of workers of this home that live.
    pub fn workers(&self) -> Vec<u32> {
        let wanted = format!("LATHE_HOME={}", self.path().display());
        let processes = fs::read_dir("/proc").expect("Linux").filter_map(Result::ok);
        let ids = processes.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
        ids.filter(|id: &u32| {
            let read = |file: &str| fs::read(format!("/proc/{id}/{file}")).unwrap_or_default();
            let command = read("cmdline");
            let is_worker = command.split(|byte| *byte == 0).nth(1) == Some(b"worker");
            is_worker
                && read("environ")
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == wanted.as_bytes())
        })
        .collect()
    }
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// Copies a folder, files and all, writable.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a folder");
    for entry in fs::read_dir(from).expect("lists") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::write(&target, fs::read(entry.path()).expect("reads")).expect("writes");
        }
    }
}

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The JSON values of a text, one a line.
pub fn lines(bytes: &[u8]) -> Vec<Value> {
    text(bytes)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect()
}

/// Waits until `found` gives something.
pub fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(begun.elapsed() < WAIT_MAX, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits for the end of a child.
pub fn wait_for_end(child: &mut Child) -> ExitStatus {
    wait_for("the end of a process", || {
        child.try_wait().expect("a child")
    })
}

/// A `lathe up` or `lathe run` that serves, ended with its value.
pub struct Serving {
    child: Child,
    /// Where it answers.
    pub url: String,
}

impl Serving {
    /// Starts `command` and waits for the home's lock file to name the URL.
    pub fn start(home: &Home, command: &mut Command) -> Serving {
        Serving::spawned(home, command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts `command`, which says what it has to say into the file `log`.
    pub fn start_logged(home: &Home, command: &mut Command, log: &Path) -> Serving {
        // A copied home names the process that had the original.
        let _ = fs::remove_file(home.path().join("lock"));
        let file = fs::File::create(log).expect("a file");
        Serving::spawned(home, command.stdout(Stdio::null()).stderr(file))
    }

    /// As [`Serving::start_logged`], with a standard output of the test's own.
    pub fn start_unread(home: &Home, command: &mut Command, out: Stdio, log: &Path) -> Serving {
        let file = fs::File::create(log).expect("a file");
        Serving::spawned(home, command.stdout(out).stderr(file))
    }

    fn spawned(home: &Home, command: &mut Command) -> Serving {
        let child = command.spawn().expect("lathe starts");
        let url = wait_for("the daemon's URL", || {
            let text = fs::read_to_string(home.path().join("lock")).ok()?;
            let holder: Value = serde_json::from_str(&text).ok()?;
            Some(holder["url"].as_str()?.to_owned())
        });
        Serving { child, url }
    }

    /// Waits until it prints a line that holds `wanted`; returns the line.
    pub fn wait_for_line(&mut self, wanted: &str) -> String {
        let stdout = self.child.stdout.take().expect("standard output is piped");
        let mut reader = BufReader::new(stdout);
        let mut line = String::new();
        loop {
            line.clear();
            let read = reader.read_line(&mut line).expect("reads");
            if read == 0 {
                let mut said = String::new();
                if let Some(mut stderr) = self.child.stderr.take() {
                    // For the message only.
                    let _ = stderr.read_to_string(&mut said);
                }
                panic!("it ended without saying {wanted:?}: {said}");
            }
            if line.contains(wanted) {
                self.child.stdout = Some(reader.into_inner());
                return line;
            }
        }
    }

    /// Sends Ctrl-C and waits for the end.
    pub fn interrupt(mut self) -> ExitStatus {
        self.signal("INT");
        wait_for_end(&mut self.child)
    }

    /// Sends a signal by its name: `TERM`.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        wait_for_end(&mut self.child)
    }

    /// GETs a text, whatever its status.
    pub fn get_text(&self, path: &str) -> (u16, String) {
        let mut response = agent()
            .get(format!("{}{path}", self.url))
            .call()
            .expect("the daemon answers");
        let status = response.status().as_u16();
        let answer = response.body_mut().read_to_string().expect("a text");
        (status, answer)
    }

    /// GETs JSON, whose status must be 200.
    pub fn get(&self, path: &str) -> Value {
        let (status, answer) = self.get_text(path);
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).expect("it answers JSON")
    }

    /// POSTs JSON and returns status and answer.
    pub fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let mut response = agent()
            .post(format!("{}{path}", self.url))
            .send_json(body)
            .expect("the daemon answers");
        let status = response.status().as_u16();
        let answer = response.body_mut().read_to_string().expect("a text");
        (status, serde_json::from_str(&answer).unwrap_or(Value::Null))
    }
}

/// A client that takes every status, and goes through no proxy.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
