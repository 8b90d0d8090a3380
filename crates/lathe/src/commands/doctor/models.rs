//! What the machine makes of models: those in the home, and what sizes fit.
//!
//! One token of an answer reads every matrix once: bytes over the measured rates. One token of a prompt
//! is multiplied with the blocks' matrices once: two operations a weight over the measured rates.
//! Attention, norms and sampling are left out, so that real figures are lower: these are estimates.

use lathe_engine::TokenWork;
use lathe_workshop::catalogue::ModelView;
use lathe_workshop::health::Health;
use lathe_workshop::machine::Machine;
use lathe_workshop::{Home, WorkshopError, objects};
use serde_json::{Value, json};

use super::speed::Speed;
use super::{Finding, State};

/// Models that are looked into, newest first.
const MODELS_MAX: usize = 8;
/// Slower than this, an answer is slower than people read.
const READING_TOKENS_PER_S: f64 = 5.0;
/// Share of the free memory that weights may take; the rest is for what is computed with them.
const WEIGHTS_SHARE: f64 = 0.8;

/// Bytes of a weight in blocks of 4 bits: 32 of them and a scale in 18 bytes.
const FOUR_BIT_BYTES: f64 = 18.0 / 32.0;
/// Bytes of a weight in bf16.
const BF16_BYTES: f64 = 2.0;
/// What tuning an adapter keeps of a weight: it is packed once for each direction.
const LORA_BYTES: f64 = 2.0 * BF16_BYTES;
/// The same over a base kept in 4 bits: the way back stays in bf16.
const QLORA_BYTES: f64 = FOUR_BIT_BYTES + BF16_BYTES;
/// What tuning all weights keeps of one: both directions in bf16; value, gradient and two moments in f32.
const FULL_BYTES: f64 = 2.0 * BF16_BYTES + 4.0 * 4.0;

/// Tokens a second that may be expected.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Expected {
    answer: f64,
    prompt: f64,
}

impl Expected {
    fn of(work: &TokenWork, speed: &Speed) -> Expected {
        let rounded = (work.bytes - work.bytes_in_blocks) as f64;
        let answer_s = work.bytes_in_blocks as f64 / speed.row + rounded / speed.read;
        let operations_per_s = if work.bytes_in_blocks > 0 {
            speed.four_bit
        } else {
            speed.bf16
        };
        Expected {
            answer: 1.0 / answer_s,
            prompt: operations_per_s / (2.0 * work.block_values as f64),
        }
    }
}

/// What there is to say of models.
pub(super) fn findings(
    home: &Home,
    health: &Result<Health, WorkshopError>,
    machine: &Machine,
    speed: &Speed,
) -> Vec<Finding> {
    let store = health
        .as_ref()
        .ok()
        .and_then(|health| health.store.as_ref());
    let content = store.and_then(|store| store.content.as_ref());
    let models = content.map_or(&[][..], |content| &content.models[..]);
    let bases: Vec<&ModelView> = models.iter().filter(|model| model.kind == "base").collect();
    let mut findings: Vec<Finding> = bases
        .iter()
        .take(MODELS_MAX)
        .map(|model| finding(home, model, speed))
        .collect();
    if bases.len() > MODELS_MAX {
        let more = [("more", (bases.len() - MODELS_MAX).to_string())];
        findings.push(Finding::new(
            "model",
            State::Ok,
            "model.more",
            &more,
            Value::Null,
        ));
    }
    findings.push(fits(machine.free_bytes()));
    findings
}

