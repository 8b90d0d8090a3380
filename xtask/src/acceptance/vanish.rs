//! `cargo xtask acceptance vanish`: a thousand callers hang up in the middle of their streams.
//!
//! They come in waves that the server can hold. In most, every caller is being answered and has read a piece
//! when all of them vanish at once; in the last one most still wait for their turn. How long it takes
//! until the server's own figures say that nothing runs and nothing waits is measured for every wave, and
//! may be a second at most. Afterwards the server answers as before.

use std::time::{Duration, Instant};

use super::caller::{Caller, Hold, get};
use super::home::FreshHome;
use super::result;
use crate::shell::Outcome;

/// Answers that the server makes at once, and requests that it lets wait (its defaults).
const SLOTS: usize = 32;
/// Waves whose callers are all being answered.
const WAVES: usize = 24;
/// Callers of the last wave: as many more as are being answered, and the rest waits.
const LAST: usize = 1000 - WAVES * SLOTS;
/// Until which every place is free.
const FREE_MAX: Duration = Duration::from_secs(1);
/// How long a wave that does not end is watched.
const WATCH_MAX: Duration = Duration::from_secs(60);
/// Between two looks at the figures.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Lets them vanish, and says how long it took.
pub fn run() -> Outcome {
    let home = FreshHome::new("vanish")?;
    let finished = home.run_order(&["--quick"])?;
    let model = finished.step("deploy")?["figures"]["name"].as_str();
    let model = model.ok_or("the step deploy names no model")?.to_owned();
    let (up, url) = home.up()?;
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let mut free_ms = Vec::new();
    for wave in 0..=WAVES {
        let callers = if wave < WAVES { SLOTS } else { LAST };
        let took =
            one_wave(address, &model, callers).map_err(|why| format!("wave {wave}: {why}"))?;
        free_ms.push(took.as_secs_f64() * 1000.0);
    }
    Caller::new(address, &model, 0).first_token(1, 8)?;
    drop(up);
    report(&mut free_ms)
}

/// So many callers take their places and vanish; how long until all places are free.
fn one_wave(address: &str, model: &str, callers: usize) -> Result<Duration, String> {
    let mut held: Vec<Hold> = Vec::new();
    for number in 0..callers {
        held.push(Caller::new(address, model, number).hold()?);
    }
    for hold in held.iter_mut().take(SLOTS) {
        hold.read_a_piece()?;
    }
    let (running, waiting) = figures(address)?;
    if running + waiting != callers {
        return Err(format!(
            "of {callers} callers {running} are answered and {waiting} wait before they vanish"
        ));
    }
    let began = Instant::now();
    drop(held);
    while began.elapsed() < WATCH_MAX {
        if figures(address)? == (0, 0) {
            return Ok(began.elapsed());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Err(format!(
        "places are held {} s after all have gone",
        WATCH_MAX.as_secs()
    ))
}

/// Requests that are answered and that wait, as `/metrics` says.
fn figures(address: &str) -> Result<(usize, usize), String> {
    let answer = get(address, "/metrics")?;
    let figure = |name: &str| {
        let line = answer.lines().find(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        value
            .map(|value| value as usize)
            .ok_or_else(|| format!("no figure {name} in: {answer}"))
    };
    Ok((
        figure("vllm:num_requests_running")?,
        figure("vllm:num_requests_waiting")?,
    ))
}

fn report(free_ms: &mut [f64]) -> Outcome {
    let last = free_ms[WAVES];
    let (callers, answered) = (WAVES * SLOTS + LAST, WAVES * SLOTS);
    free_ms[..WAVES].sort_by(f64::total_cmp);
    let (median, longest) = (free_ms[WAVES / 2], free_ms[WAVES - 1]);
    let body = format!(
        "{callers} callers hung up on streams of 512 tokens: {answered} in {WAVES} waves of {SLOTS}, all being \
         answered, and {LAST} at once, of whom {} waited. Until `/metrics` says that nothing runs or waits:\n\n\
         | | ms |\n|---|---|\n| median of the waves | {median:.0} |\n| longest of the waves | {longest:.0} |\n\
         | the wave in which most waited | {last:.0} |\n",
        LAST - SLOTS
    );
    result::append(
        "a thousand callers vanish",
        "cargo xtask acceptance vanish",
        &body,
    )?;
    let worst = longest.max(last);
    if worst > FREE_MAX.as_secs_f64() * 1000.0 {
        return Err(format!("places were held for {worst:.0} ms"));
    }
    Ok(())
}
