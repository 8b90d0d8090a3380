//! How much memory this process may have: the machine's, or what its container leaves it.
//!
//! Linux says so in text files; where there are none, nothing is known.

use std::fs;

/// Bytes that this process may take at most, if the system says.
pub(crate) fn memory_bytes() -> Option<usize> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let total = read("/proc/meminfo").and_then(|text| total_of(&text));
    let container = read("/sys/fs/cgroup/memory.max").and_then(|text| limit_of(&text));
    total.into_iter().chain(container).min()
}

/// `MemTotal` of /proc/meminfo, which counts in KiB.
fn total_of(meminfo: &str) -> Option<usize> {
    let line = meminfo
        .lines()
        .find_map(|it| it.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// A limit of control groups (version 2): bytes, or `max` where there is none.
fn limit_of(limit: &str) -> Option<usize> {
    limit.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_linux_writes() {
        let meminfo = "MemTotal:       24616436 kB\nMemFree:        12345 kB\n";
        assert_eq!(total_of(meminfo), Some(24_616_436 * 1024));
        assert_eq!(total_of("MemFree: 1 kB\n"), None);
        assert_eq!(limit_of("1073741824\n"), Some(1 << 30));
        assert_eq!(limit_of("max\n"), None);
    }
}
