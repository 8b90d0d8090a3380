//! `lathe merge`: a tuned folder and its base as one model that other tools open.
//!
//! Nothing is registered or served by it: what comes out is for elsewhere.

pub mod calibration;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lathe_engine::gguf::blocks::BlockType;
use lathe_kernel::{Pool, default_threads};
use lathe_tune::calibrate::{self, CalibrationSpec};
use lathe_tune::merge::{self, Form, MergeJob, Outcome as Merged};
use lathe_tune::recipe::answer::{READING, Reading};
use lathe_workshop::words::{self, Lang};
use serde_json::json;

use super::recipe_files::{Files, base_named, of_tune};
use super::{Globals, Printing};
use crate::fail::{Failure, Outcome};

/// Longest file of prompts, in bytes.
const PROMPTS_BYTES_MAX: u64 = 1 << 20;

/// Arguments of `lathe merge`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lathe merge saves/mine --out exports/mine                        a folder for transformers, bf16
  lathe merge saves/mine --out exports/mine --format gguf          for llama.cpp and Ollama, q8_0
  lathe merge saves/mine --out exports/mine --format gguf --type q4_0 --calibrate train.jsonl
  lathe merge saves/mine --with saves/other:0.5 --out exports/both

The written model is opened again and asked some prompts; it is kept only if it answers as base and
adapter do.")]
pub struct Args {
    /// The output folder of `lathe tune`, or an adapter as PEFT writes it.
    folder: PathBuf,
    /// The folder that is made.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What is written.
    #[arg(long, value_enum, default_value_t)]
    format: FormatArg,
    /// The type of the weights [default: bf16 for safetensors, q8_0 for gguf].
    #[arg(long, value_enum, value_name = "TYPE")]
    r#type: Option<TypeArg>,
    /// What the first adapter counts.
    #[arg(long, default_value_t = 1.0)]
    weight: f32,
    /// A further adapter on the same base, and what it counts.
    #[arg(long, value_name = "FOLDER:WEIGHT", value_parser = weighted)]
    with: Vec<(PathBuf, f32)>,
    /// The base, where it no longer lies where the adapter says: a file, a folder or a source.
    #[arg(long)]
    base: Option<String>,
    /// What the check asks, a prompt a line; some general ones if absent.
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// Choose the blocks of q4_0, q4_1 or q8_0 by these records, in any form that tuning reads, and show
    /// what rounding cost on others of them: a file or a source.
    #[arg(long, value_name = "FILE")]
    calibrate: Option<String>,
    /// How many records calibrate; a quarter as many more are held out [default: 128].
    #[arg(long, value_name = "N", requires = "calibrate",
          value_parser = clap::value_parser!(u32).range(1..))]
    calibrate_records: Option<u32>,
    #[command(flatten)]
    printing: Printing,
}

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
enum FormatArg {
    /// A Hugging Face folder.
    #[default]
    Safetensors,
    /// A GGUF file and an Ollama Modelfile.
    Gguf,
}

/// The type of the weights.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
#[value(rename_all = "lower")]
enum TypeArg {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8,
    /// Loses more the finer the tune was; what it lost is shown.
    #[value(name = "q4_0")]
    Q4,
    /// The same with an offset in each block: a ninth more bits, and a smaller loss.
    #[value(name = "q4_1")]
    Q41,
}

impl From<TypeArg> for BlockType {
    fn from(named: TypeArg) -> Self {
        match named {
            TypeArg::F32 => Self::F32,
            TypeArg::F16 => Self::F16,
            TypeArg::Bf16 => Self::BF16,
            TypeArg::Q8 => Self::Q8_0,
            TypeArg::Q4 => Self::Q4_0,
            TypeArg::Q41 => Self::Q4_1,
        }
    }
}

/// `FOLDER:WEIGHT`.
fn weighted(text: &str) -> Result<(PathBuf, f32), String> {
    let (folder, weight) = text
        .rsplit_once(':')
        .ok_or("it has no weight; write FOLDER:WEIGHT, for instance saves/other:0.5")?;
    match weight.parse::<f32>() {
        Ok(number) if number.is_finite() => Ok((PathBuf::from(folder), number)),
        _ => Err(format!("{weight:?} is no number")),
    }
}

/// Merges, checks and tells.
pub fn run(globals: &Globals, args: &Args) -> Outcome {
    let adapters: Vec<(PathBuf, f32)> = std::iter::once((args.folder.clone(), args.weight))
        .chain(args.with.iter().cloned())
        .collect();
    let named = base(args, &adapters)?;
    let (here, files) = (Path::new(""), Files::of(&globals.home()?));
    let base = files.bring(&named, &[here, &args.folder], None)?;
    let (form, format) = form(args);
    let prompts = prompts(args.prompts.as_deref())?;
    let pool = Pool::new(default_threads());
    let calibration = match &args.calibrate {
        None => None,
        Some(file) => {
            calibrate::check(form, format).map_err(of_tune)?;
            let file = files.bring(file, &[here], None)?;
            let raw = merge::open(&base, &adapters, None).map_err(of_tune)?;
            let mut spec = CalibrationSpec::default();
            if let Some(records) = args.calibrate_records {
                spec.records = records as usize;
            }
            Some(calibration::of_file(&file, &raw, spec, (&files, &pool))?)
        }
    };
    let job = MergeJob {
        base: &base,
        adapters: &adapters,
        template: None,
        out: &args.out,
        form,
        format,
        prompts: &prompts,
        system: None,
        calibration: calibration.as_ref(),
        pool: &pool,
    };
    merge_and_tell(&job, &named, args.printing)
}

