//! A step gives way to answers: its process has the least priority, every thread of it, and its daemon has not.

use std::fs;
use std::process::Stdio;

use lathe_tests::{Home, fixture, wait_for};

/// How nice the threads of a process are: field 19 of their stat (proc_pid_stat(5)), the third after the name.
fn niceness(pid: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let of = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(16)?.parse().ok()
    };
    tasks
        .filter_map(|task| of(task.expect("an entry")))
        .collect()
}

#[test]
fn a_step_runs_at_the_least_priority_and_the_daemon_does_not() {
    let home = Home::new();
    let mut child = home
        .run(&fixture("tiny-pack"), &[])
        .env("LATHE_TEST_PAUSE_AT", "tune:half")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("lathe starts");
    let worker: u32 = wait_for("a step in its middle", || {
        let pid = fs::read_to_string(home.path().join("tmp/paused")).ok()?;
        pid.parse().ok()
    });
    let (step, daemon) = (niceness(worker), niceness(child.id()));
    child.kill().expect("it lives");
    child.wait().expect("it ends");
    // The one that computes and the one that watches its parent at least.
    assert!(
        step.len() >= 2 && step.iter().all(|it| *it == 19),
        "{step:?}"
    );
    assert!(
        !daemon.is_empty() && daemon.iter().all(|it| *it < 19),
        "{daemon:?}"
    );
}
