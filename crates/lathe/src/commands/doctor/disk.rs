//! The disk under the home: how much room, what kind, whether what is written stays and how long that
//! takes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use lathe_workshop::Home;
use serde_json::{Value, json};

use super::{Finding, State};
use crate::table::megabytes;

/// Less is no room for an order of the sample.
const FREE_BYTES_MIN: u64 = 1_000_000_000;
/// Less is no room for a model of some billion parameters and what is made of it.
const FREE_BYTES_WANTED: u64 = 10_000_000_000;
/// Writes that are timed.
const SYNCS: usize = 24;
/// Bytes of each.
const SYNC_BYTES: usize = 4096;
/// A disk that answers sooner has not written.
const SYNC_S_MIN: f64 = 10e-6;
/// Longer than this, and an answer waits for its receipt noticeably: it is made durable twice.
const SYNC_S_WANTED: f64 = 0.03;

/// File systems that end with the machine's power, or with a container.
const PASSING: [&str; 3] = ["tmpfs", "ramfs", "overlay"];
/// File systems of other machines, on which the locks of SQLite are not to be relied on.
const REMOTE: [&str; 9] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "ceph",
    "glusterfs",
];

/// What there is to say of it.
pub(super) fn findings(home: &Home) -> Vec<Finding> {
    let place = existing(home.root());
    vec![space(&place), kind(&place), durable(home, &place)]
}

/// The folder itself, or the nearest above it that is there: where the home would be made.
fn existing(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|it| it.is_dir());
    found.unwrap_or(Path::new("/")).to_owned()
}

fn space(place: &Path) -> Finding {
    let folder = ("folder", place.display().to_string());
    let disk = match rustix::fs::statvfs(place) {
        Ok(disk) => disk,
        Err(error) => {
            let holes = [folder, ("error", io::Error::from(error).to_string())];
            return Finding::new("space", State::Fail, "space.unknown", &holes, Value::Null);
        }
    };
    let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
    let (free, total) = (bytes(disk.f_bavail), bytes(disk.f_blocks));
    let holes = [
        folder,
        ("free", megabytes(free)),
        ("total", megabytes(total)),
    ];
    let figures = json!({ "folder": place, "free_bytes": free, "bytes": total });
    let (state, word) = if free < FREE_BYTES_MIN {
        (State::Fail, "space.none")
    } else if free < FREE_BYTES_WANTED {
        (State::Warn, "space.little")
    } else {
        (State::Ok, "space")
    };
    Finding::new("space", state, word, &holes, figures)
}

fn kind(place: &Path) -> Finding {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let real = place.canonicalize().unwrap_or_else(|_| place.to_owned());
    let kind = kind_of(&mounts, &real);
    let holes = [("kind", kind.clone().unwrap_or_else(|| "?".to_owned()))];
    let is = |kinds: &[&str]| kind.as_deref().is_some_and(|kind| kinds.contains(&kind));
    let (state, word) = if is(&PASSING) {
        (State::Warn, "filesystem.passing")
    } else if is(&REMOTE) {
        (State::Warn, "filesystem.remote")
    } else {
        (State::Ok, "filesystem")
    };
    Finding::new("filesystem", state, word, &holes, json!({ "kind": kind }))
}

/// The kind of the file system with the longest mount point above `place`; of two at the same point the
/// later one lies on top.
fn kind_of(mounts: &str, place: &Path) -> Option<String> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else {
            continue;
        };
        // The kernel writes a space inside a path in octal.
        let point = point.replace("\\040", " ");
        let is_above = place.starts_with(&point);
        if is_above && best.is_none_or(|(length, _)| length <= point.len()) {
            best = Some((point.len(), kind));
        }
    }
    best.map(|(_, kind)| kind.to_owned())
}

/// Writes, as the store does, and waits for the disk each time.
fn durable(home: &Home, place: &Path) -> Finding {
    // What is left there after a crash is swept by the next daemon.
    let folder = if home.tmp().is_dir() {
        home.tmp()
    } else {
        place.to_owned()
    };
    let mut seconds = match timed(&folder) {
        Ok(seconds) => seconds,
        Err(error) => {
            let holes = [
                ("folder", folder.display().to_string()),
                ("error", error.to_string()),
            ];
            return Finding::new(
                "durable",
                State::Fail,
                "disk.unwritable",
                &holes,
                Value::Null,
            );
        }
    };
    seconds.sort_by(f64::total_cmp);
    let (median, worst) = (seconds[SYNCS / 2], seconds[SYNCS - 1]);
    let ms = |seconds: f64| format!("{:.2}", seconds * 1e3);
    let holes = [("median", ms(median)), ("worst", ms(worst))];
    let figures = json!({ "fsync_median_s": median, "fsync_worst_s": worst, "writes": SYNCS });
    let (state, word) = if median < SYNC_S_MIN {
        (State::Warn, "durable.at_once")
    } else if median > SYNC_S_WANTED {
        (State::Warn, "durable.slow")
    } else {
        (State::Ok, "durable")
    };
    Finding::new("durable", state, word, &holes, figures)
}

/// Seconds of each of [`SYNCS`] small writes, made durable one by one; the folder once.
fn timed(folder: &Path) -> io::Result<Vec<f64>> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    let mut seconds = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[1; SYNC_BYTES])?;
        let begun = Instant::now();
        file.as_file().sync_all()?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    File::open(folder)?.sync_all()?;
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "/dev/vda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
server:/x /srv/my\\040disk nfs4 rw 0 0
overlay /srv/my\\040disk/deep overlay rw 0 0
";

    #[test]
    fn the_nearest_mount_above_counts() {
        for (place, kind) in [
            ("/var/lib/lathe", "ext4"),
            ("/tmp/x", "tmpfs"),
            ("/tmpx", "ext4"),
            ("/srv/my disk/home", "nfs4"),
            ("/srv/my disk/deep/home", "overlay"),
        ] {
            assert_eq!(
                kind_of(MOUNTS, Path::new(place)).as_deref(),
                Some(kind),
                "{place}"
            );
        }
        assert_eq!(kind_of("", Path::new("/")), None);
        assert_eq!(
            kind_of("a / rootfs\nb / ext4\n", Path::new("/x")).as_deref(),
            Some("ext4")
        );
    }

    #[test]
    fn writes_are_timed_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("not/yet"))).unwrap();
        let place = existing(home.root());
        assert_eq!(place, folder.path());
        assert_eq!(timed(&place).unwrap().len(), SYNCS);
        let finding = durable(&home, &place);
        assert_ne!(finding.state, State::Fail, "{}", finding.text);
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
        let nowhere = durable(&home, &folder.path().join("nowhere"));
        assert!(nowhere.state == State::Fail && nowhere.next.is_some());
    }
}
