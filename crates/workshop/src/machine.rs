//! The processor, the threads and the memory that this process may use: what the machine has, and what a mask
//! and a control group leave of it.
//!
//! Linux says so in text files; where there are none, little is known. Not here: what is to be said of it (the
//! command `doctor`, [`crate::settings`]) and how fast it is.

mod cgroup;

use std::fs;

use lathe_kernel::default_threads;
use rustix::thread::{CpuSet, sched_getaffinity};

pub use cgroup::Limits;

/// What was found of the machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The processor, as it calls itself.
    pub cpu: String,
    /// Processors that run now.
    pub present: usize,
    /// Those that this process may run on, as the system counts them.
    pub cpus: Vec<usize>,
    /// Threads that the system would give it: what mask and quota allow.
    pub usable: usize,
    /// Threads that it computes with.
    pub threads: usize,
    /// What a control group leaves it.
    pub limits: Limits,
    /// Memory of the machine.
    pub memory_bytes: u64,
    /// Of it, what the system could give away now.
    pub available_bytes: u64,
}

impl Machine {
    /// Looks at /proc, /sys and the process's own mask.
    pub fn look() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let usable = std::thread::available_parallelism().map_or(1, usize::from);
        let cpus = allowed();
        let running = cpuinfo.lines();
        let running = running.filter(|line| line.starts_with("processor")).count();
        Machine {
            cpu: model(&cpuinfo),
            present: running.max(cpus.len()),
            cpus,
            usable,
            threads: default_threads(),
            limits: cgroup::own(),
            memory_bytes: kilobytes(&meminfo, "MemTotal:"),
            available_bytes: kilobytes(&meminfo, "MemAvailable:"),
        }
    }

    /// Bytes of memory that can be had now.
    pub fn free_bytes(&self) -> u64 {
        let Limits {
            memory_bytes: Some(bound),
            memory_used_bytes: used,
            ..
        } = self.limits
        else {
            return self.available_bytes;
        };
        self.available_bytes
            .min(bound - used.unwrap_or(0).min(bound))
    }
}

/// The processor's name as it tells it.
fn model(cpuinfo: &str) -> String {
    let named = cpuinfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_name = ["model name", "Model", "cpu model"].contains(&name.trim());
        is_name.then(|| value.trim().to_owned())
    });
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// A row of /proc/meminfo, in bytes; 0 where there is none.
fn kilobytes(meminfo: &str, name: &str) -> u64 {
    let row = meminfo.lines().find_map(|line| line.strip_prefix(name));
    let number = row.and_then(|row| row.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0).saturating_mul(1024)
}

/// The processors of this process's mask.
fn allowed() -> Vec<usize> {
    let Ok(mask) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| mask.is_set(*cpu))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(limits: Limits) -> Machine {
        Machine {
            limits,
            available_bytes: 32 << 30,
            ..Machine::look()
        }
    }

    #[test]
    fn what_a_control_group_leaves_is_what_there_is() {
        let free = |bound, used| {
            let limits = Limits {
                memory_bytes: bound,
                memory_used_bytes: used,
                ..Limits::default()
            };
            machine(limits).free_bytes()
        };
        assert_eq!(free(None, None), 32 << 30);
        assert_eq!(free(Some(3 << 30), Some(1 << 30)), 2 << 30);
        assert_eq!(free(Some(3 << 30), Some(5 << 30)), 0);
        assert_eq!(free(Some(64 << 30), None), 32 << 30);
    }

    #[test]
    fn proc_is_read_as_linux_writes_it() {
        let cpuinfo = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9B45\n";
        assert_eq!(model(cpuinfo), "AMD EPYC 9B45");
        assert_eq!(model(""), std::env::consts::ARCH);
        let meminfo = "MemTotal:       24000000 kB\nMemFree: 7 kB\nMemAvailable:   100 kB\n";
        assert_eq!(kilobytes(meminfo, "MemAvailable:"), 102_400);
        assert_eq!(kilobytes(meminfo, "SwapTotal:"), 0);
        let own = Machine::look();
        assert!(!own.cpus.is_empty() && own.free_bytes() > 0);
        assert!(own.present >= own.cpus.len());
    }
}
