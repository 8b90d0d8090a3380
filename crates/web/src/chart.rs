//! Numbers into drawing coordinates: curves, interval bars, histograms.
//!
//! Every drawing is stretched to its place by the page, so lines are given in a box of
//! [`WIDTH`] × [`HEIGHT`] and text never is: labels stand beside the drawing, each at its height, and stay crisp at
//! any width. Not here: markup and colours.

/// Where a line goes: pairs of where and how high.
type Points<'a> = &'a [(f64, f64)];

/// Width of the drawing box.
pub(crate) const WIDTH: f64 = 1000.0;
/// Height of the drawing box.
pub(crate) const HEIGHT: f64 = 200.0;
/// Points drawn per line; more are thinned, keeping each bucket's extremes.
const POINTS_MAX: usize = 480;
/// Fewer points than this are not smoothed.
const SMOOTH_POINTS_MIN: usize = 8;
/// From this ratio of the greatest to the least loss on, the axis is logarithmic. Neither end ever draws nearer, so the
/// drawing of a run goes over to it once at most; a small ratio does so in its first steps.
const LOG_RATIO_MIN: f64 = 2.0;
/// Decimals of a label at most.
const PLACES_MAX: usize = 9;
/// Equal parts of a linear axis; there is one label more.
const PARTS: usize = 4;
/// Equal parts of a drawing a third as high.
const SMALL_PARTS: usize = 2;
/// The digits that a logarithmic axis of less than two decades is labelled at.
const DIGITS: [u8; 3] = [1, 2, 5];
/// The most decades that are all labelled.
const DECADES_MAX: i32 = 6;
/// Below this, and from the other one on, a label is written with its power of ten.
const PLAIN: std::ops::Range<f64> = 1e-3..1e5;

/// One line chart with its axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    /// `points` of the polyline through every value.
    pub raw: String,
    /// `points` of the smoothed polyline; empty where there are too few values to smooth.
    pub smooth: String,
    /// `points` of the polyline through what is drawn beside them on the same axis; empty without any.
    pub beside: String,
    /// Where the one value beside them lies, which makes no line, for a dot.
    pub alone: Option<(f64, f64)>,
    /// Where the last value lies, for a dot.
    pub end: (f64, f64),
    /// What stands beside the axis, from top to bottom.
    pub ticks: Vec<Tick>,
    /// The `d` of the lines at the ticks.
    pub grid: String,
    /// The vertical axis.
    pub axis: Axis,
}

/// A label of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    /// How far below the top, or from the left, it stands, in hundredths of the height or the width.
    pub percent: f64,
    /// What it says.
    pub label: String,
}

/// A vertical axis from `low` at the bottom of the box to `high` at its top.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    /// Value at the bottom.
    pub low: f64,
    /// Value at the top.
    pub high: f64,
    /// Whether equal distances are equal ratios.
    pub is_log: bool,
}

impl Axis {
    /// Height of `value` above the bottom, from 0 to 1 inside the axis.
    fn share(self, value: f64) -> f64 {
        if self.is_log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// What is labelled, from top to bottom: equal `parts` of a linear axis; of a logarithmic one powers of ten, and
    /// where it spans less than two decades and their ends, twice and five times them, too.
    fn values(self, parts: usize) -> Vec<f64> {
        let mut values = if self.is_log {
            log_values(self.low, self.high)
        } else {
            let part = (self.high - self.low) / parts as f64;
            (0..=parts).map(|at| self.low + part * at as f64).collect()
        };
        values.reverse();
        values
    }
}

/// Draws `points` (position from 0 to `x_high`, value) on a linear axis, a third as high as a loss. `None` without a
/// finite value.
pub(crate) fn panel(
    points: &[(f64, f64)],
    x_high: f64,
    label: impl Fn(f64, usize) -> String,
) -> Option<Panel> {
    draw(
        (points, &[]),
        x_high,
        (SMALL_PARTS, label),
        |least, greatest| {
            let is_flat = least == greatest;
            let from = if least >= 0.0 && (is_flat || least < 0.6 * greatest) {
                0.0
            } else {
                least
            };
            round_axis(from, greatest)
        },
    )
}

/// As [`panel`], but on a logarithmic axis where the greatest value is twice the least or more: a loss falls tenfold
/// in its first steps and what follows would be a flat line. `beside` is drawn on the same axis.
pub(crate) fn loss_panel(
    (points, beside): (Points<'_>, Points<'_>),
    x_high: f64,
    label: impl Fn(f64, usize) -> String,
) -> Option<Panel> {
    draw(
        (points, beside),
        x_high,
        (PARTS, label),
        |least, greatest| {
            if least > 0.0 && greatest / least >= LOG_RATIO_MIN {
                ratio_axis(least, greatest)
            } else {
                round_axis(least.min(0.0), greatest)
            }
        },
    )
}

/// The points that have a place.
fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let points = points.iter().copied();
    points.filter(|(_, value)| value.is_finite()).collect()
}

