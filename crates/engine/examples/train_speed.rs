//! Speed of tuning and of inference on one model, as medians of repeats.
//!
//!     cargo run --release -p lathe-engine --example train_speed -- MODEL.gguf [REPEATS]
//!
//! A tuning step is forward and backward of a LoRA adapter of rank 16 on all seven
//! linear layers, without the optimizer. Tokens are random: the time does not depend
//! on them. LATHE_THREADS and LATHE_ISA are honoured.

use lathe_engine::{
    Adapter, Batch, Chunk, KvCache, LoadOptions, LoraSpec, Model, Scratch, Segment, Target,
    Trainer, forward,
};
use lathe_kernel::{Pool, default_threads};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("name a model: a .gguf file or a Hugging Face folder")?;
    let repeats: usize = arguments.next().map_or(Ok(5), |count| count.parse())?;

    let start = Instant::now();
    let options = LoadOptions {
        trainable: true,
        ..LoadOptions::default()
    };
    let model = Model::load(Path::new(&path), options)?;
    let pool = Pool::new(default_threads());
    println!(
        "{path}: {}, {} on {} threads, loaded in {:.2} s",
        model.format_name(),
        options.isa,
        pool.threads(),
        start.elapsed().as_secs_f64()
    );

    tune(&model, &pool, repeats)?;
    prompt(&model, &pool, 512, repeats);
    for sequences in [1, 8, 16] {
        decode(&model, &pool, sequences, repeats);
    }
    if let Some(peak) = peak_memory() {
        println!("peak memory: {peak}");
    }
    Ok(())
}

fn tune(model: &Model, pool: &Pool, repeats: usize) -> Result<(), Box<dyn Error>> {
    let spec = LoraSpec {
        rank: 16,
        alpha: 32.0,
        targets: lathe_engine::adapter::TARGETS.map(str::to_owned).to_vec(),
    };
    let adapter = Adapter::new(&model.config, &spec, 1)?;
    let mut gradients = vec![0.0; adapter.values.len()];
    let mut trainer = Trainer::new(model, pool);
    for (name, batch, tokens) in [
        ("step, dense 2 x 256, all supervised", dense(2, 256), 512),
        (
            "step, 16 records of 90, 40 shared, 30 supervised",
            records(16, 40, 50, 30),
            16 * 90,
        ),
        (
            "step, 16 records of 90, nothing shared",
            records(16, 0, 90, 30),
            16 * 90,
        ),
    ] {
        let rows = batch.tokens.len();
        let seconds = median(repeats, || {
            trainer.loss_and_gradients(&adapter, &batch, 1e-3, &mut gradients);
        });
        println!(
            "{name}: {:.0} tokens/s ({tokens} tokens, {rows} rows, {:.0} ms)",
            tokens as f64 / seconds,
            seconds * 1e3
        );
    }
    let batch = dense(2, 256);
    let seconds = median(repeats, || {
        trainer.loss(Some(&adapter), &batch);
    });
    println!("loss alone, dense 2 x 256: {:.0} tokens/s", 512.0 / seconds);
    Ok(())
}

/// Sequences of which every position is supervised.
fn dense(sequences: usize, len: usize) -> Batch {
    let mut batch = Batch::default();
    for _ in 0..sequences {
        push(&mut batch, len, None, len - 1);
    }
    batch
}

/// Records whose last `supervised` positions count, after a prefix that all share.
fn records(count: usize, shared: usize, own: usize, supervised: usize) -> Batch {
    let mut batch = Batch::default();
    if shared > 0 {
        push(&mut batch, shared, None, 0);
    }
    for _ in 0..count {
        push(&mut batch, own, (shared > 0).then_some(0), supervised);
    }
    batch
}

fn push(batch: &mut Batch, len: usize, prefix: Option<usize>, supervised: usize) {
    let start = batch.tokens.len();
    batch.tokens.extend((start..start + len).map(token));
    batch.segments.push(Segment { start, len, prefix });
    for row in len - 1 - supervised..len - 1 {
        let row = start + row;
        batch.targets.push(Target {
            row: row as u32,
            token: token(row + 1),
            weight: 1.0,
        });
    }
}

/// Some token below 400.
fn token(index: usize) -> u32 {
    (index as u32).wrapping_mul(2_654_435_761) % 400
}

fn prompt(model: &Model, pool: &Pool, len: usize, repeats: usize) {
    let tokens: Vec<u32> = (0..len).map(token).collect();
    let mut scratch = Scratch::default();
    let seconds = median(repeats, || {
        let mut cache = KvCache::new(&model.config);
        let chunk = Chunk {
            cache: &mut cache,
            tokens: &tokens,
            logits: true,
        };
        forward(model, pool, None, &mut [chunk], &mut scratch);
    });
    println!("prompt of {len}: {:.0} tokens/s", len as f64 / seconds);
}

fn decode(model: &Model, pool: &Pool, sequences: usize, repeats: usize) {
    const STEPS: usize = 32;
    let prompt: Vec<u32> = (0..32).map(token).collect();
    let mut scratch = Scratch::default();
    let mut caches = vec![KvCache::new(&model.config); sequences];
    let mut pass = |caches: &mut [KvCache], tokens: &[u32]| {
        let mut chunks: Vec<Chunk<'_>> = caches
            .iter_mut()
            .map(|cache| Chunk {
                cache,
                tokens,
                logits: true,
            })
            .collect();
        forward(model, pool, None, &mut chunks, &mut scratch);
    };
    pass(&mut caches, &prompt);
    let seconds = median(repeats, || {
        caches
            .iter_mut()
            .for_each(|cache| cache.truncate(prompt.len()));
        for step in 0..STEPS {
            pass(&mut caches, &[token(step)]);
        }
    });
    let tokens = (STEPS * sequences) as f64;
    println!(
        "decode, {sequences} sequences: {:.0} tokens/s",
        tokens / seconds
    );
}

/// Seconds of the middle one of `repeats` runs, after one that warms up.
fn median(repeats: usize, mut run: impl FnMut()) -> f64 {
    run();
    let mut times: Vec<f64> = (0..repeats.max(1))
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The most memory the process has held, as Linux counts it.
fn peak_memory() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().to_owned())
}