/// What is written, and the type of its weights.
fn form(args: &Args) -> (Form, BlockType) {
    let (form, usual) = match args.format {
        FormatArg::Safetensors => (Form::Safetensors, BlockType::BF16),
        FormatArg::Gguf => (Form::Gguf, BlockType::Q8_0),
    };
    (form, args.r#type.map_or(usual, BlockType::from))
}

/// Merges, checks and tells, whoever asked for it; `named` is what the base was called. Where `job` names no
/// system message, the check asks under the one that the first adapter's answers are read with.
pub fn merge_and_tell(job: &MergeJob<'_>, named: &str, printing: Printing) -> Outcome {
    let tuned = job.adapters.first().map(|(folder, _)| folder);
    let reading = tuned.map(|folder| reading(folder)).transpose()?.flatten();
    let read_under = reading.as_ref().and_then(|it| it.system.as_deref());
    let system = job.system.or(read_under);
    let done = merge::run(&MergeJob { system, ..*job }).map_err(of_tune)?;
    if let Some(folder) = tuned.filter(|_| reading.is_some()) {
        // How answers are read belongs to the model.
        let copied = fs::copy(folder.join(READING), job.out.join(READING));
        copied.map_err(|error| file("copy", &folder.join(READING), &error))?;
    }
    tell_loss(job.format, &done);
    tell(job, named, &done, printing)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints what was written; what rounding cost is a table where people read it.
fn tell(job: &MergeJob<'_>, named: &str, done: &Merged, printing: Printing) -> Result<(), Failure> {
    let adapters = job.adapters.iter();
    let adapters = adapters.map(|(folder, weight)| json!({ "folder": folder, "weight": weight }));
    let mut said = json!({
        "out": job.out,
        "type": job.format.name(),
        "base": named,
        "adapters": adapters.collect::<Vec<_>>(),
        "tensors": done.tensors,
        "tensors_in_f16": done.tensors_in_f16,
        "modelfile_template": done.modelfile_template,
        "check": done.check,
    });
    let Some(loss) = &done.calibration else {
        return printing.print(&said);
    };
    if printing.json {
        said["calibration"] = json!(loss);
        return printing.print(&said);
    }
    said["calibration"] = json!(loss.counts);
    printing.print(&said)?;
    println!();
    calibration::print(loss);
    Ok(())
}

/// The base that the adapters name, which has to be one.
fn base(args: &Args, adapters: &[(PathBuf, f32)]) -> Result<String, Failure> {
    if let Some(base) = &args.base {
        return Ok(base.clone());
    }
    let mut found: Option<(&Path, String)> = None;
    for (folder, _) in adapters {
        let named = base_named(folder).ok_or_else(|| {
            Failure::new(
                "merge-base",
                format!(
                    "{} has no adapter_config.json that names a base",
                    folder.display()
                ),
                "name the output folder of a lathe tune that ran to its end, or give --base",
            )
        })?;
        match &found {
            Some((first, other)) if *other != named => {
                return Err(Failure::new(
                    "merge-base",
                    format!(
                        "{} is on {other}, {} on {named}",
                        first.display(),
                        folder.display()
                    ),
                    "adapters add up only on one base; give --base if both names mean the same",
                ));
            }
            Some(_) => {}
            None => found = Some((folder, named)),
        }
    }
    Ok(found.expect("there is at least one adapter").1)
}

/// How answers are read, where they are choices.
fn reading(folder: &Path) -> Result<Option<Reading>, Failure> {
    let path = folder.join(READING);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file("read", &path, &error)),
    };
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Failure::new(
            "merge-file",
            format!("{} is not what lathe tune writes: {error}", path.display()),
            "tune again with this version of Lathe, or take the file away",
        )
    })
}

fn prompts(path: Option<&Path>) -> Result<Vec<String>, Failure> {
    let Some(path) = path else {
        return Ok(merge::PROMPTS.map(str::to_owned).to_vec());
    };
    let mut text = String::new();
    fs::File::open(path)
        .and_then(|file| file.take(PROMPTS_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| file("read", path, &error))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let prompts: Vec<String> = lines.take(merge::PROMPTS_MAX).map(str::to_owned).collect();
    if prompts.is_empty() {
        return Err(Failure::new(
            "merge-file",
            format!("{} has no prompt", path.display()),
            "write one prompt a line",
        ));
    }
    Ok(prompts)
}

/// Says what 4 bits have cost.
fn tell_loss(format: BlockType, done: &Merged) {
    if !matches!(format, BlockType::Q4_0 | BlockType::Q4_1) {
        return;
    }
    let mean_kl = format!("{:.4}", done.check.mean_kl);
    let same_tokens = format!("{:.1} %", 100.0 * done.check.same_tokens);
    let values = [("mean_kl", mean_kl.as_str()), ("same_tokens", &same_tokens)];
    eprintln!(
        "{}",
        words::get(Lang::from_env(), "cli.merge.four_bits", &values)
    );
}

fn file(action: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        "merge-file",
        format!("cannot {action} {}: {error}", path.display()),
        "check that it is there, readable, and that the disk is not full",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_and_its_weight_are_told_apart() {
        assert_eq!(weighted("a/b:0.5"), Ok((PathBuf::from("a/b"), 0.5)));
        assert_eq!(weighted("C:/x:-1"), Ok((PathBuf::from("C:/x"), -1.0)));
        assert!(weighted("a/b").is_err());
        assert!(weighted("a:NaN").is_err());
        assert!(weighted("a:heavy").is_err());
    }
}
