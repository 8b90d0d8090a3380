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

/// A size in binary units with one decimal: `86.5 MiB`.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut value = size as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
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

/// A moment as the `datetime` of a `<time>` element wants it: `2026-11-03T12:30:05Z`.
pub(crate) fn moment(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000);
    let (day, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(day);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3600,
        rest % 3600 / 60,
        rest % 60
    )
}

/// A moment as read without JavaScript, which puts the reader's own time zone in its place:
/// `2026-11-03 12:30 UTC`.
pub(crate) fn moment_text(unix_ms: i64) -> String {
    let text = moment(unix_ms);
    // Both slices lie on the ASCII text that `moment` just wrote.
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{date} {} UTC", time.get(..5).unwrap_or(time))
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar:
/// years are taken to begin in March, so that the leap day is the last of its year.
fn civil(day: i64) -> (i64, i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_month)
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
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(90_701_824), "86.5 MiB");
        assert_eq!(small(0.0005), "5.0e-4");
        assert_eq!(decimals(-0.004, 2), "0.00");
        assert_eq!(decimals(-1.25, 2), "−1.25");
        assert_eq!(decimals(f64::NAN, 2), "–");
        assert_eq!(signed(0.125, 3), "+0.125");
    }

    /// Checked with `date -u -d @N`.
    #[test]
    fn moments_follow_the_calendar() {
        assert_eq!(moment(0), "1970-01-01T00:00:00Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(moment(1_793_709_005_999), "2026-11-03T12:30:05Z");
        assert_eq!(moment(-1), "1969-12-31T23:59:59Z");
        assert_eq!(moment_text(1_793_709_005_999), "2026-11-03 12:30 UTC");
    }
}
