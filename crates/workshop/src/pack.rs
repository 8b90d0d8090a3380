//! A pack: an industry scenario as files, the first of which is pack.yaml.
//!
//! Read strictly: a key that is not known is refused with its line and the
//! nearest one that is. The sections belong to the crates that act on them;
//! here they are joined, and the `quick` section is laid over them. Reading
//! has no side effect and fetches nothing.

pub mod breaker;
pub mod change;
pub mod corrections;
pub mod lint;
pub mod stages;

use std::fs;
use std::path::{Path, PathBuf};

use lathe_data::spec::TEST_SHARE;
use lathe_data::task::{Task, TaskSpec};
use lathe_data::{DataSpec, Source};
use lathe_eval::EvaluateSpec;
use lathe_evidence::Digest;
use lathe_gate::Policy;
use lathe_tune::TuneError;
use lathe_tune::sft::SftSpec;
use lathe_tune::stages::{PreferenceSpec, PretrainSpec};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::breaker::BreakerSpec;
use self::corrections::CorrectionsSpec;
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::order::Title;

/// What the names of models begin with that were tuned through the API of OpenAI's shape.
pub(crate) const JOB_PREFIX: &str = "ft:";

/// Largest pack.yaml that is read.
const PACK_BYTES_MAX: u64 = 1 << 20;

/// A pack as it will be run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Its name: lower-case letters, digits and hyphens. The model answers under it.
    pub name: String,
    /// Its title.
    pub title: Title,
    /// What it is for.
    #[serde(default)]
    pub description: Title,
    /// The language of the data: a BCP 47 tag such as `en`.
    pub language: String,
    /// The base model.
    pub model: ModelSpec,
    /// The data.
    pub data: DataSpec,
    /// What is asked and what should be answered.
    pub task: TaskSpec,
    /// How the model is tuned.
    #[serde(default)]
    pub tune: TuneSpec,
    /// How it is measured.
    #[serde(default)]
    pub evaluate: EvaluateSpec,
    /// What it has to pass.
    pub gate: Policy,
    /// What the served model is asked at the end.
    #[serde(default)]
    pub ask: AskSpec,
    /// From how many complaints on it answers no more.
    #[serde(default, skip_serializing_if = "BreakerSpec::is_usual")]
    pub breaker: BreakerSpec,
    /// The most records to use, whole groups at a time; all if absent.
    #[serde(default)]
    pub records: Option<usize>,
    /// What `--quick` changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quick: Option<Quick>,
}

/// The base model's source and terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Its name, for people; the file's name if absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Where it comes from: a .gguf file, or a folder in Hugging Face's layout.
    pub source: Source,
    /// Digest of the file, or of the folder's manifest.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// The licence, as an SPDX identifier where there is one.
    pub licence: String,
    /// Who owns it.
    pub owner: String,
}

/// The tuning stages, in the order they run; each goes on from the adapter of the one before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TuneSpec {
    /// Continued pretraining (持续预训练), if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pretrain: Option<PretrainSpec>,
    /// Supervised tuning (监督微调).
    pub sft: SftSpec,
    /// Whether the preference stage is the only one: no supervised stage runs, and `sft` says what the
    /// adapter is like.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub preference_only: bool,
    /// Preference tuning (偏好对齐), if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preference: Option<PreferenceSpec>,
    /// Corrections of earlier answers (纠正), learnt last; `lathe feedback tune` writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrections: Option<CorrectionsSpec>,
}

/// What the served model is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AskSpec {
    /// How many held-out records.
    pub records: usize,
}

impl Default for AskSpec {
    fn default() -> Self {
        AskSpec { records: 3 }
    }
}

/// What `--quick` changes: these keys are laid over the pack's own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quick {
    /// The most records to use.
    pub records: Option<usize>,
    /// Laid over `tune`.
    pub tune: Option<Value>,
    /// Laid over `evaluate`.
    pub evaluate: Option<Value>,
    /// Laid over `gate`.
    pub gate: Option<Value>,
}

/// A pack that was read, in the way it was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedPack {
    /// The effective pack: the overlay is applied and gone.
    pub pack: Pack,
    /// The folder pack.yaml lies in.
    pub folder: PathBuf,
    /// SHA-256 of pack.yaml as written.
    pub sha256: Digest,
}

/// Reads the pack at `path` (a folder, or its pack.yaml), laying `quick` over it when asked to.
/// Both ways are checked whichever is asked for.
///
/// # Errors
/// `pack-missing`, `pack-invalid`.
pub fn load(path: &Path, quick: bool) -> Result<LoadedPack, WorkshopError> {
    let (folder, file) = locate(path)?;
    let text = read(&file)?;
    let full = parse(&text, &file)?;
    let overlaid = overlay(&full, &text, &file)?;
    check(&full, &file)?;
    check(&overlaid, &file)?;
    let pack = if quick {
        overlaid
    } else {
        Pack {
            quick: None,
            ..full
        }
    };
    Ok(LoadedPack {
        pack,
        folder,
        sha256: Digest::of(text.as_bytes()),
    })
}

