//! What there is to say of the processor, the threads and the memory that this process may use.

use lathe_kernel::Isa;
use lathe_workshop::machine::Machine;
use serde_json::json;

use super::{Finding, State, binary};

/// Memory below which the sample's order has no room.
const MEMORY_BYTES_MIN: u64 = 1 << 30;
/// Memory below which a model of a billion parameters has no room beside the system.
const MEMORY_BYTES_WANTED: u64 = 4 << 30;

/// What there is to say of it.
pub(super) fn findings(machine: &Machine) -> Vec<Finding> {
    let cpu = [("cpu", machine.cpu.clone())];
    let figures = json!({ "model": machine.cpu, "architecture": std::env::consts::ARCH });
    vec![
        Finding::new("cpu", State::Ok, "cpu", &cpu, figures),
        instructions(),
        threads(machine),
        memory(machine),
    ]
}

fn threads(machine: &Machine) -> Finding {
    let quota = machine.limits.cpus;
    let holes = [
        ("threads", machine.threads.to_string()),
        ("usable", machine.usable.to_string()),
        ("present", machine.present.to_string()),
        ("affinity", machine.cpus.len().to_string()),
        (
            "quota",
            quota.map_or("–".to_owned(), |quota| format!("{quota:.1}")),
        ),
    ];
    let figures = json!({
        "threads": machine.threads,
        "usable": machine.usable,
        "present": machine.present,
        "affinity": machine.cpus,
        "cgroup_cpus": quota,
    });
    let (state, word) = match machine.threads.cmp(&machine.usable) {
        std::cmp::Ordering::Greater => (State::Warn, "threads.many"),
        std::cmp::Ordering::Equal => (State::Ok, "threads"),
        std::cmp::Ordering::Less => (State::Ok, "threads.few"),
    };
    Finding::new("threads", state, word, &holes, figures)
}

fn memory(machine: &Machine) -> Finding {
    let (free, bound) = (machine.free_bytes(), machine.limits.memory_bytes);
    let holes = [
        ("free", binary(free)),
        ("total", binary(machine.memory_bytes)),
        ("bound", bound.map_or(String::new(), binary)),
    ];
    let figures = json!({
        "bytes": machine.memory_bytes,
        "available_bytes": machine.available_bytes,
        "cgroup_bytes": bound,
        "cgroup_used_bytes": machine.limits.memory_used_bytes,
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

#[cfg(test)]
mod tests {
    use lathe_workshop::machine::Limits;

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
    fn little_memory_in_a_control_group_is_a_finding() {
        let found = |bound, used| {
            let limits = Limits {
                memory_bytes: bound,
                memory_used_bytes: used,
                ..Limits::default()
            };
            memory(&machine(limits))
        };
        assert_eq!(found(None, None).state, State::Ok);
        assert_eq!(found(Some(3 << 30), Some(1 << 30)).state, State::Warn);
        let full = found(Some(3 << 30), Some(5 << 30));
        assert_eq!(full.state, State::Fail);
        assert!(full.next.is_some());
    }

    #[test]
    fn more_threads_than_processors_is_a_warning() {
        let mut many = machine(Limits::default());
        many.threads = 5;
        assert_eq!(threads(&many).state, State::Warn);
    }
}
