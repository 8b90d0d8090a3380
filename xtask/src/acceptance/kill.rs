//! `kill -9` at each step of the order on the real pack, and inside tuning.
//!
//! One order runs undisturbed. In a second home the same command is killed at one point after
//! another: whoever pauses there (the daemon or a worker) is killed with its parent, then the
//! command is given again. In the end both homes hold the same adapter, no process is left, no
//! half-made file, and no finished step was done twice.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::home::{FreshHome, PACK, wait_until};
use super::result;
use crate::shell::Outcome;

/// Where the order is killed. `STEP:POINT` as the binary's pause hook names them.
const POINTS: &[&str] = &[
    "model:begun",
    "data:built",
    "prepare:sealed",
    "base:stored",
    "challengers:begun",
    "tune:begun",
    "tune:half",
    "tune:built",
    "evaluate:sealed",
    "deploy:sealed",
    "ask:begun",
];

/// Long enough for the longest step on a busy machine.
const PAUSE_WAIT_MAX: Duration = Duration::from_secs(40 * 60);

/// Runs the scenario on `--quick`, so that it ends within minutes.
pub fn run() -> Outcome {
    let undisturbed = FreshHome::new("kill-undisturbed")?;
    let wanted = undisturbed.run_order(&["--quick"])?.adapter()?;

    let home = FreshHome::new("kill")?;
    for point in POINTS {
        kill_at(&home, point)?;
    }
    let finished = home.run_order(&["--quick"])?;
    let got = finished.adapter()?;
    if got != wanted {
        return Err(format!("adapter {got} after the kills, {wanted} without"));
    }
    for step in finished
        .steps
        .iter()
        .filter(|step| !matches!(step["step"].as_str(), Some("deploy" | "ask" | "evaluate")))
    {
        if step["state"] != "reused" && step["state"] != "done" {
            return Err(format!("a step is neither done nor reused: {step}"));
        }
    }
    let leftovers: Vec<_> = std::fs::read_dir(home.path().join("tmp"))
        .map_err(|error| format!("reading tmp: {error}"))?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    if !leftovers.is_empty() {
        return Err(format!("left in tmp: {leftovers:?}"));
    }
    result::append(
        "kill -9 on customer-care --quick",
        "cargo xtask acceptance kill",
        &format!(
            "Killed at {}. The adapter is `{got}`, as without kills; no process and no file was left.",
            POINTS.join(", ")
        ),
    )
}

fn kill_at(home: &FreshHome, point: &str) -> Outcome {
    eprintln!("killing at {point}");
    let mut daemon = home
        .lathe(&["run", PACK, "--quick", "--exit", "--json"])
        .env("LATHE_TEST_PAUSE_AT", point)
        .stdout(Stdio::null())
        .spawn()
        .map_err(|error| format!("starting the order: {error}"))?;
    let paused = home.path().join("tmp/paused");
    let mut ended = false;
    wait_until(&format!("the pause at {point}"), PAUSE_WAIT_MAX, || {
        ended = matches!(daemon.try_wait(), Ok(Some(_)));
        ended || paused.exists()
    })?;
    if ended {
        return Err(format!("the order ended without pausing at {point}"));
    }
    kill_and_check(&mut daemon, &paused, point)
}

/// Kills the daemon and demands that the process that paused dies too.
fn kill_and_check(daemon: &mut Child, paused: &std::path::Path, point: &str) -> Outcome {
    // The file is written in one piece, but may be seen before its bytes.
    let mut pid = String::new();
    wait_until("the pause file's text", Duration::from_secs(5), || {
        pid = std::fs::read_to_string(paused).unwrap_or_default();
        !pid.is_empty()
    })?;
    daemon
        .kill()
        .map_err(|error| format!("killing the order: {error}"))?;
    daemon
        .wait()
        .map_err(|error| format!("waiting for the killed order: {error}"))?;
    wait_until(
        &format!("the end of process {pid} after {point}"),
        Duration::from_secs(10),
        || !is_alive(&pid),
    )
}

fn is_alive(pid: &str) -> bool {
    Command::new("kill")
        .args(["-0", pid.trim()])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
