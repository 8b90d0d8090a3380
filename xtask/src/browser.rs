//! `cargo xtask browser` and `cargo xtask screenshots`: the pages in headless Chromium.
//!
//! The browser is the machine's own, installed where it lacks one; playwright drives it, axe-core judges what
//! it shows. Both come from their registries into the target folder, by version and digest. What is shown are
//! sample workshops: nothing is tuned and no model answers. What people do there stands in
//! `tests/python/browser`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::shell::{self, Outcome};
use crate::{apt, bounded, python};

/// The judge of accessibility, as npm names it.
const AXE: &str = "axe-core@4.14.1";
/// What npm says of that package's bytes.
const AXE_INTEGRITY: &str = "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==";
/// The longest that fetching it takes.
const AXE_LIMIT: Duration = Duration::from_secs(120);
/// What a browser is called.
const CHROMIUM: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];
/// Chromium, and letters for Chinese: without them every sign is an empty box of another width.
const PACKAGES: [&str; 2] = ["chromium", "fonts-wqy-microhei"];

/// Runs the tests; what is given goes to Python's `unittest`.
pub fn run(arguments: &[String]) -> Outcome {
    shell::run(Tools::bring()?.tests()?.args(arguments))
}

/// Takes pictures of the named pages, or of all; with `--guide`, those of the guide.
pub fn screenshots(names: &[String]) -> Outcome {
    if let [only] = names
        && only == "--guide"
    {
        let mut pictures = driven("tests/python/browser/guide.py", &chromium()?)?;
        pictures.env(
            "LATHE_SCREENSHOTS",
            shell::root().join("docs/guide/pictures"),
        );
        return shell::run(&mut pictures);
    }
    let mut pictures = driven("tests/python/browser/screenshots.py", &chromium()?)?;
    let folder = shell::target_dir().join("screenshots");
    pictures.env("LATHE_SCREENSHOTS", folder).args(names);
    shell::run(&mut pictures)
}

/// What the tests need beside the workshop, and a machine may lack and be unable to fetch.
pub struct Tools {
    chromium: PathBuf,
    axe: Axe,
}

impl Tools {
    /// Finds them, or fetches them.
    pub fn bring() -> Result<Tools, String> {
        let chromium = chromium()?;
        let axe = Axe::bring()?;
        python::BROWSER.interpreter()?;
        Ok(Tools { chromium, axe })
    }

    /// The tests with them. What fails here is no lack: it is wrong.
    pub fn tests(&self) -> Result<Command, String> {
        let axe = self.axe.script()?;
        let mut tests = driven("tests/python/browser/test_browser.py", &self.chromium)?;
        tests.env("LATHE_AXE", axe);
        Ok(tests)
    }
}

/// A script with a browser and workshops to look at.
fn driven(script: &str, chromium: &Path) -> Result<Command, String> {
    // As the tests are built, so that nothing is built twice.
    let mut build = shell::cargo(&["build", "--workspace", "--example", "sample", "--locked"]);
    shell::run(build.args(crate::ci::FEATURES))?;
    let sample = shell::target_dir().join("debug/examples/sample");
    let mut command = python::BROWSER.command(script)?;
    command
        .env("LATHE_SAMPLE", sample)
        .env("LATHE_CHROMIUM", chromium);
    Ok(command)
}

/// The machine's browser.
fn chromium() -> Result<PathBuf, String> {
    match on_path() {
        Some(found) if has_chinese() => return Ok(found),
        _ => {}
    }
    let lack = format!("of {PACKAGES:?} something is not here; install them and run this again");
    if !apt::is_here() {
        return Err(lack);
    }
    apt::install(&PACKAGES).map_err(|why| format!("{lack}; apt-get could not: {why}"))?;
    on_path().ok_or_else(|| "Chromium was installed and is not on the PATH".to_owned())
}

/// Whether fontconfig knows letters for Chinese; where it cannot be asked, they are taken to be there.
fn has_chinese() -> bool {
    let mut list = shell::command("fc-list", &[":lang=zh", "file"]);
    !shell::output(&mut list).is_ok_and(|files| files.is_empty())
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let all = CHROMIUM
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    // A stub that only says where a browser could be had is none.
    all.into_iter()
        .find(|program| program.is_file() && shell::has(program, &["--version"]))
}

/// axe-core's one file, fetched once.
struct Axe {
    folder: PathBuf,
    /// What npm said of the package it has just fetched.
    packed: Option<serde_json::Value>,
}

impl Axe {
    fn bring() -> Result<Axe, String> {
        let folder = shell::target_dir().join("axe").join(AXE);
        let mut axe = Axe {
            folder,
            packed: None,
        };
        if !axe.file().is_file() {
            axe.packed = Some(axe.fetch().map_err(|why| {
                format!("there is no {AXE} here, and npm did not bring it: {why}")
            })?);
        }
        Ok(axe)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("package/axe.min.js")
    }

    fn fetch(&self) -> Result<serde_json::Value, String> {
        if !shell::has("npm", &["--version"]) {
            apt::install(&["npm"])?;
        }
        std::fs::create_dir_all(&self.folder)
            .map_err(|error| format!("making {}: {error}", self.folder.display()))?;
        let mut pack = shell::command("npm", &["pack", AXE, "--json"]);
        pack.args(["--fetch-retries=1", "--fetch-timeout=30000"])
            .arg("--pack-destination")
            .arg(&self.folder);
        let log = shell::target_dir().join("fetched/npm.log");
        let said = bounded::run(&mut pack, AXE_LIMIT, &log)?;
        serde_json::from_str(&said).map_err(|error| format!("npm pack said '{said}': {error}"))
    }

    /// The file, out of a package that is the one we mean.
    fn script(&self) -> Result<PathBuf, String> {
        let Some(packed) = self.packed.as_ref().map(|all| &all[0]) else {
            return Ok(self.file());
        };
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
                .arg(self.folder.join(name))
                .arg("-C")
                .arg(&self.folder),
        )?;
        Ok(self.file())
    }
}
