//! lm-evaluation-harness through `/v1/completions`, beside transformers over the same weights.

use std::fs;
use std::path::Path;
use std::process::Command;

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
    let blocks = models::shipped()?;
    let halves = blocks.with_extension("bf16");
    if !halves.exists() {
        let half_done = halves.with_extension("part");
        let mut write = script()?;
        shell::run(write.arg("write").arg(&blocks).arg(&half_done))?;
        fs::rename(&half_done, &halves)
            .map_err(|error| format!("renaming {}: {error}", half_done.display()))?;
    }
    let mut said = Vec::new();
    for model in [halves, blocks] {
        said.push(asked(&model)?);
    }
    result::append(
        "lm-evaluation-harness through /v1/completions and with transformers",
        "cargo xtask acceptance harness",
        &format!("```text\n{}\n```", said.join("\n\n")),
    )
}

fn script() -> Result<Command, String> {
    python::PEERS.command("tests/python/harness.py")
}

/// What the harness says of the model, served and in transformers.
fn asked(model: &Path) -> Result<String, String> {
    let program = shell::target_dir().join("release/examples/tiny");
    let server = Server::start(
        &program,
        &["{address}".to_owned(), model.display().to_string()],
    )?;
    let mut ask = script()?;
    ask.arg("ask")
        .arg(model)
        .arg(format!("http://{}", server.address()))
        .arg("tiny");
    Ok(shell::output(&mut ask)?.trim_end().to_owned())
}
