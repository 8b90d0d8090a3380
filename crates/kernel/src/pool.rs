//! A fixed set of worker threads for tasks of tens of microseconds.

/// Environment variable that sets the number of threads.
pub const THREADS_VARIABLE: &str = "LATHE_THREADS";
/// More threads than this are never started.
pub const THREADS_MAX: usize = 256;

/// How many threads to use: `LATHE_THREADS` if it is a positive number, else what the affinity mask
/// and the cgroup quota of the process allow; at most [`THREADS_MAX`].
pub fn default_threads() -> usize {
    todo!()
}

/// Worker threads that share the tasks of one call at a time. `Send + Sync`; dropping it joins them.
#[derive(Debug)]
pub struct Pool {}

impl Pool {
    /// A pool that computes on `threads` threads (1 to [`THREADS_MAX`]), the caller of
    /// [`Pool::run`] being one of them.
    pub fn new(_threads: usize) -> Pool {
        todo!()
    }

    /// The number of threads, the caller included.
    pub fn threads(&self) -> usize {
        todo!()
    }

    /// Calls `f(0) .. f(tasks - 1)`, each once, and returns when all are done. Which thread runs
    /// which task is not fixed, so results must not depend on it. Called from within a task it runs
    /// inline. A panic in a task is raised again here.
    pub fn run(&self, _tasks: usize, _f: &(dyn Fn(usize) + Sync)) {
        todo!()
    }
}
