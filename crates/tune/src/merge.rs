//! Base and adapters into one model for other tools, checked before it is handed on.
//!
//! First base and adapter answer some prompts; then the merged model is written, opened again as
//! anybody would open it, and led along those answers ([`lathe_engine::agreement`]). Prompts are
//! rendered and encoded by the written files' own template and tokenizer, which must give the same
//! tokens. Both sides compute in f32, so that what differs is what was written and not how it is
//! computed.
//!
//! What may differ depends on the type of the weights. In 4 bits no bound is promised: there the
//! figure is shown, and refused is only a model that is nearer to the base than to what was tuned,
//! because in it the tune is lost.

use std::fs;
use std::path::{Path, PathBuf};

use lathe_engine::export::{Export, Written};
use lathe_engine::gguf::blocks::BlockType;
use lathe_engine::{
    Adapter, Agreement, Importance, LoadOptions, Message, Model, PackedAdapter, RawModel, Trace,
};
use lathe_kernel::{Pool, Precision};
use serde::Serialize;

use crate::TuneError;
use crate::calibrate::{self, Calibration, CalibrationSet, RoundingLoss};
use crate::recipe::template;

/// Longest answer compared, in tokens.
const ANSWER_TOKENS_MAX: usize = 24;
/// Prompts compared at most; a row of logits is kept for every token of every answer, so that these
/// take 1.6 GB on a vocabulary of 262,144.
pub const PROMPTS_MAX: usize = 32;
/// What is asked where nothing is given.
pub const PROMPTS: [&str; 8] = [
    "Where is my order? It should have come on Monday.",
    "Summarise in one sentence: the meeting was moved to 3 pm because the room was taken.",
    "Write a JSON object with the keys name and age.",
    "用一句话说明什么是利率。",
    "def add(a, b):",
    "List three colours.",
    "The battery died after two days, and nobody answers the phone!",
    "1 + 1 = ?",
];
/// The file in an adapter's folder that holds the template it was tuned in.
pub const TEMPLATE: &str = "chat_template.jinja";

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A Hugging Face folder.
    Safetensors,
    /// A GGUF file and a `Modelfile`.
    Gguf,
}

/// One merge.
#[derive(Clone, Copy)]
pub struct MergeJob<'a> {
    /// The base: a `.gguf` file or a folder.
    pub base: &'a Path,
    /// Folders of adapters as PEFT writes them, each with its weight; the first one's template is the
    /// model's. Where there are none, the base is written as it is.
    pub adapters: &'a [(PathBuf, f32)],
    /// LLaMA-Factory's name of the template, for a model that has none of its own.
    pub template: Option<&'a str>,
    /// The folder that is made.
    pub out: &'a Path,
    /// What is written.
    pub form: Form,
    /// The type of its weights.
    pub format: BlockType,
    /// What the check asks.
    pub prompts: &'a [String],
    /// The system message it asks it under.
    pub system: Option<&'a str>,
    /// The records by which its blocks are chosen, and on which the loss is shown.
    pub calibration: Option<&'a CalibrationSet>,
    /// Threads to compute with.
    pub pool: &'a Pool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// Tensors written.
    pub tensors: usize,
    /// Matrices that could not be stored as asked and are F16.
    pub tensors_in_f16: usize,
    /// Whether the `Modelfile` has a template, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modelfile_template: Option<bool>,
    /// What rounding cost on records that were held out, where the file is calibrated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<RoundingLoss>,
    /// How the written model answers.
    pub check: Check,
}

/// How the written model answers, held against base and adapter.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Check {
    /// Prompts asked.
    pub prompts: usize,
    /// Prompts with the same greedy answer.
    pub same_answers: usize,
    /// Share of the answers' tokens that the written model would have chosen too.
    pub same_tokens: f64,
    /// Mean of KL(tuned‖written) at those tokens, in nats.
    pub mean_kl: f64,
    /// Largest of them.
    pub largest_kl: f64,
    /// What the mean may be; none is promised in 4 bits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_kl_max: Option<f64>,
    /// Mean of KL(tuned‖base): how far tuning has moved the model.
    pub tuning_kl: f64,
}

