//! A place to stop at, for tests that kill processes at a chosen moment.
//!
//! `LATHE_TEST_PAUSE_AT=STEP:POINT` makes the process that reaches the point
//! leave the file `tmp/paused` in the home, holding its process id, and sleep
//! until it is killed. Nothing else changes: it is an environment variable and
//! not a build flag so that the binary under test is the one people run.
//!
//! Points: `begun` (worker, before the step's work), `half` (worker, inside
//! tuning), `built` (worker, the artifact is built but not handed over),
//! `sealed` (daemon, the object is in place but not in the store), `stored`
//! (daemon, after the transaction).

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::order::StepName;

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
        loop {
            std::thread::sleep(Duration::from_secs(60));
        }
    }
}
