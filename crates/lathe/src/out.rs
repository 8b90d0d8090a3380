//! Printing: the one place through which commands write to standard output and standard error, by macros with
//! the names of std's.
//!
//! Whoever pipes into `head` reads no further than they want. The command then ends at once and quietly, with the
//! code that shells give a program that SIGPIPE ended. A process that serves a home goes on: what it prints is
//! lost then. The signal itself stays ignored, as Rust has it from the start, since callers that hang up would
//! else end the server. What cannot be told on standard error can be told nowhere, and ends nothing.

use std::fmt::Arguments;
use std::io::{Error, ErrorKind, Write as _};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fail::Failure;

/// The exit code of a command whose output nobody reads any more: 128 and the number of SIGPIPE.
pub const EXIT_UNREAD: i32 = 141;

/// This process serves a home.
static SERVES: AtomicBool = AtomicBool::new(false);

/// std's `println!`, through this file.
macro_rules! println {
    () => {
        $crate::out::print(format_args!("\n"))
    };
    ($($text:tt)*) => {
        $crate::out::print(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// std's `print!`, through this file.
macro_rules! print {
    ($($text:tt)*) => {
        $crate::out::print(format_args!($($text)*))
    };
}

/// std's `eprintln!`, through this file.
macro_rules! eprintln {
    ($($text:tt)*) => {
        $crate::out::tell(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// std's `eprint!`, through this file.
macro_rules! eprint {
    ($($text:tt)*) => {
        $crate::out::tell(format_args!($($text)*))
    };
}

/// Says whether this process serves a home from now on.
pub fn serves(now: bool) {
    SERVES.store(now, Ordering::Relaxed);
}

/// Writes to standard output.
pub fn print(text: Arguments<'_>) {
    let written = std::io::stdout().lock().write_fmt(text);
    if let Err(error) = written {
        unwritten(&error);
    }
}

/// Writes to standard error.
pub fn tell(text: Arguments<'_>) {
    // See above: there is no other place to tell it.
    let _ = std::io::stderr().lock().write_fmt(text);
}

/// What follows where standard output takes no more; nothing in a process that serves.
pub fn unwritten(error: &Error) {
    if SERVES.load(Ordering::Relaxed) {
        return;
    }
    if error.kind() == ErrorKind::BrokenPipe {
        process::exit(EXIT_UNREAD);
    }
    let failure = Failure::new(
        "io",
        format!("cannot print: {error}"),
        "check where the output goes",
    );
    failure.report();
    process::exit(1);
}
