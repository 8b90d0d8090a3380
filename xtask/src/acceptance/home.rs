//! A fresh home for one scenario, and the `lathe` binary run in it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::caller::get;
use crate::shell;

/// The pack of the project's main job.
pub const PACK: &str = "packs/customer-care";

/// A home folder under the target folder, emptied when made.
pub struct FreshHome {
    path: PathBuf,
}

/// What a finished `lathe run --json` printed, and how long it took.
pub struct Finished {
    /// One object per finished step.
    pub steps: Vec<Value>,
    /// The last line: the order and its metrics.
    pub summary: Value,
    /// Wall time of the whole command.
    pub seconds: f64,
}

impl FreshHome {
    /// An empty home. What earlier scenarios downloaded is not carried over.
    pub fn new(name: &str) -> Result<Self, String> {
        let path = shell::target_dir().join("acceptance").join(name);
        if path.exists() {
            // Artifacts are read-only; their folders have to be opened before they can go.
            shell::run(shell::command("chmod", &["-R", "u+w"]).arg(&path))?;
            std::fs::remove_dir_all(&path)
                .map_err(|error| format!("emptying {}: {error}", path.display()))?;
        }
        std::fs::create_dir_all(&path)
            .map_err(|error| format!("making {}: {error}", path.display()))?;
        Ok(Self { path })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `lathe ARGUMENTS` in this home.
    pub fn lathe(&self, arguments: &[&str]) -> Command {
        let mut command = shell::command(shell::target_dir().join("release/lathe"), arguments);
        command
            .env("LATHE_HOME", &self.path)
            .env("LATHE_LANG", "en");
        command
    }

    /// Runs the pack to its end and reads what it printed.
    pub fn run_order(&self, extra: &[&str]) -> Result<Finished, String> {
        let arguments: Vec<&str> = ["run", PACK, "--exit", "--json"]
            .into_iter()
            .chain(extra.iter().copied())
            .collect();
        let start = Instant::now();
        let printed = shell::output(&mut self.lathe(&arguments))?;
        let seconds = start.elapsed().as_secs_f64();
        let mut lines = printed
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .map_err(|error| format!("line '{line}' is not JSON: {error}"))
            })
            .collect::<Result<Vec<Value>, String>>()?;
        let summary = lines.pop().ok_or("the order printed nothing")?;
        Ok(Finished {
            steps: lines,
            summary,
            seconds,
        })
    }

    /// The folder of the artifact a step made.
    pub fn object_of(&self, finished: &Finished, step: &str) -> Result<PathBuf, String> {
        let digest = finished.step(step)?["artifact"]
            .as_str()
            .ok_or_else(|| format!("step {step} has no artifact"))?;
        Ok(self.path.join("objects").join(digest))
    }

    /// The file with the given ending in the artifact a step made.
    pub fn file_of(
        &self,
        finished: &Finished,
        step: &str,
        ending: &str,
    ) -> Result<PathBuf, String> {
        let folder = self.object_of(finished, step)?;
        std::fs::read_dir(&folder)
            .map_err(|error| format!("reading {}: {error}", folder.display()))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|found| found == ending))
            .ok_or_else(|| format!("no .{ending} in {}", folder.display()))
    }

    /// Starts `lathe up` and waits until a model answers; returns the process and its address.
    pub fn up(&self) -> Result<(Up, String), String> {
        self.up_with(|_| {})
    }

    /// As [`FreshHome::up`], the command changed before it starts.
    pub fn up_with(&self, change: impl FnOnce(&mut Command)) -> Result<(Up, String), String> {
        let mut command = self.lathe(&["up", "--listen", "127.0.0.1:0"]);
        change(&mut command);
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("starting lathe up: {error}"))?;
        let stdout = child
            .stdout
            .take()
            .ok_or("lathe up has no standard output")?;
        let up = Up(child);
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(|error| format!("reading what lathe up prints: {error}"))?;
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .ok_or_else(|| format!("no address in '{line}'"))?
            .to_owned();
        // It listens before its models have passed admission again.
        wait_until("a model's answering", Duration::from_secs(60), || {
            lists_a_model(&url)
        })?;
        Ok((up, url))
    }
}

/// Whether the server at that address lists a model.
fn lists_a_model(url: &str) -> bool {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    get(address, "/v1/models").is_ok_and(|answer| answer.contains("\"id\""))
}

/// A running daemon; ended when dropped.
pub struct Up(Child);

impl Up {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Finished {
    /// The object of the named step.
    pub fn step(&self, name: &str) -> Result<&Value, String> {
        self.steps
            .iter()
            .find(|step| step["step"] == name)
            .ok_or_else(|| format!("no step '{name}' in what the order printed"))
    }

    /// Digest of the tuned weights. Not of the whole artifact: that names the batch-order root, and
    /// the salts of the leaves under it are each home's own.
    pub fn adapter(&self) -> Result<String, String> {
        let step = self.step("tune")?;
        step["figures"]["weights_sha256"]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("no weights_sha256 in {step}"))
    }
}

/// Polls `condition` until it holds.
pub fn wait_until(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<(), String> {
    let start = Instant::now();
    while start.elapsed() < limit {
        if condition() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!(
        "{what} did not happen within {} s",
        limit.as_secs()
    ))
}
