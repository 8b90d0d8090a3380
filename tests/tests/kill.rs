//! `kill -9` at every step: the same command resumes, makes the same adapter,
//! does no finished step twice and leaves no process and no file behind.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lathe_tests::{Home, fixture, text, wait_for, wait_for_end};
use serde_json::Value;

/// Every point at which a process can be stopped, in the order an order passes them.
/// See `crates/workshop/src/pause.rs`.
const POINTS: [&str; 33] = [
    "model:begun",
    "model:built",
    "model:sealed",
    "model:stored",
    "data:begun",
    "data:built",
    "data:sealed",
    "data:stored",
    "prepare:begun",
    "prepare:built",
    "prepare:sealed",
    "prepare:stored",
    "base:begun",
    "base:built",
    "base:sealed",
    "base:stored",
    "challengers:begun",
    "challengers:built",
    "challengers:sealed",
    "challengers:stored",
    "tune:begun",
    "tune:half",
    "tune:built",
    "tune:sealed",
    "tune:stored",
    "evaluate:begun",
    "evaluate:built",
    "evaluate:sealed",
    "evaluate:stored",
    "deploy:sealed",
    "deploy:stored",
    "ask:begun",
    "ask:stored",
];

fn reference() -> (Home, String) {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let adapter = home.adapter();
    (home, adapter)
}

/// Starts the order so that it stops at `point`, and returns it stopped with the stopped process.
fn stopped_at(home: &Home, point: &str) -> (Child, u32) {
    let mut child = home
        .run(&fixture("tiny-pack"), &[])
        .env("LATHE_TEST_PAUSE_AT", point)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("lathe starts");
    let paused = wait_for(point, || {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended before {point}: {ended:?}");
        let pid = fs::read_to_string(home.path().join("tmp/paused")).ok()?;
        pid.parse().ok()
    });
    (child, paused)
}

/// The steps that are done, each with the moment it ended.
fn done_steps(home: &Home) -> Vec<(String, i64)> {
    let order = home.newest_order();
    let steps = order["steps"].as_array().expect("steps").iter();
    steps
        .filter(|step| step["state"] == "done")
        .map(|step| {
            let name = step["name"].as_str().expect("a name");
            (name.to_owned(), step["ended_ms"].as_i64().expect("ended"))
        })
        .collect()
}

fn assert_nothing_left(home: &Home, like: &Home) {
    assert_eq!(home.workers(), Vec::<u32>::new(), "orphan workers");
    for folder in ["tmp", "work"] {
        assert_eq!(home.names(folder), Vec::<String>::new(), "{folder}");
    }
    assert_eq!(home.names("objects").len(), like.names("objects").len());
}

#[test]
fn killed_at_every_point_of_one_order() {
    let (like, adapter) = reference();
    let home = Home::new();
    let mut done: Vec<(String, i64)> = Vec::new();
    for point in POINTS {
        let (mut child, _) = stopped_at(&home, point);
        child.kill().expect("kills");
        wait_for_end(&mut child);
        wait_for("the end of the workers", || {
            home.workers().is_empty().then_some(())
        });
        let now = done_steps(&home);
        assert!(now.starts_with(&done), "{point}: {done:?} became {now:?}");
        done = now;
    }
    home.finish(&fixture("tiny-pack"), &[]);
    assert_eq!(home.adapter(), adapter);
    assert_eq!(
        home.json(&["order", "list", "--json"])
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    assert_eq!(done_steps(&home).len(), 9);
    assert!(
        done_steps(&home).starts_with(&done),
        "no finished step done twice"
    );
    assert_nothing_left(&home, &like);
}

#[test]
fn a_killed_worker_is_started_again_by_the_same_daemon() {
    let (like, adapter) = reference();
    let home = Home::new();
    let (mut child, worker) = stopped_at(&home, "tune:half");
    assert_ne!(worker, child.id(), "tuning runs in a process of its own");
    let killed = Command::new("kill")
        .args(["-9", &worker.to_string()])
        .status();
    assert!(killed.expect("kill runs").success());
    assert!(wait_for_end(&mut child).success());
    assert_eq!(home.adapter(), adapter);
    let tune = step(&home.newest_order(), "tune");
    assert!(tune["figures"]["resumed_from"].is_u64(), "{tune}");
    fs::remove_file(home.path().join("tmp/paused")).expect("the test's own mark");
    assert_nothing_left(&home, &like);
}

#[test]
fn ctrl_c_ends_in_order_and_the_same_command_resumes() {
    let (like, adapter) = reference();
    let home = Home::new();
    let (mut child, worker) = stopped_at(&home, "tune:half");
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(wait_for_end(&mut child).code(), Some(130));
    assert!(
        !Path::new(&format!("/proc/{worker}")).exists(),
        "the worker is gone before its parent"
    );
    let order = home.newest_order();
    assert_eq!(
        (&order["state"], &step(&order, "tune")["state"]),
        (&"queued".into(), &"waiting".into())
    );
    home.finish(&fixture("tiny-pack"), &[]);
    assert_eq!(home.adapter(), adapter);
    assert_nothing_left(&home, &like);
}

fn step(order: &Value, name: &str) -> Value {
    let mut steps = order["steps"].as_array().expect("steps").iter();
    let found = steps.find(|step| step["name"] == name);
    found.expect("the step").clone()
}

#[test]
fn killed_at_moments_that_nobody_chose() {
    let (like, adapter) = reference();
    let home = Home::new();
    for millis in [30, 90, 150, 260, 410, 660, 1070] {
        let mut child = run_quietly(&home, &fixture("tiny-pack"));
        std::thread::sleep(Duration::from_millis(millis));
        // Already ended where the machine is fast: then there is nothing to kill.
        let _ = child.kill();
        wait_for_end(&mut child);
    }
    let output = home
        .run(&fixture("tiny-pack"), &[])
        .output()
        .expect("starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(home.adapter(), adapter);
    assert_nothing_left(&home, &like);
}

fn run_quietly(home: &Home, pack: &Path) -> Child {
    home.run(pack, &[])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("lathe starts")
}
