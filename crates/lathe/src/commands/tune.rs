//! `lathe tune`: a recipe, run by itself in the foreground.
//!
//! No order, no ledger, no gate: what comes out is a folder for other tools and for experiments.
//! What is to be served goes through a pack and `lathe run`.

use std::collections::BTreeSet;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use lathe_engine::{Adapter, LoadOptions, LoraSpec, Model};
use lathe_kernel::{Pool, default_threads};
use lathe_tune::TuneError;
use lathe_tune::loss_picture::{LOSS_PICTURE, svg};
use lathe_tune::recipe::Recipe;
use lathe_tune::recipe::answer::{AnswerSpec, READING, Reading};
use lathe_tune::recipe::lesson::{self, Held, Lesson, Tokenising};
use lathe_tune::recipe::table::Table;
use lathe_tune::sft::{self, SftJob, TuneEvent};
use lathe_tune::token_cache::TokenCache;
use lathe_workshop::Progress;
use lathe_workshop::words::{self, Lang};
use serde_json::{Value, json};

use super::recipe_files::{Brought, Files, of_tune, open, tokenising_bar};
use super::{Globals, eval};
use crate::bars::Bar;
use crate::fail::{Failure, Outcome};

/// Name of the template's file in the output folder, as transformers has it.
const TEMPLATE: &str = "chat_template.jinja";
/// The share of right answers that an answer without a person is held to.
const ASSURED_ACCURACY: f64 = 0.99;

/// Arguments of `lathe tune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe tune recipes/banking77.yaml dataset_dir=data/banking77 output_dir=saves/banking77
  lathe tune recipes/banking77.yaml learning_rate=1e-4 num_train_epochs=2 --dry-run

Run again after Ctrl-C or a crash, the same command goes on from its newest checkpoint.")]
pub struct Args {
    /// The recipe: LLaMA-Factory's keys, and `train_file`, `input`, `output`, `answer` for plain tables.
    recipe: PathBuf,
    /// Keys that win over the file.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Read everything, time a few steps, say what the run would take, and end.
    #[arg(long)]
    dry_run: bool,
    /// Print what came of it as JSON.
    #[arg(long)]
    json: bool,
}

/// Runs the recipe.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let recipe = Recipe::load(&args.recipe, &args.overrides).map_err(of_tune)?;
    tell_ignored(&recipe);
    let files = Files::of(&globals.home()?);
    let brought = files.of_recipe(&recipe)?;
    let options = LoadOptions {
        trainable: true,
        ..LoadOptions::default()
    };
    let model = open(&brought.base, options, recipe.settings.template.as_deref())?;
    let pool = Pool::new(default_threads());
    let lesson = read(&recipe, &model, &brought, &files.tokens(), &pool).map_err(of_tune)?;
    let run = Run {
        recipe: &recipe,
        args,
        pool: &pool,
        lesson,
        base: brought.base,
    };
    if args.dry_run {
        return run.dry(&model);
    }
    run.tune(model)
}

/// What is learnt from: choices out of a table, or conversations and texts.
fn read(
    recipe: &Recipe,
    model: &Model,
    brought: &Brought,
    tokens: &Path,
    pool: &Pool,
) -> Result<Lesson, TuneError> {
    let (table, held) = (brought.table(), brought.held.as_deref());
    let file = match &table {
        Some(Table::File(file)) => Some(*file),
        _ => None,
    };
    match (&recipe.settings.answer, &table) {
        (AnswerSpec::Text, _) | (_, None) => {
            let sources = lesson::sources(recipe, file)?;
            let mut tokenising = Tokenising {
                cache: TokenCache {
                    folder: tokens,
                    pool,
                },
                on: &mut tokenising_bar(),
            };
            lesson::dialogues(recipe, model, &sources, held, &mut tokenising)
        }
        (_, Some(table)) => lesson::choices(recipe, model, table, held),
    }
}

/// Names what has no effect, once.
fn tell_ignored(recipe: &Recipe) {
    if recipe.ignored.is_empty() {
        return;
    }
    let names: Vec<&str> = recipe.ignored.keys().map(String::as_str).collect();
    let names = [("keys", names.join(", "))];
    let names = names
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    eprintln!(
        "{}",
        words::get(Lang::from_env(), "cli.tune.ignored", &names)
    );
}

