//! Commands within a limit of time: a mirror that does not answer, or a program that does not end, must not hold up
//! everything else.
//!
//! Of what fetches only the program itself is ended, not what it has started: dpkg in the middle of a package had
//! better finish it. What is measured ends at its limit with all that it has started, which would slow down what comes
//! after; it is a process group of its own, so an interrupted bench has to be followed by a look at what still runs.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::shell;

/// Between two looks at whether it has ended.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How much of what it complained of is told.
const TOLD_LINES: usize = 5;

/// Runs the command, which cannot ask anything, and returns its standard output. That stands in the file `log`,
/// standard error in one beside it, and the last lines of the latter in the error.
pub fn run(command: &mut Command, limit: Duration, log: &Path) -> Result<String, String> {
    run_until(command, limit, log, |child| child.kill())
}

/// [`run`] of something measured: at its limit all that it has started is ended with it.
pub fn measure(command: &mut Command, limit: Duration, log: &Path) -> Result<String, String> {
    run_until(command.process_group(0), limit, log, |child| {
        kill_process_group(Pid::from_child(child), Signal::KILL).map_err(io::Error::from)
    })
}

/// [`measure`], but what it returns is standard output with standard error after it.
pub fn measure_all(command: &mut Command, limit: Duration, log: &Path) -> Result<String, String> {
    let printed = measure(command, limit, log)?;
    Ok(printed + &read(&log.with_extension("err"))?)
}

fn run_until(
    command: &mut Command,
    limit: Duration,
    log: &Path,
    end: impl Fn(&mut Child) -> io::Result<()>,
) -> Result<String, String> {
    let line = shell::describe(command);
    eprintln!("$ {line}");
    let complaints = log.with_extension("err");
    command
        .stdin(Stdio::null())
        .stdout(create(log)?)
        .stderr(create(&complaints)?);
    let mut child = command
        .spawn()
        .map_err(|error| format!("starting `{line}`: {error}"))?;
    let ended =
        wait(&mut child, limit, end).map_err(|error| format!("waiting for `{line}`: {error}"))?;
    match ended {
        Some(status) if status.success() => read(log),
        Some(status) => Err(format!(
            "`{line}` ended with {status}: {}",
            last_lines(&complaints)?
        )),
        None => Err(format!(
            "`{line}` took more than {} s and was ended; what it said is in {}",
            limit.as_secs(),
            log.display()
        )),
    }
}

/// How the child ended, or nothing where it had to be ended.
fn wait(
    child: &mut Child,
    limit: Duration,
    end: impl Fn(&mut Child) -> io::Result<()>,
) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= limit {
            let ended = end(child);
            child.wait()?;
            ended?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

fn create(path: &Path) -> Result<File, String> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)
            .map_err(|error| format!("making {}: {error}", folder.display()))?;
    }
    File::create(path).map_err(|error| format!("making {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, String> {
    let bytes = fs::read(path).map_err(|error| format!("reading {}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn last_lines(path: &Path) -> Result<String, String> {
    let said = read(path)?;
    let lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    Ok(lines[lines.len().saturating_sub(TOLD_LINES)..].join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("new/fetch.log");
        run(Command::new("sh").args(["-c", script]), limit, &log)
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn it_gives_what_was_printed_and_keeps_complaints_apart() {
        assert_eq!(sh("echo yes; echo no >&2", PATIENCE).unwrap(), "yes\n");
    }

    #[test]
    fn it_gives_complaints_too_where_they_are_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no >&2; echo yes"]);
        let all = measure_all(&mut command, PATIENCE, &folder.path().join("log"));
        assert_eq!(all.unwrap(), "yes\nno\n");
    }

    #[test]
    fn a_failure_tells_the_last_complaints() {
        let why = sh(
            "for i in 1 2 3 4 5 6 7; do echo $i >&2; done; exit 3",
            PATIENCE,
        )
        .unwrap_err();
        assert!(why.ends_with("exit status: 3: 3; 4; 5; 6; 7"), "{why}");
    }

    #[test]
    fn what_hangs_is_ended_and_what_asks_gets_no_answer() {
        let why = sh("exec sleep 600", Duration::from_millis(20)).unwrap_err();
        assert!(why.contains("took more than 0 s and was ended"), "{why}");
        assert_eq!(
            sh("read answer || echo silence", PATIENCE).unwrap(),
            "silence\n"
        );
    }

    #[test]
    fn what_is_measured_ends_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let why = measure(&mut command, Duration::from_secs(2), &log).unwrap_err();
        assert!(why.contains("was ended"), "{why}");
        let started: u32 = fs::read_to_string(&log).unwrap().trim().parse().unwrap();
        // Gone, or ended and not yet collected by whoever took it over.
        let has_ended = || {
            let state = fs::read_to_string(format!("/proc/{started}/stat"));
            state.map_or(true, |it| it.contains(") Z "))
        };
        let begun = Instant::now();
        while !has_ended() {
            assert!(begun.elapsed() < PATIENCE, "{started} goes on");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("/nowhere/fetch");
        let why = run(&mut command, PATIENCE, &folder.path().join("log")).unwrap_err();
        assert!(why.starts_with("starting `/nowhere/fetch`"), "{why}");
    }
}