fn locate(path: &Path) -> Result<(PathBuf, PathBuf), WorkshopError> {
    let missing = |reason: String| {
        WorkshopError::new(
            "pack-missing",
            format!("cannot read the pack {}: {reason}", path.display()),
            "name a folder that holds a pack.yaml, for instance packs/customer-care",
        )
    };
    let found = path
        .canonicalize()
        .map_err(|error| missing(error.to_string()))?;
    if found.is_file() {
        let folder = found.parent().unwrap_or(Path::new("/")).to_path_buf();
        return Ok((folder, found));
    }
    let file = found.join("pack.yaml");
    if !file.is_file() {
        return Err(missing("it has no pack.yaml".to_owned()));
    }
    Ok((found, file))
}

fn read(file: &Path) -> Result<String, WorkshopError> {
    let size = fs::metadata(file)
        .map_err(|error| io_error("read", file, &error))?
        .len();
    if size > PACK_BYTES_MAX {
        return Err(invalid(
            file,
            None,
            &format!("it has {size} bytes, more than {PACK_BYTES_MAX}"),
            "keep data in files of its own and name them in pack.yaml",
        ));
    }
    fs::read_to_string(file).map_err(|error| io_error("read", file, &error))
}

fn invalid(file: &Path, line: Option<u64>, what: &str, next: &str) -> WorkshopError {
    let place = match line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    };
    WorkshopError::new("pack-invalid", format!("{place}: {what}"), next)
}

/// Reads outside bytes as a pack.yaml, both ways; for fuzzing.
pub fn fuzz(bytes: &[u8]) {
    let file = Path::new("pack.yaml");
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(full) = parse(text, file) {
        let _ = overlay(&full, text, file).map(|overlaid| check(&overlaid, file));
        let _ = check(&full, file);
    }
}

fn parse(text: &str, file: &Path) -> Result<Pack, WorkshopError> {
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        let line = error.location().map(|at| at.line());
        if let serde_saphyr::Error::SerdeUnknownField {
            field, expected, ..
        } = error
        {
            return unknown_key(file, line, field, expected);
        }
        invalid(
            file,
            line,
            &error.to_string(),
            "correct it and run the command again; docs/guide/pack.md lists the keys",
        )
    })
}

fn unknown_key(file: &Path, line: Option<u64>, key: &str, known: &[&str]) -> WorkshopError {
    let next = match nearest(key, known) {
        Some(near) => format!("write `{near}` if that is meant, or remove the key"),
        None => format!("remove the key; known here: {}", known.join(", ")),
    };
    invalid(file, line, &format!("unknown key `{key}`"), &next)
}

/// The known key that `key` was probably meant to be.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|near| (strsim::normalized_damerau_levenshtein(key, near), *near))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, near)| near)
}

/// The pack with its `quick` section laid over it.
fn overlay(full: &Pack, text: &str, file: &Path) -> Result<Pack, WorkshopError> {
    let quick = full.quick.clone().unwrap_or_default();
    let mut pack = Pack {
        quick: None,
        records: quick.records.or(full.records),
        ..full.clone()
    };
    pack.tune = lay(&pack.tune, quick.tune.as_ref(), "tune", text, file)?;
    pack.evaluate = lay(
        &pack.evaluate,
        quick.evaluate.as_ref(),
        "evaluate",
        text,
        file,
    )?;
    pack.gate = lay(&pack.gate, quick.gate.as_ref(), "gate", text, file)?;
    Ok(pack)
}

/// One section with `over` laid over it, read as strictly as the section itself.
fn lay<T>(
    section: &T,
    over: Option<&Value>,
    name: &str,
    text: &str,
    file: &Path,
) -> Result<T, WorkshopError>
where
    T: Serialize + serde::de::DeserializeOwned + Clone,
{
    let Some(over) = over else {
        return Ok(section.clone());
    };
    let mut value = serde_json::to_value(section).expect("a pack's sections are JSON values");
    merge(&mut value, over);
    serde_json::from_value(value).map_err(|error| {
        let reason = error.to_string();
        match quoted(&reason).as_slice() {
            [key, known @ ..] if reason.starts_with("unknown field") => {
                unknown_key(file, line_in_quick(text, key), key, known)
            }
            _ => invalid(
                file,
                line_in_quick(text, name),
                &format!("in `quick.{name}`: {reason}"),
                "correct it and run the command again",
            ),
        }
    })
}

/// Maps are merged key by key; anything else is replaced.
fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

