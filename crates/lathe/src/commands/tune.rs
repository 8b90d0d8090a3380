//! `lathe tune`: a recipe, run by itself in the foreground.
//!
//! No order, no ledger, no gate: what comes out is a folder for other tools and for experiments.
//! What is to be served goes through a pack and `lathe run`.

mod foreseen;
mod quantise;
mod search;
mod teller;

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use lathe_data::samples::SampleSource;
use lathe_engine::export::Export;
use lathe_engine::gguf::blocks::BlockType;
use lathe_engine::{Adapter, ByteProducts, FullTrainer, LoadOptions, LoraSpec, Model, Parameters};
use lathe_kernel::{Pool, Precision, default_threads};
use lathe_tune::dpo::Dpo;
use lathe_tune::full::{Learns, Weights};
use lathe_tune::kto::{Kto, KtoSpec};
use lathe_tune::learn::{self, Job, TRAINING, Watch};
use lathe_tune::learner::Learner;
use lathe_tune::loss_picture::{LOSS_PICTURE, svg};
use lathe_tune::merge::TEMPLATE;
use lathe_tune::plan::Plan;
use lathe_tune::recipe::answer::{AnswerSpec, READING, Reading};
use lathe_tune::recipe::lesson::{self, Lesson, Tokenising};
use lathe_tune::recipe::{Recipe, Settings, Stage, Tuning, preference, template};
use lathe_tune::sft::AdapterRows;
use lathe_tune::spec::SftSpec;
use lathe_tune::token_cache::TokenCache;
use lathe_tune::{Outcome as Tuned, TuneError};
use lathe_workshop::words::{self, Lang};
use serde_json::{Value, json};

use self::foreseen::peak_mib;
use self::teller::Teller;
use super::Globals;
use super::held::{self, Held};
use super::recipe_files::{Brought, Files, of_tune, open, tokenising_bar};
use crate::fail::{Failure, Outcome};

/// The share of right answers that an answer without a person is held to.
const ASSURED_ACCURACY: f64 = 0.99;
/// Steps that a dry run takes: the first fills buffers.
const STEPS_TIMED: usize = 3;

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
    let settings = &recipe.settings;
    settings.resumes_at().map_err(of_tune)?;
    let brought = files.of_recipe(&recipe)?;
    let pool = Pool::new(default_threads());
    let run = Run {
        recipe: &recipe,
        args,
        pool: &pool,
        files: &files,
        brought: &brought,
        rung: None,
    };
    match &settings.search {
        Some(search) if !args.dry_run => search::run(&run, search),
        _ => run.run(),
    }
}

/// Names what has no effect, once.
fn tell_ignored(recipe: &Recipe) {
    if recipe.ignored.is_empty() {
        return;
    }
    let names: Vec<&str> = recipe.ignored.keys().map(String::as_str).collect();
    let names = names.join(", ");
    let words = words::get(Lang::from_env(), "cli.tune.ignored", &[("keys", &*names)]);
    eprintln!("{words}");
}

struct Run<'a> {
    recipe: &'a Recipe,
    args: &'a Args,
    pool: &'a Pool,
    /// Where what it names is brought from.
    files: &'a Files,
    brought: &'a Brought,
    /// Where a trial of a search ends, if this is one.
    rung: Option<&'a Rung>,
}

/// A share of a run, and what is measured there.
struct Rung {
    share: f64,
    /// The metric, its name and whether more is better.
    found: OnceCell<(f64, &'static str, bool)>,
}

impl Run<'_> {
    /// Runs the recipe's stage.
    fn run(&self) -> Outcome {
        let settings = self.settings();
        match (settings.stage, settings.finetuning_type) {
            (Stage::Pt | Stage::Sft, Tuning::Lora) => self.adapter_on_rows(),
            (Stage::Pt | Stage::Sft, Tuning::Full | Tuning::Freeze) => self.weights_on_rows(),
            (Stage::Dpo, _) => self.adapter_on_pairs(),
            (Stage::Kto, _) => self.adapter_on_judged(),
            (Stage::Quantize, _) => quantise::run(self),
        }
    }

