//! One row measured: the sides in turn, the ratio with its range.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::rows::{Row, Work};
use super::{ours, peers};
use crate::{bounded, shell};

/// How often the sides alternate.
pub const TURNS: usize = 3;
/// How long a side may take in one turn: a peer that does not end must not hold up all others.
const TURN_MAX: Duration = Duration::from_secs(600);

/// A program that measures, and where its figure stands in the JSON it prints.
pub struct Side {
    /// Who, with version and format.
    pub name: String,
    /// Makes the command anew for every turn.
    pub command: Command,
    /// Where its figure stands in what it prints.
    pub figure: Figure,
}

/// Where a figure stands.
#[derive(Clone, Copy)]
pub enum Figure {
    /// Under this key of the last line that is a JSON object.
    Key(&'static str),
    /// Under this key of every line that is a JSON object: the median of all but the first, which warms up.
    Keys(&'static str),
    /// Under this key of the one object in a JSON array, the whole of what is printed.
    InArray(&'static str),
    /// Under this heading of a Markdown table, in either stream: the median of its rows after the first.
    Column(&'static str),
}

impl Side {
    /// Its figure; what it prints is kept in `log`.
    fn run(&mut self, log: &Path) -> Result<f64, String> {
        let mut run = |run: fn(&mut Command, Duration, &Path) -> Result<String, String>| {
            run(&mut self.command, TURN_MAX, log)
        };
        let figure = match self.figure {
            Figure::Key(key) => {
                shell::object_of(&run(bounded::measure)?).and_then(|it| it[key].as_f64())
            }
            Figure::InArray(key) => {
                let printed = run(bounded::measure)?;
                let array: Value = serde_json::from_str(&printed)
                    .map_err(|error| format!("'{printed}' is not JSON: {error}"))?;
                array[0][key].as_f64()
            }
            Figure::Keys(key) => warm(&keys(&run(bounded::measure)?, key)),
            Figure::Column(heading) => warm(&column(&run(bounded::measure_all)?, heading)),
        };
        figure
            .filter(|figure| *figure > 0.0)
            .ok_or_else(|| format!("{} printed no figure", self.name))
    }

    /// The command as one line, folders cut off.
    fn line(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let short = words.map(|word| {
            let word = word.to_string_lossy();
            let name = word.rsplit('/').next().unwrap_or(&word);
            name.to_owned()
        });
        short.collect::<Vec<_>>().join(" ")
    }
}

/// The numbers under a key of all lines that are JSON objects.
fn keys(printed: &str, key: &str) -> Vec<f64> {
    let objects = printed.lines().filter_map(|line| {
        let object: Value = serde_json::from_str(line).ok()?;
        object.get(key)?.as_f64()
    });
    objects.collect()
}

/// The numbers under a heading of a Markdown table.
fn column(printed: &str, heading: &str) -> Vec<f64> {
    fn cells(line: &str) -> Vec<&str> {
        line.split('|').map(str::trim).collect()
    }
    let mut lines = printed.lines().filter(|line| line.starts_with('|'));
    let headings = cells(lines.next().unwrap_or_default());
    let Some(at) = headings.iter().position(|cell| *cell == heading) else {
        return Vec::new();
    };
    let numbers = lines.filter_map(|line| cells(line).get(at)?.parse().ok());
    numbers.collect()
}

/// The median without the first, which warms up; none where that is the only one.
fn warm(values: &[f64]) -> Option<f64> {
    let (_, warm) = values.split_first()?;
    (!warm.is_empty()).then(|| median(warm))
}

/// What came out.
pub struct Measured {
    pub row: String,
    goal: f64,
    passes_at: f64,
    ours: f64,
    peer: f64,
    pub peer_name: String,
    ratios: Vec<f64>,
    /// How the sides were run.
    pub commands: Vec<String>,
    /// What was measured once beside: ours another way, and the peers that were not the best.
    others: Vec<(String, f64)>,
    why: Option<String>,
}

/// Runs the sides of a row; what cannot be measured is a line with its reason.
pub fn measure(row: &Row) -> Measured {
    let mut measured = Measured::new(&row.name, [row.passes_at, row.goal]);
    if let Err(why) = turns(row.work, &mut measured) {
        measured.why = Some(why);
    }
    measured
}

fn turns(work: Work, measured: &mut Measured) -> Result<(), String> {
    let better = if less_is_better(work) { -1.0 } else { 1.0 };
    let mine = ours::side(work)?;
    let log = shell::target_dir().join("bench/side.log");
    alternate(mine, peers::sides(work)?, better, (&log, measured))?;
    for mut side in ours::beside(work)? {
        let figure = side.run(&log).unwrap_or_else(|why| {
            eprintln!("  {} left out: {why}", side.name);
            f64::NAN
        });
        measured.others.push((side.name.clone(), figure));
    }
    Ok(())
}

/// Runs ours and all others once, and then ours and the best of the others in turn; `better` is -1 where
/// less is.
fn alternate(
    mut mine: Side,
    mut sides: Vec<Side>,
    better: f64,
    (log, measured): (&Path, &mut Measured),
) -> Result<(), String> {
    let first = mine.run(log)?;
    let mut figures = Vec::new();
    for side in &mut sides {
        match side.run(log) {
            Ok(figure) => figures.push(figure),
            Err(why) => {
                eprintln!("  {} left out: {why}", side.name);
                figures.push(f64::NAN);
            }
        }
    }
    let best = (0..sides.len())
        .filter(|&at| figures[at].is_finite())
        .max_by(|&a, &b| (better * figures[a]).total_cmp(&(better * figures[b])))
        .ok_or("no peer could be measured")?;
    let (mut ours, mut peer) = (vec![first], vec![figures[best]]);
    for _ in 1..TURNS {
        ours.push(mine.run(log)?);
        peer.push(sides[best].run(log)?);
    }
    measured.ratios = ours
        .iter()
        .zip(&peer)
        .map(|(ours, peer)| (ours / peer).powf(better))
        .collect();
    measured.ours = median(&ours);
    measured.peer = median(&peer);
    measured.peer_name = sides[best].name.clone();
    measured.commands = vec![mine.line(), sides[best].line()];
    let others = sides
        .iter()
        .zip(&figures)
        .enumerate()
        .filter(|(at, _)| *at != best);
    let others = others.map(|(_, (side, figure))| (side.name.clone(), *figure));
    measured.others = others.collect();
    Ok(())
}

/// Memory and time are better when less; the ratio is larger-is-better all the same.
fn less_is_better(work: Work) -> bool {
    matches!(work, Work::LoraMemory | Work::Start)
}

impl Measured {
    fn new(row: &str, [passes_at, goal]: [f64; 2]) -> Self {
        Self {
            row: row.to_owned(),
            goal,
            passes_at,
            ours: f64::NAN,
            peer: f64::NAN,
            peer_name: String::new(),
            ratios: Vec::new(),
            commands: Vec::new(),
            others: Vec::new(),
            why: None,
        }
    }

    /// Whether the row reached what it has to.
    pub fn passes(&self) -> bool {
        !self.ratios.is_empty() && median(&self.ratios) >= self.passes_at
    }

    /// The line of `--json`.
    pub fn json(&self) -> Value {
        let Some((low, high)) = self.range() else {
            return json!({"row": self.row, "ours": null, "peer": null, "peer_name": null, "ratio": null,
                "ratio_min": null, "ratio_max": null, "goal": self.goal, "passes_at": self.passes_at, "why": self.why});
        };
        json!({"row": self.row, "ours": round(self.ours), "peer": round(self.peer), "peer_name": self.peer_name,
            "ratio": round(median(&self.ratios)), "ratio_min": round(low), "ratio_max": round(high),
            "goal": self.goal, "passes_at": self.passes_at, "commands": self.commands,
            "others": self.others.iter().map(|(name, figure)| json!([name, round(*figure)])).collect::<Vec<_>>()})
    }

    fn range(&self) -> Option<(f64, f64)> {
        let low = self.ratios.iter().copied().reduce(f64::min)?;
        Some((low, self.ratios.iter().copied().reduce(f64::max)?))
    }

    /// One line for the terminal.
    pub fn sentence(&self) -> String {
        match self.range() {
            None => format!(
                "{}: {}",
                self.row,
                self.why.as_deref().unwrap_or("not measured")
            ),
            Some((low, high)) => format!(
                "{}: {} against {} ({}), ratio {:.2} ({low:.2} to {high:.2}), passes at {}, goal {}",
                self.row,
                round(self.ours),
                round(self.peer),
                self.peer_name,
                median(&self.ratios),
                self.passes_at,
                self.goal
            ),
        }
    }

    /// The row of the results' table.
    pub fn table_row(&self) -> String {
        let (ratio, range) = match self.range() {
            None => ("–".to_owned(), self.why.clone().unwrap_or_default()),
            Some((low, high)) => (
                format!("**{:.2}**", median(&self.ratios)),
                format!(" ({low:.2}–{high:.2})"),
            ),
        };
        format!(
            "| {} | {} | {} | {} | {ratio}{range} | {} | {} |\n",
            self.row,
            round(self.ours),
            round(self.peer),
            self.peer_name,
            self.passes_at,
            self.goal
        )
    }

    /// A row measured elsewhere: the figures of both sides, turn by turn; `bounds` are what passes and
    /// the goal, `sign` is -1 where less is better.
    pub fn of(row: &str, bounds: [f64; 2], [ours, peer]: [&[f64]; 2], sign: f64) -> Self {
        let turns = ours.iter().zip(peer);
        Self {
            ratios: turns.map(|(ours, peer)| (ours / peer).powf(sign)).collect(),
            ours: median(ours),
            peer: median(peer),
            ..Self::new(row, bounds)
        }
    }

    /// Commands and other peers of the row.
    pub fn footnote(&self) -> String {
        let others = self
            .others
            .iter()
            .map(|(name, figure)| match figure.is_finite() {
                true => format!("; {name}: {}", round(*figure)),
                false => format!("; {name}: failed"),
            });
        let commands = self.commands.join("` against `");
        if commands.is_empty() {
            return String::new();
        }
        format!(
            "- {}: `{commands}`{}\n",
            self.row,
            others.collect::<String>()
        )
    }
}

fn round(value: f64) -> f64 {
    let digits = if value.abs() < 100.0 { 1000.0 } else { 10.0 };
    (value * digits).round() / digits
}

/// The middle of some figures, or half way between the middle two.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        len => f64::midpoint(values[(len - 1) / 2], values[len / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert!(median(&[]).is_nan());
        assert_eq!(median(&[3.0]), 3.0);
        assert_eq!(median(&[5.0, 1.0]), 3.0);
        assert_eq!(median(&[9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn the_figures_of_a_column_are_those_of_all_its_rows() {
        let printed = "chatter\n| PP | S_TG t/s |\n|---|---|\n| 64 | 12.5 |\n| 64 | 13.5 |\n";
        assert_eq!(column(printed, "S_TG t/s"), [12.5, 13.5]);
        assert!(column(printed, "S_PP t/s").is_empty() && column("", "S_TG t/s").is_empty());
    }

    #[test]
    fn the_first_of_several_warms_up() {
        assert_eq!(
            keys("{\"a\": 1}\nno\n{\"b\": 2}\n{\"a\": 3}", "a"),
            [1.0, 3.0]
        );
        assert_eq!([warm(&[]), warm(&[9.0])], [None, None]);
        assert_eq!(warm(&[9.0, 1.0, 2.0]), Some(1.5));
    }

    /// A side that prints what a shell does.
    fn side(name: &str, script: &str) -> Side {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Side {
            name: name.to_owned(),
            command,
            figure: Figure::Key("x"),
        }
    }

    fn alternated(passes_and_goal: [f64; 2], better: f64) -> Measured {
        let mut measured = Measured::new("row", passes_and_goal);
        let printing = |name: &str, x: &str| side(name, &format!("echo '{{\"x\": {x}}}'"));
        let sides = vec![
            printing("slow", "2"),
            side("broken", "exit 1"),
            printing("fast", "4"),
        ];
        let folder = tempfile::tempdir().unwrap();
        let to = (&*folder.path().join("log"), &mut measured);
        alternate(printing("ours", "8"), sides, better, to).unwrap();
        measured
    }

    #[test]
    fn the_best_peer_is_the_one_compared_with_and_the_ratio_has_the_right_direction() {
        let more = alternated([2.0, 3.0], 1.0);
        assert_eq!(
            (&*more.peer_name, &more.ratios[..]),
            ("fast", &[2.0; TURNS][..])
        );
        assert!(more.passes() && !alternated([2.1, 3.0], 1.0).passes());
        // Less is better: the best peer needs 2, ours 8.
        let less = alternated([0.25, 1.0], -1.0);
        assert_eq!(
            (&*less.peer_name, &less.ratios[..]),
            ("slow", &[0.25; TURNS][..])
        );
        assert!(less.passes() && !alternated([0.3, 1.0], -1.0).passes());
        let names: Vec<&str> = less.others.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["broken", "fast"]);
    }

    #[test]
    fn a_row_without_a_peer_says_why_and_does_not_pass() {
        let mut measured = Measured::new("row", [2.0, 1.0]);
        let peer = side("broken", "exit 1");
        let ours = side("ours", "echo '{\"x\": 8}'");
        let folder = tempfile::tempdir().unwrap();
        let to = (&*folder.path().join("log"), &mut measured);
        let why = alternate(ours, vec![peer], 1.0, to).unwrap_err();
        assert_eq!(why, "no peer could be measured");
        assert!(!measured.passes());
    }
}
