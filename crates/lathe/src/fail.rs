//! Errors at the edge: printed with their code and the next step, and turned
//! into an exit code.

use std::process::ExitCode;

use lathe_workshop::{StepError, WorkshopError};

/// An error as the command line shows it.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    code: String,
    text: String,
    next: String,
}

/// A command's outcome.
pub type Outcome = Result<ExitCode, Failure>;

/// The exit code of a command that Ctrl-C ended, as shells have it.
pub const EXIT_INTERRUPTED: u8 = 130;

/// The exit code of an order that waits for somebody's approval.
pub const EXIT_WAITING: u8 = 3;

impl Failure {
    /// An error of the command line itself.
    pub fn new(code: &str, text: impl Into<String>, next: impl Into<String>) -> Self {
        Failure {
            code: code.to_owned(),
            text: text.into(),
            next: next.into(),
        }
    }

    /// Its stable code.
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Prints it to standard error.
    pub fn report(self) -> ExitCode {
        eprintln!("{:?}", miette::Report::new(self));
        ExitCode::FAILURE
    }
}

impl miette::Diagnostic for Failure {
    fn code<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn std::fmt::Display + 'a>> {
        (!self.next.is_empty()).then(|| Box::new(&self.next) as Box<dyn std::fmt::Display>)
    }
}

impl From<WorkshopError> for Failure {
    fn from(error: WorkshopError) -> Self {
        Failure::new(error.code(), error.to_string(), error.next())
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Failure::new(&error.code, error.text, error.next)
    }
}
