//! How fast the machine is, measured: memory, products, and what one core costs the other.

use std::fs;
use std::path::Path;
use std::time::Duration;

use lathe_kernel::Pool;
use lathe_kernel::probe::{FourBit, TwoCores, bf16_operations_per_s, read_bytes_per_s};
use lathe_workshop::machine::Machine;
use lathe_workshop::words::{self, Lang};
use serde_json::{Value, json};

use super::{Finding, State, binary, giga};

/// Time for each measurement.
const BUDGET: Duration = Duration::from_millis(250);
/// Time for each of the three parts of the look at the caches.
const CACHE_BUDGET: Duration = Duration::from_millis(100);
/// What is read to measure memory: several times any core's share of the caches.
const MEMORY_BYTES: u64 = 256 << 20;
/// The weights that one row is multiplied with.
const WEIGHT_BYTES: u64 = 96 << 20;
/// What each core reads: more than half of a usual last cache, less than all of it.
const CACHE_BYTES: u64 = 24 << 20;
/// Rows of the products of a prompt.
const PROMPT_ROWS: usize = 256;
/// Free memory stays this many times what a measurement takes.
const ROOM: u64 = 6;
/// A core that reads this much faster than from memory reads from its cache.
const CACHED: f64 = 1.3;
/// A core that keeps this share of its speed beside another does not share the cache with it.
const KEPT: f64 = 0.75;

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Speed {
    /// Bytes a second that all threads read together.
    pub(super) read: f64,
    /// Bytes of 4-bit weights a second that one row is multiplied with.
    pub(super) row: f64,
    /// Operations a second of many rows with 4-bit weights.
    pub(super) four_bit: f64,
    /// The same with weights in bf16.
    pub(super) bf16: f64,
    /// The first and the last processor beside one another; absent where there is only one.
    cores: Option<Cores>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Cores {
    cpus: [usize; 2],
    measured: TwoCores,
    /// What the system says of the last cache of the first, and whether the second is on it.
    told: Option<LastCache>,
}

/// A last-level cache as the system describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LastCache {
    level: u64,
    bytes: u64,
    shared: bool,
}

/// What the measurement says of two cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Shared,
    Apart,
    /// What each reads is too much for the cache even of one alone.
    Unclear,
}

impl Speed {
    /// Measures; takes a second or two.
    pub(super) fn measure(machine: &Machine) -> Speed {
        let pool = Pool::new(machine.threads);
        let fitting = |bytes: u64| bytes.min(machine.free_bytes() / ROOM).max(1 << 20) as usize;
        let four_bit = FourBit::new(pool.isa(), fitting(WEIGHT_BYTES));
        Speed {
            read: read_bytes_per_s(&pool, fitting(MEMORY_BYTES), BUDGET),
            row: four_bit.row_bytes_per_s(&pool, BUDGET),
            four_bit: four_bit.operations_per_s(&pool, PROMPT_ROWS, BUDGET),
            bf16: bf16_operations_per_s(&pool, PROMPT_ROWS, BUDGET),
            cores: cores(machine, fitting(MEMORY_BYTES)),
        }
    }

    /// What there is to say of it.
    pub(super) fn findings(&self) -> Vec<Finding> {
        let read = [("read", giga(self.read)), ("row", giga(self.row))];
        let read_figures = json!({
            "read_bytes_per_s": self.read,
            "four_bit_row_bytes_per_s": self.row,
        });
        let products = [("four_bit", giga(self.four_bit)), ("bf16", giga(self.bf16))];
        let product_figures = json!({
            "four_bit_operations_per_s": self.four_bit,
            "bf16_operations_per_s": self.bf16,
            "rows": PROMPT_ROWS,
        });
        let mut findings = vec![
            Finding::new("bandwidth", State::Ok, "bandwidth", &read, read_figures),
            Finding::new(
                "products",
                State::Ok,
                "products",
                &products,
                product_figures,
            ),
        ];
        findings.extend(self.cores.map(Cores::finding));
        findings
    }
}

