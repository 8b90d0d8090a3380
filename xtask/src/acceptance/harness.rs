//! lm-evaluation-harness through `/v1/completions`, beside transformers over the same weights.

use super::result;
use crate::bench::models;
use crate::bench::serve::server::Server;
use crate::python;
use crate::shell::{self, Outcome};

/// Serves the real model as its package ships it and has it asked twice.
pub fn run() -> Outcome {
    let build = [
        "build",
        "--release",
        "--locked",
        "--package",
        "lathe-serve",
        "--examples",
    ];
    shell::run(&mut shell::cargo(&build))?;
    let model = models::shipped()?;
    let program = shell::target_dir().join("release/examples/tiny");
    let server = Server::start(
        &program,
        &["{address}".to_owned(), model.display().to_string()],
    )?;
    let printed = shell::output(
        python::PEERS
            .command("tests/python/harness.py")?
            .arg(&model)
            .arg(format!("http://{}", server.address()))
            .arg("tiny"),
    )?;
    result::append(
        "lm-evaluation-harness through /v1/completions and with transformers",
        "cargo xtask acceptance harness",
        &format!("```text\n{}\n```", printed.trim_end()),
    )
}