    /// An adapter that learns from conversations, texts or choices.
    fn adapter_on_rows(&self) -> Outcome {
        let model = self.open()?;
        let lesson = self.lesson(&model)?;
        let spec = self.spec(lesson.packed.rows.len())?;
        let adapter = match self.start(&model, &spec)? {
            Some(adapter) => adapter,
            None => Adapter::on(&model, self.pool, &spec.lora(), spec.seed)
                .map_err(|error| of_tune(error.into()))?,
        };
        let held = held_of(lesson.held);
        let packed = &lesson.packed;
        let mut learner =
            AdapterRows::new(self.stage(), (&model, adapter), self.pool, packed, &spec);
        self.go(&mut learner, &spec, &held, None)
    }

    /// The model's own weights, or some of them, learn from these.
    fn weights_on_rows(&self) -> Outcome {
        let settings = self.settings();
        self.refuse_few_bits()?;
        let loaded = FullTrainer::load(
            &self.brought.base,
            Precision::Bf16,
            ByteProducts::All,
            self.pool,
        );
        let (mut trainer, parameters) = loaded.map_err(|error| of_tune(error.into()))?;
        template::give(trainer.model_mut(), settings.template.as_deref()).map_err(of_tune)?;
        let lesson = self.lesson(trainer.model())?;
        let spec = self.spec(lesson.packed.rows.len())?;
        let learns = match settings.finetuning_type {
            Tuning::Freeze => Learns::Last {
                layers: settings.freeze_trainable_layers as usize,
                modules: settings.frozen_modules(),
            },
            Tuning::Full | Tuning::Lora => Learns::All,
        };
        let held = held_of(lesson.held);
        let write = |parameters: &Parameters, folder: &Path, _: &str| {
            write_weights(&self.brought.base, settings, parameters, folder, self.pool)
        };
        let rows = (&lesson.packed, spec.rows_max);
        let loaded = (trainer, parameters);
        let learner = Weights::new(self.stage(), loaded, self.pool, rows, learns, &write);
        self.go(&mut learner.map_err(of_tune)?, &spec, &held, None)
    }

    /// Refuses to tune weights of few bits themselves, before they are read.
    fn refuse_few_bits(&self) -> Result<(), Failure> {
        let raw = lathe_engine::open(&self.brought.base);
        let format = raw.map_err(|error| of_tune(error.into()))?.format_name();
        let few = ["Q4", "Q5", "Q2", "Q3"];
        if !few.iter().any(|bits| format.contains(bits)) {
            return Ok(());
        }
        Err(Failure::new(
            "tune-recipe",
            format!(
                "the base is stored as {format}: its weights were rounded to so few bits that \
                 tuning them all would first have to make up what is gone"
            ),
            "tune an adapter (finetuning_type: lora), or take the base in 8 or 16 bits",
        ))
    }

    fn adapter_on_pairs(&self) -> Outcome {
        let (model, settings) = (self.open()?, self.settings());
        let (sources, eval) = self.sources().map_err(of_tune)?;
        let split = preference::pairs(settings, &model, &sources, eval.as_ref());
        let split = split.map_err(of_tune)?;
        let spec = self.spec(split.learnt.len())?;
        let start = self.start(&model, &spec)?;
        let from = (&model, start.as_ref());
        let beta = settings.pref_beta;
        let learner = Dpo::new(from, self.pool, split.learnt, &spec, beta)
            .and_then(|it| it.anchored(settings.pref_ftx));
        let held = Held::Pairs(split.held);
        self.go(&mut learner.map_err(of_tune)?, &spec, &held, start.as_ref())
    }

