//! One measurement of the engine, printed as one JSON object: this project's side of `cargo xtask bench`.
//!
//!     cargo run --release -p lathe-engine --example speed -- prompt MODEL LEN
//!     cargo run --release -p lathe-engine --example speed -- decode|decode-all MODEL SEQUENCES
//!     cargo run --release -p lathe-engine --example speed -- decode-adapters MODEL SEQUENCES ADAPTERS
//!     cargo run --release -p lathe-engine --example speed -- lora MODEL SEQUENCES LEN
//!     cargo run --release -p lathe-engine --example speed -- perplexity MODEL TEXT
//!     cargo run --release -p lathe-engine --example speed -- layers MODEL TEXT
//!
//! `prompt` reads a prompt, `decode` writes [`WRITTEN`] tokens of every sequence after a prompt of
//! [`BEFORE`], with the logits that a greedy choice needs or with all; `decode-adapters` shares the
//! sequences out among adapters of rank 16 on all linear layers, once with one pass for all of them
//! and once with one for each. `lora` takes optimizer-free steps of a rank 16 adapter on all linear layers, every
//! position supervised. Figures are medians of repetitions. `perplexity` reads a text in windows of
//! [`WINDOW`] and counts the second half of each, as llama.cpp's tool does. `layers` reads a text's first
//! window and gives, for every layer's end, the cosine between the hidden states as answers compute
//! them and in f32, and the least of them.
//! Weights are as [`LoadOptions::for_answers`] says; for `lora`, as [`LoadOptions::for_tuning`] says. `LATHE_THREADS` and `LATHE_ISA` are honoured.

use lathe_engine::infer::{
    AdapterRun, Chunk, KvCache, Logits, Scratch, forward, forward_mixed, hidden_states,
};
use lathe_engine::{
    Adapter, Batch, LoadOptions, LoraSpec, Model, PackedAdapter, Segment, Target, Trainer,
};
use lathe_kernel::{Pool, Precision, default_threads};
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

/// Repetitions of a measurement, after one that warms up.
const REPETITIONS: usize = 5;
/// Tokens of a sequence before `decode` writes.
const BEFORE: usize = 64;
/// Tokens that `decode` writes in a repetition, per sequence.
const WRITTEN: usize = 48;
/// Tokens of a window of `perplexity`.
const WINDOW: usize = 512;
/// Rows of a prompt computed together, as serving does.
const PIECE: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let pool = Pool::new(default_threads());
    let answers = |path: &str| Model::load(Path::new(path), LoadOptions::for_answers());
    let mut figures = match arguments.as_slice() {
        ["prompt", path, len] => prompt(&answers(path)?, &pool, len.parse()?),
        ["decode", path, sequences] => {
            decode(&answers(path)?, &pool, sequences.parse()?, Logits::Largest)
        }
        ["decode-all", path, sequences] => {
            decode(&answers(path)?, &pool, sequences.parse()?, Logits::All)
        }
        ["decode-adapters", path, sequences, adapters] => decode_adapters(
            &answers(path)?,
            &pool,
            sequences.parse()?,
            adapters.parse()?,
        )?,
        ["lora", path, sequences, len] => lora(path, &pool, sequences.parse()?, len.parse()?)?,
        ["perplexity", path, text] => {
            let text = std::fs::read_to_string(text)?;
            json!({"perplexity": perplexity(&answers(path)?, &pool, &text)})
        }
        ["layers", path, text] => layers(path, &pool, &std::fs::read_to_string(text)?)?,
        _ => return Err(
            "usage: speed prompt|decode|decode-all|decode-adapters|lora|perplexity|layers MODEL …"
                .into(),
        ),
    };
    figures["threads"] = json!(pool.threads());
    figures["isa"] = json!(pool.isa().to_string());
    figures["peak_mib"] = json!(peak_mib());
    println!("{figures}");
    Ok(())
}

/// Some token of the vocabulary, its specials avoided.
fn token(model: &Model, index: usize, seed: usize) -> u32 {
    ((index * 7919 + seed * 104_729 + 17) % (model.config.vocab.min(40_000) - 100)) as u32 + 50
}

fn prompt(model: &Model, pool: &Pool, len: usize) -> Value {
    let tokens: Vec<u32> = (0..len).map(|index| token(model, index, 1)).collect();
    let mut scratch = Scratch::default();
    let seconds = median(|| {
        let mut cache = KvCache::new(&model.config);
        for piece in tokens.chunks(PIECE) {
            let last = piece.as_ptr_range().end == tokens.as_ptr_range().end;
            let logits = if last { Logits::All } else { Logits::None };
            step(
                model,
                pool,
                &mut [(&mut cache, piece)],
                logits,
                &mut scratch,
            );
        }
    });
    json!({"tokens_per_s": len as f64 / seconds, "arithmetic": model.arithmetic()})
}

