//! Speed of full tuning on dense sequences, for comparison with `benches/peers/train_full.py`.
//!
//!     cargo run --release -p lathe-tune --example full_speed -- MODEL [STEPS] [bytes|bf16] [TEXT]
//!
//! MODEL is a .gguf file or a Hugging Face folder. Every step trains on 2 x 256 tokens, every position
//! supervised but the last of each sequence: gradients of all weights, clipping, AdamW, the model
//! taken up anew. With a TEXT, a file, a step takes the next of its tokens, and the loss is the mean of the last twenty
//! steps: what products of bytes do to what is learnt. `bf16` lets no product multiply bytes. Prints one JSON line with the median step. LATHE_THREADS and LATHE_ISA are honoured.

use lathe_engine::{ByteProducts, FullTrainer, Parameters};
use lathe_evidence::Digest;
use lathe_kernel::{Pool, Precision, default_threads};
use lathe_tune::TuneError;
use lathe_tune::adamw::{AdamW, AdamWSpec};
use lathe_tune::clip;
use lathe_tune::full::{Learns, Weights};
use lathe_tune::learner::Learner;
use lathe_tune::pack::{Packed, Row};
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
    let bytes = match arguments.next().as_deref() {
        None | Some("bytes") => ByteProducts::All,
        Some("bf16") => ByteProducts::None,
        Some(other) => return Err(format!("say `bytes` or `bf16`, not `{other}`").into()),
    };
    let pool = Pool::new(default_threads());
    let loaded = FullTrainer::load(Path::new(&path), Precision::Bf16, bytes, &pool)?;
    let text = arguments.next().map(std::fs::read_to_string).transpose()?;
    let tokens = match &text {
        Some(text) => loaded.0.model().tokenizer.encode(text),
        None => (0..SEQUENCES * LENGTH).map(token).collect(),
    };
    let packed = dense(&tokens);
    let nowhere = |_: &Parameters, _: &Path, _: &str| -> Result<(), TuneError> { Ok(()) };
    let rows = (&packed, SEQUENCES * LENGTH);
    let mut weights = Weights::new("sft", loaded, &pool, rows, Learns::All, &nowhere)?;
    let mut optimizer = AdamW::new(AdamWSpec::default(), weights.len());
    let mut gradients = lathe_kernel::slab::zeros(weights.len());
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    // The first step warms up.
    for step in 0..=steps {
        let first = step as usize * SEQUENCES;
        let records: Vec<usize> = (first..first + SEQUENCES)
            .map(|record| record % packed.rows.len())
            .collect();
        let start = Instant::now();
        losses.push(weights.gradients(&records, &mut gradients).loss);
        let factor = clip::factor(clip::norm(&pool, &gradients), 1.0);
        weights.change(&mut |pool, values| {
            optimizer.step(pool, values, &gradients, factor, 1e-5);
        });
        if step > 0 {
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let tail = if text.is_some() { 20 } else { 1 };
    seconds.sort_by(f64::total_cmp);
    let step_s = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
    let report = serde_json::json!({
        "threads": pool.threads(),
        "bytes": format!("{bytes:?}"),
        "tokens_per_s": ((SEQUENCES * LENGTH) as f64 / step_s * 10.0).round() / 10.0,
        "step_s": (step_s * 1e4).round() / 1e4,
        "peak_mib": peak_mib(),
        "first_loss": losses.first(),
        "loss": mean(&losses[losses.len().saturating_sub(tail)..]),
    });
    println!("{report}");
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn dense(tokens: &[u32]) -> Packed {
    let row = |(sequence, tokens): (usize, &[u32])| {
        let (id, leaf) = (sequence.to_string(), Digest::of(&sequence.to_le_bytes()));
        Row::answering(id, leaf, tokens.to_vec(), 1)
    };
    let rows = tokens.chunks_exact(LENGTH).enumerate();
    Packed {
        rows: rows.map(row).collect(),
        prefix_len: 0,
        over_long: Vec::new(),
        unanswered: Vec::new(),
    }
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
