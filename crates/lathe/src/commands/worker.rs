//! `lathe worker`: one step of an order; see `lathe_workshop::worker`.

use std::process::ExitCode;

/// Runs the job on standard input.
pub fn run() -> ExitCode {
    ExitCode::from(u8::try_from(lathe_workshop::worker::main()).unwrap_or(1))
}