    fn adapter_on_judged(&self) -> Outcome {
        let (model, settings) = (self.open()?, self.settings());
        let (sources, eval) = self.sources().map_err(of_tune)?;
        let split = preference::judged(settings, &model, &sources, eval.as_ref());
        let split = split.map_err(of_tune)?;
        let spec = self.spec(split.learnt.len())?;
        let start = self.start(&model, &spec)?;
        let from = (&model, start.as_ref());
        let kto = KtoSpec {
            beta: settings.pref_beta,
            wanted_weight: settings.kto_chosen_weight,
            unwanted_weight: settings.kto_rejected_weight,
        };
        let learner = Kto::new(from, self.pool, split.learnt, (&spec, kto));
        let held = Held::Judged(split.held);
        self.go(&mut learner.map_err(of_tune)?, &spec, &held, start.as_ref())
    }

    fn settings(&self) -> &Settings {
        &self.recipe.settings
    }

    fn stage(&self) -> &'static str {
        match self.settings().stage {
            Stage::Pt => "pt",
            Stage::Sft => "sft",
            Stage::Dpo => "dpo",
            Stage::Kto => "kto",
            Stage::Quantize => "quantize",
        }
    }

    fn spec(&self, records: usize) -> Result<SftSpec, Failure> {
        self.settings().spec_for(records).map_err(of_tune)
    }

    /// The base as an adapter is tuned on it.
    fn open(&self) -> Result<Model, Failure> {
        let settings = self.settings();
        let options = LoadOptions {
            quantise: settings.quantization_bit.map(|bits| match bits {
                4 => BlockType::Q4_0,
                _ => BlockType::Q8_0,
            }),
            ..LoadOptions::for_tuning()
        };
        open(&self.brought.base, options, settings.template.as_deref())
    }

    /// Reads what is learnt from: choices out of a table, or conversations and texts.
    fn lesson(&self, model: &Model) -> Result<Lesson, Failure> {
        let (table, held) = (self.brought.table(), self.brought.held.as_deref());
        let read = match (&self.settings().answer, &table) {
            (AnswerSpec::Choice(_) | AnswerSpec::Number(_), Some(table)) => {
                lesson::choices(self.recipe, model, table, held)
            }
            _ => self.sources().and_then(|(sources, eval)| {
                let mut tokenising = Tokenising {
                    cache: TokenCache {
                        folder: &self.files.tokens(),
                        pool: self.pool,
                    },
                    on: &mut tokenising_bar(),
                };
                let eval = eval.as_ref();
                lesson::dialogues(self.recipe, model, &sources, eval, &mut tokenising)
            }),
        };
        read.map_err(of_tune)
    }

    /// Where samples are, and those that are measured on.
    fn sources(&self) -> Result<(Vec<SampleSource>, Option<SampleSource>), TuneError> {
        let sources = lesson::sources(self.recipe, self.brought.train.as_deref())?;
        let eval = lesson::eval_source(self.recipe, self.brought.held.as_deref())?;
        Ok((sources, eval))
    }

    /// The adapter that is tuned on.
    fn start(&self, model: &Model, spec: &SftSpec) -> Result<Option<Adapter>, Failure> {
        let Some(path) = &self.settings().adapter_name_or_path else {
            return Ok(None);
        };
        let adapter = Adapter::load_peft(Path::new(path), &model.config);
        let adapter = adapter.map_err(|error| of_tune(error.into()))?;
        let same = |a: &LoraSpec, b: &LoraSpec| {
            let all = |spec: &LoraSpec| spec.targets.iter().cloned().collect::<BTreeSet<_>>();
            (a.rank, a.alpha, a.dora) == (b.rank, b.alpha, b.dora) && all(a) == all(b)
        };
        if !same(&adapter.spec, &spec.lora()) {
            let LoraSpec {
                rank,
                alpha,
                targets,
                dora,
            } = &adapter.spec;
            let dora = if *dora { " with use_dora" } else { "" };
            return Err(Failure::new(
                "tune-recipe",
                format!(
                    "{path} has rank {rank}, alpha {alpha} and {}{dora}, the recipe others",
                    targets.join(", ")
                ),
                "set lora_rank, lora_alpha, lora_target and use_dora as the adapter has them",
            ));
        }
        Ok(Some(adapter))
    }

    /// Runs a learner, or says what that would take.
    fn go(
        &self,
        learner: &mut dyn Learner,
        spec: &SftSpec,
        held: &Held,
        reference: Option<&Adapter>,
    ) -> Outcome {
        if self.args.dry_run {
            return self.dry(learner, spec, held);
        }
        let (settings, out) = (self.settings(), &self.settings().output_dir);
        let began = Instant::now();
        let mut teller = Teller::new(settings.logging_steps);
        let mut job = Job {
            spec,
            base_name: &settings.model_name_or_path,
            work_dir: out,
            out_dir: out,
            watch: self.watch(learner, spec, held, reference),
            place: None,
        };
        settings.check_resume(&job, learner).map_err(of_tune)?;
        if let Some(rung) = self.rung {
            let steps = plan(learner, spec).steps() as f64;
            let until = (rung.share * steps).ceil() as u64;
            let mut hear = |event: &_| teller.hear(event);
            learn::run_until(&mut job, learner, until, &mut hear).map_err(of_tune)?;
            teller.bar.clear();
            let model = (learner.model(), learner.adapter());
            let metric = held.metric(model, self.pool, reference).map_err(of_tune)?;
            let _first = rung.found.set((metric, held.name(), held.higher()));
            return Ok(ExitCode::SUCCESS);
        }
        let tuned = learn::run(&mut job, learner, &mut |event| teller.hear(event));
        let tuned = tuned.map_err(of_tune)?;
        teller.bar.clear();
        let seconds = began.elapsed().as_secs_f64();
        // What it was tuned in, so that other tools ask it the same way.
        // A whole model has it in its tokenizer_config.json.
        let template = learner.adapter().and(learner.model().template.as_ref());
        if let Some(template) = template {
            self.write(TEMPLATE, template.source())?;
        }
        if settings.plot_loss {
            self.write(LOSS_PICTURE, &svg(&losses(out)))?;
        }
        let took = foreseen::compare(self.files, settings, &tuned, seconds)?;
        let metrics = self.measure(learner, held, reference)?;
        let mut account = account(out, &tuned, seconds, &metrics);
        if !took["foreseen"].is_null() {
            account["foreseen"] = took["foreseen"].clone();
        }
        account["peak_mib"] = took["took"]["peak_mib"].clone();
        self.print(&account)
    }

    /// What is measured on the way.
    fn watch<'w>(
        &self,
        learner: &dyn Learner,
        spec: &SftSpec,
        held: &'w Held,
        reference: Option<&'w Adapter>,
    ) -> Option<Watch<'w>>
    where
        Self: 'w,
    {
        let settings = self.settings();
        let plan = plan(learner, spec);
        let every = settings.eval_every(plan.steps(), plan.steps_per_epoch())?;
        Some(Watch {
            every,
            patience: settings.early_stopping_steps,
            keep_best: settings.load_best_model_at_end,
            higher: held.higher(),
            only_told: false,
            measure: Box::new(move |learner: &mut dyn Learner| {
                let model = (learner.model(), learner.adapter());
                held.metric(model, learner.pool(), reference)
            }),
        })
    }

    /// How the tuned model does on what was held back; thresholds are set there and kept.
    fn measure(
        &self,
        learner: &dyn Learner,
        held: &Held,
        reference: Option<&Adapter>,
    ) -> Result<Value, Failure> {
        let out = &self.settings().output_dir;
        let Held::Questions(reading, questions) = held else {
            if held.len() == 0 {
                return Ok(Value::Null);
            }
            let model = (learner.model(), learner.adapter());
            return held.metrics(model, self.pool, reference).map_err(of_tune);
        };
        let (base, adapter) = match learner.adapter() {
            Some(_) => (&self.brought.base, Some(out.as_path())),
            None => (out, None),
        };
        let asked = (&**reading, &questions[..]);
        let (kept, metrics) =
            held::measure_choices(base, adapter, asked, self.pool, ASSURED_ACCURACY)?;
        self.keep(&kept)?;
        Ok(metrics)
    }

    /// Times a few steps and prints what the whole run would be.
    fn dry(&self, learner: &mut dyn Learner, spec: &SftSpec, held: &Held) -> Outcome {
        let plan = plan(learner, spec);
        let mut gradients = lathe_kernel::slab::zeros(learner.values().len());
        let (mut step_s, mut tokens, mut steps) = (f64::INFINITY, 0, 0);
        for batch in plan.batches(0).take(STEPS_TIMED) {
            let start = Instant::now();
            tokens += learner.gradients(&batch, &mut gradients).tokens;
            step_s = step_s.min(start.elapsed().as_secs_f64());
            steps += 1;
        }
        let account = learner.account();
        let foreseen = json!({
            "records": learner.records(),
            "held_back": held.len(),
            "numbers_that_learn": learner.values().len(),
            "tokens": account.tokens,
            "tokens_a_step": tokens / steps.max(1),
            "shared_prefix_tokens": account.prefix_tokens,
            "left_out": account.over_long.len() + account.unanswered.len(),
            "steps": plan.steps(),
            "seconds": (plan.steps() as f64 * step_s).round(),
            // Gradients are there already; the optimizer's two moments are not.
            "peak_mib": peak_mib().map(|mib| mib + ((learner.values().len() as u64 * 8) >> 20)),
        });
        foreseen::keep(self.files, self.settings(), &foreseen)?;
        self.print(&foreseen)
    }

    fn keep(&self, reading: &Reading) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(reading).expect("a reading is plain JSON");
        self.write(READING, &(text + "\n"))
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.settings().output_dir.join(name);
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

