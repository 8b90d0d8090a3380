//! `cargo xtask package [deb] [source] [--out FOLDER] [--programs FOLDER] [--sample HOME]`: what is handed
//! to people who do not build from a checkout.
//!
//! `deb` is a Debian package with the programs, the packs, the guide and the service; `source` an archive
//! of the tree with the sources of every crate in it, which builds and tests without a network. Without a
//! name both are made. `--programs` packs programs that are built already, `--sample` puts the downloads
//! of that home into the archive, so that the README's order runs without a network too.

mod deb;
mod source;

use std::path::{Path, PathBuf};

use crate::shell::{self, Outcome};

/// What was asked for.
struct Wanted {
    deb: bool,
    source: bool,
    out: PathBuf,
    programs: Option<PathBuf>,
    sample: Option<PathBuf>,
}

/// Makes the packages and their checksums.
pub fn run(arguments: &[String]) -> Outcome {
    let wanted = wanted(arguments)?;
    std::fs::create_dir_all(&wanted.out)
        .map_err(|error| format!("making {}: {error}", wanted.out.display()))?;
    let mut made = Vec::new();
    if wanted.deb {
        let programs = match wanted.programs {
            Some(programs) => programs,
            None => release()?,
        };
        made.push(deb::build(&programs, &wanted.out, deb::SMALL)?);
    }
    if wanted.source {
        made.push(source::build(&wanted.out, wanted.sample.as_deref())?);
    }
    checksums(&wanted.out, &made)?;
    made.iter().for_each(|path| println!("{}", path.display()));
    Ok(())
}

fn wanted(arguments: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        deb: false,
        source: false,
        out: shell::target_dir().join("dist"),
        programs: None,
        sample: None,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut folder = || {
            let folder = rest.next().ok_or(format!("{argument} needs a folder"))?;
            std::path::absolute(folder).map_err(|error| format!("{folder}: {error}"))
        };
        match argument.as_str() {
            "deb" => wanted.deb = true,
            "source" => wanted.source = true,
            "--out" => wanted.out = folder()?,
            "--programs" => wanted.programs = Some(folder()?),
            "--sample" => wanted.sample = Some(folder()?),
            other => {
                return Err(format!(
                    "package knows deb, source, --out, --programs and --sample, not '{other}'"
                ));
            }
        }
    }
    if !wanted.deb && !wanted.source {
        (wanted.deb, wanted.source) = (true, true);
    }
    Ok(wanted)
}

/// Builds the programs and gives their folder.
fn release() -> Result<PathBuf, String> {
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "lathe",
        "--package",
        "lathe-verify",
    ]))?;
    Ok(shell::target_dir().join("release"))
}

/// SHA256SUMS beside the packages, as `sha256sum --check` reads it.
fn checksums(out: &Path, made: &[PathBuf]) -> Outcome {
    let names = made.iter().filter_map(|path| path.file_name());
    let sums = shell::output(
        std::process::Command::new("sha256sum")
            .args(names)
            .current_dir(out),
    )?;
    let path = out.join("SHA256SUMS");
    std::fs::write(&path, sums).map_err(|error| format!("writing {}: {error}", path.display()))
}

/// The version of the workspace.
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// When the commit was made, seconds since 1970: packages of one commit have the same bytes.
fn commit_time() -> Result<String, String> {
    let time = shell::output(&mut shell::command("git", &["log", "-1", "--format=%ct"]))?;
    Ok(time.trim().to_owned())
}

/// Copies a file, or a folder with all in it, with plain modes.
fn install(from: &Path, to: &Path, mode: u32) -> Outcome {
    use std::os::unix::fs::PermissionsExt as _;
    let fail =
        |error: std::io::Error| format!("copying {} to {}: {error}", from.display(), to.display());
    if from.is_dir() {
        std::fs::create_dir_all(to).map_err(fail)?;
        for entry in std::fs::read_dir(from).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            install(&entry.path(), &to.join(entry.file_name()), mode)?;
        }
        return Ok(());
    }
    std::fs::create_dir_all(to.parent().unwrap_or(to)).map_err(fail)?;
    std::fs::copy(from, to).map_err(fail)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(mode)).map_err(fail)
}

/// A folder of our own, empty.
fn empty(folder: &Path) -> Outcome {
    let fail = |error: std::io::Error| format!("emptying {}: {error}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(fail)?;
    }
    std::fs::create_dir_all(folder).map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_made_unless_one_is_named() {
        let of =
            |words: &[&str]| wanted(&words.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let both = of(&[]).unwrap();
        assert!(both.deb && both.source);
        let one = of(&["source", "--sample", "home", "--out", "/x"]).unwrap();
        assert!(!one.deb && one.source && one.out == Path::new("/x"));
        assert!(one.sample.is_some_and(|folder| folder.is_absolute()));
        assert!(of(&["rpm"]).is_err() && of(&["--out"]).is_err());
    }
}