fn draw(
    (points, beside): (Points<'_>, Points<'_>),
    x_high: f64,
    (parts, label): (usize, impl Fn(f64, usize) -> String),
    axis: impl Fn(f64, f64) -> Axis,
) -> Option<Panel> {
    let (points, beside) = (finite(points), finite(beside));
    let last = *points.last()?;
    let all = points.iter().chain(&beside);
    let (least, greatest) = extremes(all.map(|point| point.1));
    let axis = axis(least, greatest);
    let place = |(x, value): (f64, f64)| {
        let across = if x_high > 0.0 {
            x / x_high * WIDTH
        } else {
            0.0
        };
        (across, HEIGHT - axis.share(value) * HEIGHT)
    };
    let line = |points: &[(f64, f64)]| polyline(thin(points).into_iter().map(place));
    let smoothed = if points.len() >= SMOOTH_POINTS_MIN {
        smooth(&points)
    } else {
        Vec::new()
    };
    let values = axis.values(parts);
    let labels: Vec<String> = if axis.is_log {
        short_labels(&values)
    } else {
        let places = places(&values);
        values.iter().map(|value| label(*value, places)).collect()
    };
    let heights: Vec<f64> = values.iter().map(|it| place((0.0, *it)).1).collect();
    let tick = |(y, label): (&f64, String)| Tick {
        percent: (y / HEIGHT * 1000.0).round() / 10.0,
        label,
    };
    Some(Panel {
        raw: line(&points),
        smooth: line(&smoothed),
        beside: line(&beside),
        alone: match &beside[..] {
            [only] => Some(place(*only)),
            _ => None,
        },
        end: place(smoothed.last().copied().unwrap_or(last)),
        ticks: heights.iter().zip(labels).map(tick).collect(),
        grid: heights
            .iter()
            .map(|y| format!("M0 {y:.1}H{WIDTH}"))
            .collect(),
        axis,
    })
}

/// With how many decimals the labels of an axis say where they stand: none is further off than a twentieth of
/// the way to its nearest neighbour.
fn places(values: &[f64]) -> usize {
    let gaps = values.windows(2).map(|pair| (pair[0] - pair[1]).abs());
    let (gap, _) = extremes(gaps);
    let is_near = |places: &usize| {
        let power = 10f64.powi(i32::try_from(*places).unwrap_or(i32::MAX));
        let off = |value: &f64| (value - (value * power).round() / power).abs();
        values.iter().all(|value| off(value) <= gap / 20.0)
    };
    (0..PLACES_MAX).find(is_near).unwrap_or(PLACES_MAX)
}

/// Labels of a horizontal axis of whole steps from 0 to `steps`: round ones, and the end. `percent` is from the left.
pub(crate) fn step_ticks(steps: u64) -> Vec<Tick> {
    /// Of the width: nearer to the end no round one stands.
    const NEAR_END: f64 = 0.1;
    let sizes = (0..19).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_u64.pow(power)));
    let mut sizes = sizes.skip_while(|size| steps / size > PARTS as u64);
    let size = sizes.next().unwrap_or(steps).max(1);
    let share = |step: u64| step as f64 / steps.max(1) as f64;
    let round = (0..steps).step_by(usize::try_from(size).unwrap_or(usize::MAX));
    let round = round.filter(|step| share(*step) <= 1.0 - NEAR_END);
    let all = round.chain([steps]);
    let tick = |step: u64| Tick {
        percent: (share(step) * 1000.0).round() / 10.0,
        label: step.to_string(),
    };
    all.map(tick).collect()
}

