//! How much memory this process holds, as the kernel counts it (proc(5), `/proc/self/status`).
//!
//! It is what a scheduler of memory sees: pages of mapped files are among it. Where there is no such file
//! nothing is said.

use std::fs::File;
use std::io::Read as _;

use crate::order::Memory;

/// Bytes read of the kernel's account; what is asked stands in its first.
const STATUS_BYTES_MAX: u64 = 16 << 10;

/// What this process holds and has held at most.
pub(crate) fn held() -> Option<Memory> {
    let file = File::open("/proc/self/status").ok()?;
    let mut text = String::new();
    file.take(STATUS_BYTES_MAX).read_to_string(&mut text).ok()?;
    read(&text)
}

fn read(status: &str) -> Option<Memory> {
    let bytes = |name: &str| {
        let mut lines = status.lines();
        let rest = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Memory {
        now_bytes: bytes("VmRSS")?,
        peak_bytes: bytes("VmHWM")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_account_is_read() {
        let text = "Name:\tlathe\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nVmRSSx:\t 1 kB\n";
        let memory = Memory {
            now_bytes: 1 << 20,
            peak_bytes: 2 << 20,
        };
        assert_eq!(read(text), Some(memory));
        for broken in ["", "VmRSS: 1 kB", "VmHWM: 1 kB\nVmRSS: many kB"] {
            assert_eq!(read(broken), None, "{broken}");
        }
        let most = format!("VmHWM: {} kB\nVmRSS: 1 kB", u64::MAX);
        assert_eq!(read(&most), None, "no number of bytes");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_holds_some() {
        let memory = held().unwrap();
        assert!(memory.now_bytes > 1 << 20, "{memory:?}");
        assert!(memory.peak_bytes >= memory.now_bytes, "{memory:?}");
    }
}
