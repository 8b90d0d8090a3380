//! Running other programs: prints what is run, fails with what failed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Outcome of a chore; the error is a sentence for the terminal.
pub type Outcome = Result<(), String>;

/// The root of the checkout (the folder that holds this package's parent).
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lies one folder below the root")
        .to_path_buf()
}

/// The folder cargo builds into, for this invocation.
pub fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// A command in the root of the checkout.
pub fn command(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root());
    command
}

/// What cargo tells a program that it runs about that program's own package.
const OWN: [&str; 4] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_CRATE_",
    "CARGO_BIN_",
];

/// `cargo ARGUMENTS`, with the cargo that runs this.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut command = command(
        std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
        arguments,
    );
    // Build scripts that watch these would run again for each way of starting cargo, and with them every
    // crate above theirs is built anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OWN.iter().any(|start| text.starts_with(start)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Prints the command, runs it and reports a failure as a sentence.
pub fn run(command: &mut Command) -> Outcome {
    let line = describe(command);
    eprintln!("$ {line}");
    let status = command
        .status()
        .map_err(|error| format!("starting `{line}`: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{line}` ended with {status}"))
    }
}

/// Runs the command and returns its standard output; standard error is shown.
pub fn output(command: &mut Command) -> Result<String, String> {
    let line = describe(command);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("starting `{line}`: {error}"))?;
    if !output.status.success() {
        return Err(format!("`{line}` ended with {}", output.status));
    }
    String::from_utf8(output.stdout)
        .map_err(|_| format!("`{line}` printed bytes that are not UTF-8"))
}

/// Runs the command and returns standard output and standard error, one after the other.
pub fn all_output(command: &mut Command) -> Result<String, String> {
    let line = describe(command);
    let output = command
        .output()
        .map_err(|error| format!("starting `{line}`: {error}"))?;
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    if output.status.success() {
        Ok(printed)
    } else {
        Err(format!("`{line}` ended with {}: {printed}", output.status))
    }
}

/// The JSON object in the last line that is one, of what the command prints.
pub fn last_object(command: &mut Command) -> Result<serde_json::Value, String> {
    let printed = output(command)?;
    object_of(&printed)
        .ok_or_else(|| format!("`{}` printed no JSON object: {printed}", describe(command)))
}

/// The last line of a text that is a JSON object.
pub fn object_of(printed: &str) -> Option<serde_json::Value> {
    let mut objects = printed
        .lines()
        .rev()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    objects.find(serde_json::Value::is_object)
}

/// True when `PROGRAM --version` runs.
pub fn has(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> bool {
    command(program, arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command as one would type it.
pub fn describe(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|part| part.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