/// What the mean divergence may be for weights of a type, in nats.
fn mean_kl_max(format: BlockType) -> Option<f64> {
    match format {
        BlockType::F32 => Some(1e-4),
        BlockType::F16 => Some(1e-3),
        BlockType::BF16 | BlockType::Q8_0 => Some(3e-2),
        _ => None,
    }
}

/// Merges, writes and checks. The folder is there only if all went well.
///
/// # Errors
/// What opening base and adapters and writing the files reports, [`TuneError::OutExists`],
/// [`TuneError::Calibration`] for a type that is not rounded in blocks, and
/// [`TuneError::MergeDiffers`] where the written model does not answer as it should.
pub fn run(job: &MergeJob<'_>) -> Result<Outcome, TuneError> {
    if job.out.exists() {
        let path = job.out.to_path_buf();
        return Err(TuneError::OutExists { path });
    }
    if job.calibration.is_some() {
        calibrate::check(job.form, job.format)?;
    }
    let raw = open(job.base, job.adapters, job.template)?;
    let adapter = sum(job, &raw)?;
    let (before, calibration) = ask(job, &raw, &adapter)?;
    let part = part(job.out);
    let clear = || match fs::remove_dir_all(&part) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TuneError::file("clear", &part)(error))
        }
        _ => Ok(()),
    };
    clear()?;
    let write = |importance: Option<&Importance>| write(job, &raw, &adapter, (&part, importance));
    let written = || {
        let (written, plain) = match &calibration {
            None => (write(None)?, None),
            Some(calibration) => {
                let open = || load(&part);
                let (written, plain) = calibration.written(job.pool, &write, &open, &clear)?;
                (written, Some((calibration, plain)))
            }
        };
        let model = load(&part)?;
        let check = before.check(job, &model)?;
        let loss = plain.map(|(by, plain)| by.loss(plain, &model, job.pool));
        if let Some(loss) = &loss {
            report(&part, loss)?;
        }
        drop(model);
        fs::rename(&part, job.out).map_err(TuneError::file("write", job.out))?;
        Ok(Outcome {
            tensors: written.tensors,
            tensors_in_f16: written.in_f16,
            modelfile_template: written.modelfile_template,
            calibration: loss,
            check,
        })
    };
    let done = written();
    if done.is_err() {
        // What failed says more than what could not be cleared after it.
        let _ = clear();
    }
    done
}

/// Asks base and adapter: some prompts, and what is held out where there is something.
fn ask(
    job: &MergeJob<'_>,
    raw: &RawModel,
    adapter: &Adapter,
) -> Result<(Before, Option<Calibration>), TuneError> {
    let mut model = load(job.base)?;
    model.template.clone_from(&raw.template);
    model.config.eos.clone_from(&raw.config.eos);
    let before = Before::of(job, &model, adapter)?;
    let Some(set) = job.calibration else {
        return Ok((before, None));
    };
    let likelihoods = set.likelihoods(&model, adapter, job.pool);
    drop(model);
    let calibration = Calibration {
        importance: set.importance(job.base, adapter, job.pool)?,
        counts: set.counts,
        likelihoods,
    };
    Ok((before, Some(calibration)))
}

/// Keeps beside the weights what rounding them cost.
fn report(folder: &Path, loss: &RoundingLoss) -> Result<(), TuneError> {
    let path = folder.join(calibrate::REPORT);
    let text = serde_json::to_string_pretty(loss).expect("a report is plain JSON");
    fs::write(&path, text + "\n").map_err(TuneError::file("write", &path))
}

