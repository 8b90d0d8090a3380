//! A real llama-server behind the door, asked with the `openai` package: the same answers, whole and
//! streamed, its slots freed by callers who hang up, and its death told.

use super::home::FreshHome;
use super::result;
use crate::bench::{llama_cpp, models};
use crate::python;
use crate::shell::{self, Outcome};

/// Starts both and asks.
pub fn run() -> Outcome {
    let home = FreshHome::new("upstream")?;
    let printed = shell::output(
        python::CLIENT
            .command("tests/python/upstream_openai.py")?
            .arg(shell::target_dir().join("release/lathe"))
            .arg(llama_cpp::program("llama-server")?)
            .arg(models::shipped()?)
            .arg(home.path()),
    )?;
    result::append(
        "llama-server as an upstream",
        "cargo xtask acceptance upstream",
        &format!("```text\n{}\n```", printed.trim_end()),
    )
}
