//! Errors at the edge: printed with their code and the next step, and turned
//! into an exit code. Where the language is not English, the sentence of the code
//! stands before them.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use lathe_workshop::words::{self, Lang};
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

/// The exit code of an order that waits for somebody's approval, or was paused.
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
        let terminal = std::io::stderr().is_terminal();
        eprint!("{}", self.rendered(terminal, Lang::from_env()));
        ExitCode::FAILURE
    }

    /// The error as text. A path or a command that is to be copied is never broken inside, and
    /// what no terminal shows is not wrapped at all: logs are searched by the line.
    fn rendered(&self, terminal: bool, lang: Lang) -> String {
        let handler = miette::MietteHandlerOpts::new()
            .word_separator(textwrap::WordSeparator::AsciiSpace)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .break_words(false)
            .wrap_lines(terminal)
            .build();
        let details = Shown(self, &handler);
        match words::problem(lang, &self.code) {
            Some(sentence) if lang != Lang::En => format!("{sentence}\n{details}\n"),
            _ => format!("{details}\n"),
        }
    }
}

/// An error with the handler that renders it.
struct Shown<'a>(&'a Failure, &'a miette::MietteHandler);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        miette::ReportHandler::debug(self.1, self.0, f)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_never_broken() {
        let path = format!("/{}/tiny-model", "a-rather-long-folder/".repeat(12));
        let text = format!("{path} is a model of another shape than {path}, which was named first");
        let failure = Failure::new("some-code", text.clone(), "");
        for terminal in [true, false] {
            assert_eq!(
                failure.rendered(terminal, Lang::En).matches(&path).count(),
                2
            );
        }
        assert!(failure.rendered(false, Lang::En).contains(&text));
    }

    #[test]
    fn the_sentence_of_the_code_stands_before_the_details() {
        let failure = Failure::new("order-compare", "one order alone", "name two");
        let english = failure.rendered(false, Lang::En);
        let chinese = failure.rendered(false, Lang::Zh);
        let details = chinese.strip_prefix("一次可对比 2 至 8 个不同的任务。\n");
        assert_eq!(details, Some(&english[..]));
        // What the catalogue does not know is printed as it is.
        let failure = Failure::new("some-code", "it is odd", "");
        let told = failure.rendered(false, Lang::Zh);
        assert_eq!(told, failure.rendered(false, Lang::En));
    }
}
