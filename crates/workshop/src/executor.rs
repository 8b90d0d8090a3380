//! The executor: starts a worker for a step, hears what it says, and tells how
//! it ended. It stores nothing and decides nothing.

use std::collections::VecDeque;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::error::WorkshopError;
use crate::home::io_error;
use crate::order::{Output, StepError, StepName};
use crate::worker::{Event, Job};

/// Lines of standard error kept for the message of a worker that crashes.
const LAST_LINES_MAX: usize = 12;

/// How long a worker may take to put aside what it has done: a step of tuning and a checkpoint.
const ASIDE_WAIT_MAX: Duration = Duration::from_secs(20);

/// A worker at work.
#[derive(Debug)]
pub struct Running {
    step: StepName,
    child: Child,
    /// Kept open: its end tells the worker that its parent is gone.
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    stderr: Lines<BufReader<ChildStderr>>,
    stderr_open: bool,
    last_lines: VecDeque<String>,
    word: Option<Result<Output, StepError>>,
}

/// How a worker ended.
#[derive(Debug)]
pub enum End {
    /// With a result.
    Done(Output),
    /// With an error of the step.
    Failed(StepError),
    /// Without a word: it crashed or was killed.
    Crashed(StepError),
}

impl Running {
    /// Starts `program worker` in a process group of its own (so that Ctrl-C reaches only the
    /// parent, which then ends it in order) and hands it the job.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub async fn start(program: &Path, job: &Job) -> Result<Running, WorkshopError> {
        let mut child = Command::new(program)
            .arg("worker")
            .env_remove(crate::pause::KILL_AT_WRITE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| io_error("start a worker from", program, &error))?;
        let mut stdin = child.stdin.take().expect("standard input is piped");
        let stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let mut line = serde_json::to_vec(job).expect("our own types serialise");
        line.push(b'\n');
        // A worker that dies at once is told by its end, not by this write.
        let _ = stdin.write_all(&line).await;
        let _ = stdin.flush().await;
        Ok(Running {
            step: job.step,
            child,
            stdin: Some(stdin),
            stdout: BufReader::new(stdout).lines(),
            stderr: BufReader::new(stderr).lines(),
            stderr_open: true,
            last_lines: VecDeque::new(),
            word: None,
        })
    }

    /// The next thing the worker says, or `None` when it has ended its output. Cancel safe.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            tokio::select! {
                line = self.stdout.next_line() => {
                    let line = line.ok().flatten()?;
                    if let Some(event) = self.hear(line) {
                        return Some(event);
                    }
                }
                line = self.stderr.next_line(), if self.stderr_open => {
                    match line.ok().flatten() {
                        Some(text) => return Some(self.note(text)),
                        None => self.stderr_open = false,
                    }
                }
            }
        }
    }

    /// Takes the last word in; passes everything else on.
    fn hear(&mut self, line: String) -> Option<Event> {
        match serde_json::from_str(&line) {
            Ok(Event::Result(output)) => self.word = Some(Ok(output)),
            Ok(Event::Error(error)) => self.word = Some(Err(error)),
            Ok(event) => return Some(event),
            Err(_) => return Some(Event::Log { text: line }),
        }
        None
    }

    fn note(&mut self, text: String) -> Event {
        if self.last_lines.len() == LAST_LINES_MAX {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(text.clone());
        Event::Log { text }
    }

    /// Waits for the worker to end and tells how it did.
    pub async fn end(mut self) -> End {
        drop(self.stdin.take());
        let status = self.child.wait().await;
        match self.word.take() {
            Some(Ok(output)) => End::Done(output),
            Some(Err(error)) => End::Failed(error),
            None => End::Crashed(self.crash(status.ok())),
        }
    }

    /// Has the worker put aside what it has done, where its step can, and waits until it is gone.
    pub async fn stop(mut self) {
        if let Some(stdin) = &mut self.stdin {
            // Any byte asks for it. One that is gone already hears nothing.
            let _ = stdin.write_all(b"\n").await;
            let _ = stdin.flush().await;
        }
        // What it says meanwhile is read, so that it does not wait for room.
        let _ = timeout(ASIDE_WAIT_MAX, async {
            while self.next().await.is_some() {}
        })
        .await;
        drop(self.stdin.take());
        // Exits by itself within milliseconds; a worker stuck in the kernel does not, and must
        // not outlive us either.
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    fn crash(&self, status: Option<ExitStatus>) -> StepError {
        let how = match status {
            Some(status) => match status.signal() {
                Some(signal) => format!("was killed by signal {signal}"),
                None => format!("ended with {status}"),
            },
            None => "ended in an unknown way".to_owned(),
        };
        let said: Vec<&str> = self.last_lines.iter().map(String::as_str).collect();
        let said = if said.is_empty() {
            String::new()
        } else {
            format!("; it said: {}", said.join(" / "))
        };
        StepError {
            code: "worker-crashed".to_owned(),
            text: format!("the worker of the step {} {how}{said}", self.step),
            next: "run the same command: it resumes; if it was killed for memory, free some"
                .to_owned(),
        }
    }
}