fn finding(home: &Home, model: &ModelView, speed: &Speed) -> Finding {
    let raw = match lathe_engine::open(&objects::path(home, &model.digest)) {
        Ok(raw) => raw,
        Err(error) => {
            let holes = [("name", model.name.clone()), ("error", error.to_string())];
            let figures = json!({ "name": model.name, "digest": model.digest });
            return Finding::new("model", State::Warn, "model.unopened", &holes, figures);
        }
    };
    let work = raw.token_work();
    let expected = Expected::of(&work, speed);
    let holes = [
        ("name", model.name.clone()),
        ("parameters", count(raw.config.parameters() as f64)),
        ("format", raw.format_name()),
        ("answer", tokens(expected.answer)),
        ("prompt", tokens(expected.prompt)),
    ];
    let figures = json!({
        "name": model.name,
        "digest": model.digest,
        "format": raw.format_name(),
        "parameters": raw.config.parameters(),
        "token_bytes": work.bytes,
        "token_bytes_in_blocks": work.bytes_in_blocks,
        "prompt_values": work.block_values,
        "estimated_answer_tokens_per_s": expected.answer,
        "estimated_prompt_tokens_per_s": expected.prompt,
    });
    if expected.answer < READING_TOKENS_PER_S {
        return Finding::new("model", State::Warn, "model.slow", &holes, figures);
    }
    Finding::new("model", State::Ok, "model", &holes, figures)
}

/// How large a model may be for each kind of work.
fn fits(free_bytes: u64) -> Finding {
    let room = WEIGHTS_SHARE * free_bytes as f64;
    let sizes = [
        ("serve", FOUR_BIT_BYTES),
        ("qlora", QLORA_BYTES),
        ("lora", LORA_BYTES),
        ("full", FULL_BYTES),
    ];
    let holes = sizes.map(|(name, bytes)| (name, count(room / bytes)));
    let figures: serde_json::Map<String, Value> = sizes
        .iter()
        .map(|(name, bytes)| {
            (
                format!("{name}_parameters_max"),
                json!((room / bytes) as u64),
            )
        })
        .collect();
    Finding::new("fits", State::Ok, "fits", &holes, Value::Object(figures))
}

/// Parameters as people write them: "135 M", "7.2 B".
fn count(parameters: f64) -> String {
    let billions = parameters / 1e9;
    match billions {
        100.0.. => format!("{billions:.0} B"),
        1.0.. => format!("{billions:.1} B"),
        _ => format!("{:.0} M", parameters / 1e6),
    }
}

/// Tokens a second with as many digits as an estimate is worth.
fn tokens(per_s: f64) -> String {
    if per_s < 10.0 {
        return format!("{per_s:.1}");
    }
    let step = 10_f64.powf(per_s.log10().floor() - 1.0);
    format!("{:.0}", (per_s / step).round() * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_bytes_over_rates_and_a_prompt_operations_over_rates() {
        let speed = Speed::of_rates(20e9, 10e9, 400e9, 100e9);
        let blocks = TokenWork {
            bytes: 600_000_000,
            bytes_in_blocks: 400_000_000,
            block_values: 800_000_000,
        };
        let expected = Expected::of(&blocks, &speed);
        // 0.4 GB at 10 GB/s and 0.2 GB at 20 GB/s: 50 ms.
        assert!((expected.answer - 20.0).abs() < 1e-9);
        assert!((expected.prompt - 250.0).abs() < 1e-9);
        let rounded = TokenWork {
            bytes_in_blocks: 0,
            ..blocks
        };
        assert!((Expected::of(&rounded, &speed).prompt - 62.5).abs() < 1e-9);
    }

    #[test]
    fn what_fits_follows_from_the_bytes_of_a_weight() {
        let fits = fits(10_000_000_000);
        let of = |name: &str| fits.figures[name].as_u64().unwrap();
        assert_eq!(of("serve_parameters_max"), 14_222_222_222);
        assert_eq!(of("lora_parameters_max"), 2_000_000_000);
        assert_eq!(of("full_parameters_max"), 400_000_000);
        assert!(of("qlora_parameters_max") > of("lora_parameters_max"));
        assert!(
            fits.text.contains("14.2 B") && fits.text.contains("400 M"),
            "{}",
            fits.text
        );
    }

    #[test]
    fn estimates_have_two_digits() {
        for (value, text) in [
            (3.26, "3.3"),
            (47.6, "48"),
            (1234.0, "1200"),
            (987.0, "990"),
        ] {
            assert_eq!(tokens(value), text);
        }
    }
}
