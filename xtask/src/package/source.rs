//! The release archive: the tree as git has it, the sources of every crate, and, where asked for, the
//! downloads of the sample. It is built and tested without a network; the guide's page on the one box has
//! the commands.

use std::fs;
use std::path::{Path, PathBuf};

use super::{commit_time, empty, install, version};
use crate::shell::{self, Outcome};

/// The folder of the crates inside the archive.
const VENDOR: &str = "vendor";
/// The home inside the archive that holds the downloads of the sample.
const SAMPLE: &str = "sample-home";

/// Makes the archive; gives its path in `out`.
pub fn build(out: &Path, sample: Option<&Path>) -> Result<PathBuf, String> {
    let name = format!("lathe-{}", version());
    let stage = out.join("source");
    empty(&stage)?;
    let tree = stage.join(&name);
    let filled = fill(&tree, &stage, &name, sample);
    let made = filled.and_then(|()| pack(&stage, out, &name));
    fs::remove_dir_all(&stage).map_err(|error| format!("removing {}: {error}", stage.display()))?;
    made
}

fn fill(tree: &Path, stage: &Path, name: &str, sample: Option<&Path>) -> Outcome {
    let listing = stage.join("tree.tar");
    shell::run(
        shell::command("git", &["archive", "--format=tar", "HEAD"])
            .arg(format!("--prefix={name}/"))
            .arg("-o")
            .arg(&listing),
    )?;
    shell::run(
        shell::command("tar", &["-xf"])
            .arg(&listing)
            .arg("-C")
            .arg(stage),
    )?;
    fs::remove_file(&listing)
        .map_err(|error| format!("removing {}: {error}", listing.display()))?;
    // Within the tree, so that what it prints names the folder as the tree sees it.
    let config = shell::output(
        shell::cargo(&["vendor", "--locked", "--versioned-dirs", VENDOR]).current_dir(tree),
    )?;
    let path = tree.join(".cargo/config.toml");
    let own = fs::read_to_string(&path)
        .map_err(|error| format!("reading {}: {error}", path.display()))?;
    fs::write(&path, with_vendored(&own, &config))
        .map_err(|error| format!("writing {}: {error}", path.display()))?;
    if let Some(home) = sample {
        let cache = home.join("cache");
        if !cache.join("index").is_dir() {
            return Err(format!(
                "{} holds no downloads; run `lathe run packs/customer-care --exit` in that home first",
                home.display()
            ));
        }
        for part in ["index", "objects"] {
            install(
                &cache.join(part),
                &tree.join(SAMPLE).join("cache").join(part),
                0o644,
            )?;
        }
    }
    Ok(())
}

/// Cargo's settings, with where the crates lie.
fn with_vendored(own: &str, vendored: &str) -> String {
    format!(
        "{own}\n# The crates lie beside: nothing is fetched.\n{vendored}\n[net]\noffline = true\n"
    )
}

fn pack(stage: &Path, out: &Path, name: &str) -> Result<PathBuf, String> {
    let archive = out.join(format!("{name}-vendored.tar.gz"));
    let time = format!("--mtime=@{}", commit_time()?);
    shell::run(
        shell::command(
            "tar",
            &["--sort=name", "--owner=0", "--group=0", "--numeric-owner"],
        )
        .arg(time)
        .arg("-czf")
        .arg(&archive)
        .arg("-C")
        .arg(stage)
        .arg(name),
    )?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_keeps_its_own_settings_and_fetches_nothing() {
        let vendored = "[source.crates-io]\nreplace-with = \"vendored-sources\"\n";
        let text = with_vendored("[alias]\nxtask = \"run\"\n", vendored);
        assert!(text.starts_with("[alias]\nxtask"));
        assert!(text.contains(vendored) && text.contains("offline = true"));
        assert_eq!(text.matches("[net]").count(), 1);
    }
}