struct Run<'a> {
    recipe: &'a Recipe,
    args: &'a Args,
    pool: &'a Pool,
    lesson: Lesson,
    base: PathBuf,
}

impl Run<'_> {
    /// Takes a few steps to time them, and prints what the whole run would be.
    fn dry(&self, model: &Model) -> Outcome {
        let scratch = tempfile::tempdir().map_err(|error| {
            Failure::new(
                "tune-file",
                format!("cannot make a temporary folder: {error}"),
                "",
            )
        })?;
        let mut one = self.lesson.spec.clone();
        let records = self.lesson.packed.rows.len();
        let steps_per_epoch = records.div_ceil(one.batch_records);
        let steps = (steps_per_epoch as f64 * one.epochs).ceil();
        // The first step fills buffers, the last one writes: the one between is what most are like.
        one.epochs = 2.5 / steps_per_epoch as f64;
        one.checkpoint_steps = u64::MAX;
        let job = SftJob {
            spec: &one,
            ..self.job(model, scratch.path())
        };
        let mut moments = vec![Instant::now()];
        sft::run(&job, &mut |_| moments.push(Instant::now())).map_err(of_tune)?;
        let between = moments
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).as_secs_f64());
        let step_s = between.fold(f64::INFINITY, f64::min);
        let rows = &self.lesson.packed.rows;
        let tokens: usize = (0..rows.len()).map(|at| rows.tokens_len(at)).sum();
        let plan = json!({
            "records": records,
            "held_back": self.lesson.held.len(),
            "tokens": tokens,
            "shared_prefix_tokens": self.lesson.packed.prefix_len,
            "left_out": self.lesson.packed.over_long.len() + self.lesson.packed.unanswered.len(),
            "steps": steps as u64,
            "seconds": (steps * step_s).round(),
            "peak_mib": peak_mib(),
        });
        self.print(&plan)
    }

    fn job<'a>(&'a self, model: &'a Model, folder: &'a Path) -> SftJob<'a> {
        SftJob {
            model,
            pool: self.pool,
            packed: &self.lesson.packed,
            start: None,
            spec: &self.lesson.spec,
            base_name: &self.recipe.settings.model_name_or_path,
            work_dir: folder,
            out_dir: folder,
        }
    }

    fn tune(&self, model: Model) -> Outcome {
        let settings = &self.recipe.settings;
        let out = &settings.output_dir;
        let start = self.start(&model)?;
        let began = Instant::now();
        let mut teller = Teller::new(settings.logging_steps);
        let job = SftJob {
            start: start.as_ref(),
            ..self.job(&model, out)
        };
        let outcome = sft::run(&job, &mut |event| teller.hear(event)).map_err(of_tune)?;
        teller.bar.clear();
        let seconds = began.elapsed().as_secs_f64();
        // What it was tuned in, so that other tools ask it the same way.
        if let Some(template) = &model.template {
            self.write(TEMPLATE, template.source())?;
        }
        if settings.plot_loss {
            self.write(LOSS_PICTURE, &svg(&losses(out)))?;
        }
        let metrics = self.measure(model)?;
        self.print(&json!({
            "output_dir": out,
            "steps": outcome.steps,
            "records": outcome.examples,
            "final_loss": outcome.final_loss,
            "seconds": seconds.round(),
            "resumed_from": outcome.resumed_from,
            "held_back": metrics,
        }))
    }

    /// The adapter that is tuned on.
    fn start(&self, model: &Model) -> Result<Option<Adapter>, Failure> {
        let Some(path) = &self.recipe.settings.adapter_name_or_path else {
            return Ok(None);
        };
        let adapter = Adapter::load_peft(Path::new(path), &model.config);
        let adapter = adapter.map_err(|error| of_tune(error.into()))?;
        let spec = self.lesson.spec.lora();
        let same = |a: &LoraSpec, b: &LoraSpec| {
            let all = |spec: &LoraSpec| spec.targets.iter().cloned().collect::<BTreeSet<_>>();
            (a.rank, a.alpha) == (b.rank, b.alpha) && all(a) == all(b)
        };
        if !same(&adapter.spec, &spec) {
            let LoraSpec {
                rank,
                alpha,
                targets,
            } = &adapter.spec;
            return Err(Failure::new(
                "tune-recipe",
                format!(
                    "{path} has rank {rank}, alpha {alpha} and {}, the recipe others",
                    targets.join(", ")
                ),
                "set lora_rank, lora_alpha and lora_target as the adapter has them",
            ));
        }
        Ok(Some(adapter))
    }

    /// How the tuned model does on what was held back; thresholds are set there and kept.
    fn measure(&self, model: Model) -> Result<Value, Failure> {
        let folder = &self.recipe.settings.output_dir;
        let (reading, questions) = match &self.lesson.held {
            Held::Questions(reading, questions) => (reading, questions),
            Held::Rows(None) => return Ok(Value::Null),
            Held::Rows(Some(rows)) => {
                let adapter = Adapter::load_peft(folder, &model.config);
                let adapter = adapter.map_err(|error| of_tune(error.into()))?;
                let rows_max = self.lesson.spec.rows_max;
                let loss = lesson::loss(&model, self.pool, &adapter, rows, rows_max);
                return Ok(json!({ "records": rows.rows.len(), "eval_loss": loss }));
            }
        };
        // The one that answers is another form of the same weights.
        drop(model);
        let mut kept = reading.clone();
        if questions.is_empty() {
            self.keep(&kept)?;
            return Ok(Value::Null);
        }
        let asked = eval::Asked::open(&self.base, Some(folder), reading, self.pool)?;
        let answers = asked.answer(questions)?;
        eval::set_thresholds(&mut kept, &answers, ASSURED_ACCURACY);
        self.keep(&kept)?;
        let mut metrics = eval::metrics(&kept, &answers)?;
        if kept.thresholds.is_some() || kept.assured.is_some() {
            metrics["thresholds"] = json!("set on these records: measure on others");
        }
        Ok(metrics)
    }

    fn keep(&self, reading: &Reading) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(reading).expect("a reading is plain JSON");
        self.write(READING, &(text + "\n"))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.recipe.settings.output_dir.join(name);
        fs::write(&path, text).map_err(|error| {
            Failure::new(
                "tune-file",
                format!("cannot write {}: {error}", path.display()),
                "check that the folder is writable and the disk not full",
            )
        })
    }

    fn print(&self, value: &Value) -> Outcome {
        super::Printing {
            json: self.args.json,
        }
        .print(value)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows the run: a bar on a terminal, a line every so many steps elsewhere.
struct Teller {
    bar: Bar,
    every: u64,
    lines: bool,
}

impl Teller {
    fn new(every: u64) -> Teller {
        Teller {
            bar: Bar::new(Lang::from_env(), true),
            every: every.max(1),
            lines: !std::io::stderr().is_terminal(),
        }
    }

    fn hear(&mut self, event: &TuneEvent) {
        let progress = Progress {
            done: event.step,
            total: event.steps,
            unit: "unit.steps".to_owned(),
            eta_s: Some(event.eta_s),
        };
        self.bar
            .show(&format!("loss {:.4}", event.loss), Some(&progress));
        if self.lines && (event.step.is_multiple_of(self.every) || event.step == event.steps) {
            eprintln!(
                "{}/{}  loss {:.4}  lr {:.2e}  {:.0} tokens/s  {:.0} s",
                event.step,
                event.steps,
                event.loss,
                event.learning_rate,
                event.tokens_per_s,
                event.eta_s
            );
        }
    }
}

/// The loss of every step, those before a resumption too.
fn losses(out: &Path) -> Vec<f64> {
    let training: Option<Value> = fs::read(out.join(sft::TRAINING))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let losses = training.as_ref().and_then(|it| it["losses"].as_array());
    losses
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}

/// The most memory the process has held, as Linux counts it.
fn peak_mib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? / 1024)
}
