//! `lathe eval`: a model on a further file, one JSON object of metrics at the end.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lathe_engine::{Adapter, LoadOptions, Model, PackedAdapter};
use lathe_eval::choices::{self, Judged};
use lathe_eval::metrics::pearson_r;
use lathe_kernel::{Pool, default_threads};
use lathe_tune::TuneError;
use lathe_tune::recipe::answer::{AnswerSpec, Assured, READING, Reading, Truth};
use lathe_tune::recipe::lesson::{self, Tokenising};
use lathe_tune::recipe::table::{Asker, Question, questions};
use lathe_tune::recipe::{Recipe, Settings, Stage, preference};
use lathe_tune::token_cache::TokenCache;

use super::Globals;
use super::held::{self, Held};
use super::recipe_files::{Files, base_named, of_tune, open, tokenising_bar};
use crate::bars::over_records;
use crate::fail::{Failure, Outcome};
use scored::Scored;

pub mod scored;

/// Arguments of `lathe eval`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe eval saves/banking77 --recipe recipes/banking77.yaml --data data/banking77/test.csv --json
  lathe eval saves/dpo --recipe recipes/sft.yaml --data data/test.jsonl --answers --against saves/sft")]
pub struct Args {
    /// The output folder of `lathe tune`.
    model: PathBuf,
    /// The recipe it was tuned by: it names the file's columns.
    #[arg(long)]
    recipe: PathBuf,
    /// The file to score, laid out as the recipe's own.
    #[arg(long)]
    data: PathBuf,
    /// Keys that win over the recipe.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Let the model answer each conversation, and count the answers that are the wanted ones word
    /// for word.
    #[arg(long)]
    answers: bool,
    /// Another output folder that is scored on the same records: the differences are told with their
    /// interval (paired bootstrap).
    #[arg(long, value_name = "MODEL")]
    against: Option<PathBuf>,
    /// Print the metrics as one line of JSON, the last one.
    #[arg(long)]
    json: bool,
}

/// Scores the file.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let recipe = Recipe::load(&args.recipe, &args.overrides).map_err(of_tune)?;
    let scoring = Scoring {
        recipe: &recipe,
        files: &Files::of(&globals.home()?),
        pool: &Pool::new(default_threads()),
        args,
    };
    let scored = scoring.score(&args.model)?;
    let mut metrics = scored.metrics()?;
    if let Some(other) = &args.against {
        metrics["against"] = scored.against(&scoring.score(other)?)?;
    }
    if args.json {
        println!("{metrics}");
    } else {
        crate::table::tree(&metrics);
    }
    Ok(ExitCode::SUCCESS)
}

/// One file that models are scored on.
struct Scoring<'a> {
    recipe: &'a Recipe,
    files: &'a Files,
    pool: &'a Pool,
    args: &'a Args,
}

impl Scoring<'_> {
    /// Scores the model of an output folder.
    fn score(&self, folder: &Path) -> Result<Scored, Failure> {
        let (base, adapter) = opened(folder, self.recipe, self.files)?;
        let settings = &self.recipe.settings;
        if let Some(reading) = reading(folder)? {
            let asked = questions(settings, &reading, &self.args.data).map_err(of_tune)?;
            let answers = Asked::open(&base, adapter, &reading, self.pool)?.answer(&asked)?;
            return Ok(Scored::Choices(Box::new(reading), answers));
        }
        let template = settings.template.as_deref();
        let model = open(&base, LoadOptions::for_answers(), template)?;
        let adapter = adapter
            .map(|folder| Adapter::load_peft(folder, &model.config))
            .transpose()
            .map_err(|error| of_tune(error.into()))?;
        let held = held_of_file(
            self.recipe,
            &model,
            &self.args.data,
            (self.files, self.pool),
        )?;
        let tuned = (&model, adapter.as_ref());
        if !self.args.answers {
            return Ok(Scored::Records(
                held.name(),
                held.outcomes(tuned, self.pool, None),
            ));
        }
        let Held::Rows(rows) = &held else {
            return Err(Failure::new(
                "eval-answers",
                format!("--answers is for conversations, not for {}", held.name()),
                "leave it out, or name a recipe of stage sft",
            ));
        };
        let hits = held::word_for_word(tuned, self.pool, rows)?;
        Ok(Scored::Records("accuracy", hits))
    }
}

