//! Speed of full tuning on dense sequences, for comparison with `benches/peers/train_full.py`.
//!
//!     cargo run --release -p lathe-tune --example full_speed -- MODEL [STEPS]
//!
//! MODEL is a .gguf file or a Hugging Face folder. Every step trains on 2 x 256 tokens, every position
//! supervised but the last of each sequence: gradients of all weights, clipping, AdamW, the model
//! taken up anew. Prints one JSON line with the median step. LATHE_THREADS and LATHE_ISA are honoured.

use lathe_engine::{Batch, FullTrainer, Segment, Target};
use lathe_kernel::{Pool, Precision, default_threads};
use lathe_tune::adamw::AdamWSpec;
use lathe_tune::full::{FullSpec, FullTuner};
use lathe_tune::schedule::{Schedule, Shape};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const SEQUENCES: usize = 2;
const LENGTH: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("name a model: a .gguf file or a Hugging Face folder")?;
    let steps: u64 = arguments.next().map_or(Ok(8), |count| count.parse())?;
    let pool = Pool::new(default_threads());
    let spec = FullSpec {
        adamw: AdamWSpec::default(),
        schedule: Schedule::new(Shape::Constant, 1e-5, 0.0, steps + 1),
        steps: steps + 1,
        max_grad_norm: 1.0,
    };
    let loaded = FullTrainer::load(Path::new(&path), Precision::Bf16, &pool)?;
    let mut tuner = FullTuner::new(&pool, loaded, spec);
    let batches = [dense()];
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    // The first step warms up.
    for step in 0..=steps {
        let start = Instant::now();
        losses.push(tuner.step(&batches)?.loss);
        if step > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let step_s = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
    let report = serde_json::json!({
        "threads": pool.threads(),
        "tokens_per_s": ((SEQUENCES * LENGTH) as f64 / step_s * 10.0).round() / 10.0,
        "step_s": (step_s * 1e4).round() / 1e4,
        "peak_mib": peak_mib(),
        "first_loss": losses.first(),
        "loss": losses.last(),
    });
    println!("{report}");
    Ok(())
}

fn dense() -> Batch {
    let mut batch = Batch::default();
    for sequence in 0..SEQUENCES {
        let start = sequence * LENGTH;
        batch.tokens.extend((start..start + LENGTH).map(token));
        batch.segments.push(Segment {
            start,
            len: LENGTH,
            prefix: None,
        });
        let targets = (start..start + LENGTH - 1).map(|row| Target {
            row: row as u32,
            token: token(row + 1),
            weight: 1.0,
        });
        batch.targets.extend(targets);
    }
    batch
}

/// Some token below 400, the same as the peer's.
fn token(index: usize) -> u32 {
    (index as u32).wrapping_mul(2_654_435_761) % 400
}

/// The most memory the process has held, as Linux counts it.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib = line.split_whitespace().next()?.parse::<u64>().ok()?;
    Some(kib / 1024)
}
