//! `cargo xtask browser` and `cargo xtask screenshots`: the pages in headless Chromium.
//!
//! The browser is the machine's own, installed where it lacks one; playwright drives it, axe-core judges what
//! it shows. Both come from their registries into the target folder, by version and digest. What is shown are
//! sample workshops: nothing is tuned and no model answers. What people do there stands in
//! `tests/python/browser`.

use std::path::PathBuf;
use std::process::Command;

use crate::python;
use crate::shell::{self, Outcome};

/// The judge of accessibility, as npm names it.
const AXE: &str = "axe-core@4.14.1";
/// What npm says of that package's bytes.
const AXE_INTEGRITY: &str = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==";
/// What a browser is called.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// Chromium, and letters for Chinese: without them every sign is an empty box of another width.
const PACKAGES: [&str; 2] = ["chromium", "fonts-wqy-microhei"];

/// Runs the tests; what is given goes to Python's `unittest`.
pub fn run(arguments: &[String]) -> Outcome {
    let mut tests = driven("tests/python/browser/test_browser.py")?;
    tests.env("LATHE_AXE", axe()?).args(arguments);
    shell::run(&mut tests)
}

/// Takes pictures of the named pages, or of all; with `--guide`, those of the guide.
pub fn screenshots(names: &[String]) -> Outcome {
    if let [only] = names
        && only == "--guide"
    {
        let mut pictures = driven("tests/python/browser/guide.py")?;
        pictures.env(
            "LATHE_SCREENSHOTS",
            shell::root().join("docs/guide/pictures"),
        );
        return shell::run(&mut pictures);
    }
    let mut pictures = driven("tests/python/browser/screenshots.py")?;
    let folder = shell::target_dir().join("screenshots");
    pictures.env("LATHE_SCREENSHOTS", folder).args(names);
    shell::run(&mut pictures)
}

/// A script with a browser and workshops to look at.
fn driven(script: &str) -> Result<Command, String> {
    // As the tests are built, so that nothing is built twice.
    let mut build = shell::cargo(&["build", "--workspace", "--example", "sample", "--locked"]);
    shell::run(build.args(crate::ci::FEATURES))?;
    let sample = shell::target_dir().join("debug/examples/sample");
    let mut command = python::BROWSER.command(script)?;
    command
        .env("LATHE_SAMPLE", sample)
        .env("LATHE_CHROMIUM", chromium()?);
    Ok(command)
}

/// The machine's browser.
fn chromium() -> Result<PathBuf, String> {
    if let Some(found) = on_path() {
        return Ok(found);
    }
    if !shell::has("apt-get", &["--version"]) {
        return Err("there is no Chromium here; install it, then run this again".to_owned());
    }
    install(&PACKAGES)?;
    on_path().ok_or_else(|| "Chromium was installed and is not on the PATH".to_owned())
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = CHROMIUM
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    all.into_iter().find(|program| program.is_file())
}

/// Installs packages of the system; its lists are renewed first, since a fresh image has none.
fn install(packages: &[&str]) -> Outcome {
    shell::run(&mut shell::command("apt-get", &["update", "-q"]))?;
    let wanted = ["install", "-y", "-q", "--no-install-recommends"];
    shell::run(shell::command("apt-get", &wanted).args(packages))
}

/// axe-core's one file, fetched once.
fn axe() -> Result<PathBuf, String> {
    let folder = shell::target_dir().join("axe").join(AXE);
    let file = folder.join("package/axe.min.js");
    if file.is_file() {
        return Ok(file);
    }
    if !shell::has("npm", &["--version"]) {
        install(&["npm"])?;
    }
    std::fs::create_dir_all(&folder)
        .map_err(|error| format!("making {}: {error}", folder.display()))?;
    let said = shell::output(
        shell::command("npm", &["pack", AXE, "--json", "--pack-destination"]).arg(&folder),
    )?;
    let said: serde_json::Value =
        serde_json::from_str(&said).map_err(|error| format!("npm pack said '{said}': {error}"))?;
    let packed = &said[0];
    if packed["integrity"] != AXE_INTEGRITY {
        return Err(format!(
            "npm gave {AXE} with the integrity {}, not {AXE_INTEGRITY}",
            packed["integrity"]
        ));
    }
    let name = packed["filename"]
        .as_str()
        .ok_or("npm pack named no file")?;
    shell::run(
        shell::command("tar", &["-xzf"])
            .arg(folder.join(name))
            .arg("-C")
            .arg(&folder),
    )?;
    Ok(file)
}
