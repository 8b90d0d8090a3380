//! The worker: a child process that runs one step and ends with its parent.
//!
//! Its first line on standard input is a [`Job`]; standard input then stays
//! open, and its end means that the parent died: the worker exits at once.
//! It speaks in JSON lines on standard output ([`Event`]), the last of which is
//! the result or the error. It writes into `out` (an empty folder under tmp/,
//! the future artifact) and `work` (checkpoints, kept when it is killed), and
//! never into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lathe_evidence::Digest;
use serde::{Deserialize, Serialize};

use crate::home::{Home, io_error};
use crate::memory;
use crate::objects;
use crate::order::{CurvePoint, OrderId, Output, Progress, StepError, StepName};
use crate::pack::Pack;
use crate::steps;

/// Longest job: a pack and the facts of the earlier steps.
const JOB_BYTES_MAX: u64 = 16 << 20;

/// Progress is told at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

/// The figure of every step that a worker ran: the most memory it held, in bytes.
pub const PEAK_MEMORY: &str = "peak_memory_bytes";

/// How much a step counts beside answers: as little as there is (setpriority(2)).
const NICE: i32 = 19;

/// Exit code of a worker whose parent died.
const EXIT_ORPHANED: i32 = 75;
/// Exit code of a worker that was asked to put its work aside.
const EXIT_ASIDE: i32 = 76;

/// Whether the parent asked to put the work aside.
static ASIDE: AtomicBool = AtomicBool::new(false);
/// Whether the running step puts aside what it has done, when it is asked to.
static KEEPS: AtomicBool = AtomicBool::new(false);

/// What an earlier step left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Made {
    /// Digest of its artifact.
    pub artifact: Option<String>,
    /// What it found.
    pub output: Output,
}

/// One step to be run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// The home's folder.
    pub home: PathBuf,
    /// Whose step.
    pub order: OrderId,
    /// Which step.
    pub step: StepName,
    /// The effective pack.
    pub pack: Pack,
    /// The pack's folder, for relative `file:` sources.
    pub folder: PathBuf,
    /// Touch no network.
    pub offline: bool,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// Where the artifact is built.
    pub out: PathBuf,
    /// Where checkpoints are kept.
    pub work: PathBuf,
    /// What the earlier steps left.
    pub upstream: BTreeMap<StepName, Made>,
    /// Records that were withdrawn, by their leaves.
    pub withdrawn: BTreeSet<Digest>,
}

impl Job {
    /// The home.
    ///
    /// # Errors
    /// When its path cannot be made absolute.
    pub fn home(&self) -> Result<Home, StepError> {
        Ok(Home::locate(Some(self.home.clone()))?)
    }

    /// What an earlier step left.
    ///
    /// # Errors
    /// `job-incomplete` when the parent did not hand it over.
    pub fn made(&self, step: StepName) -> Result<&Made, StepError> {
        self.upstream.get(&step).ok_or_else(|| incomplete(step))
    }

    /// The folder of the artifact an earlier step made.
    ///
    /// # Errors
    /// `job-incomplete` when it made none.
    pub fn artifact(&self, step: StepName) -> Result<PathBuf, StepError> {
        let made = self.made(step)?;
        let digest = made.artifact.as_ref().ok_or_else(|| incomplete(step))?;
        Ok(objects::path(&self.home()?, digest))
    }
}

fn incomplete(step: StepName) -> StepError {
    StepError {
        code: "job-incomplete".to_owned(),
        text: format!("the job names nothing that the step {step} made"),
        next: "this is a mistake in Lathe; please report it".to_owned(),
    }
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// How far it is.
    Progress(Progress),
    /// A point of the loss curve.
    Point(CurvePoint),
    /// A line for the log.
    Log {
        /// The line.
        text: String,
    },
    /// The last word: done.
    Result(Output),
    /// The last word: failed.
    Error(StepError),
}

/// How a step tells of itself while it runs.
pub struct Emit<'a> {
    say: &'a mut dyn FnMut(Event),
    begun: Instant,
    told: Option<Instant>,
}

impl<'a> Emit<'a> {
    /// An emitter that hands every event to `say`.
    pub fn new(say: &'a mut dyn FnMut(Event)) -> Self {
        Emit {
            say,
            begun: Instant::now(),
            told: None,
        }
    }

    /// Tells how far the step is; the estimate is from the pace so far. Dropped when too soon
    /// after the last one, unless it is the end.
    pub fn progress(&mut self, done: u64, total: u64, unit: &str) {
        let pace = self.begun.elapsed().as_secs_f64() / done.max(1) as f64;
        let eta_s = (done > 0 && total >= done).then(|| pace * (total - done) as f64);
        self.progress_with_eta(done, total, unit, eta_s);
    }

    /// As [`Emit::progress`], with an estimate of one's own in seconds.
    pub fn progress_with_eta(&mut self, done: u64, total: u64, unit: &str, eta_s: Option<f64>) {
        let soon = self.told.is_some_and(|at| at.elapsed() < PROGRESS_EVERY);
        if soon && done < total {
            return;
        }
        self.told = Some(Instant::now());
        (self.say)(Event::Progress(Progress {
            done,
            total,
            unit: unit.to_owned(),
            eta_s,
            memory: memory::held(),
        }));
    }

    /// Begins to count anew, for a second part of the step with another pace.
    pub fn restart(&mut self) {
        self.begun = Instant::now();
        self.told = None;
    }

