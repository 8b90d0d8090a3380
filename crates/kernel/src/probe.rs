//! What this machine gives, measured in a fraction of a second each: bytes read, products of 4 bits, and
//! what a second core costs the first.
//!
//! The best of several passes counts, since whatever else runs can only slow one down. These are limits
//! to hold expectations against and no benchmark: an answer also computes what is not measured here.

use std::hint::black_box;
use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::quantised::{BLOCK, Bits, Blocks, Offsets, QuantisedMatrix, QuantisedProduct};
use crate::simd::{Kernel, Simd, vectorize};
use crate::slab::room;
use crate::{Isa, PackedMatrix, Pool, Precision, matmul, matmul_quantised};

/// Passes at least, after one that is not counted.
const PASSES_MIN: usize = 3;
/// Parts that each thread reads, so that one that is held up is helped.
const PARTS_A_THREAD: usize = 4;
/// Sums that grow side by side. With so many every lane of one core counts 256 MiB exactly.
const SUMS: usize = 8;
/// How far ahead memory is asked for: a page, where the processor's own guesses end.
const FLOATS_AHEAD: usize = 1024;
/// Rows and columns of a matrix of [`FourBit`]: as in a model of about a billion parameters.
const WIDTH: usize = 2048;
/// 1 in half precision: the scale of every block of [`FourBit`].
const SCALE: u16 = 0x3c00;
/// The code of zero.
const ZERO: u8 = 8;

/// Seconds of the fastest pass that `work` made until `budget` was spent.
fn fastest_s(budget: Duration, mut work: impl FnMut()) -> f64 {
    work();
    let begun = Instant::now();
    let (mut passes, mut best) = (0, f64::INFINITY);
    while passes < PASSES_MIN || begun.elapsed() < budget {
        let pass = Instant::now();
        work();
        best = best.min(pass.elapsed().as_secs_f64());
        passes += 1;
    }
    best
}

/// Ones of `bytes` bytes in all, in large pages where the system gives them.
fn ones(bytes: usize) -> Vec<f32> {
    let count = bytes / size_of::<f32>();
    let mut floats = room(count);
    floats.resize(count, 1.0);
    floats
}

/// Adds up floats in several sums at once: one alone would wait for itself, and not for the memory.
struct Sum<'a>(&'a [f32]);

impl Kernel for Sum<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let step = SUMS * S::LANES;
        let whole = self.0.len() / step * step;
        let mut sums = [s.splat(0.0); SUMS];
        for start in (0..whole).step_by(step) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let at = self.0[start + lane * S::LANES..].as_ptr();
                s.prefetch(at.wrapping_add(FLOATS_AHEAD));
                // SAFETY: `start` plus a step is within the whole steps, and so are the lanes from `at` on.
                *sum = s.add(*sum, unsafe { s.load(at) });
            }
        }
        let mut total = f64::from(self.0[whole..].iter().sum::<f32>());
        for sum in sums {
            total += f64::from(s.sum_lanes(sum));
        }
        total
    }
}

/// Reads every float.
fn sum(isa: Isa, floats: &[f32]) -> f64 {
    vectorize(isa, Sum(floats))
}

/// Reads every float on all threads of the pool.
fn sum_on(pool: &Pool, floats: &[f32]) -> u64 {
    let parts = (pool.threads() * PARTS_A_THREAD).min(floats.len());
    let total = AtomicU64::new(0);
    pool.run(parts, &|part| {
        let (start, end) = (
            part * floats.len() / parts,
            (part + 1) * floats.len() / parts,
        );
        // Ones add up to a whole number.
        let sum = sum(pool.isa(), &floats[start..end]) as u64;
        total.fetch_add(sum, Ordering::Relaxed);
    });
    total.into_inner()
}

