//! The scheduler: one thread that owns the compute pool and makes every answer.
//!
//! Handlers hand it [`Job`]s and read [`Event`]s; nothing else of the server
//! computes. Between steps the thread looks at what came in; with nothing to do it
//! sleeps on its channel and takes no processor time. A step is in [`batch`], an
//! answer in [`slot`].
//!
//! What is absent: which models exist (`door`), what the caller sees (`api`), and
//! any way on after a panic. A thread that died answers nobody, every request is
//! told so, and `/health` says why.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, TryRecvError};
use std::thread;
use std::time::Duration;

use lathe_kernel::Pool;
use tokio::sync::{Semaphore, oneshot, watch};

use crate::limits::Limits;
use crate::meters::Meters;
use crate::place::Place;
use crate::served::Served;
use batch::Batch;

mod batch;
mod bias;
mod caller;
mod embedding;
mod grammar;
mod guesses;
mod job;
mod memory;
mod pace;
mod penalties;
mod prefixes;
mod queue;
mod scores;
mod slot;
mod stop;
#[cfg(test)]
mod tests;
mod text;
mod turns;

pub(crate) use bias::Bias;
pub(crate) use caller::Caller;
pub(crate) use embedding::{EmbeddingJob, Unread};
pub(crate) use grammar::Grammar;
pub(crate) use job::{Event, FinishReason, Finished, Job, Outlet, Plan};
pub(crate) use penalties::Penalties;
pub(crate) use scores::{TokenScore, Wanted};

/// Where the scheduler is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Takes jobs.
    Running,
    /// Finishes what it has and takes nothing new.
    Draining,
    /// The thread has ended, for the reason given.
    Ended(String),
}

/// Why a request cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many requests run and wait as the limits allow.
    Full,
    /// The scheduler takes nothing, for the reason given.
    Down(String),
}

/// Between a job being dropped by a dying thread and the thread saying why.
const UNWIND_MAX: Duration = Duration::from_secs(1);

enum Command {
    Submit(Box<Job>),
    Embed(Box<EmbeddingJob>),
    Probe(Arc<Served>, oneshot::Sender<Result<(), String>>),
    Free,
    Drain,
    Abort,
}

/// The handlers' end of the scheduler.
pub(crate) struct Scheduler {
    commands: mpsc::Sender<Command>,
    places: Arc<Semaphore>,
    phase: watch::Sender<Phase>,
    meters: Arc<Meters>,
}

impl Scheduler {
    /// Starts the thread. It ends when the handle is dropped and no job is left.
    pub(crate) fn start(threads: usize, limits: Limits, meters: Arc<Meters>) -> Scheduler {
        let (commands, inbox) = mpsc::channel();
        let (phase, _) = watch::channel(Phase::Running);
        let places = Arc::new(Semaphore::new(limits.requests_max()));
        let ended = phase.clone();
        let body = move || {
            let run = || run(Batch::new(Pool::new(threads), limits), &inbox);
            let reason = match catch_unwind(AssertUnwindSafe(run)) {
                Ok(()) => "the server was stopped".to_owned(),
                Err(panic) => format!("the scheduler died: {}", panic_text(panic.as_ref())),
            };
            ended.send_replace(Phase::Ended(reason));
        };
        let spawned = thread::Builder::new()
            .name("lathe-scheduler".to_owned())
            .spawn(body);
        if let Err(error) = spawned {
            let reason = format!("the scheduler's thread could not be started: {error}");
            phase.send_replace(Phase::Ended(reason));
        }
        Scheduler {
            commands,
            places,
            phase,
            meters,
        }
    }

