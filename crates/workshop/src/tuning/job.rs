//! Jobs: an order is made of what was asked, looked at, set aside, put back and given up.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use lathe_data::task::ChatForm;
use lathe_evidence::Digest;
use serde_json::{Map, Value};

use super::made::{HELD_OUT, chosen, pack_of};
use super::{Asked, FileRow, JobView, Method, RECORDS_MIN};
use crate::catalogue::ModelView;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::objects;
use crate::order::OrderId;
use crate::steps;
use crate::store::Change;
use crate::store::change::{NewArtifact, NewOrder};
use crate::workshop::Workshop;

/// The most models that are looked through for a base.
const MODELS_MAX: u32 = 10_000;

impl Workshop {
    /// Places a job.
    ///
    /// # Errors
    /// `job-model`, `file-unknown`, `job-file`; the ledger's, the store's and the file system's.
    pub async fn place_job(&self, mut asked: Asked) -> Result<JobView, WorkshopError> {
        self.store().ledger()?;
        let (base, base_file) = self.base(&asked.model).await?;
        // What is looked up here is not deleted before the order stands that needs it.
        let held = self.hold_files().await;
        let training = self.file(&asked.training_file).await?;
        fits(&training, asked.method)?;
        if training.records < RECORDS_MIN {
            return Err(unfit(
                &training,
                &format!("has {} records, fewer than {RECORDS_MIN}", training.records),
            ));
        }
        let mut changes = Vec::new();
        let data = match &asked.validation_file {
            None => training,
            Some(id) => {
                let validation = self.file(id).await?;
                fits(&validation, asked.method)?;
                let (data, kept) = self.joined(training, validation).await?;
                changes.push(kept);
                data
            }
        };
        let id = OrderId::new();
        asked.hyperparameters = chosen(&asked, data.records);
        let pack = pack_of(&asked, &id, (&base, &base_file), &data)?;
        let spec = serde_json::to_string(&pack).expect("a pack is JSON values");
        let folder = objects::path(self.home(), &data.artifact);
        let order = NewOrder {
            id: id.clone(),
            pack: pack.name,
            title: pack.title,
            demonstration: false,
            // Everything is here already.
            offline: true,
            folder: self.home().from_here(&folder),
            pack_sha256: Digest::of(spec.as_bytes()).to_string(),
            spec,
            origin: None,
        };
        changes.push(Change::Placed {
            order: Box::new(order),
            at_ms: now_ms(),
        });
        changes.push(Change::JobPlaced {
            order: id.clone(),
            asked: Box::new(asked),
        });
        self.apply(&changes).await?;
        drop(held);
        self.wake();
        self.job(&id).await
    }

    /// One job.
    ///
    /// # Errors
    /// `job-unknown`; the store's.
    pub async fn job(&self, id: &OrderId) -> Result<JobView, WorkshopError> {
        let (asked, order) = (self.store().job(id).await?, self.order(id).await?);
        match (asked, order) {
            (Some(asked), Some(order)) => Ok(JobView { order, asked }),
            _ => Err(WorkshopError::new(
                "job-unknown",
                format!("there is no job {id}"),
                "list them with GET /v1/fine_tuning/jobs",
            )),
        }
    }