/// Where a figure and its interval lie on a scale, in the box's width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bar {
    /// Left end of the interval.
    pub low: f64,
    /// Right end of the interval.
    pub high: f64,
    /// The figure itself.
    pub value: f64,
    /// Where zero lies, if inside the scale's ends.
    pub zero: Option<f64>,
}

/// Places `value` and its interval on a scale from `scale.0` to `scale.1`; what lies outside is
/// drawn at the end. Without an interval the bar has no length.
pub(crate) fn bar(value: f64, interval: Option<(f64, f64)>, scale: (f64, f64)) -> Bar {
    let at = |figure: f64| {
        let share = (figure - scale.0) / (scale.1 - scale.0);
        if share.is_finite() {
            share.clamp(0.0, 1.0) * WIDTH
        } else {
            0.0
        }
    };
    let (low, high) = interval.unwrap_or((value, value));
    let zero = (scale.0 < 0.0 && scale.1 > 0.0).then(|| at(0.0));
    Bar {
        low: at(low),
        high: at(high),
        value: at(value),
        zero,
    }
}

/// Columns of a histogram as (left, top, width, height) in the box.
pub(crate) fn columns(counts: &[u64]) -> Vec<(f64, f64, f64, f64)> {
    let most = counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let step = WIDTH / counts.len().max(1) as f64;
    let column = |(index, count): (usize, &u64)| {
        let height = *count as f64 / most * HEIGHT;
        (
            index as f64 * step + step * 0.06,
            HEIGHT - height,
            step * 0.88,
            height,
        )
    };
    counts.iter().enumerate().map(column).collect()
}

/// The digit times the power of ten, as near as a number comes.
fn round_value(digit: u8, power: i32) -> f64 {
    format!("{digit}e{power}").parse().unwrap_or(f64::NAN)
}

/// The power of ten that a positive value is not below, and is below the next one.
fn power_of(value: f64) -> i32 {
    let power = value.log10().floor() as i32;
    // A logarithm may be off by its last bit just at a power of ten.
    match value {
        it if it < round_value(1, power) => power - 1,
        it if it >= round_value(1, power + 1) => power + 1,
        _ => power,
    }
}

/// The round values from `low` to `high`, both of which are some.
fn log_values(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (power_of(low), power_of(high));
    let decades = last - first;
    let is_whole = low == round_value(1, first) && high == round_value(1, last);
    if is_whole && decades >= 2 {
        let step = decades_apart(decades);
        let powers = (first..=last).step_by(step as usize);
        return powers.map(|power| round_value(1, power)).collect();
    }
    let all = (first..=last).flat_map(|power| DIGITS.map(|digit| round_value(digit, power)));
    all.filter(|value| (low..=high).contains(value)).collect()
}

/// How many decades lie between two labels of an axis of so many.
fn decades_apart(decades: i32) -> i32 {
    (decades + DECADES_MAX - 1).div_euclid(DECADES_MAX).max(1)
}

/// Round values as they are read: all plain, or all with their powers of ten.
fn short_labels(values: &[f64]) -> Vec<String> {
    let is_plain = values.iter().all(|value| PLAIN.contains(value));
    let label = |value: &f64| match is_plain {
        true => format!("{value}"),
        false => format!("{value:e}"),
    };
    values.iter().map(label).collect()
}

