//! Numbers into drawing coordinates: curves, interval bars, histograms.
//!
//! Every drawing is stretched to its place by the page, so lines are given in a box of
//! [`WIDTH`] × [`HEIGHT`] and text never is: labels stand beside the drawing as HTML, evenly spaced,
//! and stay crisp at any width. Not here: markup and colours.

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
/// From this ratio of the greatest to the least loss on, the axis is logarithmic.
const LOG_RATIO_MIN: f64 = 5.0;
/// Decimals of a label at most.
const PLACES_MAX: usize = 9;
/// Equal parts of an axis; there is one label more.
const PARTS: usize = 4;

/// One line chart with its axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    /// `points` of the polyline through every value.
    pub raw: String,
    /// `points` of the smoothed polyline; empty where there are too few values to smooth.
    pub smooth: String,
    /// `points` of the polyline through what is drawn beside them on the same axis; empty without any.
    pub beside: String,
    /// Where the last value lies, for a dot.
    pub end: (f64, f64),
    /// Labels from top to bottom, evenly spaced.
    pub labels: Vec<String>,
    /// The vertical axis.
    pub axis: Axis,
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

    /// The value at a height.
    fn value(self, share: f64) -> f64 {
        if self.is_log {
            self.low * (self.high / self.low).powf(share)
        } else {
            self.low + (self.high - self.low) * share
        }
    }
}

/// Draws `points` (position from 0 to `x_high`, value) on a linear axis. `None` without a finite
/// value.
pub(crate) fn panel(
    points: &[(f64, f64)],
    x_high: f64,
    label: impl Fn(f64, usize) -> String,
) -> Option<Panel> {
    draw((points, &[]), x_high, label, |least, greatest| {
        let from = if least >= 0.0 && least < 0.6 * greatest {
            0.0
        } else {
            least
        };
        round_axis(from, greatest)
    })
}

/// As [`panel`], but on a logarithmic axis where the values span a wide ratio: a loss falls tenfold
/// in its first steps and what follows would be a flat line. `beside` is drawn on the same axis.
pub(crate) fn loss_panel(
    (points, beside): (Points<'_>, Points<'_>),
    x_high: f64,
    label: impl Fn(f64, usize) -> String,
) -> Option<Panel> {
    draw((points, beside), x_high, label, |least, greatest| {
        if least > 0.0 && greatest / least > LOG_RATIO_MIN {
            ratio_axis(least, greatest)
        } else {
            round_axis(least.min(0.0), greatest)
        }
    })
}

/// The points that have a place.
fn finite(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let points = points.iter().copied();
    points.filter(|(_, value)| value.is_finite()).collect()
}

fn draw(
    (points, beside): (Points<'_>, Points<'_>),
    x_high: f64,
    label: impl Fn(f64, usize) -> String,
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
    let values = (0..=PARTS).rev();
    let values: Vec<f64> = values
        .map(|part| axis.value(part as f64 / PARTS as f64))
        .collect();
    let places = places(&values);
    let labels = values.iter().map(|value| label(*value, places));
    Some(Panel {
        raw: line(&points),
        smooth: line(&smoothed),
        beside: line(&beside),
        end: place(smoothed.last().copied().unwrap_or(last)),
        labels: labels.collect(),
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

/// Labels of a horizontal axis of whole steps from 0 to `steps`, evenly spaced.
pub(crate) fn step_labels(steps: u64) -> Vec<String> {
    let parts = if steps >= PARTS as u64 {
        PARTS as u64
    } else {
        1
    };
    (0..=parts)
        .map(|part| (steps * part / parts).to_string())
        .collect()
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

fn extremes(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// The narrowest round axis that holds both ends and falls into [`PARTS`] parts of 1, 2, 2.5 or 5
/// times a power of ten.
fn round_axis(least: f64, greatest: f64) -> Axis {
    let span = if greatest > least {
        greatest - least
    } else {
        greatest.abs().max(1e-9)
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

/// The narrowest logarithmic axis that holds both ends, begins at 1, 2 or 5 times a power of ten and
/// falls into [`PARTS`] parts of the same round ratio.
fn ratio_axis(least: f64, greatest: f64) -> Axis {
    let power = 10f64.powf(least.log10().floor());
    let factor = [5.0, 2.0, 1.0]
        .into_iter()
        .find(|factor| factor * power <= least);
    let low = factor.unwrap_or(1.0) * power;
    let mut ratio = 2.0;
    while low * f64::powi(ratio, PARTS as i32) < greatest {
        ratio += 1.0;
    }
    Axis {
        low,
        high: low * f64::powi(ratio, PARTS as i32),
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
        assert_eq!(panel.labels, ["3.2", "1.6", "0.8", "0.4", "0.2"]);
        let narrow =
            loss_panel((&losses[1..], &[]), 3.0, |value, _| format!("{value}")).expect("a panel");
        assert!(!narrow.axis.is_log);
        let zero = loss_panel((&[(1.0, 3.0), (2.0, 0.0)], &[]), 2.0, |value, _| {
            format!("{value}")
        });
        assert!(!zero.expect("a panel").axis.is_log, "zero has no logarithm");
    }

    /// Labels say different things, however small the losses are.
    #[test]
    fn labels_have_the_decimals_that_their_step_needs() {
        let label = |value: f64, places: usize| format!("{value:.places$}");
        for (losses, expected) in [
            (
                [0.021, 0.0011],
                ["0.081", "0.027", "0.009", "0.003", "0.001"],
            ),
            (
                [0.0018, 0.0009],
                ["0.0020", "0.0015", "0.0010", "0.0005", "0.0000"],
            ),
            ([9.0, 4.0], ["10.0", "7.5", "5.0", "2.5", "0.0"]),
        ] {
            let points = [(1.0, losses[0]), (2.0, losses[1])];
            let panel = loss_panel((&points, &[]), 2.0, label).expect("a panel");
            assert_eq!(panel.labels, expected);
        }
        assert_eq!(places(&[40.0, 20.0, 0.0]), 0);
        assert_eq!(places(&[1.0, 1.0]), 0);
    }

    #[test]
    fn what_stands_beside_is_drawn_on_the_same_axis() {
        let label = |value: f64, _: usize| format!("{value}");
        let losses = [(1.0, 2.0), (2.0, 1.0)];
        let panel = loss_panel((&losses, &[(2.0, 4.0), (4.0, f64::NAN)]), 4.0, label);
        let panel = panel.expect("a panel");
        assert_eq!(panel.labels, ["4", "3", "2", "1", "0"]);
        assert_eq!(panel.raw, "250.0,100.0 500.0,150.0");
        assert_eq!(panel.beside, "500.0,0.0");
    }

    #[test]
    fn a_panel_runs_from_left_to_the_known_end() {
        let points = [(1.0, 2.0), (2.0, 1.0)];
        let panel = panel(&points, 4.0, |value, _| format!("{value}")).expect("a panel");
        assert_eq!(panel.raw, "250.0,0.0 500.0,100.0");
        assert_eq!(panel.labels, ["2", "1.5", "1", "0.5", "0"]);
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
    fn step_labels_are_even() {
        assert_eq!(step_labels(400), ["0", "100", "200", "300", "400"]);
        assert_eq!(step_labels(2), ["0", "2"]);
    }
}
