//! Figures as people read them: durations, sizes, moments, numbers.
//!
//! Everything here is a pure function of its arguments. Words come from the catalogue, so only
//! what differs between languages is asked for; not here: sentences.

use crate::lang::Say;

/// A span of time in its two leading units: `8.4 s`, `3 min 12 s`, `2 h 5 min`.
pub(crate) fn duration(say: Say, milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    if milliseconds < 10_000 {
        let tenths = format!("{}.{}", seconds, milliseconds % 1000 / 100);
        return say.with("web.duration.seconds", &[("s", &tenths)]);
    }
    if seconds < 60 {
        return say.with("web.duration.seconds", &[("s", &seconds.to_string())]);
    }
    let (minutes, rest) = (seconds / 60, seconds % 60);
    if minutes < 60 {
        let arguments = [("m", minutes.to_string()), ("s", rest.to_string())];
        return say.with(
            "web.duration.minutes",
            &[("m", &arguments[0].1), ("s", &arguments[1].1)],
        );
    }
    let (hours, rest) = (minutes / 60, minutes % 60);
    say.with(
        "web.duration.hours",
        &[("h", &hours.to_string()), ("m", &rest.to_string())],
    )
}

/// A whole number with its thousands set apart: `3,708`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 6);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure of which only the whole says something, such as a speed: `31,269`; a dash where it is not a number.
pub(crate) fn whole(value: f64) -> String {
    match value.is_finite() && value >= 0.0 {
        true => count(value.round() as u64),
        false => decimals(value, 0),
    }
}

/// The size of a file in decimal units with one decimal, as orders tell it: `98.4 MB`.
pub(crate) fn file_size(size: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    scaled(size, 1000, UNITS)
}

/// A size in memory in binary units with one decimal: `86.5 MiB`.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    scaled(size, 1024, UNITS)
}

fn scaled(size: u64, step: u64, units: [&str; 5]) -> String {
    if size < step {
        return format!("{size} B");
    }
    let step = step as f64;
    let mut value = size as f64 / step;
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    format!("{value:.1} {}", units[unit])
}

/// A learning rate or another small figure in scientific form: `5.0e-4`; plain from 0.01 up.
pub(crate) fn small(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if value.abs() >= 0.01 {
        decimals(value, 3)
    } else {
        format!("{value:.1e}")
    }
}

/// As [`small`], for the labels of an axis, which say all the same way: `5e-4` where they need `places` of four
/// decimals and more, else `0.02`.
pub(crate) fn short(value: f64, places: usize) -> String {
    const PLACES_MAX: usize = 3;
    if value == 0.0 {
        return "0".to_owned();
    }
    if places <= PLACES_MAX {
        return decimals(value, places);
    }
    let text = format!("{value:.2e}");
    let Some((digits, power)) = text.split_once('e') else {
        return text;
    };
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    format!("{digits}e{power}")
}

/// A figure with `places` decimals and a real minus sign; a dash where it is not a number.
pub(crate) fn decimals(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let text = format!("{:.places$}", value.abs());
    let is_zero = text.chars().all(|c| c == '0' || c == '.');
    if value < 0.0 && !is_zero {
        format!("−{text}")
    } else {
        text
    }
}

/// A difference: as [`decimals`], with its sign always written.
pub(crate) fn signed(value: f64, places: usize) -> String {
    let text = decimals(value, places);
    if value > 0.0 {
        format!("+{text}")
    } else {
        text
    }
}

/// A text with every digest in it cut to the beginning by which people know it.
pub(crate) fn short_digests(text: &str) -> String {
    const DIGEST_CHARS: usize = 64;
    const SHOWN_CHARS: usize = 12;
    let mut short = String::with_capacity(text.len());
    for part in text.split_inclusive(|it: char| !it.is_ascii_hexdigit()) {
        // What ends the run of digits, if anything does, is its last character.
        let digits = part.trim_end_matches(|it: char| !it.is_ascii_hexdigit());
        if digits.len() == DIGEST_CHARS {
            short.push_str(&digits[..SHOWN_CHARS]);
            short.push('…');
            short.push_str(&part[DIGEST_CHARS..]);
        } else {
            short.push_str(part);
        }
    }
    short
}

/// A moment as the `datetime` of a `<time>` element wants it: `2026-11-03T12:30:05Z`.
pub(crate) use lathe_evidence::moment::utc as moment;

/// A moment as read without JavaScript, which puts the reader's own time zone in its place:
/// `2026-11-03 12:30 UTC`.
pub(crate) fn moment_text(unix_ms: i64) -> String {
    format!("{} UTC", lathe_evidence::moment::minute(unix_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    #[test]
    fn durations_keep_two_units() {
        let say = Say::new(Lang::En);
        assert_eq!(duration(say, 8_460), "8.4 s");
        assert_eq!(duration(say, 59_999), "59 s");
        assert_eq!(duration(say, 192_000), "3 min 12 s");
        assert_eq!(duration(say, 7_500_000), "2 h 5 min");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(3_708_000), "3,708,000");
        assert_eq!(whole(31_268.6), "31,269");
        assert_eq!(whole(f64::NAN), "–");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(90_701_824), "86.5 MiB");
        assert_eq!(file_size(98_405_536), "98.4 MB");
        assert_eq!(
            (file_size(999), file_size(1000)),
            ("999 B".to_owned(), "1.0 kB".to_owned())
        );
        assert_eq!(small(0.0005), "5.0e-4");
        assert_eq!(short(0.000_500_000_01, 4), "5e-4");
        assert_eq!(short(0.000_412, 6), "4.12e-4");
        assert_eq!(short(0.02, 2), "0.02");
        assert_eq!(short(0.0, 4), "0");
        assert_eq!(decimals(-0.004, 2), "0.00");
        assert_eq!(decimals(-1.25, 2), "−1.25");
        assert_eq!(decimals(f64::NAN, 2), "–");
        assert_eq!(signed(0.125, 3), "+0.125");
    }

    #[test]
    fn digests_are_cut_and_other_words_are_not() {
        let digest = "0123456789ab".to_owned() + &"c".repeat(52);
        let text = format!("{digest}: objects/{digest}/a is {digest}0, 模型 {digest}");
        let short =
            format!("0123456789ab…: objects/0123456789ab…/a is {digest}0, 模型 0123456789ab…");
        assert_eq!(short_digests(&text), short);
        assert_eq!(short_digests(""), "");
    }

    #[test]
    fn moments_are_told_to_the_minute() {
        assert_eq!(moment(1_793_709_005_999), "2026-11-03T12:30:05Z");
        assert_eq!(moment_text(1_793_709_005_999), "2026-11-03 12:30 UTC");
    }
}
