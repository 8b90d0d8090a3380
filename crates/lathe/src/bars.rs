//! The progress bar of the running step, on standard error of a terminal; in
//! any other place there is none.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lathe_workshop::Progress;
use lathe_workshop::words::{self, Lang};

/// Thousandths: the bar's own scale, so that steps of any unit fit.
const SCALE: u64 = 1000;

/// One bar, shown while a step runs.
pub struct Bar {
    bar: ProgressBar,
    lang: Lang,
}

impl Bar {
    /// A bar that shows nothing yet, and never will unless `shown` and standard error is a terminal.
    pub fn new(lang: Lang, shown: bool) -> Bar {
        let bar = ProgressBar::new(SCALE);
        if !shown || !std::io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        let style = ProgressStyle::with_template("{spinner} {prefix} [{bar:32}] {msg}")
            .expect("the template is a constant")
            .progress_chars("=> ");
        bar.set_style(style);
        Bar { bar, lang }
    }

    /// Shows how far the step called `name` is.
    pub fn show(&self, name: &str, progress: Option<&Progress>) {
        self.bar.enable_steady_tick(Duration::from_millis(200));
        self.bar.set_prefix(name.to_owned());
        let Some(progress) = progress else {
            self.bar.set_position(0);
            self.bar.set_message(String::new());
            return;
        };
        let share = progress.done as f64 / progress.total.max(1) as f64;
        self.bar
            .set_position((share.min(1.0) * SCALE as f64) as u64);
        self.bar.set_message(message(self.lang, progress));
    }

    /// Prints a line above the bar.
    pub fn print(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Runs what tells how many of `total` records are done, under a bar called `name`.
pub fn over_records<T>(
    name: &str,
    total: usize,
    run: impl FnOnce(&mut dyn FnMut(usize)) -> T,
) -> T {
    let bar = Bar::new(Lang::from_env(), true);
    run(&mut |done| {
        let progress = Progress {
            done: done as u64,
            total: total as u64,
            unit: "unit.records".to_owned(),
            eta_s: None,
            memory: None,
        };
        bar.show(name, Some(&progress));
    })
}

fn message(lang: Lang, progress: &Progress) -> String {
    let count = if progress.unit == "unit.bytes" {
        let megabytes = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        format!(
            "{}/{} MB",
            megabytes(progress.done),
            megabytes(progress.total)
        )
    } else {
        let unit = words::get(lang, &progress.unit, &[]);
        format!("{}/{} {unit}", progress.done, progress.total)
    };
    match progress.eta_s {
        Some(eta_s) => {
            let left = duration(eta_s);
            format!(
                "{count} · {}",
                words::get(lang, "cli.left", &[("time", &left)])
            )
        }
        None => count,
    }
}

/// Seconds as "0:07", "12:30" or "1:02:03".
pub fn duration(seconds: f64) -> String {
    let whole = seconds.clamp(0.0, 1e9).round() as u64;
    let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 {
        return format!("{hours}:{minutes:02}:{rest:02}");
    }
    format!("{minutes}:{rest:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration(6.6), "0:07");
        assert_eq!(duration(750.0), "12:30");
        assert_eq!(duration(3723.0), "1:02:03");
        assert_eq!(duration(f64::NAN), "0:00");
    }

    #[test]
    fn messages_name_the_unit_and_what_is_left() {
        let progress = Progress {
            done: 120,
            total: 208,
            unit: "unit.steps".to_owned(),
            eta_s: Some(45.0),
            memory: None,
        };
        assert_eq!(message(Lang::En, &progress), "120/208 steps · 0:45 left");
        let bytes = Progress {
            unit: "unit.bytes".to_owned(),
            done: 1_500_000,
            total: 3_000_000,
            eta_s: None,
            memory: None,
        };
        assert_eq!(message(Lang::En, &bytes), "1.5/3.0 MB");
    }
}
