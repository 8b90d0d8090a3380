//! What fetching needs to know of the machine around it.

use std::collections::BTreeMap;

/// The environment variables that fetching looks at (PIP_*, HF_*, proxies …), passed in so that
/// nothing depends on the process's own; and how long a server may take.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The variables by name.
    pub variables: BTreeMap<String, String>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect_ms: u64,
    /// For the head of an answer.
    pub answer_ms: u64,
    /// For the next bytes; a download as a whole may take as long as it takes.
    pub silence_ms: u64,
    /// Before a first second attempt; doubled with each further one.
    pub retry_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 30_000,
            answer_ms: 60_000,
            silence_ms: 60_000,
            retry_ms: 500,
        }
    }
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            timeouts: Timeouts::default(),
        }
    }

    /// A variable that is set and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// For tests: these variables alone.
    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)]) -> Self {
        let pairs = variables.iter();
        Self {
            variables: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            timeouts: Timeouts::default(),
        }
    }
}