/// The words between backticks, as serde quotes keys.
fn quoted(reason: &str) -> Vec<&str> {
    reason.split('`').skip(1).step_by(2).collect()
}

/// The line of the first `key:` after `quick:`. The overlay was read without positions, since what
/// it may hold depends on the section it is laid over.
fn line_in_quick(text: &str, key: &str) -> Option<u64> {
    let quick = text.lines().position(|line| line.starts_with("quick:"))?;
    let wanted = format!("{key}:");
    text.lines()
        .enumerate()
        .skip(quick)
        .find(|(_, line)| line.contains(&wanted))
        .map(|(index, _)| index as u64 + 1)
}

/// Whether a model may answer under this name: a pack's own, or that of a job of the API, which has
/// parts.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let part = |part: &str| part.chars().all(|c| plain(c) || c == '.' || c == '_');
    match name.strip_prefix(JOB_PREFIX) {
        Some(parts) => name.len() <= 200 && parts.split(':').all(part),
        None => (1..=60).contains(&name.len()) && name.chars().all(plain),
    }
}

/// What types alone cannot say.
pub(crate) fn check(pack: &Pack, file: &Path) -> Result<(), WorkshopError> {
    if !is_name(&pack.name) {
        return Err(invalid(
            file,
            None,
            &format!("the name {:?} cannot be a model's name", pack.name),
            "use 1 to 60 lower-case letters, digits and hyphens",
        ));
    }
    pack.check_stages().map_err(|reason| {
        let next = "correct the `tune` section";
        invalid(file, None, &reason, next)
    })?;
    pack.breaker.check().map_err(|reason| {
        let next = "correct the `breaker` section";
        invalid(file, None, &reason, next)
    })?;
    if pack.gate.thresholds.is_empty() {
        return Err(invalid(
            file,
            None,
            "`gate.thresholds` is empty, which admits nothing",
            "write at least one threshold",
        ));
    }
    Task::new(pack.task.clone())
        .map_err(|error| invalid(file, None, &error.to_string(), "correct the `task` section"))?;
    let split = &pack.data.split;
    if split.held_out.is_none() && !TEST_SHARE.holds(split.test_share) {
        let reason = format!("data.split.test_share: must be {TEST_SHARE}");
        return Err(invalid(file, None, &reason, "correct the `data` section"));
    }
    check_tuning(pack).map_err(|error| {
        let next = "correct the `tune` section";
        invalid(file, None, &error.to_string(), next)
    })
}

/// What the stages say of values that no run can use.
fn check_tuning(pack: &Pack) -> Result<(), TuneError> {
    let supervised = std::iter::once(pack.tune.sft.check());
    let pretrain = pack.tune.pretrain.iter().map(PretrainSpec::check);
    let preference = pack
        .tune
        .preference
        .iter()
        .map(|stage| match pack.task.chat {
            Some(_) => stage.check_conversations(),
            None => stage.check(),
        });
    let corrections = pack.tune.corrections.iter().map(CorrectionsSpec::check);
    let stages = supervised.chain(pretrain).chain(preference);
    let mut stages = stages.chain(corrections);
    stages.try_for_each(|checked| checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_pack_is_refused_without_a_panic() {
        let sample = include_bytes!("../../../packs/customer-care/pack.yaml");
        parse(
            std::str::from_utf8(sample).expect("UTF-8"),
            Path::new("pack.yaml"),
        )
        .expect("the sample reads");
        for cut in (0..sample.len()).step_by(7) {
            fuzz(&sample[..cut]);
            let mut changed = sample.to_vec();
            changed[cut] ^= 0x15;
            fuzz(&changed);
        }
    }
    use serde_json::json;

    #[test]
    fn an_overlay_merges_maps_and_replaces_all_else() {
        let mut base = json!({"sft": {"epochs": 2, "rank": 16}, "list": [1, 2]});
        merge(&mut base, &json!({"sft": {"epochs": 1}, "list": [3]}));
        assert_eq!(base, json!({"sft": {"epochs": 1, "rank": 16}, "list": [3]}));
    }

    #[test]
    fn the_nearest_key_is_named_only_when_it_is_near() {
        let known = ["learning_rate", "epochs", "rank"];
        assert_eq!(nearest("learning_rat", &known), Some("learning_rate"));
        assert_eq!(nearest("epoch", &known), Some("epochs"));
        assert_eq!(nearest("colour", &known), None);
    }

    #[test]
    fn a_line_is_found_only_below_quick() {
        let text = "tune:\n  sft: {epochs: 2}\nquick:\n  tune:\n    sft: {epochs: 1}\n";
        assert_eq!(line_in_quick(text, "epochs"), Some(5));
        assert_eq!(line_in_quick("tune: {epochs: 2}\n", "epochs"), None);
    }
}
