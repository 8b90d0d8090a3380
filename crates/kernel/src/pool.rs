//! A fixed set of worker threads for tasks of tens of microseconds.
//!
//! Work is handed over through atomics: between two calls a worker spins for at most
//! [`SPIN_US_MAX`] and then sleeps, so a busy loop of small calls pays no system calls and an idle
//! pool uses no processor. There is no queue and no future: one call at a time. Its tasks are cut into
//! lanes of neighbours, and a thread empties its own lane before it helps with the others: where one
//! operation after another is cut in the same way, a thread finds what it reads in its own caches.
//! Processors whose caches are not shared by all cores make that worth a quarter of a prompt's time.
//! It is not a general executor; a task that blocks blocks a thread.

use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Isa;

/// Environment variable that sets the number of threads.
pub const THREADS_VARIABLE: &str = "LATHE_THREADS";
/// More threads than this are never started.
pub const THREADS_MAX: usize = 256;
/// How long an idle worker spins before it sleeps.
pub const SPIN_US_MAX: u64 = 50;
/// Looks for work between two looks at the clock.
const LOOKS: usize = 16;
/// Lanes at most: to find all of them empty is the end of every call, and a look at another core's
/// counter takes a tenth of a microsecond.
pub(crate) const LANES_MAX: usize = 8;

/// How many threads to use: `LATHE_THREADS` if it is a positive number, else what the affinity mask
/// and the cgroup quota of the process allow; at most [`THREADS_MAX`].
pub fn default_threads() -> usize {
    std::env::var(THREADS_VARIABLE)
        .ok()
        .and_then(|text| text.parse::<usize>().ok())
        .filter(|&threads| threads > 0)
        .or_else(|| thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1)
        .min(THREADS_MAX)
}

/// Worker threads that share the tasks of one call at a time. `Send + Sync`; dropping it joins them.
pub struct Pool {
    isa: Isa,
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// Held by the caller whose tasks are being worked on.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("threads", &self.threads())
            .field("isa", &self.isa)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool that computes on `threads` threads, the caller of [`Pool::run`] being one of them;
    /// less than 1 counts as 1, more than [`THREADS_MAX`] as that. The operations that take it use
    /// [`Isa::detect`].
    ///
    /// # Panics
    /// If the system refuses to start a thread.
    pub fn new(threads: usize) -> Pool {
        Pool::with_isa(threads, Isa::detect())
    }

    /// [`Pool::new`] with the instruction set that the operations are to use.
    ///
    /// # Panics
    /// If the machine lacks `isa`, or the system refuses to start a thread.
    pub fn with_isa(threads: usize, isa: Isa) -> Pool {
        assert!(
            isa.is_supported(),
            "this machine cannot run {isa}; choose one of Isa::supported()"
        );
        let threads = threads.clamp(1, THREADS_MAX);
        let shared = Arc::new(Shared::new(threads.min(LANES_MAX)));
        let workers = (1..threads)
            .map(|index| {
                let shared = Arc::clone(&shared);
                let lane = index * shared.lanes.len() / threads;
                thread::Builder::new()
                    .name(format!("lathe-kernel-{index}"))
                    .spawn(move || shared.work(lane))
                    .expect("the system starts the pool's few threads")
            })
            .collect();
        Pool {
            isa,
            shared,
            workers,
            turn: Mutex::new(()),
        }
    }

    /// The number of threads, the caller included.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// The instruction set of the operations that run here.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// How many runs of neighbouring tasks are each begun by threads of their own.
    pub(crate) fn lanes(&self) -> usize {
        self.shared.lanes.len()
    }

    /// Calls `f(0) .. f(tasks - 1)`, each once, and returns when all are done. A thread begins with
    /// the same part of the tasks in every call, but it may end with any: results must not depend on
    /// which thread runs which task. Called from within a task, or while another thread's call is
    /// under way, it runs inline.
    ///
    /// # Panics
    /// A panic in a task is raised again here, the first where there are several, after the tasks under
    /// way have ended; tasks not yet begun are dropped.
    pub fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.workers.is_empty() || IN_TASK.get() {
            return (0..tasks).for_each(f);
        }
        let turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return (0..tasks).for_each(f),
        };
        self.shared.publish(tasks, f);
        self.shared.take_tasks(0, tasks, f);
        self.shared.close();
        let panic = lock(&self.shared.panic).take();
        drop(turn);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        drop(lock(&self.shared.sleep));
        self.shared.wake.notify_all();
        for worker in self.workers.drain(..) {
            // A worker only ends by returning: panics of tasks are caught and handed to the caller.
            let _ended = worker.join();
        }
    }
}

