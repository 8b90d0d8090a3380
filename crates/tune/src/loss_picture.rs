//! The loss of every step as a picture, where LLaMA-Factory's `plot_loss` asks for one.
//!
//! The single losses are drawn faintly and over them their exponential mean, in whose course a
//! trend can be seen. An SVG: it needs no drawing library and is sharp at every size.

use std::fmt::Write;

/// Name of the file in the output folder.
pub const LOSS_PICTURE: &str = "training_loss.svg";

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const MARGIN: f64 = 48.0;
/// Points of a curve at most; a longer one is thinned.
const POINTS_MAX: usize = 1000;
/// Weight of the past in the mean.
const SMOOTHING: f64 = 0.9;

/// The picture of a run's losses.
pub fn svg(losses: &[f64]) -> String {
    let top = losses.iter().copied().filter(|loss| loss.is_finite());
    let top = top.fold(f64::MIN_POSITIVE, f64::max);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
    );
    for part in 0..=4 {
        let share = f64::from(part) / 4.0;
        let y = HEIGHT - MARGIN - share * (HEIGHT - 2.0 * MARGIN);
        let (left, right, loss) = (MARGIN, WIDTH - MARGIN, share * top);
        let _written = writeln!(
            text,
            "<path d=\"M{left} {y:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.2}</text>",
            MARGIN - 6.0,
            y + 4.0
        );
    }
    for (losses, colour) in [(losses.to_vec(), "#bcd"), (smoothed(losses), "#246")] {
        let points = curve(&losses, top);
        let _written = writeln!(
            text,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
    }
    let (x, y, steps) = (WIDTH - MARGIN, HEIGHT - MARGIN / 2.0, losses.len());
    let _written = writeln!(
        text,
        "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">step {steps}</text></svg>"
    );
    text
}

/// The exponential mean, free of the bias of its start.
fn smoothed(losses: &[f64]) -> Vec<f64> {
    let (mut mean, mut weight) = (0.0, 0.0);
    let next = |loss: &f64| {
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss;
        weight = SMOOTHING * weight + (1.0 - SMOOTHING);
        mean / weight
    };
    losses.iter().map(next).collect()
}

fn curve(losses: &[f64], top: f64) -> String {
    let last = losses.len().saturating_sub(1).max(1) as f64;
    let step = losses.len().div_ceil(POINTS_MAX).max(1);
    let point = |(at, loss): (usize, &f64)| {
        let x = MARGIN + at as f64 / last * (WIDTH - 2.0 * MARGIN);
        let y = HEIGHT - MARGIN - loss / top * (HEIGHT - 2.0 * MARGIN);
        format!("{x:.1},{y:.1}")
    };
    let points: Vec<String> = losses.iter().enumerate().step_by(step).map(point).collect();
    points.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_where_the_loss_falls() {
        let picture = svg(&[4.0, 2.0, 1.0]);
        assert!(
            picture.contains("points=\"48.0,48.0 360.0,200.0 672.0,276.0\""),
            "{picture}"
        );
        assert!(picture.contains("step 3"));
        assert_eq!(picture.matches("<polyline").count(), 2);
    }

    #[test]
    fn the_mean_of_equal_losses_is_that_loss() {
        assert!(
            smoothed(&[2.0; 5])
                .iter()
                .all(|loss| (loss - 2.0).abs() < 1e-12)
        );
    }

    #[test]
    fn a_long_run_is_thinned_and_none_is_a_picture_too() {
        let long = svg(&vec![1.0; 100_000]);
        assert!(long.len() < 40_000, "{}", long.len());
        assert!(svg(&[]).ends_with("</svg>\n"));
    }
}