    /// Jobs placed before `before`, all where it is absent; the newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn jobs(
        &self,
        before: Option<&OrderId>,
        limit: u32,
    ) -> Result<Vec<JobView>, WorkshopError> {
        let mut jobs = Vec::new();
        for id in self.store().jobs(before, limit).await? {
            jobs.push(self.job(&id).await?);
        }
        Ok(jobs)
    }

    /// The newest base model of this name that is here, and what of its folder is opened.
    async fn base(&self, name: &str) -> Result<(ModelView, String), WorkshopError> {
        let models = self.models(MODELS_MAX, 0).await?;
        let mut bases: Vec<ModelView> = models.into_iter().filter(|it| it.kind == "base").collect();
        let here = |base: &ModelView| objects::path(self.home(), &base.digest).is_dir();
        let found = bases.iter().position(|it| it.name == name && here(it));
        let Some(found) = found else {
            let mut names: Vec<String> = bases.into_iter().map(|it| it.name).collect();
            names.sort_unstable();
            names.dedup();
            let shown: String = name.chars().take(100).collect();
            return Err(WorkshopError::new(
                "job-model",
                format!("there is no base model {shown:?} to tune"),
                format!("name one that is here: {}", names.join(", ")),
            ));
        };
        let base = bases.swap_remove(found);
        let folder = objects::path(self.home(), &base.digest);
        let opened = steps::model::weights(&folder)?;
        let file = opened.strip_prefix(&folder).unwrap_or(Path::new(""));
        let file = match file.to_string_lossy().as_ref() {
            "" => String::new(),
            file => format!("/{file}"),
        };
        Ok((base, file))
    }

    /// Both files as one, whose records say which of them are held out.
    async fn joined(
        &self,
        training: FileRow,
        validation: FileRow,
    ) -> Result<(FileRow, Change), WorkshopError> {
        let paths = [&training, &validation].map(|row| self.file_path(row));
        let (home, name) = (self.home().clone(), training.name.clone());
        let join = move || {
            let tmp = home.tmp();
            let folder = tempfile::tempdir_in(&tmp)
                .map_err(|error| io_error("make a folder in", &tmp, &error))?;
            let path = folder.path().join(name);
            let [train, held] = &paths;
            join(&path, [(train, false), (held, true)])?;
            objects::seal(&home, folder.path())
        };
        let sealed = tokio::task::spawn_blocking(join)
            .await
            .map_err(|error| super::file::stumbled(&error))??;
        let kept = Change::ArtifactKept {
            artifact: Box::new(NewArtifact {
                digest: sealed.digest.to_string(),
                manifest: sealed.manifest,
            }),
            kind: "file",
            at_ms: now_ms(),
        };
        let data = FileRow {
            artifact: sealed.digest.to_string(),
            bytes: sealed.bytes,
            ..training
        };
        Ok((data, kept))
    }
}

/// Writes the records of several files, each with whether it is held out.
fn join(to: &Path, files: [(&std::path::PathBuf, bool); 2]) -> Result<(), WorkshopError> {
    let made = fs::File::create(to).map_err(|error| io_error("create", to, &error))?;
    let mut out = BufWriter::new(made);
    for (path, held) in files {
        let file = fs::File::open(path).map_err(|error| io_error("read", path, &error))?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(|error| io_error("read", path, &error))?;
            if line.trim().is_empty() {
                continue;
            }
            // Read once already, when the file came.
            let mut record: Map<String, Value> = serde_json::from_str(&line).map_err(|error| {
                WorkshopError::new(
                    "file-invalid",
                    format!("{} is not what was kept: {error}", path.display()),
                    "delete the file and hand it over again",
                )
            })?;
            record.insert(HELD_OUT.to_owned(), Value::Bool(held));
            let line = serde_json::to_string(&record).expect("JSON stays JSON");
            writeln!(out, "{line}").map_err(|error| io_error("write", to, &error))?;
        }
    }
    let flushed = out
        .into_inner()
        .map_err(std::io::IntoInnerError::into_error);
    let synced = flushed.and_then(|file| file.sync_all());
    synced.map_err(|error| io_error("write", to, &error))
}

/// Refuses a file of another form than the method learns from.
fn fits(file: &FileRow, method: Method) -> Result<(), WorkshopError> {
    match (method, file.form) {
        (Method::Supervised, ChatForm::Messages) | (Method::Dpo, ChatForm::Preference) => Ok(()),
        (Method::Supervised, ChatForm::Preference) => Err(unfit(
            file,
            "holds preferences, which the method dpo learns from",
        )),
        (Method::Dpo, ChatForm::Messages) => Err(unfit(
            file,
            "holds conversations, which the method supervised learns from",
        )),
    }
}

fn unfit(file: &FileRow, why: &str) -> WorkshopError {
    WorkshopError::new(
        "job-file",
        format!("the file {} {why}", file.id),
        "hand over another file, or ask for another method",
    )
}