    /// Where the scheduler is in its life.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// So many places among the answers the server holds, given back when dropped; all or none.
    ///
    /// # Errors
    /// [`Refusal`], when there are not so many or the server is going down.
    pub(crate) fn reserve(&self, places: usize) -> Result<Vec<Place>, Refusal> {
        match self.phase() {
            Phase::Running => self
                .places
                .clone()
                .try_acquire_many_owned(u32::try_from(places).unwrap_or(u32::MAX))
                .map(|mut permit| {
                    let each = std::iter::from_fn(|| permit.split(1)).take(places);
                    each.map(|one| Place::new(one, self.meters.clone()))
                        .collect()
                })
                .map_err(|_| Refusal::Full),
            Phase::Draining => Err(Refusal::Down("the server is shutting down".to_owned())),
            Phase::Ended(reason) => Err(Refusal::Down(reason)),
        }
    }

    /// Requests that would still be taken.
    #[cfg(test)]
    pub(crate) fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    /// Hands over a job. If the thread is gone the job is dropped, which its events
    /// show by ending early.
    pub(crate) fn submit(&self, mut job: Job) {
        job.permit.submitted(&job.served, job.prompt.len());
        let _ = self.commands.send(Command::Submit(Box::new(job)));
    }

    /// Hands over texts to be embedded, as [`Scheduler::submit`] does a job.
    pub(crate) fn embed(&self, mut job: EmbeddingJob) {
        let tokens = job.inputs.iter().map(Vec::len).sum();
        job.place.submitted(&job.served, tokens);
        let _ = self.commands.send(Command::Embed(Box::new(job)));
    }

    /// Really decodes one token of `served`.
    ///
    /// # Errors
    /// Why it cannot be done.
    pub(crate) async fn probe(&self, served: Arc<Served>) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(Command::Probe(served, reply));
        match answer.await {
            Ok(result) => result,
            Err(_) => Err(self.why_dropped().await),
        }
    }

    /// Lets go of what is kept of models that are no longer served.
    pub(crate) fn free(&self) {
        let _ = self.commands.send(Command::Free);
    }

    /// Why an answer ended without an end: the thread is gone, or about to be.
    pub(crate) async fn why_dropped(&self) -> String {
        let mut phase = self.phase.subscribe();
        let ended = phase.wait_for(|phase| matches!(phase, Phase::Ended(_)));
        let _ = tokio::time::timeout(UNWIND_MAX, ended).await;
        match self.phase() {
            Phase::Ended(reason) => reason,
            _ => "the scheduler dropped the request".to_owned(),
        }
    }

    /// Takes nothing new, lets what runs and waits finish, then ends the thread;
    /// what is not done by `deadline` ends with an error.
    pub(crate) async fn shut_down(&self, deadline: Duration) {
        self.phase.send_if_modified(|phase| {
            let running = *phase == Phase::Running;
            if running {
                *phase = Phase::Draining;
            }
            running
        });
        let _ = self.commands.send(Command::Drain);
        let mut phase = self.phase.subscribe();
        let ended = |phase: &Phase| matches!(phase, Phase::Ended(_));
        if tokio::time::timeout(deadline, phase.wait_for(ended))
            .await
            .is_err()
        {
            let _ = self.commands.send(Command::Abort);
            // The step that is running cannot be interrupted, but it is bounded.
            let _ = phase.wait_for(ended).await;
        }
    }
}

/// The thread: takes commands and steps until told to stop.
fn run(mut batch: Batch, inbox: &mpsc::Receiver<Command>) {
    let mut draining = false;
    loop {
        let command = if batch.is_idle() {
            if draining {
                return;
            }
            inbox.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            inbox.try_recv()
        };
        match command {
            Ok(Command::Submit(job)) => batch.enqueue(*job),
            Ok(Command::Embed(job)) => batch.enqueue_embedding(*job),
            Ok(Command::Probe(served, reply)) => {
                let _ = reply.send(batch.probe(&served));
            }
            Ok(Command::Free) => batch.free(),
            Ok(Command::Drain) => draining = true,
            Ok(Command::Abort) => batch.fail_all("the server was stopped before the answer ended"),
            Err(TryRecvError::Disconnected) if batch.is_idle() => return,
            Err(_) => batch.step(),
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}
