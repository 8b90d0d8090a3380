//! Prints how fast a model reads prompts and writes answers, with its weights rounded to bfloat16
//! and in the blocks they are stored in, and how far the two are apart:
//! `cargo run --release -p lathe-engine --example answer_speed -- MODEL.gguf [TEXT.txt]`
//!
//! A figure is the median of several repetitions; the number of threads is `LATHE_THREADS` or all.

use lathe_engine::infer::{Chunk, KvCache, Scratch, forward};
use lathe_engine::{LoadOptions, Model};
use lathe_kernel::{Pool, default_threads};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

const REPETITIONS: usize = 5;
/// Tokens written in a repetition, per sequence.
const WRITTEN: usize = 48;
/// Tokens of the text that are predicted, per window.
const WINDOW: usize = 512;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which model?")?;
    let text = arguments.next().map(std::fs::read_to_string).transpose()?;
    let pool = Pool::new(default_threads());
    for as_stored in [false, true] {
        let options = LoadOptions {
            as_stored,
            ..LoadOptions::default()
        };
        let model = Model::load(Path::new(&path), options)?;
        println!(
            "{} as {}, {} threads, {}",
            model.format_name(),
            model.arithmetic(),
            pool.threads(),
            pool.isa()
        );
        for tokens in [512, 900] {
            println!(
                "  prompt of {tokens:4}: {:8.1} tokens/s",
                read(&model, &pool, tokens)
            );
        }
        for batch in [1, 8, 16, 32] {
            println!(
                "  {batch:2} answers:     {:8.1} tokens/s",
                write(&model, &pool, batch)
            );
        }
        if let Some(text) = &text {
            println!("  perplexity:     {:8.4}", perplexity(&model, &pool, text));
        }
    }
    Ok(())
}

fn tokens(model: &Model, len: usize, seed: usize) -> Vec<u32> {
    (0..len)
        .map(|i| ((i * 7919 + seed * 104_729 + 17) % (model.config.vocab - 100)) as u32 + 50)
        .collect()
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Tokens a second while a prompt is read.
fn read(model: &Model, pool: &Pool, len: usize) -> f64 {
    let prompt = tokens(model, len, 1);
    let mut scratch = Scratch::default();
    let once = |scratch: &mut Scratch| {
        let mut cache = KvCache::new(&model.config);
        let begun = Instant::now();
        for piece in prompt.chunks(256) {
            let chunk = Chunk {
                cache: &mut cache,
                tokens: piece,
                logits: true,
            };
            forward(model, pool, None, &mut [chunk], scratch);
        }
        begun.elapsed().as_secs_f64()
    };
    once(&mut scratch);
    len as f64 / median((0..REPETITIONS).map(|_| once(&mut scratch)).collect())
}

/// Tokens a second of all sequences while `batch` answers are written.
fn write(model: &Model, pool: &Pool, batch: usize) -> f64 {
    let mut scratch = Scratch::default();
    let mut caches: Vec<KvCache> = (0..batch).map(|_| KvCache::new(&model.config)).collect();
    let step = |caches: &mut [KvCache], tokens: &[Vec<u32>], scratch: &mut Scratch| {
        let chunks = caches.iter_mut().zip(tokens).map(|(cache, tokens)| Chunk {
            cache,
            tokens,
            logits: true,
        });
        forward(model, pool, None, &mut chunks.collect::<Vec<_>>(), scratch)
    };
    let prompts: Vec<_> = (0..batch).map(|i| tokens(model, 64, i)).collect();
    step(&mut caches, &prompts, &mut scratch);
    let once = |caches: &mut [KvCache], scratch: &mut Scratch| {
        let begun = Instant::now();
        for at in 0..WRITTEN {
            let next: Vec<_> = (0..batch).map(|i| tokens(model, 1, i + at)).collect();
            step(caches, &next, scratch);
        }
        let seconds = begun.elapsed().as_secs_f64();
        caches.iter_mut().for_each(|cache| cache.truncate(64));
        seconds
    };
    let seconds = (0..REPETITIONS).map(|_| once(&mut caches, &mut scratch));
    (batch * WRITTEN) as f64 / median(seconds.collect())
}

/// exp of the mean negative log-likelihood of a text's tokens, in windows without overlap.
fn perplexity(model: &Model, pool: &Pool, text: &str) -> f64 {
    let all = model.tokenizer.encode(text);
    let mut scratch = Scratch::default();
    let (mut sum, mut count) = (0.0, 0);
    for window in all.chunks(WINDOW).filter(|window| window.len() > 1) {
        let mut cache = KvCache::new(&model.config);
        for pair in window.windows(2) {
            let chunk = Chunk {
                cache: &mut cache,
                tokens: &pair[..1],
                logits: true,
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