/// Writes weights as a folder in the base's layout, which other tools open: its tokenizer, its
/// settings, the template that it was tuned in.
fn write_weights(
    base: &Path,
    settings: &Settings,
    parameters: &Parameters,
    folder: &Path,
    pool: &Pool,
) -> Result<(), TuneError> {
    let mut raw = lathe_engine::open(base)?;
    template::give_opened(&mut raw, settings.template.as_deref())?;
    let export = Export::of_weights(base, &raw, parameters, pool)?;
    export.folder(folder, BlockType::BF16)?;
    Ok(())
}

/// What came of a run.
fn account(out: &Path, tuned: &Tuned, seconds: f64, metrics: &Value) -> Value {
    let mut account = json!({
        "output_dir": out,
        "steps": tuned.steps,
        "records": tuned.examples,
        "final_loss": tuned.final_loss,
        "seconds": seconds.round(),
        "resumed_from": tuned.resumed_from,
        "held_back": metrics,
    });
    if tuned.step_kept != tuned.steps {
        account["step_kept"] = json!(tuned.step_kept);
    }
    if !tuned.course.setbacks.is_empty() {
        account["setbacks"] = json!(tuned.course.setbacks);
    }
    account
}

fn plan(learner: &dyn Learner, spec: &SftSpec) -> Plan {
    Plan::new(
        learner.records(),
        spec.batch_records,
        spec.epochs,
        spec.seed,
    )
}

fn held_of(held: lesson::Held) -> Held {
    match held {
        lesson::Held::Questions(reading, questions) => {
            Held::Questions(Box::new(reading), questions)
        }
        lesson::Held::Rows(None) => Held::Nothing,
        lesson::Held::Rows(Some(rows)) => Held::Rows(rows),
    }
}

/// The loss of every step, those before a resumption too.
fn losses(out: &Path) -> Vec<f64> {
    let training: Option<Value> = fs::read(out.join(TRAINING))
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let losses = training.as_ref().and_then(|it| it["losses"].as_array());
    losses
        .into_iter()
        .flatten()
        .filter_map(Value::as_f64)
        .collect()
}