/// The first and the last of the processors, since those are the farthest apart.
fn cores(machine: &Machine, memory_bytes: usize) -> Option<Cores> {
    let cpus = [*machine.cpus.first()?, *machine.cpus.last()?];
    if cpus[0] == cpus[1] {
        return None;
    }
    // Where threads may not be bound there is nothing to say.
    let measured =
        TwoCores::measure(cpus, CACHE_BYTES as usize, memory_bytes, CACHE_BUDGET).ok()?;
    let told = last_cache(Path::new("/sys/devices/system/cpu"), cpus);
    Some(Cores {
        cpus,
        measured,
        told,
    })
}

impl Cores {
    fn sharing(self) -> Sharing {
        let TwoCores {
            alone,
            together,
            memory,
        } = self.measured;
        if alone < CACHED * memory {
            Sharing::Unclear
        } else if together < KEPT * alone {
            Sharing::Shared
        } else {
            Sharing::Apart
        }
    }

    /// The system says that they share a cache which could not hold both, and the measurement that
    /// neither costs the other anything; or they are told to be apart and are not. Virtual machines do that.
    fn contradicted(self) -> bool {
        let Some(told) = self.told else { return false };
        match self.sharing() {
            Sharing::Unclear => false,
            Sharing::Shared => !told.shared,
            Sharing::Apart => told.shared && told.bytes < 2 * CACHE_BYTES,
        }
    }

    fn finding(self) -> Finding {
        let TwoCores {
            alone,
            together,
            memory,
        } = self.measured;
        let told = self.told.map(|told| {
            let (level, size) = (told.level.to_string(), binary(told.bytes));
            let word = if told.shared {
                "doctor.cache.told.shared"
            } else {
                "doctor.cache.told.apart"
            };
            let holes = [("level", level.as_str()), ("size", size.as_str())];
            words::get(Lang::from_env(), word, &holes)
        });
        let holes = [
            ("first", self.cpus[0].to_string()),
            ("last", self.cpus[1].to_string()),
            ("size", binary(CACHE_BYTES)),
            ("alone", giga(alone)),
            ("together", giga(together)),
            ("memory", giga(memory)),
            (
                "told",
                told.unwrap_or_else(|| super::say("doctor.cache.told.nothing")),
            ),
        ];
        let (state, word) = match (self.sharing(), self.contradicted()) {
            (Sharing::Shared, false) => (State::Ok, "cache.shared"),
            (Sharing::Shared, true) => (State::Warn, "cache.shared.contradicted"),
            (Sharing::Apart, false) => (State::Ok, "cache.apart"),
            (Sharing::Apart, true) => (State::Warn, "cache.apart.contradicted"),
            (Sharing::Unclear, _) => (State::Ok, "cache.unclear"),
        };
        Finding::new("cache", state, word, &holes, self.figures())
    }

    fn figures(self) -> Value {
        let sharing = match self.sharing() {
            Sharing::Shared => Some(true),
            Sharing::Apart => Some(false),
            Sharing::Unclear => None,
        };
        json!({
            "cpus": self.cpus,
            "bytes_each": CACHE_BYTES,
            "alone_bytes_per_s": self.measured.alone,
            "together_bytes_per_s": self.measured.together,
            "memory_bytes_per_s": self.measured.memory,
            "shared": sharing,
            "told": self.told.map(|told| json!({
                "level": told.level,
                "bytes": told.bytes,
                "shared": told.shared,
            })),
        })
    }
}