/// Bytes a second that all threads of the pool read together from `bytes` bytes of memory, which should
/// be several times the caches.
pub fn read_bytes_per_s(pool: &Pool, bytes: usize, budget: Duration) -> f64 {
    let floats = ones(bytes);
    let seconds = fastest_s(budget, || {
        black_box(sum_on(pool, black_box(&floats)));
    });
    size_of_val(&floats[..]) as f64 / seconds
}

/// Square matrices of 4 bits, one after another as the layers of a model are.
pub struct FourBit {
    layers: Vec<QuantisedMatrix>,
}

impl FourBit {
    /// As many as take `bytes` bytes, at least one.
    pub fn new(isa: Isa, bytes: usize) -> FourBit {
        // Every code as often as any other in each row.
        let codes: Vec<u8> = (0..WIDTH * WIDTH).map(|at| (at % 16) as u8).collect();
        let blocks = Blocks {
            bits: Bits::Four,
            codes: &codes,
            scales: &vec![SCALE; codes.len() / BLOCK],
            offsets: Offsets::Zero(ZERO),
        };
        let layer = QuantisedMatrix::pack(isa, &blocks, WIDTH, WIDTH);
        let count = bytes.div_ceil(layer.bytes()).max(1);
        FourBit {
            layers: vec![layer; count],
        }
    }

    /// Bytes of all matrices.
    pub fn bytes(&self) -> usize {
        self.layers.iter().map(QuantisedMatrix::bytes).sum()
    }

    /// Bytes of weights a second that one row is multiplied with: what bounds a single answer.
    pub fn row_bytes_per_s(&self, pool: &Pool, budget: Duration) -> f64 {
        let (x, mut out) = (vec![1.0; WIDTH], Vec::new());
        let seconds = fastest_s(budget, || {
            for layer in &self.layers {
                product(pool, layer, &x, &mut out);
            }
        });
        black_box(&out);
        self.bytes() as f64 / seconds
    }

    /// Multiplications and additions a second where `rows` rows are multiplied at once: what bounds a
    /// prompt.
    pub fn operations_per_s(&self, pool: &Pool, rows: usize, budget: Duration) -> f64 {
        let Some(layer) = self.layers.first() else {
            return 0.0;
        };
        let (x, mut out) = (vec![1.0; rows * WIDTH], Vec::new());
        let seconds = fastest_s(budget, || product(pool, layer, &x, &mut out));
        black_box(&out);
        2.0 * (rows * WIDTH * WIDTH) as f64 / seconds
    }
}

/// `out = x · wᵀ`
fn product(pool: &Pool, weights: &QuantisedMatrix, x: &[f32], out: &mut Vec<f32>) {
    out.resize(x.len(), 0.0);
    let product = QuantisedProduct {
        weights,
        out,
        accumulate: false,
    };
    matmul_quantised(pool, x, x.len() / WIDTH, &mut [product]);
}

/// Multiplications and additions a second of `rows` rows with weights in bfloat16, as a prompt takes them
/// where a model's weights are not kept in blocks.
pub fn bf16_operations_per_s(pool: &Pool, rows: usize, budget: Duration) -> f64 {
    let weights = vec![1.0; WIDTH * WIDTH];
    let weights = PackedMatrix::pack_weights(pool.isa(), Precision::Bf16, &weights, WIDTH, WIDTH);
    let x = vec![1.0; rows * WIDTH];
    let mut out = vec![0.0; rows * WIDTH];
    let seconds = fastest_s(budget, || matmul(pool, &x, rows, &weights, &mut out, false));
    black_box(&out);
    2.0 * (rows * WIDTH * WIDTH) as f64 / seconds
}

/// How fast two cores read, each its own memory, which one core's share of the last cache can hold and
/// a shared one may not hold twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TwoCores {
    /// Bytes a second of the first core while the other rests.
    pub alone: f64,
    /// Bytes a second of the slower one while both read.
    pub together: f64,
    /// Bytes a second of the first core alone, from memory that no cache holds.
    pub memory: f64,
}