/// How the choices of an output folder are read, if it answers with choices.
fn reading(folder: &Path) -> Result<Option<Reading>, Failure> {
    let path = folder.join(READING);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(Failure::new(
                "eval-model",
                format!("cannot read {}: {error}", path.display()),
                "name the output folder of a lathe tune that ran to its end",
            ));
        }
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        let text = format!("{} is not what lathe tune writes: {error}", path.display());
        Failure::new("eval-model", text, "tune again with this version of Lathe")
    })
}

/// The base of an output folder, and the folder as that of its adapter; of a whole model, itself.
fn opened<'a>(
    folder: &'a Path,
    recipe: &Recipe,
    files: &Files,
) -> Result<(PathBuf, Option<&'a Path>), Failure> {
    if let Some(named) = base_named(folder) {
        let base = files.bring(&named, &[Path::new(""), &recipe.folder], None)?;
        return Ok((base, Some(folder)));
    }
    let whole = folder.is_file() || folder.join("config.json").exists();
    if whole {
        return Ok((folder.to_path_buf(), None));
    }
    Err(Failure::new(
        "eval-model",
        format!(
            "{} holds neither adapter_config.json nor config.json",
            folder.display()
        ),
        "name the output folder of a lathe tune that ran to its end, or a model",
    ))
}

/// The samples of a file as the recipe's stage measures them.
fn held_of_file(
    recipe: &Recipe,
    model: &Model,
    data: &Path,
    (files, pool): (&Files, &Pool),
) -> Result<Held, Failure> {
    let settings = Settings {
        val_size: 0.0,
        ..recipe.settings.clone()
    };
    let recipe = Recipe {
        settings,
        ..recipe.clone()
    };
    let settings = &recipe.settings;
    let sources = lesson::sources(&recipe, Some(data)).map_err(of_tune)?;
    let held = match settings.stage {
        Stage::Dpo => preference::pairs(settings, model, &sources, None)
            .map(|split| Held::Pairs(split.learnt)),
        Stage::Kto => preference::judged(settings, model, &sources, None)
            .map(|split| Held::Judged(split.learnt)),
        Stage::Pt | Stage::Sft | Stage::Quantize => {
            let mut tokenising = Tokenising {
                cache: TokenCache {
                    folder: &files.tokens(),
                    pool,
                },
                on: &mut tokenising_bar(),
            };
            lesson::dialogues(&recipe, model, &sources, None, &mut tokenising)
                .map(|lesson| Held::Rows(lesson.packed))
        }
    };
    held.map_err(of_tune)
}

/// A model that answers questions as its reading says.
pub struct Asked<'a> {
    model: Model,
    adapter: Option<PackedAdapter>,
    reading: &'a Reading,
    pool: &'a Pool,
}

/// One answered question.
pub struct Answered {
    probabilities: Vec<f32>,
    right: Vec<usize>,
    number: Option<f64>,
}

impl<'a> Asked<'a> {
    /// Opens the base as it is served, with the adapter of an output folder.
    pub fn open(
        base: &Path,
        folder: Option<&Path>,
        reading: &'a Reading,
        pool: &'a Pool,
    ) -> Result<Self, Failure> {
        let model = open(
            base,
            LoadOptions::for_answers(),
            reading.template.as_deref(),
        )?;
        let load = |folder: &Path| -> Result<PackedAdapter, Failure> {
            let adapter = Adapter::load_peft(folder, &model.config);
            let adapter = adapter.map_err(|error| of_tune(error.into()))?;
            Ok(PackedAdapter::new(&model, &adapter))
        };
        let adapter = folder.map(load).transpose()?;
        Ok(Self {
            model,
            adapter,
            reading,
            pool,
        })
    }