fn decode(model: &Model, pool: &Pool, sequences: usize, logits: Logits) -> Value {
    let mut scratch = Scratch::default();
    let mut caches: Vec<KvCache> = vec![KvCache::new(&model.config); sequences];
    let mut pass = |caches: &mut [KvCache], start: usize, count: usize| {
        let of = |seed| (start..start + count).map(move |index| token(model, index, seed));
        let tokens: Vec<Vec<u32>> = (0..sequences).map(|seed| of(seed).collect()).collect();
        let tokens = tokens.iter().map(Vec::as_slice);
        let mut chunks: Vec<_> = caches.iter_mut().zip(tokens).collect();
        step(model, pool, &mut chunks, logits, &mut scratch);
    };
    pass(&mut caches, 0, BEFORE);
    let seconds = median(|| {
        caches.iter_mut().for_each(|cache| cache.truncate(BEFORE));
        (0..WRITTEN).for_each(|at| pass(&mut caches, BEFORE + at, 1));
    });
    let tokens = (WRITTEN * sequences) as f64;
    let arithmetic = format!("{}, {logits:?} logits", model.arithmetic());
    json!({"tokens_per_s": tokens / seconds, "arithmetic": arithmetic})
}

fn step(
    model: &Model,
    pool: &Pool,
    chunks: &mut [(&mut KvCache, &[u32])],
    logits: Logits,
    scratch: &mut Scratch,
) {
    let chunks = chunks.iter_mut().map(|(cache, tokens)| Chunk {
        cache,
        tokens,
        logits,
    });
    forward(model, pool, None, &mut chunks.collect::<Vec<_>>(), scratch);
}

/// `decode` of sequences that go through adapters of their own, in one pass and in one for each.
fn decode_adapters(
    model: &Model,
    pool: &Pool,
    sequences: usize,
    adapters: usize,
) -> Result<Value, Box<dyn Error>> {
    let mut packed = Vec::new();
    for seed in 1..=adapters.max(1) as u64 {
        let adapter = Adapter::new(&model.config, &rank_16(), seed)?;
        packed.push(PackedAdapter::new(model, &adapter));
    }
    let first = |adapter: usize| adapter * sequences / packed.len();
    let runs = packed.iter().enumerate().map(|(at, adapter)| AdapterRun {
        adapter: Some(adapter),
        chunks: first(at + 1) - first(at),
    });
    let runs: Vec<AdapterRun<'_>> = runs.filter(|run| run.chunks > 0).collect();
    let mut scratch = Scratch::default();
    let mut caches: Vec<KvCache> = vec![KvCache::new(&model.config); sequences];
    let mut pass = |caches: &mut [KvCache], start: usize, count: usize, together: bool| {
        let of = |seed| (start..start + count).map(move |index| token(model, index, seed));
        let tokens: Vec<Vec<u32>> = (0..sequences).map(|seed| of(seed).collect()).collect();
        let chunks = caches.iter_mut().zip(&tokens).map(|(cache, tokens)| Chunk {
            cache,
            tokens,
            logits: Logits::Largest,
        });
        let mut chunks: Vec<Chunk<'_>> = chunks.collect();
        if together {
            forward_mixed(model, pool, &runs, &mut chunks, &mut scratch);
            return;
        }
        let mut rest = &mut chunks[..];
        for run in &runs {
            let (own, after) = rest.split_at_mut(run.chunks);
            rest = after;
            forward(model, pool, run.adapter, own, &mut scratch);
        }
    };
    pass(&mut caches, 0, BEFORE, true);
    let mut tokens_per_s = |together| {
        let seconds = median(|| {
            caches.iter_mut().for_each(|cache| cache.truncate(BEFORE));
            (0..WRITTEN).for_each(|at| pass(&mut caches, BEFORE + at, 1, together));
        });
        (WRITTEN * sequences) as f64 / seconds
    };
    let (together, apart) = (tokens_per_s(true), tokens_per_s(false));
    Ok(json!({
        "tokens_per_s": together,
        "apart_tokens_per_s": apart,
        "arithmetic": model.arithmetic(),
    }))
}