impl TwoCores {
    /// Measures on processors `cpus` (as the system counts them): `bytes` each, and `memory_bytes` for
    /// what no cache holds. Takes three times `budget` and a little.
    ///
    /// # Errors
    /// A thread could not be bound to its processor.
    pub fn measure(
        cpus: [usize; 2],
        bytes: usize,
        memory_bytes: usize,
        budget: Duration,
    ) -> io::Result<TwoCores> {
        let slowest = |rates: Vec<f64>| rates.into_iter().fold(f64::INFINITY, f64::min);
        Ok(TwoCores {
            alone: slowest(at_once(&cpus[..1], bytes, budget)?),
            together: slowest(at_once(&cpus, bytes, budget)?),
            memory: slowest(at_once(&cpus[..1], memory_bytes, budget)?),
        })
    }
}

/// Bytes a second of each processor while all of them read.
fn at_once(cpus: &[usize], bytes: usize, budget: Duration) -> io::Result<Vec<f64>> {
    let (barrier, isa) = (Barrier::new(cpus.len()), Isa::detect());
    let reader = |cpu: usize| -> io::Result<f64> {
        let bound = bind(cpu);
        let floats = ones(bytes);
        black_box(sum(isa, black_box(&floats)));
        // Also where it failed: the others wait.
        barrier.wait();
        bound?;
        let (begun, mut read) = (Instant::now(), 0);
        while begun.elapsed() < budget {
            black_box(sum(isa, black_box(&floats)));
            read += size_of_val(&floats[..]);
        }
        Ok(read as f64 / begun.elapsed().as_secs_f64())
    };
    let reader = &reader;
    thread::scope(|scope| {
        let readers: Vec<_> = cpus
            .iter()
            .map(|&cpu| scope.spawn(move || reader(cpu)))
            .collect();
        readers
            .into_iter()
            .map(|it| it.join().expect("a reader only reads"))
            .collect()
    })
}

/// Binds this thread to one processor.
fn bind(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    set.set(cpu);
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::for_each_isa;
    use rustix::thread::sched_getaffinity;

    const BRIEFLY: Duration = Duration::from_millis(1);

    #[test]
    fn every_float_is_read_once() {
        for isa in Isa::supported() {
            for threads in [1, 3] {
                let pool = Pool::with_isa(threads, isa);
                for floats in [1, 11, 129, 1 << 14] {
                    assert_eq!(sum_on(&pool, &ones(4 * floats)), floats as u64, "{isa}");
                }
            }
        }
        assert!(read_bytes_per_s(&Pool::new(2), 1 << 16, BRIEFLY) > 0.0);
    }

    #[test]
    fn the_products_measured_are_products() {
        for_each_isa(|pool| {
            let four_bit = FourBit::new(pool.isa(), 1);
            assert_eq!(four_bit.layers.len(), 1);
            let mut out = Vec::new();
            product(pool, &four_bit.layers[0], &[1.0; 3 * WIDTH], &mut out);
            // Σ (code − 8) over the codes 0 to 15 is −8, and a row has each of them WIDTH / 16 times.
            let expected = -8.0 * (WIDTH / 16) as f32;
            let close = |value: &f32| (value - expected).abs() < 1e-3 * expected.abs();
            assert!(out.len() == 3 * WIDTH && out.iter().all(close));
        });
    }

    #[test]
    fn two_cores_are_read_on_and_a_core_that_is_not_there_is_an_error() {
        let allowed = sched_getaffinity(None).expect("a mask");
        let cpu = (0..CpuSet::MAX_CPU)
            .find(|cpu| allowed.is_set(*cpu))
            .expect("a processor");
        let rates = at_once(&[cpu, cpu], 1 << 12, BRIEFLY).expect("binds");
        assert!(rates.len() == 2 && rates.iter().all(|rate| *rate > 0.0));
        assert!(at_once(&[cpu, CpuSet::MAX_CPU], 1 << 12, BRIEFLY).is_err());
    }
}
