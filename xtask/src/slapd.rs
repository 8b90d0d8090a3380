//! OpenLDAP's server for the tests: the machine's own, or Debian's packages unpacked into the target folder.
//!
//! Nothing is installed, and nothing starts by itself: a test starts it on a folder of its own.

use std::path::{Path, PathBuf};

use crate::apt;
use crate::shell::{self, Outcome};

/// The server, and the libraries that a small image lacks.
const PACKAGES: [&str; 4] = ["slapd", "libltdl7", "libodbc2", "libwrap0"];

/// The folder that the server lies below.
pub fn root() -> Result<PathBuf, String> {
    let system = PathBuf::from("/");
    if is_below(&system) {
        return Ok(system);
    }
    let folder = shell::target_dir().join("slapd");
    let root = folder.join("root");
    if is_below(&root) {
        return Ok(root);
    }
    if !apt::is_here() {
        return Err(
            "there is no slapd here; install OpenLDAP's server, then run this again".to_owned(),
        );
    }
    unpack(&folder, &root)?;
    if is_below(&root) {
        return Ok(root);
    }
    Err(format!(
        "{PACKAGES:?} hold no slapd; install OpenLDAP's server, then run this again"
    ))
}

/// As the tests look for it.
fn is_below(root: &Path) -> bool {
    [
        "usr/sbin/slapd",
        "usr/sbin/slapadd",
        "etc/ldap/schema/core.schema",
    ]
    .iter()
    .all(|file| root.join(file).is_file())
}

fn unpack(folder: &Path, root: &Path) -> Outcome {
    // What an earlier run left may be of another version.
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(root).map_err(|error| format!("making {}: {error}", root.display()))?;
    apt::download(&PACKAGES, folder)?;
    let packages = std::fs::read_dir(folder)
        .map_err(|error| format!("reading {}: {error}", folder.display()))?;
    for package in packages.flatten().map(|entry| entry.path()) {
        if package.extension().is_some_and(|ending| ending == "deb") {
            let unpack = &mut shell::command("dpkg-deb", &["--extract"]);
            shell::run(unpack.arg(&package).arg(root))?;
        }
    }
    Ok(())
}