fn extremes(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The narrowest round axis that holds both ends and falls into [`PARTS`] parts of 1, 2, 2.5 or 5
/// times a power of ten.
fn round_axis(least: f64, greatest: f64) -> Axis {
    let span = match greatest {
        _ if greatest > least => greatest - least,
        // Of nothing but zero any axis is as good.
        0.0 => 1.0,
        flat => flat.abs(),
    };
    let mut power = 10f64.powf((span / PARTS as f64).log10().floor());
    loop {
        for factor in [1.0, 2.0, 2.5, 5.0] {
            let step = factor * power;
            let low = (least / step).floor() * step;
            let high = low + step * PARTS as f64;
            if high >= greatest {
                return Axis {
                    low,
                    high,
                    is_log: false,
                };
            }
        }
        power *= 10.0;
    }
}

/// The narrowest logarithmic axis that holds both ends: from a power of ten to another, and where that is less than
/// two decades, from and to a value of 1, 2 or 5 times one.
fn ratio_axis(least: f64, greatest: f64) -> Axis {
    let (first, last) = (power_of(least), power_of(greatest));
    let (low, high) = if greatest / least < 100.0 {
        let values =
            || (first..=last + 1).flat_map(|power| DIGITS.map(|it| round_value(it, power)));
        let low = values().take_while(|value| *value <= least).last();
        let high = values().find(|value| *value >= greatest);
        (low.unwrap_or(least), high.unwrap_or(greatest))
    } else {
        let top = match greatest <= round_value(1, last) {
            true => last,
            false => last + 1,
        };
        let step = decades_apart(top - first);
        let steps = (top - first + step - 1).div_euclid(step);
        (round_value(1, first), round_value(1, first + step * steps))
    };
    Axis {
        low,
        high,
        is_log: true,
    }
}

/// Exponential moving average that forgets over about a fortieth of the points.
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 40.0).max(4.0);
    let mut mean = 0.0;
    let mut weight = 0.0;
    let step = |&(x, value): &(f64, f64)| {
        mean = mean * keep + value * (1.0 - keep);
        weight = weight * keep + (1.0 - keep);
        (x, mean / weight)
    };
    points.iter().map(step).collect()
}

/// At most [`POINTS_MAX`] points: of every bucket its least and its greatest value, so that a
/// spike is never thinned away.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= POINTS_MAX {
        return points.to_vec();
    }
    let bucket = points.len().div_ceil(POINTS_MAX / 2);
    let mut kept = Vec::with_capacity(POINTS_MAX);
    for chunk in points.chunks(bucket) {
        let least = chunk
            .iter()
            .enumerate()
            .min_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let greatest = chunk
            .iter()
            .enumerate()
            .max_by(|a, b| a.1.1.total_cmp(&b.1.1));
        let (Some(least), Some(greatest)) = (least, greatest) else {
            continue;
        };
        let (first, second) = if least.0 <= greatest.0 {
            (least, greatest)
        } else {
            (greatest, least)
        };
        kept.push(*first.1);
        if first.0 != second.0 {
            kept.push(*second.1);
        }
    }
    kept
}

