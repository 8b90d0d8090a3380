//! Output that nobody reads: a command ends quietly with the code that shells know, and a daemon goes on.

use std::fs;
use std::process::{Command, Output, Stdio};

use lathe_tests::{Home, Serving, text};

/// 128 and the number of SIGPIPE.
const UNREAD: i32 = 141;

/// A pipe whose reader has gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Runs it to its end, its output into a closed pipe.
fn unread(command: &mut Command) -> Output {
    let child = command.stdout(closed()).stderr(Stdio::piped()).spawn();
    child
        .expect("lathe starts")
        .wait_with_output()
        .expect("it ends")
}

#[test]
fn a_command_that_nobody_reads_ends_quietly() {
    let home = Home::new();
    for args in [
        &["version"][..],
        &["version", "--json"],
        &["order", "list"],
        &["order", "list", "--json"],
        &["register", "list", "--json"],
        &["data", "list"],
    ] {
        let ended = unread(&mut home.lathe(args));
        assert_eq!(text(&ended.stderr), "", "{args:?}");
        assert_eq!(ended.status.code(), Some(UNREAD), "{args:?}");
    }
}

#[test]
fn what_cannot_be_written_is_an_error_with_a_reason() {
    let home = Home::new();
    let full = fs::File::create("/dev/full").expect("Linux");
    let mut command = home.lathe(&["version"]);
    let ended = command.stdout(full).output().expect("lathe starts");
    assert_eq!(ended.status.code(), Some(1));
    assert!(text(&ended.stderr).contains("cannot print"), "{ended:?}");
}

#[test]
fn a_daemon_that_nobody_reads_goes_on() {
    let home = Home::new();
    let log = home.path().join("log.txt");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start_unread(&home, &mut command, closed(), &log);
    // The line that says where it listens is printed after it listens.
    for _ in 0..20 {
        assert_eq!(serving.get_text("/health/live").0, 200);
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(serving.interrupt().success());
    let logged = fs::read_to_string(&log).expect("a log");
    assert!(!logged.contains("panicked"), "{logged}");
}
