//! Packages of the system, on Debian and its kin: installed or fetched, and given up where that takes too long.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::bounded;
use crate::shell::{self, Outcome};

/// The longest that one of the functions here takes, the lists of packages included.
const LIMIT: Duration = Duration::from_secs(300);
/// A mirror that is silent is asked once more; a lock that somebody else holds is waited for.
const PATIENCE: [&str; 4] = [
    "-oAcquire::Retries=1",
    "-oAcquire::http::Timeout=30",
    "-oAcquire::https::Timeout=30",
    "-oDPkg::Lock::Timeout=60",
];

/// Whether this machine has such packages at all.
pub fn is_here() -> bool {
    shell::has("apt-get", &["--version"])
}

/// Installs packages, which takes somebody who may.
pub fn install(packages: &[&str]) -> Outcome {
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(packages);
    with_lists(&arguments, &shell::root())
}

/// Fetches packages into this folder, as anybody may.
pub fn download(packages: &[&str], folder: &Path) -> Outcome {
    let mut arguments = vec!["download", "-q"];
    arguments.extend(packages);
    with_lists(&arguments, folder)
}

/// Does this with the lists that are here, and where that fails with new ones: a fresh image has none, and old ones name
/// versions that are gone.
fn with_lists(arguments: &[&str], folder: &Path) -> Outcome {
    let until = Instant::now() + LIMIT;
    match apt_get(arguments, folder, until) {
        Err(_) if Instant::now() < until => {
            apt_get(&["update", "-q"], folder, until)?;
            apt_get(arguments, folder, until)
        }
        done => done,
    }
}

fn apt_get(arguments: &[&str], folder: &Path, until: Instant) -> Outcome {
    let mut command = shell::command("apt-get", arguments);
    command
        .args(PATIENCE)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .current_dir(folder);
    let left = until.saturating_duration_since(Instant::now());
    let log = shell::target_dir().join("fetched/apt-get.log");
    bounded::run(&mut command, left, &log).map(drop)
}
