//! The project's own chores: `cargo xtask ci | tidy | docs | browser | acceptance | bench | package`.
//!
//! Everything a contributor or the continuous integration runs goes through here, so that
//! there is one list of checks and no shell script to keep in step with it.

mod acceptance;
mod apt;
mod bench;
mod bounded;
mod browser;
mod ci;
mod docs;
mod openapi;
mod package;
mod python;
mod shell;
mod slapd;
mod tidy;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  ci                    every check and test; installs what the tests need
  tidy                  size limits and house rules over the tree
  docs [--check]        writes docs/reference from the binary; --check only compares
  browser               the pages in headless Chromium, as people use them
  screenshots [NAME]... the pages in both languages, widths and themes, under target/screenshots;
                        --guide: the pictures of docs/guide
  acceptance [NAME]     full orders and Python peers on the real pack; results under benches/results;
                        also: acceptance soak --minutes N
  bench [--only ROW] [--json]
                        speed beside the peers, in the same run; also: bench serve | ledger | receipts |
                        quality | pages
  package [deb] [source] [--out FOLDER] [--programs FOLDER] [--sample HOME]
                        a Debian package, and a source archive that builds without a network
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rest = arguments.get(1..).unwrap_or_default();
    let outcome = match arguments.first().map(String::as_str) {
        Some("ci") => ci::run(rest),
        Some("tidy") => tidy::run(),
        Some("docs") => docs::run(rest),
        Some("browser") => browser::run(rest),
        Some("screenshots") => browser::screenshots(rest),
        Some("acceptance") => acceptance::run(rest),
        Some("bench") => bench::run(rest),
        Some("package") => package::run(rest),
        Some("help" | "--help" | "-h") | None => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("no command '{other}'\n\n{HELP}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