/// The last cache of the first processor under `root`, and whether the second shares it.
fn last_cache(root: &Path, [first, last]: [usize; 2]) -> Option<LastCache> {
    let folder = root.join(format!("cpu{first}/cache"));
    let mut found: Option<LastCache> = None;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let read = |name: &str| fs::read_to_string(entry.path().join(name)).ok();
        let (Some(level), Some(size), Some(shared)) =
            (read("level"), read("size"), read("shared_cpu_list"))
        else {
            continue;
        };
        let (Ok(level), Some(bytes)) = (level.trim().parse(), size_bytes(size.trim())) else {
            continue;
        };
        if found.is_none_or(|it| it.level < level) {
            found = Some(LastCache {
                level,
                bytes,
                shared: holds(shared.trim(), last),
            });
        }
    }
    found
}

/// "32768K" or "32M" in bytes.
fn size_bytes(text: &str) -> Option<u64> {
    let units = [("K", 10), ("M", 20), ("G", 30)];
    let (number, shift) = units
        .iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)))
        .unwrap_or((text, 0));
    number.parse::<u64>().ok()?.checked_shl(shift)
}

/// Whether a list as "0-3,8" has this processor.
fn holds(list: &str, cpu: usize) -> bool {
    list.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse::<usize>(), last.trim().parse::<usize>()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&cpu),
            _ => false,
        }
    })
}

#[cfg(test)]
impl Speed {
    /// As if it had been measured.
    pub(super) fn of_rates(read: f64, row: f64, four_bit: f64, bf16: f64) -> Speed {
        Speed {
            read,
            row,
            four_bit,
            bf16,
            cores: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores(alone: f64, together: f64, memory: f64, told: Option<LastCache>) -> Cores {
        Cores {
            cpus: [0, 1],
            measured: TwoCores {
                alone: alone * 1e9,
                together: together * 1e9,
                memory: memory * 1e9,
            },
            told,
        }
    }

    #[test]
    fn sharing_is_read_off_the_speeds() {
        let told = |bytes, shared| {
            Some(LastCache {
                level: 3,
                bytes,
                shared,
            })
        };
        let of = |cores: Cores| (cores.sharing(), cores.contradicted());
        let small = told(32 << 20, true);
        assert_eq!(of(cores(30.0, 14.0, 12.0, small)), (Sharing::Shared, false));
        assert_eq!(of(cores(30.0, 29.0, 12.0, small)), (Sharing::Apart, true));
        // A cache that holds both is shared without cost.
        let large = told(96 << 20, true);
        assert_eq!(of(cores(30.0, 29.0, 12.0, large)), (Sharing::Apart, false));
        let apart = told(32 << 20, false);
        assert_eq!(of(cores(30.0, 14.0, 12.0, apart)), (Sharing::Shared, true));
        assert_eq!(of(cores(13.0, 7.0, 12.0, apart)), (Sharing::Unclear, false));
        assert_eq!(of(cores(30.0, 29.0, 12.0, None)), (Sharing::Apart, false));
        let warned = cores(30.0, 29.0, 12.0, small).finding();
        assert!(warned.state == State::Warn && warned.next.is_some());
    }

    #[test]
    fn caches_are_read_as_linux_describes_them() {
        let root = tempfile::tempdir().unwrap();
        for (index, level, size, list) in [
            ("index0", "1", "48K", "0"),
            ("index3", "3", "32768K", "0-1,8-9"),
            ("index2", "2", "1M", "0"),
        ] {
            let folder = root.path().join("cpu0/cache").join(index);
            fs::create_dir_all(&folder).unwrap();
            for (name, text) in [("level", level), ("size", size), ("shared_cpu_list", list)] {
                fs::write(folder.join(name), format!("{text}\n")).unwrap();
            }
        }
        for (last, shared) in [(1, true), (9, true), (2, false)] {
            let cache = last_cache(root.path(), [0, last]).unwrap();
            assert_eq!((cache.level, cache.bytes), (3, 32 << 20));
            assert_eq!(cache.shared, shared, "{last}");
        }
        assert_eq!(last_cache(root.path(), [5, 6]), None);
        assert_eq!(size_bytes("1 M"), None);
    }
}