    /// The probabilities of every label for each question.
    pub fn answer(&self, questions: &[Question]) -> Result<Vec<Answered>, Failure> {
        let asker = Asker::new(&self.model, self.reading).map_err(of_tune)?;
        let prompts = questions.iter().map(|it| asker.prompt(&it.text));
        let prompts: Vec<Vec<u32>> = prompts.collect::<Result<_, _>>().map_err(of_tune)?;
        let context = self.model.config.context;
        if let Some(at) = prompts.iter().position(|prompt| prompt.len() >= context) {
            return Err(Failure::new(
                "eval-too-long",
                format!(
                    "line {} has {} tokens, the model's context {context}",
                    questions[at].line,
                    prompts[at].len()
                ),
                "shorten it, or leave the line out",
            ));
        }
        let choices = &self.reading.choices;
        let adapter = self.adapter.as_ref();
        let rows = over_records("eval", prompts.len(), |show| {
            choices.probabilities(&self.model, self.pool, adapter, &prompts, show)
        });
        Ok(answered(rows, questions))
    }
}

/// Probabilities of the labels beside what is right.
pub fn answered(rows: Vec<Vec<f32>>, questions: &[Question]) -> Vec<Answered> {
    let answered = |(probabilities, question): (Vec<f32>, &Question)| match &question.truth {
        Truth::Labels(right) => Answered {
            probabilities,
            right: right.clone(),
            number: None,
        },
        Truth::Number(number) => Answered {
            probabilities,
            right: Vec::new(),
            number: Some(*number),
        },
    };
    rows.into_iter().zip(questions).map(answered).collect()
}

/// The metric by which a model is chosen.
pub fn name_of(reading: &Reading) -> &'static str {
    match &reading.answer {
        AnswerSpec::Number(_) => "pearson_r",
        AnswerSpec::Choice(spec) if spec.multiple => "macro_f1",
        AnswerSpec::Choice(_) | AnswerSpec::Text => "accuracy",
    }
}

/// Its value; thresholds are set on the same answers.
pub fn one_metric(reading: &Reading, answers: &[Answered]) -> Result<f64, TuneError> {
    let judged = judged(answers);
    if let Some(grid) = reading.grid()? {
        return Ok(pearson(answers.iter(), &grid));
    }
    Ok(match &reading.answer {
        AnswerSpec::Choice(spec) if spec.multiple => {
            let thresholds = choices::best_thresholds(&judged, reading.choices.labels.len());
            choices::multiple_macro_f1(&judged, &thresholds)
        }
        _ => choices::accuracy(&judged),
    })
}

/// r of the answers' means over the grid.
fn pearson<'a>(answers: impl Iterator<Item = &'a Answered>, grid: &[f64]) -> f64 {
    let read = |it: &Answered| -> f64 {
        let pairs = it.probabilities.iter().zip(grid);
        pairs.map(|(&share, value)| f64::from(share) * value).sum()
    };
    let pairs: Vec<(f64, f64)> = answers
        .filter_map(|it| Some((read(it), it.number?)))
        .collect();
    pearson_r(pairs.iter().copied())
}

fn judged(answers: &[Answered]) -> Vec<Judged<'_>> {
    answers
        .iter()
        .map(|it| Judged {
            probabilities: &it.probabilities,
            right: &it.right,
        })
        .collect()
}

/// Sets what the reading leaves open on records that were not learnt from.
pub fn set_thresholds(reading: &mut Reading, answers: &[Answered], accuracy: f64) {
    let judged = judged(answers);
    match &reading.answer {
        AnswerSpec::Choice(spec) if spec.multiple => {
            let labels = reading.choices.labels.len();
            reading.thresholds = Some(choices::best_thresholds(&judged, labels));
        }
        AnswerSpec::Choice(_) => {
            let probability = choices::assured(&judged, accuracy);
            reading.assured = probability.map(|probability| Assured {
                accuracy,
                probability,
            });
        }
        AnswerSpec::Number(_) | AnswerSpec::Text => {}
    }
}
