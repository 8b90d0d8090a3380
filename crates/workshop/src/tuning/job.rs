//! Jobs: an order is made of what was asked, looked at, set aside, put back and given up.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;

use lathe_data::task::ChatForm;
use lathe_evidence::Digest;
use serde_json::{Map, Value};

use super::made::{HELD_OUT, chosen, pack_of};
use super::{Asked, FileRow, JOBS_OPEN_MAX, JobView, Method, NotPlaced, RECORDS_MIN};
use crate::catalogue::ModelView;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::objects;
use crate::order::OrderId;
use crate::people::{Right, reach};
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
    /// `jobs-full`, `job-model`, `file-unknown`, `job-file`; the ledger's, the store's and the file
    /// system's.
    pub async fn place_job(&self, mut asked: Asked) -> Result<JobView, NotPlaced> {
        self.store().ledger()?;
        let (base, base_file) = self.base(&asked.model).await?;
        // What is looked up here is not deleted before the order stands that needs it.
        let held = self.hold_files().await;
        if self.store().jobs_open().await? >= JOBS_OPEN_MAX {
            return Err(WorkshopError::new(
                "jobs-full",
                format!("{JOBS_OPEN_MAX} jobs wait, run or are set aside already"),
                "wait for one to end, or cancel one",
            )
            .into());
        }
        let training = self.file(&asked.training_file).await?;
        fits(&training, asked.method)?;
        if training.records < RECORDS_MIN {
            return Err(unfit(
                &training,
                &format!("has {} records, fewer than {RECORDS_MIN}", training.records),
            )
            .into());
        }
        let mut changes = Vec::new();
        let data = match &asked.validation_file {
            None => training,
            Some(id) => {
                let found = self.file(id).await;
                let validation = found.and_then(|file| fits(&file, asked.method).map(|()| file));
                let validation = validation.map_err(|error| NotPlaced {
                    error,
                    of_validation: true,
                })?;
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
            project: self.project_for(None, Right::Tune)?,
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
        Ok(self.job(&id).await?)
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
        let shown = reach::shown(Right::Look);
        for id in self.store().jobs(before, &shown, limit).await? {
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
        let sealed = reach::spawn_blocking(join)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::change::{Finished, Registration};
    use crate::testing;
    use crate::tuning::Hyperparameters;
    use crate::{OrderState, Output, StepName};

    const CHAT: &str = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
    const PAIR: &str = r#"{"input": {"messages": [{"role": "user", "content": "a"}]}, "preferred_output": [{"role": "assistant", "content": "b"}], "non_preferred_output": [{"role": "assistant", "content": "c"}]}"#;

    /// Enters a base model called `m`, a file that is none but has its name.
    async fn enter_base(shop: &Workshop) {
        let folder = tempfile::tempdir_in(shop.home().tmp()).expect("a folder");
        fs::write(folder.path().join("m.gguf"), "no weights").expect("written");
        let sealed = objects::seal(shop.home(), folder.path()).expect("sealed");
        let order = OrderId::new();
        let finished = Finished {
            order: order.clone(),
            step: StepName::Model,
            input: "aa".to_owned(),
            output: Output::default(),
            artifact: Some(NewArtifact {
                digest: sealed.digest.to_string(),
                manifest: sealed.manifest,
            }),
            registers: vec![Registration::Model(ModelView {
                digest: sealed.digest.to_string(),
                kind: "base".to_owned(),
                name: "m".to_owned(),
                source: "file:m.gguf".to_owned(),
                licence: "MIT".to_owned(),
                owner: "them".to_owned(),
                bytes: sealed.bytes,
                demonstration: false,
                created_ms: 1,
            })],
        };
        let done = Change::StepDone {
            finished: Box::new(finished),
            at_ms: 2,
        };
        let changes = [testing::placed(&order), done];
        shop.apply(&changes).await.expect("entered");
    }

    async fn file(shop: &Workshop, line: &str) -> String {
        let mut upload = shop.upload("f.jsonl").await.expect("begun");
        let text = format!("{line}\n").repeat(12);
        upload.write(text.as_bytes()).await.expect("taken");
        shop.keep_file(upload, "local").await.expect("kept").id
    }

    fn asked(training: &str, validation: Option<&str>) -> Asked {
        Asked {
            model: "m".to_owned(),
            training_file: training.to_owned(),
            validation_file: validation.map(str::to_owned),
            method: Method::Supervised,
            hyperparameters: Hyperparameters::default(),
            suffix: None,
            seed: 0,
            metadata: Map::new(),
            owner: "local".to_owned(),
        }
    }

    #[tokio::test]
    async fn the_file_that_is_wrong_is_told_from_the_other() {
        let (_folder, shop) = testing::shop().await;
        enter_base(&shop).await;
        let (chats, pairs) = (file(&shop, CHAT).await, file(&shop, PAIR).await);
        let (chats, pairs) = (chats.as_str(), pairs.as_str());
        for (training, validation, code, of_validation) in [
            ("f", None, "file-unknown", false),
            ("f", Some("f"), "file-unknown", false),
            (pairs, Some("file"), "job-file", false),
            (chats, Some("f"), "file-unknown", true),
            (chats, Some(pairs), "job-file", true),
        ] {
            let refused = shop.place_job(asked(training, validation)).await;
            let refused = refused.expect_err("refused");
            let told = (refused.error.code(), refused.of_validation);
            assert_eq!(told, (code, of_validation), "{training} {validation:?}");
        }
        let job = shop.place_job(asked(chats, Some(chats))).await;
        assert_eq!(job.expect("placed").asked.training_file, chats);
    }

    #[tokio::test]
    async fn there_are_only_so_many_open_jobs() {
        let (_folder, shop) = testing::shop().await;
        enter_base(&shop).await;
        let file = file(&shop, CHAT).await;
        let mut first = None;
        for nth in 0..JOBS_OPEN_MAX {
            let placed = shop.place_job(asked(&file, None)).await;
            let placed = placed.unwrap_or_else(|refused| panic!("{nth}: {}", refused.error));
            first.get_or_insert(placed.order.id);
        }
        let refused = shop.place_job(asked(&file, None)).await;
        assert_eq!(refused.expect_err("refused").error.code(), "jobs-full");
        let ended = Change::OrderIs {
            order: first.expect("a job"),
            state: OrderState::Failed,
            at_ms: 3,
        };
        shop.apply(&[ended]).await.expect("it has ended");
        let placed = shop.place_job(asked(&file, None)).await;
        assert!(placed.is_ok(), "one has ended");
    }
}
