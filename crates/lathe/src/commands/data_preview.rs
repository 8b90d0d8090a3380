//! `lathe data preview`: what tuning learns from, token by token, before anything is tuned.
//!
//! The rows are those that `lathe tune` computes, made by the same code; no weight of the model is
//! read. What is wrong with a mask is said on standard error.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lathe_kernel::{Pool, default_threads};
use lathe_tune::Preview;
use lathe_tune::preview::{Counts, Found, Marked};
use lathe_tune::recipe::Recipe;
use lathe_tune::recipe::lesson::{self, Tokenising};
use lathe_tune::token_cache::TokenCache;
use lathe_workshop::words::{self, Lang};
use serde_json::{Value, json};

use super::recipe_files::{Files, of_tune, open_unread, tokenising_bar};
use super::{Globals, say};
use crate::fail::{Failure, Outcome};
use crate::marks::{Look, TOKENS_MAX};
use crate::out;

/// Arguments of `lathe data preview`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe data preview recipes/banking77.yaml dataset_dir=data/banking77
  lathe data preview chats.jsonl --model Qwen2.5-0.5B-Instruct --records 1 --json")]
pub struct Args {
    /// A recipe; with --model a file of training data.
    file: PathBuf,
    /// Keys that win over the recipe.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The model whose tokenizer and template are used: a .gguf file, a folder or a source.
    #[arg(long)]
    model: Option<String>,
    /// The template's name, for a model without one.
    #[arg(long, requires = "model")]
    template: Option<String>,
    /// Records that are shown, from the first on.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    records: u16,
    /// Count over all records, not only those shown: tokenises everything, into the cache that
    /// tuning reads.
    #[arg(long)]
    all: bool,
    /// Columns after which a line breaks.
    #[arg(long, value_name = "COLUMNS", default_value_t = 100, value_parser = clap::value_parser!(u16).range(20..))]
    width: u16,
    /// Print a line of JSON for each row.
    #[arg(long)]
    json: bool,
}

