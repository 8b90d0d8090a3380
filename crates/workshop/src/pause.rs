//! A place to stop at, for tests that kill processes at a chosen moment.
//!
//! `LATHE_TEST_PAUSE_AT=STEP:POINT` makes the process that reaches the point
//! leave the file `tmp/paused` in the home, holding its process id, and sleep
//! until it is killed, or asked to put its work aside. Nothing else changes: it is an environment variable and
//! not a build flag so that the binary under test is the one people run.
//!
//! Points: `begun` (worker, before the step's work), `half` (worker, inside
//! tuning), `built` (worker, the artifact is built but not handed over),
//! `sealed` (daemon, the object is in place but not in the store), `stored`
//! (daemon, after the transaction).
//!
//! `LATHE_TEST_KILL_AT_WRITE=N` makes a daemon kill itself, as `kill -9` would,
//! after its N-th write: a row, a commit, a file put into place. Its workers do
//! not inherit it.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::order::StepName;
use crate::worker;

/// Stops here when a test asks for it.
pub fn at(home: &Path, step: StepName, point: &str) {
    let Ok(wanted) = std::env::var("LATHE_TEST_PAUSE_AT") else {
        return;
    };
    if wanted != format!("{step}:{point}") {
        return;
    }
    let mark = home.join("tmp").join("paused");
    // Once only: a worker that is started again goes on.
    if !mark.exists() && fs::write(&mark, std::process::id().to_string()).is_ok() {
        while !worker::is_aside() {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The variable that names the write to die after.
pub(crate) const KILL_AT_WRITE: &str = "LATHE_TEST_KILL_AT_WRITE";

/// Something was written: dies here when a test asks for it.
pub(crate) fn written() {
    static LAST: OnceLock<Option<u64>> = OnceLock::new();
    static WRITES: AtomicU64 = AtomicU64::new(0);
    let last = LAST.get_or_init(|| std::env::var(KILL_AT_WRITE).ok()?.parse().ok());
    if last.is_some() && Some(WRITES.fetch_add(1, Ordering::Relaxed) + 1) == *last {
        let own = rustix::process::getpid();
        // It cannot fail for oneself; and if it did, the test would say that nothing died.
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        std::thread::sleep(Duration::from_secs(60));
    }
}
