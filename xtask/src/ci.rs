//! `cargo xtask ci`: every check, in the order in which a mistake is cheapest to find.

use crate::shell::{self, Outcome, cargo};
use crate::{docs, python, slapd, tidy};

/// Everything is built once, with what is off by default: the tests need it, and building it again without would
/// take as long. That the program by itself brings none of its crates, `lean` holds.
pub const FEATURES: [&str; 2] = ["--features", "lathe/oidc,lathe/ldap"];

/// Crates that the program by itself must not bring.
const NOT_LEAN: [&str; 2] = ["ldap3", "openidconnect"];

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
        let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
        shell::run(clippy.args(FEATURES).args(["--", "-D", "warnings"]))
    })?;
    step("licences", licences)?;
    step("lean", lean)?;
    // As the tests want them: built as a package of its own, the program has other features below it, and
    // nearly every crate is built twice.
    step("build", || {
        let mut build = cargo(&["build", "--workspace", "--bins", "--tests", "--locked"]);
        shell::run(build.args(FEATURES))
    })?;
    step("reference pages", || docs::run(&["--check".to_owned()]))?;
    step("rustdoc", || {
        shell::run(
            cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
                .args(FEATURES)
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

/// All tests of the workspace, with other people's clients, a provider and a directory at hand.
fn tests() -> Outcome {
    let interpreter = python::CLIENT.interpreter()?;
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    tests.args(FEATURES);
    tests.env("LATHE_TEST_PYTHON", interpreter);
    // A machine that has no OpenLDAP and cannot fetch it runs everything else.
    match slapd::root() {
        Ok(root) => drop(tests.env("LATHE_TEST_SLAPD", root)),
        Err(why) => eprintln!("the tests of the directory are not run: {why}"),
    }
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

/// The program by itself has no crate of what is off by default.
fn lean() -> Outcome {
    let tree = shell::output(&mut cargo(&[
        "tree",
        "--locked",
        "--offline",
        "--package",
        "lathe",
        "--edges",
        "normal,build",
        "--prefix",
        "none",
        "--format",
        "{p}",
    ]))?;
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    let brought: Vec<&str> = names.filter(|name| NOT_LEAN.contains(name)).collect();
    if brought.is_empty() {
        return Ok(());
    }
    Err(format!("lathe without features brings {brought:?}"))
}

fn step(name: &str, action: impl FnOnce() -> Outcome) -> Outcome {
    let start = std::time::Instant::now();
    eprintln!("\n── {name}");
    action().map_err(|why| format!("{name}: {why}"))?;
    eprintln!("── {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
