//! What a control group leaves this process of the machine: processors and memory, version 2 or 1.
//!
//! Every group above counts too: the tightest bound is the one that holds.

use std::fs;
use std::path::{Path, PathBuf};

/// Version 1 writes a number near 2⁶³ where there is no bound.
const NO_BOUND: u64 = 1 << 60;

/// The bounds, where there are any.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Processors' worth of time.
    pub cpus: Option<f64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Of them in use, less what the system would drop from its caches of files.
    pub memory_used_bytes: Option<u64>,
}

/// The bounds of this process.
pub(super) fn own() -> Limits {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limits(&groups, Path::new("/sys/fs/cgroup"))
}

/// The bounds of a process with these groups (`/proc/PID/cgroup`), whose files lie under `root`.
fn limits(groups: &str, root: &Path) -> Limits {
    let mut found = Limits::default();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let named = |name: &str| controllers.split(',').any(|it| it == name);
        if controllers.is_empty() {
            for folder in folders(root, path) {
                found.cpu_quota(second(&folder));
                found.memory(&folder, ["memory.max", "memory.current"]);
            }
        }
        if named("cpu") {
            for folder in folders(&root.join("cpu"), path) {
                found.cpu_quota(first(&folder));
            }
        }
        if named("memory") {
            for folder in folders(&root.join("memory"), path) {
                let names = ["memory.limit_in_bytes", "memory.usage_in_bytes"];
                found.memory(&folder, names);
            }
        }
    }
    found
}

/// A group's folder and those above it.
fn folders(root: &Path, path: &str) -> Vec<PathBuf> {
    let path = Path::new(path.trim_start_matches('/'));
    path.ancestors().map(|it| root.join(it)).collect()
}

fn number(folder: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(folder.join(name)).ok()?;
    text.trim().parse().ok()
}

/// Processors by version 2: "QUOTA PERIOD", or "max PERIOD".
fn second(folder: &Path) -> Option<f64> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

/// Processors by version 1; a quota of -1 is none.
fn first(folder: &Path) -> Option<f64> {
    let quota = number(folder, "cpu.cfs_quota_us")?;
    let period = number(folder, "cpu.cfs_period_us")?;
    Some(quota as f64 / period as f64)
}

impl Limits {
    fn cpu_quota(&mut self, quota: Option<f64>) {
        if let Some(quota) = quota {
            self.cpus = Some(self.cpus.map_or(quota, |tightest| tightest.min(quota)));
        }
    }

    fn memory(&mut self, folder: &Path, [bound, used]: [&str; 2]) {
        let bound = number(folder, bound).filter(|bound| *bound < NO_BOUND);
        let Some(bound) = bound.filter(|bound| self.memory_bytes.is_none_or(|it| *bound < it))
        else {
            return;
        };
        self.memory_bytes = Some(bound);
        let cached = inactive(folder).unwrap_or(0);
        self.memory_used_bytes =
            number(folder, used).map(|used| used.saturating_sub(cached).min(bound));
    }
}

/// Bytes of files that were not read for a while.
fn inactive(folder: &Path) -> Option<u64> {
    let text = fs::read_to_string(folder.join("memory.stat")).ok()?;
    let of = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    };
    of("inactive_file ").or_else(|| of("total_inactive_file "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (path, text) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn the_tightest_bound_of_all_groups_above_holds() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("a/b/cpu.max", "max 100000\n"),
                ("a/b/memory.max", "8000000000\n"),
                ("a/b/memory.current", "10\n"),
                ("a/cpu.max", "150000 100000\n"),
                ("a/memory.max", "4000000000\n"),
                ("a/memory.current", "3000000000\n"),
                (
                    "a/memory.stat",
                    "anon 5\ninactive_file 1000000000\nslab 7\n",
                ),
            ],
        );
        let expected = Limits {
            cpus: Some(1.5),
            memory_bytes: Some(4_000_000_000),
            memory_used_bytes: Some(2_000_000_000),
        };
        assert_eq!(limits("0::/a/b\n", root.path()), expected);
        assert_eq!(limits("0::/elsewhere\n", root.path()), Limits::default());
    }

    #[test]
    fn version_1_has_a_tree_for_each_kind() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("cpu/x/cpu.cfs_quota_us", "-1"),
                ("cpu/x/cpu.cfs_period_us", "100000"),
                ("memory/x/memory.limit_in_bytes", "1073741824"),
                ("memory/x/memory.usage_in_bytes", "5"),
                ("memory/memory.limit_in_bytes", "9223372036854771712"),
            ],
        );
        let groups = "5:cpu,cpuacct:/x\n4:memory:/x\n1:name=systemd:/x\n";
        let expected = Limits {
            cpus: None,
            memory_bytes: Some(1 << 30),
            memory_used_bytes: Some(5),
        };
        assert_eq!(limits(groups, root.path()), expected);
    }
}
