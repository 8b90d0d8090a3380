//! `cargo xtask ci`: every check, in the order in which a mistake is cheapest to find.

use crate::shell::{self, Outcome, cargo};
use crate::{docs, python, tidy};

/// Runs all checks; stops at the first that fails and names it. Takes no arguments.
pub fn run(arguments: &[String]) -> Outcome {
    if !arguments.is_empty() {
        return Err(format!("ci takes no arguments, got {arguments:?}"));
    }
    step("format", || {
        shell::run(&mut cargo(&["fmt", "--all", "--check"]))
    })?;
    step("tidy", tidy::run)?;
    step("clippy", || {
        shell::run(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    step("licences", licences)?;
    // As the tests want them: built as a package of its own, the program has other features below it, and
    // nearly every crate is built twice.
    step("build", || {
        shell::run(&mut cargo(&[
            "build",
            "--workspace",
            "--bins",
            "--tests",
            "--locked",
        ]))
    })?;
    step("reference pages", || docs::run(&["--check".to_owned()]))?;
    step("rustdoc", || {
        shell::run(
            cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })?;
    // In the workspace's target folder and by its profiles: what clippy has checked is not checked again.
    step("fuzz targets", || {
        shell::run(
            cargo(&["check", "--manifest-path", "fuzz/Cargo.toml", "--quiet"])
                .env("CARGO_TARGET_DIR", shell::target_dir()),
        )
    })?;
    step("tests", tests)
}

/// All tests of the workspace, with the real `openai` client at hand.
fn tests() -> Outcome {
    let interpreter = python::CLIENT.interpreter()?;
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    tests.env("LATHE_TEST_PYTHON", interpreter);
    tests.env(
        "LATHE_TEST_PROGRAM",
        shell::target_dir().join("debug/lathe"),
    );
    shell::run(&mut tests)
}

fn licences() -> Outcome {
    if !shell::has("cargo", &["deny", "--version"]) {
        shell::run(&mut cargo(&[
            "install",
            "cargo-deny",
            "--version",
            "0.20.2",
            "--locked",
            "--quiet",
            // Built once and run for seconds: optimising it would take minutes.
            "--debug",
        ]))?;
    }
    // Crates of other platforms are judged too, and no build has brought them.
    shell::run(&mut cargo(&["fetch", "--locked", "--quiet"]))?;
    shell::run(&mut cargo(&[
        "deny",
        "--offline",
        "check",
        "licenses",
        "bans",
        "sources",
    ]))
}

fn step(name: &str, action: impl FnOnce() -> Outcome) -> Outcome {
    let start = std::time::Instant::now();
    eprintln!("\n── {name}");
    action().map_err(|why| format!("{name}: {why}"))?;
    eprintln!("── {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
