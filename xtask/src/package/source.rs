//! The release archive: the tree as git has it, the sources of every crate, and, where asked for, the
//! downloads of the sample. It is built and tested without a network; the guide's page on the one box has
//! the commands.

use std::fs;
use std::path::{Path, PathBuf};

use super::{commit_time, empty, install, version};
use crate::shell::{self, Outcome};

/// The folder of the crates inside the archive.
const VENDOR: &str = "vendor";
/// The pack of the sample.
const PACK: &str = "packs/customer-care/pack.yaml";
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
    match sample {
        Some(home) => take_sample(home, tree),
        None => Ok(()),
    }
}

/// Takes what the sample's pack fetches out of the downloads of a home, and nothing else.
fn take_sample(home: &Path, tree: &Path) -> Outcome {
    let pack = tree.join(PACK);
    let text = fs::read_to_string(&pack)
        .map_err(|error| format!("reading {}: {error}", pack.display()))?;
    let (from, to) = (home.join("cache"), tree.join(SAMPLE).join("cache"));
    for source in sources(&text) {
        let (entry, digest) = downloaded(&from, source)?;
        install(
            &from.join("index").join(&entry),
            &to.join("index").join(&entry),
            0o644,
        )?;
        let object = Path::new("objects").join(digest);
        install(&from.join(&object), &to.join(&object), 0o644)?;
    }
    Ok(())
}

/// The sources that a pack names.
fn sources(pack: &str) -> impl Iterator<Item = &str> {
    let named = pack
        .lines()
        .filter_map(|line| line.trim().strip_prefix("source:"));
    let values = named.map(|source| source.trim().trim_matches('"'));
    // A published figure has a source too, in words.
    values.filter(|source| source.contains(':'))
}

/// The name of the entry that says what a source gave, and the digest of that.
fn downloaded(cache: &Path, source: &str) -> Result<(String, String), String> {
    let index = cache.join("index");
    let entries = fs::read_dir(&index).into_iter().flatten().flatten();
    for entry in entries {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        let said: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if let (Some(key), Some(digest)) = (said["key"].as_str(), said["sha256"].as_str())
            && key == source
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            return Ok((name, digest.to_owned()));
        }
    }
    Err(format!(
        "{} has no {source}; run `lathe run packs/customer-care --exit` in that home first",
        cache.display()
    ))
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
    fn the_sample_has_what_its_pack_fetches_or_is_refused_by_name() {
        let pack = fs::read_to_string(shell::root().join(PACK)).unwrap();
        let found: Vec<&str> = sources(&pack).collect();
        assert!(
            found.len() == 2 && found.iter().all(|it| it.starts_with("pypi:")),
            "{found:?}"
        );
        let cache = tempfile::tempdir().unwrap();
        let index = cache.path().join("index");
        fs::create_dir_all(&index).unwrap();
        let entry = serde_json::json!({ "key": found[0], "sha256": "ab", "name": "x" });
        fs::write(index.join("k.json"), entry.to_string()).unwrap();
        let taken = downloaded(cache.path(), found[0]).unwrap();
        assert_eq!(taken, ("k.json".to_owned(), "ab".to_owned()));
        let missing = downloaded(cache.path(), found[1]).unwrap_err();
        assert!(missing.contains(found[1]), "{missing}");
    }

    #[test]
    fn the_tree_keeps_its_own_settings_and_fetches_nothing() {
        let vendored = "[source.crates-io]\nreplace-with = \"vendored-sources\"\n";
        let text = with_vendored("[alias]\nxtask = \"run\"\n", vendored);
        assert!(text.starts_with("[alias]\nxtask"));
        assert!(text.contains(vendored) && text.contains("offline = true"));
        assert_eq!(text.matches("[net]").count(), 1);
    }
}
