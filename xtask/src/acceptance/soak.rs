//! `cargo xtask acceptance soak [--minutes N]`: twice as many callers as the server holds, for long.
//!
//! A real deployment of a quick order answers 576 callers at once: long and short questions, whole
//! answers and streams, some hung up on in the middle. Every request is answered or refused with a
//! reason and a time to come back, nothing else; the memory of the daemon does not grow. Then a thousand
//! callers vanish in the middle of their streams, and a second later every place is free.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::caller::{Caller, Count, Hold};
use super::home::FreshHome;
use super::result;
use crate::shell::Outcome;

/// Requests that the server holds, running and waiting (the defaults of `lathe-serve`'s limits).
const CAPACITY: usize = 32 + 256;
/// Callers at once.
const CALLERS: usize = 2 * CAPACITY;
/// Callers that vanish at once, and how often.
const VANISHING: (usize, usize) = (250, 4);
/// After which every place is free again.
const FREE_AFTER: Duration = Duration::from_secs(1);
/// Minutes if nobody says otherwise.
const MINUTES: u64 = 20;
/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What memory may grow by from the second quarter of the time to the last, for figures that are
/// rounded to pages of an allocator.
const GROWTH_MAX: f64 = 1.05;

/// The soak at its usual length.
pub fn run() -> Outcome {
    run_for(MINUTES)
}

/// The minutes that options ask for.
pub fn minutes(options: &[String]) -> Result<u64, String> {
    match options {
        [] => Ok(MINUTES),
        [name, minutes] if name == "--minutes" => match minutes.parse() {
            Ok(minutes) if minutes > 0 => Ok(minutes),
            _ => Err(format!(
                "--minutes needs a number from 1 on, not '{minutes}'"
            )),
        },
        _ => Err(format!("soak takes --minutes N, got {options:?}")),
    }
}

/// The soak for so many minutes.
pub fn run_for(minutes: u64) -> Outcome {
    let home = FreshHome::new("soak")?;
    let finished = home.run_order(&["--quick"])?;
    let model = finished.step("deploy")?["figures"]["name"].as_str();
    let model = model.ok_or("the step deploy names no model")?.to_owned();
    let (up, url) = home.up()?;
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let caller = |number| Caller::new(address, &model, number);

    let (count, memory_mib) = load(&caller, up.pid(), Duration::from_secs(60 * minutes))?;
    let free_after = vanish(&caller)?;
    let body = report(minutes, &count, &memory_mib, free_after);
    result::append(
        "soak at twice the capacity",
        &format!("cargo xtask acceptance soak --minutes {minutes}"),
        &body,
    )?;
    judge(&count, &memory_mib)
}

/// Lets everybody ask for as long as that; what came of it, and the daemon's memory over the time.
fn load(
    caller: &(impl Fn(usize) -> Caller + Sync),
    pid: u32,
    length: Duration,
) -> Result<(Count, Vec<f64>), String> {
    let (stop, all) = (AtomicBool::new(false), Mutex::new(Count::default()));
    let mut memory_mib = Vec::new();
    let sampled = thread::scope(|scope| {
        for number in 0..CALLERS {
            let (stop, all) = (&stop, &all);
            let ask = move || {
                let count = caller(number).ask_until(stop);
                all.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(count);
            };
            let thread = thread::Builder::new().stack_size(256 << 10);
            if let Err(error) = thread.spawn_scoped(scope, ask) {
                stop.store(true, Ordering::Relaxed);
                return Err(format!("starting caller {number}: {error}"));
            }
        }
        let began = Instant::now();
        let mut looked = Ok(());
        while looked.is_ok() && began.elapsed() < length {
            thread::sleep(LOOK_EVERY);
            looked = resident_mib(pid).map(|mib| memory_mib.push(mib));
        }
        // Also where the daemon is gone: else the callers would go on for ever.
        stop.store(true, Ordering::Relaxed);
        looked
    });
    sampled?;
    Ok((
        all.into_inner().unwrap_or_else(PoisonError::into_inner),
        memory_mib,
    ))
}

/// A thousand callers vanish mid-stream, in waves; each wave is taken in whole a second after the one
/// before has gone. Returns how often.
fn vanish(caller: &impl Fn(usize) -> Caller) -> Result<usize, String> {
    let (callers, waves) = VANISHING;
    for wave in 0..=waves {
        let mut held: Vec<Hold> = Vec::new();
        for number in 0..callers {
            let hold = caller(number).hold();
            let taken = format!("wave {wave}, caller {number}");
            held.push(hold.map_err(|why| format!("{taken}, a second after the others: {why}"))?);
        }
        held[0].read_a_piece()?;
        drop(held);
        thread::sleep(FREE_AFTER);
    }
    Ok(waves)
}

/// Resident memory of a process, in MiB.
fn resident_mib(pid: u32) -> Result<f64, String> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("the daemon is gone: reading {path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.map(|kib| kib / 1024.0)
        .ok_or_else(|| format!("no VmRSS in {path}"))
}

/// The largest of the second quarter and of the last.
fn quarters(memory_mib: &[f64]) -> (f64, f64) {
    let quarter = memory_mib.len() / 4;
    let largest = |of: &[f64]| of.iter().copied().fold(f64::NAN, f64::max);
    (
        largest(&memory_mib[quarter..2 * quarter]),
        largest(&memory_mib[memory_mib.len() - quarter..]),
    )
}

fn report(minutes: u64, count: &Count, memory_mib: &[f64], waves: usize) -> String {
    let (before, after) = quarters(memory_mib);
    let peak = memory_mib.iter().copied().fold(0.0, f64::max);
    format!(
        "{CALLERS} callers for {minutes} minutes, the server holds {CAPACITY} requests.\n\n\
         | | |\n|---|---|\n\
         | answered to the end | {} |\n| hung up on by the caller | {} |\n{}\
         | anything else | {} |\n\
         | resident memory, largest of the second quarter | {before:.0} MiB |\n\
         | the same of the last quarter | {after:.0} MiB |\n| at most | {peak:.0} MiB |\n\n\
         {} callers that vanished in the middle of their streams, {} at a time: {} s later each next wave \
         was taken in whole.\n",
        count.answered,
        count.hung_up,
        count.refusals(),
        count.broken.len(),
        VANISHING.0 * waves,
        VANISHING.0,
        FREE_AFTER.as_secs()
    )
}

fn judge(count: &Count, memory_mib: &[f64]) -> Outcome {
    if let Some(broken) = count.broken.first() {
        let all = count.broken.len();
        return Err(format!(
            "{all} requests were neither answered nor refused: {broken}"
        ));
    }
    if count.answered == 0 {
        return Err("nothing was answered".to_owned());
    }
    let (before, after) = quarters(memory_mib);
    // No number is no proof.
    if after <= before * GROWTH_MAX {
        Ok(())
    } else {
        Err(format!("memory grew from {before:.0} to {after:.0} MiB"))
    }
}
