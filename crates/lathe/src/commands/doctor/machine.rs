//! The processor, the threads and the memory that this process may use.

use std::fs;

use lathe_kernel::{Isa, default_threads};
use rustix::thread::{CpuSet, sched_getaffinity};
use serde_json::json;

use super::cgroup::{self, Limits};
use super::{Finding, State, binary};

/// Memory below which the sample's order has no room.
const MEMORY_BYTES_MIN: u64 = 1 << 30;
/// Memory below which a model of a billion parameters has no room beside the system.
const MEMORY_BYTES_WANTED: u64 = 4 << 30;

/// What was found of the machine.
pub(super) struct Machine {
    cpu: String,
    /// Processors that run now.
    present: usize,
    /// Those that this process may run on, as the system counts them.
    pub(super) cpus: Vec<usize>,
    /// Threads that the system would give it: what mask and quota allow.
    usable: usize,
    /// Threads that it computes with.
    pub(super) threads: usize,
    limits: Limits,
    memory_bytes: u64,
    available_bytes: u64,
}

impl Machine {
    /// Looks at /proc, /sys and the process's own mask.
    pub(super) fn look() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let usable = std::thread::available_parallelism().map_or(1, usize::from);
        Machine {
            cpu: model(&cpuinfo),
            present: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            cpus: allowed(),
            usable,
            threads: default_threads(),
            limits: cgroup::own(),
            memory_bytes: kilobytes(&meminfo, "MemTotal:"),
            available_bytes: kilobytes(&meminfo, "MemAvailable:"),
        }
    }

    /// Bytes of memory that can be had now.
    pub(super) fn free_bytes(&self) -> u64 {
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

    /// What there is to say of it.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let cpu = [("cpu", self.cpu.clone())];
        let figures = json!({ "model": self.cpu, "architecture": std::env::consts::ARCH });
        vec![
            Finding::new("cpu", State::Ok, "cpu", &cpu, figures),
            instructions(),
            self.thread_finding(),
            self.memory_finding(),
        ]
    }

    fn thread_finding(&self) -> Finding {
        let quota = self.limits.cpus;
        let holes = [
            ("threads", self.threads.to_string()),
            ("usable", self.usable.to_string()),
            ("present", self.present.max(self.cpus.len()).to_string()),
            ("affinity", self.cpus.len().to_string()),
            (
                "quota",
                quota.map_or("–".to_owned(), |quota| format!("{quota:.1}")),
            ),
        ];
        let figures = json!({
            "threads": self.threads,
            "usable": self.usable,
            "present": self.present,
            "affinity": self.cpus,
            "cgroup_cpus": quota,
        });
        let (state, word) = match self.threads.cmp(&self.usable) {
            std::cmp::Ordering::Greater => (State::Warn, "threads.many"),
            std::cmp::Ordering::Equal => (State::Ok, "threads"),
            std::cmp::Ordering::Less => (State::Ok, "threads.few"),
        };
        Finding::new("threads", state, word, &holes, figures)
    }

    fn memory_finding(&self) -> Finding {
        let (free, bound) = (self.free_bytes(), self.limits.memory_bytes);
        let holes = [
            ("free", binary(free)),
            ("total", binary(self.memory_bytes)),
            ("bound", bound.map_or(String::new(), binary)),
        ];
        let figures = json!({
            "bytes": self.memory_bytes,
            "available_bytes": self.available_bytes,
            "cgroup_bytes": bound,
            "cgroup_used_bytes": self.limits.memory_used_bytes,
            "free_bytes": free,
        });
        let (state, word) = match (free, bound) {
            (..MEMORY_BYTES_MIN, _) => (State::Fail, "memory.little"),
            (..MEMORY_BYTES_WANTED, _) => (State::Warn, "memory.small"),
            (_, Some(_)) => (State::Ok, "memory.bound"),
            (_, None) => (State::Ok, "memory"),
        };
        Finding::new("memory", state, word, &holes, figures)
    }
}

fn instructions() -> Finding {
    let (isa, supported) = (Isa::detect(), Isa::supported());
    let names = |sets: &[Isa]| sets.iter().map(Isa::to_string).collect::<Vec<_>>();
    let best = supported.first().copied().unwrap_or(Isa::Portable);
    let holes = [("isa", isa.to_string()), ("best", best.to_string())];
    let (state, word) = match isa {
        _ if isa != best => (State::Warn, "instructions.forced"),
        Isa::Portable => (State::Warn, "instructions.portable"),
        Isa::Avx2 => (State::Ok, "instructions.avx2"),
        Isa::Avx512Bf16 => (State::Ok, "instructions.avx512"),
    };
    let figures = json!({ "used": isa.to_string(), "supported": names(&supported) });
    Finding::new("instructions", state, word, &holes, figures)
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
            cpu: "x".to_owned(),
            present: 8,
            cpus: vec![0, 1, 2, 3],
            usable: 4,
            threads: 4,
            limits,
            memory_bytes: 64 << 30,
            available_bytes: 32 << 30,
        }
    }

    #[test]
    fn what_a_control_group_leaves_is_what_there_is() {
        let none = machine(Limits::default());
        assert_eq!(none.free_bytes(), 32 << 30);
        assert_eq!(none.memory_finding().state, State::Ok);
        let tight = machine(Limits {
            memory_bytes: Some(3 << 30),
            memory_used_bytes: Some(1 << 30),
            ..Limits::default()
        });
        assert_eq!(tight.free_bytes(), 2 << 30);
        assert_eq!(tight.memory_finding().state, State::Warn);
        let full = machine(Limits {
            memory_bytes: Some(3 << 30),
            memory_used_bytes: Some(5 << 30),
            ..Limits::default()
        });
        assert_eq!(full.free_bytes(), 0);
        let finding = full.memory_finding();
        assert_eq!(finding.state, State::Fail);
        assert!(finding.next.is_some());
    }

    #[test]
    fn more_threads_than_processors_is_a_warning() {
        let mut many = machine(Limits::default());
        many.threads = 5;
        assert_eq!(many.thread_finding().state, State::Warn);
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
    }
}