thread_local! {
    /// Whether this thread is inside a task, where a further call runs inline.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// A call under way. The pointer is valid while the job is open or has participants.
#[derive(Clone, Copy)]
struct Job {
    tasks: usize,
    f: *const (dyn Fn(usize) + Sync),
}

/// `state` is `epoch << 33 | open << 32 | participants`: a worker joins by raising the participants
/// of an open job, and the caller, having closed it, waits for them to reach zero. So nobody can
/// still hold the borrowed closure when the call returns, and a worker that wakes late costs nothing.
struct Shared {
    state: AtomicU64,
    lanes: Box<[Lane]>,
    job: UnsafeCell<Option<Job>>,
    sleepers: AtomicUsize,
    sleep: Mutex<()>,
    wake: Condvar,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// How many tasks of a lane are claimed. Two cache lines of its own, as processors fetch them in pairs.
#[derive(Default)]
#[repr(align(128))]
struct Lane(AtomicUsize);

const OPEN: u64 = 1 << 32;
const EPOCH_SHIFT: u32 = 33;

// SAFETY: `job` is written only by the caller that holds `turn` while the job is closed and has no
// participants, and read only by participants, who joined through an acquiring exchange on `state`.
// The closure it points to is `Sync`.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    fn new(lanes: usize) -> Shared {
        Shared {
            state: AtomicU64::new(0),
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            job: UnsafeCell::new(None),
            sleepers: AtomicUsize::new(0),
            sleep: Mutex::new(()),
            wake: Condvar::new(),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        }
    }

    /// Opens a job and wakes as many sleepers as it can use.
    fn publish(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        // SAFETY: only the lifetime is changed; `close` returns before the borrow ends.
        let f = unsafe {
            std::mem::transmute::<&(dyn Fn(usize) + Sync), &'static (dyn Fn(usize) + Sync)>(f)
        };
        // SAFETY: the previous job is closed and without participants, and the caller holds `turn`.
        unsafe { *self.job.get() = Some(Job { tasks, f }) };
        self.claim_up_to(0);
        let epoch = (self.state.load(Ordering::Relaxed) >> EPOCH_SHIFT).wrapping_add(1);
        self.state
            .store((epoch << EPOCH_SHIFT) | OPEN, Ordering::SeqCst);
        let wanted = self.sleepers.load(Ordering::SeqCst).min(tasks - 1);
        if wanted > 0 {
            // Passing through the lock makes sure that a worker which saw no job is already waiting.
            drop(lock(&self.sleep));
            (0..wanted).for_each(|_| self.wake.notify_one());
        }
    }

    /// Lets nobody else join and waits until all participants have left.
    fn close(&self) {
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut spins = 0_u32;
        while self.state.load(Ordering::Acquire) as u32 > 0 {
            spins = spins.saturating_add(1);
            // Past this a participant has probably lost its processor: let it have ours.
            if spins > 2000 {
                thread::yield_now();
            } else {
                std::hint::spin_loop();
            }
        }
    }

    /// Counts `tasks` of every lane as claimed.
    fn claim_up_to(&self, tasks: usize) {
        for Lane(claimed) in &self.lanes {
            claimed.store(tasks, Ordering::Relaxed);
        }
    }

    /// Claims and runs tasks, those of lane `home` first, until none is left.
    fn take_tasks(&self, home: usize, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        let lanes = self.lanes.len();
        IN_TASK.set(true);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            for lane in (home..lanes).chain(0..home) {
                let (start, end) = (lane * tasks / lanes, (lane + 1) * tasks / lanes);
                let Lane(claimed) = &self.lanes[lane];
                // The look before the claim leaves the counter of an empty lane where it is cached.
                while claimed.load(Ordering::Relaxed) < end - start {
                    let task = start + claimed.fetch_add(1, Ordering::Relaxed);
                    if task >= end {
                        break;
                    }
                    f(task);
                }
            }
        }));
        IN_TASK.set(false);
        if let Err(payload) = outcome {
            self.claim_up_to(tasks);
            let mut first = lock(&self.panic);
            match *first {
                None => *first = Some(payload),
                // Dropping it here might panic again, while others still hold the closure.
                Some(_) => std::mem::forget(payload),
            }
        }
    }

    /// The life of a worker.
    fn work(&self, home: usize) {
        let mut seen = 0;
        while let Some(epoch) = self.join(seen) {
            seen = epoch;
            // SAFETY: this thread is a participant, so the job is set and stays as it is.
            if let Some(job) = unsafe { *self.job.get() } {
                // SAFETY: the caller keeps the closure alive until the participants have left.
                self.take_tasks(home, job.tasks, unsafe { &*job.f });
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for a job other than `seen` and joins it; `None` when the pool ends.
    fn join(&self, seen: u64) -> Option<u64> {
        loop {
            let patience = Instant::now() + Duration::from_micros(SPIN_US_MAX);
            loop {
                // Reading the clock takes as long as many looks at the state.
                for _ in 0..LOOKS {
                    if let Some(answer) = self.try_join(seen) {
                        return answer;
                    }
                    std::hint::spin_loop();
                }
                if Instant::now() >= patience {
                    break;
                }
            }
            self.sleep_until_called(seen);
        }
    }

    /// `None`: nothing to join. `Some(None)`: the pool ends. `Some(Some(epoch))`: joined.
    fn try_join(&self, seen: u64) -> Option<Option<u64>> {
        let state = self.state.load(Ordering::Acquire);
        if self.stop.load(Ordering::Relaxed) {
            return Some(None);
        }
        if !is_new(state, seen) {
            return None;
        }
        let joined =
            self.state
                .compare_exchange(state, state + 1, Ordering::Acquire, Ordering::Relaxed);
        joined.ok().map(|_| Some(state >> EPOCH_SHIFT))
    }

    fn sleep_until_called(&self, seen: u64) {
        let mut guard = lock(&self.sleep);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !is_new(self.state.load(Ordering::SeqCst), seen) && !self.stop.load(Ordering::SeqCst)
        {
            guard = self
                .wake
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }
}

fn is_new(state: u64, seen: u64) -> bool {
    state & OPEN != 0 && state >> EPOCH_SHIFT != seen
}

/// Locks; a poisoned lock is taken all the same, because nothing here is left half-changed by a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_task_runs_once_whatever_the_numbers() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads);
            assert_eq!(pool.threads(), threads);
            for tasks in [0, 1, 2, 7, 100] {
                for _ in 0..50 {
                    let counts: Vec<AtomicUsize> =
                        (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                    pool.run(tasks, &|task| {
                        counts[task].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(
                        counts
                            .iter()
                            .all(|count| count.load(Ordering::Relaxed) == 1)
                    );
                }
            }
        }
    }

    #[test]
    fn workers_that_sleep_are_woken() {
        let pool = Pool::new(3);
        for _ in 0..5 {
            thread::sleep(Duration::from_micros(SPIN_US_MAX * 20));
            let threads = Mutex::new(std::collections::HashSet::new());
            // Every task waits for the others, so the call ends only if all three threads take part.
            let arrived = AtomicUsize::new(0);
            pool.run(3, &|_| {
                lock(&threads).insert(thread::current().id());
                arrived.fetch_add(1, Ordering::SeqCst);
                while arrived.load(Ordering::SeqCst) < 3 {
                    thread::yield_now();
                }
            });
            assert_eq!(lock(&threads).len(), 3);
        }
    }

    #[test]
    fn a_thread_begins_with_the_same_tasks_in_every_call() {
        let (pool, each) = (Pool::new(3), 5);
        let begin = || {
            let begun = Mutex::new(BTreeMap::new());
            pool.run(3 * each, &|task| {
                lock(&begun)
                    .entry(task / each)
                    .or_insert(thread::current().id());
                // Nobody goes on, and so helps the others, before all have begun.
                while lock(&begun).len() < 3 {
                    thread::yield_now();
                }
            });
            begun.into_inner().unwrap_or_else(PoisonError::into_inner)
        };
        let first = begin();
        assert_eq!(first[&0], thread::current().id());
        for _ in 0..20 {
            assert_eq!(begin(), first);
        }
    }

    #[test]
    fn a_nested_call_runs_inline() {
        let pool = Pool::new(2);
        let sum = AtomicUsize::new(0);
        pool.run(4, &|outer| {
            let here = thread::current().id();
            pool.run(3, &|inner| {
                assert_eq!(thread::current().id(), here);
                sum.fetch_add(outer * 3 + inner, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.load(Ordering::Relaxed), (0..12).sum());
    }

    #[test]
    fn calls_from_several_threads_all_finish() {
        let pool = Pool::new(2);
        let sum = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        pool.run(5, &|task| {
                            sum.fetch_add(task, Ordering::Relaxed);
                        });
                    }
                });
            }
        });
        assert_eq!(sum.load(Ordering::Relaxed), 3 * 100 * 10);
    }

    #[test]
    fn panics_whose_payloads_panic_end_the_call_all_the_same() {
        struct Loud;
        impl Drop for Loud {
            fn drop(&mut self) {
                assert!(thread::panicking(), "dropped");
            }
        }
        let pool = Pool::new(3);
        let all = std::sync::Barrier::new(3);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            pool.run(3, &|_| {
                all.wait();
                std::panic::panic_any(Loud);
            });
        }));
        std::mem::forget(outcome.expect_err("the first is raised again"));
        let count = AtomicUsize::new(0);
        pool.run(20, &|_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.load(Ordering::Relaxed), 20);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(3);
        for _ in 0..3 {
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                pool.run(20, &|task| assert!(task != 13, "task thirteen"));
            }));
            let payload = outcome.expect_err("the panic is raised again");
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"task thirteen"));
            let count = AtomicUsize::new(0);
            pool.run(20, &|_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.load(Ordering::Relaxed), 20);
        }
    }
}
