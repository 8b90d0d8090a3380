//! What is shown of a run under way: a bar on a terminal, a line every so many steps elsewhere.

use std::io::IsTerminal;

use lathe_tune::TuneEvent;
use lathe_workshop::Progress;
use lathe_workshop::words::{self, Lang};

use crate::bars::Bar;

/// Shows a run.
pub struct Teller {
    /// The bar, to be cleared at the end.
    pub bar: Bar,
    every: u64,
    lines: bool,
}

impl Teller {
    /// Lines every `every` steps where there is no terminal.
    pub fn new(every: u64) -> Teller {
        Teller {
            bar: Bar::new(Lang::from_env(), true),
            every: every.max(1),
            lines: !std::io::stderr().is_terminal(),
        }
    }

    /// Shows a step.
    pub fn hear(&mut self, event: &TuneEvent) {
        if let Some(back_to) = event.set_back_to {
            return self.tell_setback(event, back_to);
        }
        let progress = Progress {
            done: event.step,
            total: event.steps,
            unit: "unit.steps".to_owned(),
            eta_s: Some(event.eta_s),
            memory: None,
        };
        self.bar
            .show(&format!("loss {:.4}", event.loss), Some(&progress));
        let due = event.step.is_multiple_of(self.every) || event.step == event.steps;
        if self.lines && (due || event.eval.is_some()) {
            let eval = event.eval.map(|eval| format!("  held back {eval:.4}"));
            eprintln!(
                "{}/{}  loss {:.4}{}  lr {:.2e}  {:.0} tokens/s  {:.0} s",
                event.step,
                event.steps,
                event.loss,
                eval.unwrap_or_default(),
                event.learning_rate,
                event.tokens_per_s,
                event.eta_s
            );
        }
    }

    /// A step went wrong: said on a line of its own, also beside a bar.
    fn tell_setback(&mut self, event: &TuneEvent, back_to: u64) {
        self.bar.clear();
        let (loss, back_to) = (format!("{:.4}", event.loss), back_to.to_string());
        let words = [("value", &*loss), ("step", &*back_to)];
        eprintln!(
            "{}",
            words::get(Lang::from_env(), "cli.tune.set_back", &words)
        );
    }
}
