//! The Debian package, made by `dpkg-deb` from a folder that looks like the installed system.
//!
//! It holds the programs, the service with its user and its settings, the packs and the guide. The C
//! library that it asks for is read off the programs. What it does not do: begin to serve, and take the
//! home away with the package.

use std::fs;
use std::path::{Path, PathBuf};

use super::{commit_time, empty, install, version};
use crate::shell::{self, Outcome};

/// The programs.
const PROGRAMS: [&str; 2] = ["lathe", "lathe-verify"];

/// Files of the checkout, where they go, and their modes.
const FILES: &[(&str, &str, u32)] = &[
    (
        "packaging/lathe.service",
        "usr/lib/systemd/system/lathe.service",
        0o644,
    ),
    (
        "packaging/lathe.sysusers",
        "usr/lib/sysusers.d/lathe.conf",
        0o644,
    ),
    ("packaging/lathe.default", "etc/default/lathe", 0o644),
    (
        "packaging/debian/copyright",
        "usr/share/doc/lathe/copyright",
        0o644,
    ),
    ("README.md", "usr/share/doc/lathe/README.md", 0o644),
    (
        "README.zh-CN.md",
        "usr/share/doc/lathe/README.zh-CN.md",
        0o644,
    ),
    ("docs/guide", "usr/share/doc/lathe/guide", 0o644),
    ("docs/errors", "usr/share/doc/lathe/errors", 0o644),
    ("docs/reference", "usr/share/doc/lathe/reference", 0o644),
    ("packs", "usr/share/lathe/packs", 0o644),
    ("packaging/debian/postinst", "DEBIAN/postinst", 0o755),
    ("packaging/debian/prerm", "DEBIAN/prerm", 0o755),
    ("packaging/debian/postrm", "DEBIAN/postrm", 0o755),
];

/// Settings that an upgrade never writes over.
const CONFFILES: &str = "/etc/default/lathe\n";

/// How packages for people are compressed, as `dpkg-deb` has it.
pub const SMALL: &str = "-Zxz";

/// Packs the programs of a folder, compressed as `dpkg-deb` is told; gives the package's path in `out`.
pub fn build(programs: &Path, out: &Path, compression: &str) -> Result<PathBuf, String> {
    let architecture = shell::output(&mut shell::command("dpkg", &["--print-architecture"]));
    let architecture = architecture
        .map_err(|why| format!("{why}; packages are made on Debian and its kin"))?
        .trim()
        .to_owned();
    let stage = out.join("deb");
    empty(&stage)?;
    let filled = fill(&stage, programs, &architecture);
    let made = filled.and_then(|()| pack(&stage, out, &architecture, compression));
    fs::remove_dir_all(&stage).map_err(|error| format!("removing {}: {error}", stage.display()))?;
    made
}

fn pack(
    stage: &Path,
    out: &Path,
    architecture: &str,
    compression: &str,
) -> Result<PathBuf, String> {
    let package = out.join(format!("lathe_{}_{architecture}.deb", version()));
    shell::run(
        shell::command("dpkg-deb", &["--root-owner-group", compression, "--build"])
            .env("SOURCE_DATE_EPOCH", commit_time()?)
            .args([stage, &package]),
    )?;
    Ok(package)
}

/// Lays the installed system out in `stage`.
fn fill(stage: &Path, programs: &Path, architecture: &str) -> Outcome {
    let root = shell::root();
    let mut needs = Needs::default();
    for name in PROGRAMS {
        let program = programs.join(name);
        let bytes = fs::read(&program).map_err(|error| {
            format!(
                "reading {}: {error}; build it or name its folder with --programs",
                program.display()
            )
        })?;
        needs.add(&bytes);
        install(&program, &stage.join("usr/bin").join(name), 0o755)?;
    }
    for (from, to, mode) in FILES {
        install(&root.join(from), &stage.join(to), *mode)?;
    }
    let control = control(architecture, installed_kib(stage)?, &needs);
    write(&stage.join("DEBIAN/conffiles"), CONFFILES)?;
    write(&stage.join("DEBIAN/control"), &control)
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| format!("writing {}: {error}", path.display()))
}

fn control(architecture: &str, installed_kib: u64, needs: &Needs) -> String {
    format!(
        "Package: lathe
Version: {}
Architecture: {architecture}
Maintainer: Lathe maintainers
Installed-Size: {installed_kib}
Depends: {}
Recommends: ca-certificates
Section: science
Priority: optional
Description: model-tuning workshop in one binary
 Takes a base model and private data through preparing, tuning, evaluation and
 a gate to a served model, on one machine without a GPU, and can say of every
 answer where it came from.
",
        version(),
        needs.depends()
    )
}

/// Kibibytes of all files under a folder, each rounded up.
fn installed_kib(folder: &Path) -> Result<u64, String> {
    let fail = |error: std::io::Error| format!("measuring {}: {error}", folder.display());
    let mut sum = 0;
    for entry in fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let data = entry.metadata().map_err(fail)?;
        sum += if data.is_dir() {
            installed_kib(&entry.path())?
        } else {
            data.len().div_ceil(1024)
        };
    }
    Ok(sum)
}

/// The newest versions of the C libraries' symbols that programs name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    glibc: Vec<u32>,
    libgcc: bool,
}

impl Needs {
    /// Looks for the names of versions among a program's bytes: `GLIBC_2.34`.
    fn add(&mut self, program: &[u8]) {
        const GLIBC: &[u8] = b"GLIBC_";
        for at in memmem(program, GLIBC) {
            let rest = &program[at + GLIBC.len()..];
            let end = rest
                .iter()
                .position(|byte| !byte.is_ascii_digit() && *byte != b'.');
            let text = String::from_utf8_lossy(&rest[..end.unwrap_or(rest.len())]).into_owned();
            let version: Vec<u32> = text
                .split('.')
                .filter_map(|part| part.parse().ok())
                .collect();
            if version.len() >= 2 && version > self.glibc {
                self.glibc = version;
            }
        }
        self.libgcc |= memmem(program, b"libgcc_s.so.1").next().is_some();
    }

    fn depends(&self) -> String {
        let version: Vec<String> = self.glibc.iter().map(u32::to_string).collect();
        let mut depends = match version.is_empty() {
            true => "libc6".to_owned(),
            false => format!("libc6 (>= {})", version.join(".")),
        };
        if self.libgcc {
            depends.push_str(", libgcc-s1");
        }
        depends
    }
}

/// Where `wanted` stands in `bytes`.
fn memmem<'a>(bytes: &'a [u8], wanted: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let starts = bytes.windows(wanted.len()).enumerate();
    starts.filter_map(move |(at, window)| (window == wanted).then_some(at))
}

#[cfg(test)]
mod tests;
