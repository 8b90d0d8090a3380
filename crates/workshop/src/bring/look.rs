//! A file under a mapping: what its rows would become, counted and shown, before anything is made of it.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use lathe_data::prepare::{PrepareOptions, Prepared, prepare};
use lathe_data::reader::Read;
use lathe_data::task::Task;
use lathe_data::{DataError, DataSpec, scan};
use lathe_tune::preview::Preview;
use lathe_tune::sft::SftSpec;
use lathe_tune::{TuneError, pack as packing};
use serde_json::{Map, Value};

use super::make::{data_of, task_of};
use super::{
    BringFound, BringLook, BringSeen, BroughtFile, Finding, Mapping, Rendered, SHOWN_MAX, mapping,
    stumbled, upload,
};
use crate::draft::SettingMistake;
use crate::error::WorkshopError;
use crate::objects;
use crate::order::StepError;
use crate::people::reach;
use crate::steps::chat;
use crate::steps::model::weights;
use crate::workshop::Workshop;

/// Rows and records that are shown whole.
const WHOLE_MAX: usize = 3;
/// Rows of models that are looked through for a base.
const MODELS_MAX: u32 = 500;

impl Workshop {
    /// What a file gives under a mapping; under the one that is guessed, where none is given.
    ///
    /// # Errors
    /// `bring-unknown`, `bring-unfinished`; `data-…` where the file is not of its format.
    pub async fn bring_look(&self, asked: BringLook) -> Result<BringSeen, WorkshopError> {
        let file = self.whole(&asked.id).await?;
        let model = match self.base_here(asked.model.as_deref()).await? {
            Some(base) => Some(weights(&objects::path(self.home(), &base.digest))?),
            None => None,
        };
        let path = upload::path_of(self.home(), &file);
        let salt_seed = self.home().salt_seed()?;
        let look = move || look(file, &path, asked.mapping, model, salt_seed);
        let seen = reach::spawn_blocking(look).await;
        seen.map_err(|error| stumbled(&error))?.map_err(of_data)
    }

    /// A file that is here whole.
    pub(super) async fn whole(&self, id: &str) -> Result<BroughtFile, WorkshopError> {
        let file = self.brought_file(id).await?;
        if file.complete {
            return Ok(file);
        }
        Err(WorkshopError::new(
            "bring-unfinished",
            format!(
                "{} is not here whole: {} bytes came",
                file.name, file.received
            ),
            "bring the rest of it first",
        ))
    }

    /// The base model of this digest, the newest one where none is named; none where nothing is here.
    pub(super) async fn base_here(
        &self,
        digest: Option<&str>,
    ) -> Result<Option<crate::ModelView>, WorkshopError> {
        let models = self.models(MODELS_MAX, 0).await?;
        let wanted = digest.filter(|it| !it.is_empty());
        Ok(models.into_iter().find(|it| {
            it.kind == "base"
                && wanted.is_none_or(|digest| digest == it.digest)
                && objects::path(self.home(), &it.digest).is_dir()
        }))
    }
}

/// What is wrong with a file, as the workshop says it.
pub(super) fn of_data(error: StepError) -> WorkshopError {
    WorkshopError::new("data-add", error.text, error.next)
}

fn look(
    file: BroughtFile,
    path: &Path,
    asked: Option<Mapping>,
    model: Option<PathBuf>,
    salt_seed: [u8; 32],
) -> Result<BringSeen, StepError> {
    let sheet = asked.as_ref().and_then(|it| it.sheet.clone());
    let read = mapping::read(path, sheet.as_deref())?;
    let shown = asked.unwrap_or_else(|| mapping::guess(&read));
    let mut mistakes = mapping::mistakes(&shown, &read);
    let mut found = None;
    if mistakes.is_empty() {
        match finding(&shown, &read, model.as_deref(), salt_seed) {
            Ok(it) => found = Some(it),
            // Such as a split that leaves nothing to test on.
            Err(error) => mistakes.push(SettingMistake::at("answer", error)),
        }
    }
    Ok(BringSeen {
        columns: mapping::columns(&read),
        rows: read.records.len() as u64 + read.broken_rows,
        encoding: read.encoding.clone(),
        sample: read
            .records
            .iter()
            .take(WHOLE_MAX)
            .map(|record| record.fields.clone())
            .collect(),
        mapping: shown,
        mistakes,
        found,
        file,
    })
}