    /// Tells a point of the loss curve.
    pub fn point(&mut self, point: CurvePoint) {
        (self.say)(Event::Point(point));
    }

    /// Writes a line into the order's log.
    pub fn log(&mut self, text: impl Into<String>) {
        (self.say)(Event::Log { text: text.into() });
    }
}

/// Runs the job on standard input to its end and returns the process's exit code.
pub fn main() -> i32 {
    give_way();
    let mut input = BufReader::new(io::stdin());
    let job = match read_job(&mut input) {
        Ok(job) => job,
        Err(error) => {
            eprintln!("lathe worker: cannot read its job: {error}");
            return 2;
        }
    };
    // Before any work: a parent that died meanwhile has closed the pipe already.
    exit_with_parent(input);
    let mut stdout = io::stdout();
    let mut say = |event: Event| tell(&mut stdout, &event);
    match run(&job, &mut say) {
        Ok(output) => say(Event::Result(output)),
        Err(error) => say(Event::Error(error)),
    }
    0
}

/// Gives way to whatever else wants the processors: to the answers of the daemon that started it. Threads
/// inherit it, and none was started yet. What is idle is used as before.
fn give_way() {
    // Where that is not allowed it competes, as any program does.
    let _ = rustix::process::setpriority_process(None, NICE);
}

fn read_job(input: &mut impl BufRead) -> io::Result<Job> {
    let mut line = String::new();
    input.take(JOB_BYTES_MAX).read_line(&mut line)?;
    serde_json::from_str(&line).map_err(io::Error::other)
}

/// Ends this process when standard input ends, or asks to put the work aside and the step cannot. Nothing is
/// cleaned up: what is half-built lies in tmp/ and is swept by the next daemon, as after `kill -9`.
fn exit_with_parent(input: impl BufRead + Send + 'static) {
    std::thread::spawn(move || {
        for _ in input.bytes().map_while(Result::ok) {
            if !KEEPS.load(Ordering::Relaxed) {
                std::process::exit(EXIT_ASIDE);
            }
            ASIDE.store(true, Ordering::Relaxed);
        }
        std::process::exit(EXIT_ORPHANED);
    });
}

/// Whether the step may go on: no longer once it is to put its work aside.
pub(crate) fn goes_on() -> ControlFlow<()> {
    match is_aside() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// From now on the step asks [`goes_on`] often, and ends by [`leave`] once it may not.
pub(crate) fn keeps() {
    KEEPS.store(true, Ordering::Relaxed);
}

/// Whether the step is to put aside what it has done, and to end.
pub(crate) fn is_aside() -> bool {
    ASIDE.load(Ordering::Relaxed)
}

/// Ends this process, whose work is put aside.
pub(crate) fn leave() -> ! {
    std::process::exit(EXIT_ASIDE)
}

fn tell(stdout: &mut io::Stdout, event: &Event) {
    let mut line = serde_json::to_string(event).expect("our own types serialise");
    line.push('\n');
    let told = stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush());
    if told.is_err() {
        // Nobody listens any more: the parent died.
        std::process::exit(EXIT_ORPHANED);
    }
}

fn run(job: &Job, say: &mut dyn FnMut(Event)) -> Result<Output, StepError> {
    let _alive = job.home()?.lock_as_worker()?;
    let _mine = lock_work(&job.work)?;
    fs::create_dir_all(&job.out)
        .map_err(|error| io_error("create the folder", &job.out, &error))?;
    crate::pause::at(&job.home, job.step, "begun");
    let step = steps::worker_step(job.step).ok_or_else(|| incomplete(job.step))?;
    let mut output = (step.run)(job, &mut Emit::new(say))?;
    if let Some(memory) = memory::held() {
        let peak = memory.peak_bytes.into();
        output.figures.insert(PEAK_MEMORY.to_owned(), peak);
    }
    crate::pause::at(&job.home, job.step, "built");
    Ok(output)
}

/// Two workers never share checkpoints: the second waits for the first to end.
fn lock_work(work: &Path) -> Result<File, StepError> {
    fs::create_dir_all(work).map_err(|error| io_error("create the folder", work, &error))?;
    let path = work.join("lock");
    let file = File::create(&path).map_err(|error| io_error("create", &path, &error))?;
    file.lock()
        .map_err(|error| io_error("lock", &path, &error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_pipe() {
        for event in [
            Event::Log {
                text: "a\nb".to_owned(),
            },
            Event::Progress(Progress {
                done: 1,
                total: 2,
                unit: "unit.steps".to_owned(),
                eta_s: None,
                memory: memory::held(),
            }),
            Event::Result(Output::default()),
        ] {
            let line = serde_json::to_string(&event).unwrap();
            assert!(!line.contains('\n'));
            assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
        }
    }

    #[test]
    fn progress_is_told_at_a_bounded_rate_but_its_end_always() {
        let mut told = Vec::new();
        let mut say = |event| told.push(event);
        let mut emit = Emit::new(&mut say);
        for done in 1..=1000 {
            emit.progress(done, 1000, "unit.records");
        }
        assert!(told.len() < 20, "{}", told.len());
        let Some(Event::Progress(last)) = told.last() else {
            panic!("progress was told");
        };
        assert_eq!((last.done, last.eta_s), (1000, Some(0.0)));
    }
}
