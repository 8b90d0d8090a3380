//! `cargo xtask ci`: every check, in the order in which a mistake is cheapest to find.

use std::path::PathBuf;

use crate::shell::{self, Outcome, cargo};
use crate::{browser, docs, python, slapd, tidy};

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
    // While the compiler works: fetching takes the network, not the processors. Where a step before the tests
    // fails, what is being installed is left to its end.
    let guests = std::thread::spawn(Guests::bring);
    step("clippy", || {
        let mut clippy = cargo(&["clippy", "--workspace", "--all-targets", "--locked"]);
        shell::run(clippy.args(FEATURES).args(["--", "-D", "warnings"]))
    })?;
    step("licences", licences)?;
    step("lean", lean)?;
    // As the tests want them: built as a package of its own, the program has other features below it, and
    // nearly every crate is built twice.
    step("build", || {
        let mut build = cargo(&["build", "--workspace", "--bins", "--tests", "--examples"]);
        shell::run(build.arg("--locked").args(FEATURES))
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
    let guests = guests
        .join()
        .map_err(|_| "fetching what the tests need panicked, see above")?;
    let tested = tests_and_pages(&guests);
    for (name, why) in guests.absent() {
        eprintln!("\n── not run on this machine: {name}: {why}");
    }
    tested
}

/// Other people's programs that the tests need. A machine that lacks one and cannot fetch it says so and runs
/// everything else, but for the clients: they need nothing that a machine with Python lacks.
struct Guests {
    client: Result<PathBuf, String>,
    directory: Result<PathBuf, String>,
    browser: Result<browser::Tools, String>,
}

impl Guests {
    fn bring() -> Guests {
        Guests {
            client: python::CLIENT.interpreter(),
            directory: slapd::root(),
            browser: browser::Tools::bring(),
        }
    }

    /// What is not run for want of one, and why.
    fn absent(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let directory = self.directory.as_ref().err();
        let browser = self.browser.as_ref().err();
        [
            ("the tests of the directory", directory),
            ("the tests of the pages", browser),
        ]
        .into_iter()
        .filter_map(|(name, why)| Some((name, why?)))
    }
}

/// All tests of the workspace, and beside them the pages in a browser: both wait more than they compute. What the
/// latter say is printed after the former, whole.
fn tests_and_pages(guests: &Guests) -> Outcome {
    let pages = match &guests.browser {
        Ok(tools) => Some(tools.tests()?),
        Err(_) => None,
    };
    std::thread::scope(|scope| {
        let pages = pages.map(|mut pages| scope.spawn(move || shell::all_output(&mut pages)));
        let tested = step("tests", || tests(guests));
        let shown = pages.map_or(Ok(()), |pages| {
            step("pages", || {
                let said = pages.join().map_err(|_| "panicked, see above")??;
                eprint!("{said}");
                Ok(())
            })
        });
        match (tested, shown) {
            (Err(tested), Err(shown)) => Err(format!("{tested}\n{shown}")),
            (tested, shown) => tested.and(shown),
        }
    })
}

/// All tests of the workspace, with other people's clients, a provider and a directory at hand.
fn tests(guests: &Guests) -> Outcome {
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    tests.args(FEATURES);
    tests.env("LATHE_TEST_PYTHON", guests.client.as_ref()?);
    if let Ok(root) = &guests.directory {
        tests.env("LATHE_TEST_SLAPD", root);
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