fn finding(
    shown: &Mapping,
    read: &Read,
    model: Option<&Path>,
    salt_seed: [u8; 32],
) -> Result<BringFound, StepError> {
    let mapped = mapping::applied(shown, read);
    let labels = mapping::labels(&mapped);
    let spec = spec_of(shown);
    let answers = answers(&mapped);
    let options = PrepareOptions {
        salt_seed,
        ..PrepareOptions::default()
    };
    let prepared = prepare(mapped, &spec, &options)?;
    let contradicts = |id: &str, other: &str| answers.get(id) != answers.get(other);
    let contradictions = prepared
        .duplicates
        .iter()
        .filter(|it| contradicts(&it.id, &it.same_as))
        .count();
    let task = serde_json::from_value(task_of(shown, &labels)).map_err(unsound)?;
    let task = Task::new(task)?;
    let first = &prepared.train[..prepared.train.len().min(WHOLE_MAX)];
    let rendered = first.iter().map(|sealed| {
        let example = task.render(sealed)?;
        Ok::<_, DataError>(Rendered {
            line: sealed.record.line,
            question: example.prompt,
            answer: example.answer,
        })
    });
    Ok(BringFound {
        rendered: rendered.collect::<Result<_, _>>()?,
        preview: match model {
            Some(path) => Some(preview(path, &task, &prepared)?),
            None => None,
        },
        labels,
        contradictions: contradictions as u64,
        duplicates: prepared
            .duplicates
            .iter()
            .take(SHOWN_MAX)
            .cloned()
            .collect(),
        broken: prepared.broken.iter().take(SHOWN_MAX).cloned().collect(),
        personal: prepared.scan.personal.clone(),
        findings: findings(read, &prepared),
        statistics: prepared.statistics,
    })
}

fn unsound(error: serde_json::Error) -> StepError {
    StepError {
        code: "internal".to_owned(),
        text: format!("a mapping makes no pack: {error}"),
        next: "this is a mistake in Lathe; please report it".to_owned(),
    }
}

fn spec_of(shown: &Mapping) -> DataSpec {
    let value = data_of(shown, "look", ("NOASSERTION", "nobody"), None);
    serde_json::from_value(value).expect("a data section that is written here")
}

/// The label of each record by its id.
fn answers(mapped: &Read) -> HashMap<String, String> {
    let records = mapped.records.iter();
    let labelled = records.filter_map(|record| {
        let label = record.fields.get("label")?.as_str()?;
        Some((record.id.clone(), label.to_owned()))
    });
    labelled.collect()
}

/// The first records with personal data: line, column, kind, and what stands there, masked.
fn findings(read: &Read, prepared: &Prepared) -> Vec<Finding> {
    let is_risky = |risk: &[String]| risk.iter().any(|kind| kind != scan::HARMFUL);
    let sides = prepared.train.iter().chain(&prepared.test);
    let mut lines: Vec<u64> = sides
        .filter(|sealed| is_risky(&sealed.risk))
        .map(|sealed| sealed.record.line)
        .collect();
    lines.sort_unstable();
    lines.truncate(SHOWN_MAX);
    let by_line: BTreeMap<u64, &Map<String, Value>> = read
        .records
        .iter()
        .map(|record| (record.line, &record.fields))
        .collect();
    let mut found = Vec::new();
    for line in lines {
        for (column, value) in by_line.get(&line).copied().into_iter().flatten() {
            let alone = Map::from_iter([(column.clone(), value.clone())]);
            for kind in scan::risks(&alone) {
                if kind != scan::HARMFUL && found.len() < SHOWN_MAX {
                    let text = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    found.push(Finding {
                        line,
                        column: column.clone(),
                        masked: scan::masked(&kind, &text),
                        kind,
                    });
                }
            }
        }
    }
    found
}

/// The first records token by token, as tuning has them; no weight is read.
fn preview(path: &Path, task: &Task, prepared: &Prepared) -> Result<Preview, TuneError> {
    let model = lathe_engine::open(path)?;
    let first = &prepared.train[..prepared.train.len().min(WHOLE_MAX)];
    let spec = SftSpec::default();
    let rows = if task.spec().chat.is_some() {
        chat::preview(&model, task, first)?.into()
    } else {
        let examples: Result<Vec<_>, _> = first.iter().map(|record| task.render(record)).collect();
        packing::rows(&model, &examples?, &spec)?
    };
    Ok(Preview::of(&rows, &model, spec.tokens_max, WHOLE_MAX))
}