/// An adapter on all linear layers.
fn rank_16() -> LoraSpec {
    LoraSpec {
        rank: 16,
        alpha: 32.0,
        targets: lathe_engine::adapter::TARGETS.map(str::to_owned).to_vec(),
        dora: false,
    }
}

fn lora(path: &str, pool: &Pool, sequences: usize, len: usize) -> Result<Value, Box<dyn Error>> {
    let model = Model::load(Path::new(path), LoadOptions::for_tuning())?;
    let adapter = Adapter::new(&model.config, &rank_16(), 1)?;
    let mut gradients = vec![0.0; adapter.values.len()];
    let batch = dense(&model, sequences, len);
    let scale = 1.0 / batch.targets.len() as f32;
    let mut trainer = Trainer::new(&model, pool);
    let mut loss = 0.0;
    let seconds = median(|| {
        let sum = trainer.loss_and_gradients(&adapter, &batch, scale, &mut gradients);
        loss = sum.loss / sum.weight;
    });
    Ok(
        json!({"tokens_per_s": (sequences * len) as f64 / seconds, "loss": loss, "arithmetic": model.arithmetic()}),
    )
}

/// Sequences of which every position is supervised.
fn dense(model: &Model, sequences: usize, len: usize) -> Batch {
    let mut batch = Batch::default();
    for sequence in 0..sequences {
        let start = batch.tokens.len();
        let row = |index: usize| token(model, index, sequence);
        batch.tokens.extend((0..len).map(row));
        batch.segments.push(Segment {
            start,
            len,
            prefix: None,
        });
        batch.targets.extend((0..len - 1).map(|index| Target {
            row: (start + index) as u32,
            token: row(index + 1),
            weight: 1.0,
        }));
    }
    batch
}

/// exp of the mean negative log-likelihood of the second half of each whole window.
fn perplexity(model: &Model, pool: &Pool, text: &str) -> f64 {
    let all = model.tokenizer.encode(text);
    let mut scratch = Scratch::default();
    let (mut sum, mut count) = (0.0, 0);
    for window in all.chunks_exact(WINDOW) {
        let mut cache = KvCache::new(&model.config);
        let (before, after) = window.split_at(WINDOW / 2);
        step(
            model,
            pool,
            &mut [(&mut cache, before)],
            Logits::None,
            &mut scratch,
        );
        for pair in after.windows(2) {
            let chunk = Chunk {
                cache: &mut cache,
                tokens: &pair[..1],
                logits: Logits::All,
            };
            let logits = forward(model, pool, None, &mut [chunk], &mut scratch);
            let top = logits.iter().copied().fold(f32::MIN, f32::max);
            let total: f64 = logits.iter().map(|l| f64::from(l - top).exp()).sum();
            sum += f64::from(top) + total.ln() - f64::from(logits[pair[1] as usize]);
            count += 1;
        }
    }
    (sum / f64::from(count)).exp()
}

/// The cosine of each layer's end with the same in f32, over all rows of a window together.
fn layers(path: &str, pool: &Pool, text: &str) -> Result<Value, Box<dyn Error>> {
    let mut rows = 0;
    let mut states = |options: LoadOptions| -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
        let model = Model::load(Path::new(path), options)?;
        let mut tokens = model.tokenizer.encode(text);
        tokens.truncate(WINDOW);
        rows = tokens.len();
        Ok(hidden_states(&model, pool, &tokens))
    };
    let exact = states(LoadOptions {
        precision: Precision::F32,
        ..LoadOptions::default()
    })?;
    let ours = states(LoadOptions::for_answers())?;
    let width = exact[0].len() / rows;
    let row_mean = |a: &[f32], b: &[f32]| {
        let pairs = a.chunks_exact(width).zip(b.chunks_exact(width));
        pairs.map(|(a, b)| cosine(a, b)).sum::<f64>() / rows as f64
    };
    let layers = exact.iter().zip(&ours);
    let whole: Vec<f64> = layers.clone().map(|(a, b)| cosine(a, b)).collect();
    let by_row: Vec<f64> = layers.map(|(a, b)| row_mean(a, b)).collect();
    let least = |of: &[f64]| of.iter().copied().fold(1.0, f64::min);
    Ok(
        json!({"least_cosine": least(&whole), "least_row_mean": least(&by_row), "cosines": whole, "row_means": by_row}),
    )
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Seconds of the middle one of the repetitions.
fn median(mut run: impl FnMut()) -> f64 {
    run();
    let mut times: Vec<f64> = (0..REPETITIONS)
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
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