/// Shows the rows.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let recipe = recipe(args)?;
    let preview = preview(&recipe, &Files::of(&globals.home()?), args)?;
    let mut out = std::io::stdout();
    let shown = if args.json {
        print_json(&mut out, &preview.rows)
    } else {
        let look = Look {
            colour: is_colourful(),
            columns: usize::from(args.width),
        };
        print(&mut out, look, &preview)
    };
    if let Err(error) = shown {
        out::unwritten(&error);
    }
    warn(&preview.counts);
    if !args.all {
        eprintln!("{}", say("cli.preview.only-shown"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The recipe, or one that a file of data makes with its model.
fn recipe(args: &Args) -> Result<Recipe, Failure> {
    let Some(model) = &args.model else {
        return Recipe::load(&args.file, &args.overrides).map_err(of_tune);
    };
    let yaml = json!({
        "model_name_or_path": model,
        "train_file": args.file,
        "template": args.template,
        // Nothing is written there.
        "output_dir": ".",
        "dataset_dir": ".",
    });
    Recipe::parse(&yaml.to_string(), &args.overrides, Path::new("")).map_err(of_tune)
}

fn preview(recipe: &Recipe, files: &Files, args: &Args) -> Result<Preview, Failure> {
    let settings = &recipe.settings;
    let brought = files.of_recipe(recipe)?;
    let model = open_unread(&brought.base, settings.template.as_deref())?;
    let pool = Pool::new(default_threads());
    let mut tokenising = Tokenising {
        cache: TokenCache {
            folder: &files.tokens(),
            pool: &pool,
        },
        on: &mut tokenising_bar(),
    };
    let records = usize::from(args.records);
    let most = (!args.all).then_some(records);
    let table = brought.table();
    let rows = lesson::rows(recipe, &model, table.as_ref(), most, &mut tokenising);
    let rows = rows.map_err(of_tune)?;
    Ok(Preview::of(&rows, &model, settings.cutoff_len, records))
}

/// As <https://no-color.org> asks, and only where somebody looks.
pub(super) fn is_colourful() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

fn print(out: &mut impl Write, look: Look, preview: &Preview) -> std::io::Result<()> {
    for row in &preview.rows {
        writeln!(out, "{}", look.paint("1", &heading(row)))?;
        writeln!(out, "{}", look.row(row))?;
        if let more @ 1.. = row.tokens.len().saturating_sub(TOKENS_MAX) {
            writeln!(
                out,
                "{}",
                with("cli.preview.more", &[("count", more as u64)])
            )?;
        }
        writeln!(out)?;
    }
    let marks = look.legend().into_iter();
    let marks: Vec<String> = marks
        .map(|(mark, key)| format!("{mark} {}", say(key)))
        .collect();
    writeln!(out, "{} {}", say("cli.preview.legend"), marks.join(" · "))?;
    writeln!(out, "{}", counted(&preview.counts))
}

fn heading(row: &Marked) -> String {
    let numbers = [
        ("tokens", row.tokens.len() as u64),
        ("supervised", row.supervised as u64),
    ];
    let mut parts = vec![with("cli.preview.record", &numbers).replace("{record}", &row.record)];
    if row.over_cutoff {
        parts.push(say("cli.preview.over"));
    }
    if row.unsupervised {
        parts.push(say("cli.preview.unsupervised"));
    }
    parts.join(" · ")
}

fn counted(counts: &Counts) -> String {
    let percent = 100.0 * counts.supervised as f64 / counts.tokens.max(1) as f64;
    let numbers = [
        ("records", counts.records),
        ("rows", counts.rows as u64),
        ("tokens", counts.tokens),
        ("supervised", counts.supervised),
        ("shared", counts.shared_prefix as u64),
        ("percent", percent.round() as u64),
    ];
    with("cli.preview.counts", &numbers)
}

/// Words with numbers in them.
fn with(key: &str, numbers: &[(&str, u64)]) -> String {
    let texts: Vec<(&str, String)> = numbers
        .iter()
        .map(|(name, number)| (*name, number.to_string()))
        .collect();
    let texts: Vec<(&str, &str)> = texts
        .iter()
        .map(|(name, text)| (*name, &text[..]))
        .collect();
    words::get(Lang::from_env(), key, &texts)
}

/// Says what would go wrong.
fn warn(counts: &Counts) {
    let found = [
        ("cli.preview.warn.unsupervised", &counts.unsupervised),
        ("cli.preview.warn.over", &counts.over_cutoff),
        ("cli.preview.warn.endless", &counts.endless),
    ];
    for (key, Found { rows, first }) in found {
        if *rows == 0 {
            continue;
        }
        let mut named = first.join(", ");
        if *rows > first.len() as u64 {
            named += ", …";
        }
        let numbers = [("rows", *rows), ("max", counts.tokens_max as u64)];
        eprintln!("{}", with(key, &numbers).replace("{records}", &named));
    }
}

fn print_json(out: &mut impl Write, rows: &[Marked]) -> std::io::Result<()> {
    for row in rows {
        writeln!(out, "{}", object(row))?;
    }
    Ok(())
}

/// A row as one object of lists of equal length.
fn object(row: &Marked) -> Value {
    let tokens = row.tokens.iter();
    let soft = row
        .tokens
        .iter()
        .enumerate()
        .filter(|(_, it)| !it.soft.is_empty());
    let soft: Vec<Value> = soft
        .map(|(place, token)| json!({ "place": place, "shares": token.soft }))
        .collect();
    json!({
        "record": row.record,
        "text": row.text,
        "tokens": tokens.clone().map(|it| &it.text).collect::<Vec<_>>(),
        "ids": tokens.clone().map(|it| it.id).collect::<Vec<_>>(),
        "weights": tokens.clone().map(|it| it.weight).collect::<Vec<_>>(),
        "soft": soft,
        "supervised": row.supervised,
        "shared_prefix": tokens.filter(|it| it.shared).count(),
        "over_cutoff": row.over_cutoff,
        "unsupervised": row.unsupervised,
    })
}