fn polyline(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut text = String::new();
    for (x, y) in points {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&format!("{x:.1},{y:.1}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(panel: &Panel) -> Vec<&str> {
        panel.ticks.iter().map(|it| it.label.as_str()).collect()
    }

    fn log_labels(least: f64, greatest: f64) -> Vec<String> {
        let axis = ratio_axis(least, greatest);
        let holds = axis.low <= least && axis.high >= greatest;
        assert!(holds, "{least}..{greatest}: {axis:?}");
        short_labels(&axis.values(PARTS))
    }

    #[test]
    fn a_logarithmic_axis_is_labelled_at_round_values() {
        for (least, greatest, expected) in [
            (0.25, 3.1, &["5", "2", "1", "0.5", "0.2"][..]),
            (1.0, 10.0, &["10", "5", "2", "1"]),
            // From two decades on powers of ten stand alone, and of very many not every one.
            (0.02, 2.0, &["10", "1", "0.1", "0.01"]),
            (
                3e-6,
                0.7,
                &["1e0", "1e-1", "1e-2", "1e-3", "1e-4", "1e-5", "1e-6"],
            ),
            (1e-9, 1.0, &["1e1", "1e-1", "1e-3", "1e-5", "1e-7", "1e-9"]),
            // Small and large ones have their powers.
            (2e-7, 3e-6, &["5e-6", "2e-6", "1e-6", "5e-7", "2e-7"]),
            (30_000.0, 400_000.0, &["5e5", "2e5", "1e5", "5e4", "2e4"]),
            // Of one value it is as narrow as can be.
            (0.7, 0.7, &["1", "0.5"]),
            (1.0, 1.0, &["1"]),
        ] {
            assert_eq!(log_labels(least, greatest), expected, "{least}..{greatest}");
        }
        for power in -30..30 {
            for digit in [1.0, 1.9, 2.0, 4.9, 5.0, 9.9] {
                for ratio in [5.1, 30.0, 99.0, 100.0, 1e4, 1e15] {
                    let least = digit * 10f64.powi(power);
                    let count = log_labels(least, least * ratio).len();
                    assert!((3..=9).contains(&count), "{least} × {ratio}: {count}");
                }
            }
        }
    }

    #[test]
    fn what_does_not_change_and_what_is_one_point_is_drawn_over_zero() {
        let label = |value: f64, places: usize| format!("{value:.places$}");
        for (points, expected) in [
            (
                &[(1.0, 5e-4), (2.0, 5e-4)][..],
                ["0.0008", "0.0004", "0.0000"],
            ),
            (&[(1.0, 5e-4)], ["0.0008", "0.0004", "0.0000"]),
            (&[(1.0, 0.0), (2.0, 0.0)], ["0.4", "0.2", "0.0"]),
        ] {
            let panel = panel(points, 2.0, label).expect("a panel");
            assert_eq!(labels(&panel), expected);
            assert_eq!(panel.grid, "M0 0.0H1000M0 100.0H1000M0 200.0H1000");
        }
        let one = loss_panel((&[(1.0, 3.0)], &[]), 1.0, label).expect("a panel");
        assert_eq!(labels(&one), ["4", "3", "2", "1", "0"]);
        let zero = loss_panel((&[(1.0, 0.0)], &[]), 1.0, label).expect("a panel");
        assert_eq!(labels(&zero).last(), Some(&"0.0"));
    }

    #[test]
    fn axes_are_round_and_hold_the_values() {
        for (least, greatest) in [
            (0.0, 3.37),
            (0.0, 0.00049),
            (2.31, 2.36),
            (0.0, 1.0),
            (-1.2, 7.0),
            (5.0, 5.0),
        ] {
            let axis = round_axis(least, greatest);
            assert!(
                axis.low <= least && axis.high >= greatest,
                "{least}..{greatest}: {axis:?}"
            );
            let span = (greatest - least).max(greatest);
            assert!(
                axis.high - axis.low <= 8.0 * span,
                "{least}..{greatest}: {axis:?}"
            );
        }
        assert_eq!(
            round_axis(0.0, 3.37),
            Axis {
                low: 0.0,
                high: 4.0,
                is_log: false
            }
        );
    }

    #[test]
    fn a_wide_range_of_losses_is_drawn_by_ratio() {
        let losses = [(1.0, 3.1), (2.0, 0.8), (3.0, 0.25)];
        let panel = loss_panel((&losses, &[]), 3.0, |value, places| {
            format!("{value:.places$}")
        })
        .expect("a panel");
        assert_eq!(labels(&panel), ["5", "2", "1", "0.5", "0.2"]);
        // Each stands where its value does, and so does its line.
        let at: Vec<f64> = panel.ticks.iter().map(|it| it.percent).collect();
        assert_eq!(at, [0.0, 28.5, 50.0, 71.5, 100.0]);
        assert!(
            panel.grid.starts_with("M0 0.0H1000M0 56.9H1000"),
            "{}",
            panel.grid
        );
        let label = |value: f64, _: usize| format!("{value}");
        let narrow = [(1.0, 2.5), (2.0, 1.3)];
        let narrow = loss_panel((&narrow, &[]), 3.0, label).expect("a panel");
        assert!(!narrow.axis.is_log);
        let zero = loss_panel((&[(1.0, 3.0), (2.0, 0.0)], &[]), 2.0, |value, _| {
            format!("{value}")
        });
        assert!(!zero.expect("a panel").axis.is_log, "zero has no logarithm");
    }

    /// Who follows a run sees its axis change in its first steps or never, and not back.
    #[test]
    fn the_axis_of_a_run_changes_once_at_most() {
        let loss = |step: u32| 3.1 / f64::from(step).sqrt() + f64::from(step % 7) / 10.0;
        let points: Vec<_> = (1..=200).map(|it| (f64::from(it), loss(it))).collect();
        let is_log = |seen: usize| {
            let label = |value: f64, _: usize| format!("{value}");
            let panel = loss_panel((&points[..seen], &[]), 200.0, label);
            panel.expect("a panel").axis.is_log
        };
        let kinds: Vec<bool> = (1..=200).map(is_log).collect();
        let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]);
        assert_eq!(changes.count(), 1);
        assert!(!kinds[0] && kinds[9], "{kinds:?}");
    }

    /// Labels say different things, however small the losses are.
    #[test]
    fn labels_have_the_decimals_that_their_step_needs() {
        let label = |value: f64, places: usize| format!("{value:.places$}");
        for (losses, expected) in [
            (
                [0.021, 0.0011],
                &["0.05", "0.02", "0.01", "0.005", "0.002", "0.001"][..],
            ),
            (
                [0.0018, 0.0010],
                &["0.0020", "0.0015", "0.0010", "0.0005", "0.0000"],
            ),
            ([9.0, 5.0], &["10.0", "7.5", "5.0", "2.5", "0.0"]),
        ] {
            let points = [(1.0, losses[0]), (2.0, losses[1])];
            let panel = loss_panel((&points, &[]), 2.0, label).expect("a panel");
            assert_eq!(labels(&panel), expected);
        }
        assert_eq!(places(&[40.0, 20.0, 0.0]), 0);
        assert_eq!(places(&[1.0, 1.0]), 0);
    }

    #[test]
    fn what_stands_beside_is_drawn_on_the_same_axis() {
        let label = |value: f64, _: usize| format!("{value}");
        let losses = [(1.0, 3.0), (2.0, 2.5)];
        let panel = loss_panel((&losses, &[(2.0, 4.0), (4.0, f64::NAN)]), 4.0, label);
        let panel = panel.expect("a panel");
        assert_eq!(labels(&panel), ["4", "3", "2", "1", "0"]);
        assert_eq!(panel.raw, "250.0,50.0 500.0,75.0");
        assert_eq!(panel.beside, "500.0,0.0");
        // One value makes no line: it is a dot.
        assert_eq!(panel.alone, Some((500.0, 0.0)));
    }

    #[test]
    fn a_panel_runs_from_left_to_the_known_end() {
        let points = [(1.0, 2.0), (2.0, 1.0)];
        let panel = panel(&points, 4.0, |value, _| format!("{value}")).expect("a panel");
        assert_eq!(panel.raw, "250.0,0.0 500.0,100.0");
        assert_eq!(labels(&panel), ["2", "1", "0"]);
        assert_eq!(panel.smooth, "");
        assert_eq!(panel.end, (500.0, 100.0));
    }

    #[test]
    fn nothing_finite_draws_nothing() {
        assert_eq!(panel(&[], 1.0, |_, _| String::new()), None);
        assert_eq!(panel(&[(1.0, f64::NAN)], 1.0, |_, _| String::new()), None);
    }

    #[test]
    fn thinning_keeps_a_spike() {
        let mut points: Vec<_> = (0..10_000).map(|step| (f64::from(step), 1.0)).collect();
        points[7_777].1 = 9.0;
        let kept = thin(&points);
        assert!(kept.len() <= POINTS_MAX);
        assert!(kept.contains(&(7_777.0, 9.0)));
        assert!(kept.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn bars_stay_inside_their_scale() {
        let inside = bar(0.5, Some((0.25, 0.75)), (0.0, 1.0));
        assert_eq!(
            inside,
            Bar {
                low: 250.0,
                high: 750.0,
                value: 500.0,
                zero: None
            }
        );
        let outside = bar(2.0, None, (-1.0, 1.0));
        assert_eq!(
            outside,
            Bar {
                low: 1000.0,
                high: 1000.0,
                value: 1000.0,
                zero: Some(500.0)
            }
        );
        assert_eq!(bar(f64::NAN, None, (0.0, 1.0)).value, 0.0);
    }

    #[test]
    fn steps_are_labelled_at_round_values_and_at_the_end() {
        let labels = |steps| -> Vec<String> {
            let ticks = step_ticks(steps);
            ticks.into_iter().map(|it| it.label).collect()
        };
        assert_eq!(labels(400), ["0", "100", "200", "300", "400"]);
        assert_eq!(labels(371), ["0", "100", "200", "300", "371"]);
        assert_eq!(labels(410), ["0", "100", "200", "300", "410"]);
        assert_eq!(labels(2), ["0", "1", "2"]);
        assert_eq!(labels(1), ["0", "1"]);
        assert_eq!(labels(0), ["0"]);
        assert_eq!(labels(123_456), ["0", "50000", "100000", "123456"]);
        assert_eq!(labels(u64::MAX).len(), 5);
        assert_eq!(step_ticks(371)[1].percent, 27.0);
    }
}
