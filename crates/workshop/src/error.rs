//! The one error type of this crate: a stable code, a text that says what was
//! being done to what, and the next step for the reader.

/// An error of the workshop. `Display` says what was being done and to what.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct WorkshopError {
    code: &'static str,
    text: String,
    next: String,
}

impl WorkshopError {
    /// Makes an error with a stable `code` ("read-only"), what happened and what to do next.
    pub fn new(code: &'static str, text: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
            next: next.into(),
        }
    }

    /// The stable code, for scripts and for the page docs/errors/CODE.md.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// What the reader can do now.
    pub fn next(&self) -> &str {
        &self.next
    }
}

impl From<WorkshopError> for crate::order::StepError {
    fn from(error: WorkshopError) -> Self {
        crate::order::StepError {
            code: error.code.to_owned(),
            text: error.text,
            next: error.next,
        }
    }
}