/// The folder it is written to before it is checked.
fn part(out: &Path) -> PathBuf {
    let mut name = out.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Opens a base that speaks as the first of its adapters was tuned to, or in the template called
/// `named` where it would have none.
///
/// # Errors
/// What opening the base and the adapter's template reports, and [`TuneError::Recipe`] for a name that
/// there is not.
pub fn open(
    base: &Path,
    adapters: &[(PathBuf, f32)],
    named: Option<&str>,
) -> Result<RawModel, TuneError> {
    let mut raw = lathe_engine::open(base)?;
    speak_as_tuned(&mut raw, adapters)?;
    if named.is_some() {
        template::give_opened(&mut raw, named)?;
    }
    Ok(raw)
}

fn speak_as_tuned(raw: &mut RawModel, adapters: &[(PathBuf, f32)]) -> Result<(), TuneError> {
    let Some((folder, _)) = adapters.first() else {
        return Ok(());
    };
    let path = folder.join(TEMPLATE);
    match fs::read_to_string(&path) {
        Ok(source) => Ok(raw.speak_in(&source)?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(TuneError::file("read", &path)(error)),
    }
}

fn sum(job: &MergeJob<'_>, raw: &RawModel) -> Result<Adapter, TuneError> {
    if job.adapters.is_empty() {
        return Ok(Adapter::none());
    }
    let load =
        |(folder, weight): &(PathBuf, f32)| Ok((Adapter::load_peft(folder, &raw.config)?, *weight));
    let parts: Vec<_> = job
        .adapters
        .iter()
        .map(load)
        .collect::<Result<_, TuneError>>()?;
    Ok(Adapter::weighted(&parts, &raw.config)?)
}

fn write(
    job: &MergeJob<'_>,
    raw: &RawModel,
    adapter: &Adapter,
    (part, importance): (&Path, Option<&Importance>),
) -> Result<Written, TuneError> {
    let mut export = Export::new(job.base, raw, adapter, job.pool)?;
    if let Some(importance) = importance {
        export = export.weighted(importance);
    }
    Ok(match job.form {
        Form::Safetensors => export.folder(part, job.format)?,
        Form::Gguf => export.gguf(part, job.format)?,
    })
}

/// As both sides of the check are opened.
fn load(path: &Path) -> Result<Model, TuneError> {
    let options = LoadOptions {
        precision: Precision::F32,
        ..LoadOptions::default()
    };
    Ok(Model::load(path, options)?)
}

/// How base and adapter answer.
struct Before {
    prompts: Vec<Vec<u32>>,
    trace: Trace,
    tuning: Agreement,
}

impl Before {
    fn of(job: &MergeJob<'_>, model: &Model, adapter: &Adapter) -> Result<Self, TuneError> {
        let prompts = prompts(job, model)?;
        let packed = PackedAdapter::new(model, adapter);
        let trace =
            |adapter, path| Trace::of(model, job.pool, adapter, &prompts, ANSWER_TOKENS_MAX, path);
        let tuned = trace(Some(&packed), None);
        let tuning = tuned.agreement(&trace(None, Some(&tuned)));
        Ok(Self {
            trace: tuned,
            tuning,
            prompts,
        })
    }

    /// Asks what was written, opened again, the same.
    fn check(&self, job: &MergeJob<'_>, model: &Model) -> Result<Check, TuneError> {
        let differs = |mean_kl: f64, limit: String, next| TuneError::MergeDiffers {
            format: job.format.name(),
            mean_kl,
            prompts: self.prompts.len(),
            limit,
            next,
        };
        if prompts(job, model)? != self.prompts {
            let limit = "and its template and tokenizer give other tokens".to_owned();
            return Err(differs(
                f64::NAN,
                limit,
                "please report it with the base's name",
            ));
        }
        let path = Some(&self.trace);
        let led = Trace::of(
            model,
            job.pool,
            None,
            &self.prompts,
            ANSWER_TOKENS_MAX,
            path,
        );
        let found = self.trace.agreement(&led);
        let bound = mean_kl_max(job.format);
        // A NaN is in no bound and below nothing.
        let is_near = bound.is_none_or(|bound| found.mean_kl <= bound);
        // Without an adapter there is no tune to lose.
        let is_kept =
            bound.is_some() || job.adapters.is_empty() || found.mean_kl < self.tuning.mean_kl;
        if !is_near {
            let limit = format!("at most {:.0e} is allowed", bound.unwrap_or_default());
            let next = "choose a type with more bits (f32 loses nothing)";
            return Err(differs(found.mean_kl, limit, next));
        }
        if !is_kept {
            let limit = format!(
                "but tuning itself moved the model by only {:.2e}: the tune would be lost",
                self.tuning.mean_kl
            );
            return Err(differs(found.mean_kl, limit, "choose q8_0"));
        }
        Ok(Check {
            prompts: found.prompts,
            same_answers: found.same_answers,
            same_tokens: found.same_tokens,
            mean_kl: found.mean_kl,
            largest_kl: found.largest_kl,
            mean_kl_max: bound,
            tuning_kl: self.tuning.mean_kl,
        })
    }
}

/// The prompts' tokens by a model's own template and tokenizer; as they stand where it has none.
fn prompts(job: &MergeJob<'_>, model: &Model) -> Result<Vec<Vec<u32>>, TuneError> {
    let encode = |text: &String| {
        let system = job.system.map(|system| Message::new("system", system));
        let asked = Message::new("user", text.as_str());
        let turns: Vec<Message> = system.into_iter().chain([asked]).collect();
        let prompt = match &model.template {
            Some(template) => template.render(&turns, true)?,
            None => text.clone(),
        };
        let mut tokens = model.tokenizer.encode(&prompt);
        // The beginning says enough; what is asked has to leave room for an answer.
        tokens.truncate(model.config.context.saturating_sub(ANSWER_TOKENS_MAX));
        Ok(tokens)
    };
    let all: Result<Vec<Vec<u32>>, TuneError> = job.prompts.iter().map(encode).collect();
    Ok(all?.into_iter().filter(|it| !it.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use lathe_engine::LoraSpec;

    struct Bench {
        folder: tempfile::TempDir,
        pool: Pool,
        prompts: Vec<String>,
    }

    impl Bench {
        fn new(scale: f32) -> Bench {
            let bench = Bench {
                folder: tempfile::tempdir().expect("a folder"),
                pool: Pool::new(2),
                prompts: PROMPTS.map(str::to_owned).to_vec(),
            };
            let model = testing::model();
            let spec = LoraSpec {
                rank: 2,
                alpha: 4.0,
                targets: vec!["q_proj".to_owned(), "down_proj".to_owned()],
                dora: false,
            };
            let mut adapter = Adapter::new(&model.config, &spec, 1).expect("is made");
            for (at, value) in adapter.values.iter_mut().enumerate() {
                *value = scale * ((at * 7919 % 101) as f32 / 50.0 - 1.0);
            }
            let saved = adapter.save_peft(&bench.folder.path().join("tuned"), "base");
            saved.expect("writes");
            bench
        }

        fn run(&self, name: &str, form: Form, format: BlockType) -> Result<Outcome, TuneError> {
            run(&MergeJob {
                base: &testing::model_path(),
                adapters: &[(self.folder.path().join("tuned"), 1.0)],
                out: &self.folder.path().join(name),
                template: None,
                calibration: None,
                form,
                format,
                prompts: &self.prompts,
                system: Some("Be brief."),
                pool: &self.pool,
            })
        }
    }

    #[test]
    fn what_passes_its_check_is_left_in_the_folder() {
        let bench = Bench::new(0.2);
        let out = bench.run("folder", Form::Safetensors, BlockType::F32);
        let check = out.expect("merges").check;
        assert_eq!((check.prompts, check.same_answers), (8, 8));
        assert!(
            check.tuning_kl > 1e-3,
            "the adapter does something: {check:?}"
        );
        assert!(
            bench
                .folder
                .path()
                .join("folder/model.safetensors")
                .exists()
        );
        let out = bench
            .run("gguf", Form::Gguf, BlockType::Q8_0)
            .expect("merges");
        assert!(out.check.mean_kl > 0.0 && out.check.mean_kl < out.check.tuning_kl);
        assert!(!bench.folder.path().join("gguf.part").exists());
    }

    /// Field notes, pain 2: merging into 4 bits loses the tune.
    #[test]
    fn pain_2_a_tune_that_four_bits_would_lose_is_refused() {
        let bench = Bench::new(0.01);
        let error = bench
            .run("lost", Form::Gguf, BlockType::Q4_0)
            .expect_err("is refused");
        assert_eq!(error.code(), "merge-differs");
        assert!(
            error.to_string().contains("the tune would be lost"),
            "{error}"
        );
        assert!(!bench.folder.path().join("lost").exists());
        assert!(!bench.folder.path().join("lost.part").exists());
        let kept = bench.run("kept", Form::Gguf, BlockType::Q8_0);
        kept.expect("8 bits keep it");
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone() {
        let bench = Bench::new(0.2);
        let error = bench.run("tuned", Form::Safetensors, BlockType::BF16);
        assert_eq!(error.expect_err("is refused").code(), "merge-exists");
    }
}
