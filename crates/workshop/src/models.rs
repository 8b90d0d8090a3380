//! The models of a workshop: those that came in and those that orders made, with what became of each.
//!
//! A list is one window of the store; what the ledger says of its rows is looked up by their digests, never
//! searched for. One model is told whole: the stages it went through and their data, its files, what its
//! adapter is, how to take it elsewhere. Not here: whether a version is handed out (`shelf`), files (`shelf`
//! too), and any judgement.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;

use lathe_evidence::Digest;
use lathe_evidence::manifest::Manifest;
use lathe_evidence::statement::{
    BaseModel, Dataset, Deployment, Link, Registration, RegistrationAction, Training,
};
use lathe_ledger::History;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalogue::ModelView;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::objects;
use crate::order::{AnsweringNow, OrderId};
use crate::people::{Right, Shown, reach};
use crate::steps::model::weights;
use crate::trace::WithdrawnView;
use crate::workshop::Workshop;

/// Files of a model that are listed.
pub const FILES_MAX: usize = 500;
/// Models that are listed of those that were tuned on a base, and deployments of a model.
pub const USES_MAX: usize = 50;
/// Stages that a lineage is followed through.
const STAGES_MAX: usize = 32;
/// Bytes of the file that says what an adapter, or a model, is.
const SETTINGS_BYTES_MAX: u64 = 64 << 10;
/// What the source of a model begins with that an order made.
const OF_ORDER: &str = "order:";

/// Which models are listed. Nothing set: all of them, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelsAsked {
    /// Only those of this kind.
    pub kind: Option<ModelKind>,
    /// Only those with this text in their name, source or digest.
    pub text: Option<String>,
}

/// What a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// It came in.
    Base,
    /// An order tuned it.
    Tuned,
}

impl ModelKind {
    /// Its word in queries and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            ModelKind::Base => "base",
            ModelKind::Tuned => "tuned",
        }
    }
}

/// A model of the list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelRow {
    /// The model.
    #[serde(flatten)]
    pub model: ModelView,
    /// What became of it.
    #[serde(flatten)]
    pub used: ModelUse,
}

/// Where a model comes from and what became of it, as the ledger has it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ModelUse {
    /// The order that made it.
    pub order: Option<OrderId>,
    /// The base model it was tuned on.
    pub base: Option<ModelName>,
    /// The stages it went through, the first one first.
    pub stages: Vec<String>,
    /// The name it was last deployed under.
    pub deployment: Option<String>,
    /// Whether it answers under that name now: everyone, or callers who accept that it is restricted.
    pub answers: bool,
    /// How it answers under that name now, of one alone under any; none where it was never deployed.
    pub now: Option<AnsweringNow>,
    /// Its number in the register.
    pub registration: Option<String>,
    /// The newest step of that number that is about this model.
    pub registered: Option<RegistrationAction>,
}

/// A model, or a dataset version, by digest and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelName {
    /// Its digest.
    pub digest: Digest,
    /// Its name; empty where nothing says it.
    pub name: String,
}

/// One model with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelDetail {
    /// The model.
    pub model: ModelView,
    /// What became of it.
    pub used: ModelUse,
    /// How it was tuned, the first stage first; nothing of a base model.
    pub stages: Vec<ModelStage>,
    /// Its own files; an adapter's base is not among them.
    pub files: Vec<ModelFile>,
    /// How many it has; more than are listed of very many.
    pub files_count: u64,
    /// What its adapter_config.json says, or its config.json; empty where it has neither.
    pub settings: Map<String, Value>,
    /// Where it was deployed, the newest first.
    pub deployments: Vec<ModelDeployment>,
    /// What was tuned on it, the newest first.
    pub tuned: Vec<ModelName>,
    /// What of the data of its stages was withdrawn since, the newest first, at most 50.
    #[serde(default)]
    pub withdrawn: Vec<WithdrawnView>,
    /// How to take it elsewhere.
    pub exports: Vec<ModelExport>,
}

/// A stage of its tuning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStage {
    /// The stage: `sft`, `pt`, `dpo` or `kto`.
    pub stage: String,
    /// The order that ran it.
    pub order: OrderId,
    /// The digest of the adapter that it made.
    pub model: Digest,
    /// What it was tuned on.
    pub datasets: Vec<ModelName>,
    /// Optimizer steps.
    pub steps: u64,
    /// The seed of the adapter and the order of records.
    pub seed: u64,
    /// The engine's version.
    pub engine: String,
    /// The instructions it computed with.
    pub machine: String,
    /// Its statement.
    pub link: Link,
    /// The statement's place in the ledger.
    pub index: u64,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// A file of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Its path.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
}

/// A deployment of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelDeployment {
    /// The name.
    pub name: String,
    /// The number in the register that it rests on.
    pub registration: Option<String>,
    /// Whether it answers under that name now: everyone, or callers who accept that it is restricted.
    pub answers: bool,
    /// How it answers under that name now.
    pub now: AnsweringNow,
    /// Its statement.
    pub link: Link,
    /// The statement's place in the ledger.
    pub index: u64,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// A way to take it elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelExport {
    /// What comes of it.
    pub what: ExportKind,
    /// The command.
    pub command: String,
}

/// What comes of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportKind {
    /// One model of base and adapter, in Hugging Face's layout.
    Safetensors,
    /// The same as a GGUF file.
    Gguf,
    /// The files as they answer, each folder signed.
    Signed,
    /// Model, chain, data and pack, for another workshop.
    Bundle,
    /// The bill of materials.
    Bom,
    /// The files by huggingface_hub, over this workshop's address.
    Hub,
}

impl Workshop {
    /// The models that are asked for, newest first.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn models_asked(
        &self,
        asked: &ModelsAsked,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<ModelRow>, WorkshopError> {
        let shown = reach::shown(Right::Look);
        let store = self.store();
        let models = store.models_asked(asked, &shown, limit, offset).await?;
        let mut rows: Vec<ModelRow> = {
            let history = self.store().ledger()?.read().await;
            let row = |model: ModelView| ModelRow {
                used: used(&history, &model),
                model,
            };
            models.into_iter().map(row).collect()
        };
        for row in &mut rows {
            let name = row.used.deployment.take();
            row.used.deployment = name.filter(|it| reach::may_name(Right::Look, it));
        }
        let names = rows.iter().filter_map(|it| it.used.deployment.clone());
        let current = self.store().deployed(names.collect()).await?;
        for row in &mut rows {
            let name = row.used.deployment.as_deref();
            let now = name.map(|name| self.model_stands(&current, name, &row.model.digest));
            row.used.stands(now);
        }
        Ok(rows)
    }

    /// One model with all that is known of it; none where no model has this digest.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn model(&self, digest: &str) -> Result<Option<ModelDetail>, WorkshopError> {
        let Some(model) = self.store().model(digest).await? else {
            return Ok(None);
        };
        let id = crate::steps::digest(&model.digest)?;
        let manifest = self.store().manifest(&id).await?;
        let (mut used, stages, mut deployments, tuned) = {
            let history = self.store().ledger()?.read().await;
            let deployments = deployments(&history, &id);
            let tuned = tuned_on(&history, &id);
            (
                used(&history, &model),
                stages(&history, &id),
                deployments,
                tuned,
            )
        };
        let shows = |name: &str| reach::may_name(Right::Look, name);
        deployments.retain(|it| shows(&it.name));
        used.deployment = used.deployment.filter(|it| shows(it));
        let names = deployments.iter().map(|it| it.name.clone());
        let current = self.store().deployed(names.collect()).await?;
        for it in &mut deployments {
            it.now = self.model_stands(&current, &it.name, digest);
            it.answers = it.now.answers_somebody();
        }
        used.stands(deployments.iter().map(|it| it.now).min());
        let (home, of) = (self.home().clone(), model.digest.clone());
        let base = used.base.as_ref().map(|it| it.digest);
        let read = move || {
            (
                settings(&home, &of),
                base.map(|it| weights_file(&home, &it)),
            )
        };
        let (settings, base_file) = reach::spawn_blocking(read)
            .await
            .map_err(crate::shelf::stumbled)?;
        let mut detail = ModelDetail {
            files_count: manifest.files().len() as u64,
            files: files(&manifest),
            withdrawn: self.withdrawals_of(&data_of(&stages)).await?,
            stages,
            settings,
            deployments,
            tuned: self.seen_of(tuned).await?,
            exports: Vec::new(),
            used,
            model,
        };
        detail.exports = exports(&detail, base_file.as_deref(), &self.url());
        Ok(Some(detail))
    }

    /// Those of these models that whoever asks may see.
    async fn seen_of(&self, models: Vec<ModelName>) -> Result<Vec<ModelName>, WorkshopError> {
        let shown = reach::shown(Right::Look);
        if shown == Shown::All {
            return Ok(models);
        }
        let mut seen = Vec::new();
        for model in models {
            let homes = self.store().homes(&model.digest.to_string()).await?;
            if homes.iter().any(|it| shown.has(it)) {
                seen.push(model);
            }
        }
        Ok(seen)
    }
}

impl ModelUse {
    /// Says how it answers.
    fn stands(&mut self, now: Option<AnsweringNow>) {
        self.answers = now.is_some_and(AnsweringNow::answers_somebody);
        self.now = now;
    }
}

/// The dataset versions that the stages learnt from, each once.
fn data_of(stages: &[ModelStage]) -> Vec<Digest> {
    let mut known = BTreeSet::new();
    let datasets = stages.iter().flat_map(|it| &it.datasets);
    let versions = datasets.map(|it| it.digest);
    versions.filter(|it| known.insert(*it)).collect()
}

/// What the ledger says of a model: everything is looked up by its digest.
fn used(history: &History, model: &ModelView) -> ModelUse {
    let order = model.source.strip_prefix(OF_ORDER);
    let mut used = ModelUse {
        order: order.map(|id| OrderId(id.to_owned())),
        ..ModelUse::default()
    };
    let Ok(digest) = model.digest.parse::<Digest>() else {
        return used;
    };
    let stages = stages(history, &digest);
    used.base = trainings(history, &digest).first().map(|(_, said)| {
        let base = history.said::<BaseModel>(&said.base);
        ModelName {
            digest: said.base_model,
            name: base.map_or_else(String::new, |it| it.name.clone()),
        }
    });
    used.stages = stages.into_iter().map(|it| it.stage).collect();
    if let Some(entry) = history.find("registration", &digest)
        && let Some(said) = history.said::<Registration>(&entry.link)
    {
        used.registration = Some(said.number.clone());
        used.registered = Some(said.action);
    }
    let deployment = history.find("deployment", &digest);
    let deployment = deployment.and_then(|it| history.said::<Deployment>(&it.link));
    used.deployment = deployment.map(|it| it.name.clone());
    used
}

/// The trainings that led to a model, the last one first.
fn trainings<'h>(history: &'h History, model: &Digest) -> Vec<(Link, &'h Training)> {
    let mut next = history.find("training", model).map(|entry| entry.link);
    let mut found = Vec::new();
    while let Some(link) = next
        && found.len() < STAGES_MAX
        && let Some(said) = history.said::<Training>(&link)
    {
        found.push((link, said));
        next = said.previous.as_ref().map(|it| it.statement);
    }
    found
}

/// The same, told, the first one first.
fn stages(history: &History, model: &Digest) -> Vec<ModelStage> {
    let stage = |(link, said): (Link, &Training)| {
        let entry = history.get(&link)?;
        let datasets = said.datasets.iter().map(|it| ModelName {
            digest: it.dataset,
            name: history
                .said::<Dataset>(&it.statement)
                .map_or_else(String::new, |it| it.name.clone()),
        });
        Some(ModelStage {
            stage: said.stage.clone(),
            order: OrderId(said.order.clone()),
            model: entry.statement.subject(),
            datasets: datasets.collect(),
            steps: said.steps,
            seed: said.seed,
            engine: said.engine.clone(),
            machine: said.machine.clone(),
            link,
            index: entry.index,
            at_ms: entry.at_ms(),
        })
    };
    let trainings = trainings(history, model).into_iter().rev();
    trainings.filter_map(stage).collect()
}

/// Where a model was deployed, the newest first; how it answers is not known here.
fn deployments(history: &History, model: &Digest) -> Vec<ModelDeployment> {
    let entries = history.of_kind("deployment").rev();
    let of_it = entries.filter(|entry| entry.statement.subject() == *model);
    let told = of_it.filter_map(|entry| {
        let said = history.said::<Deployment>(&entry.link)?;
        let registration = history.said::<Registration>(&said.registration);
        Some(ModelDeployment {
            name: said.name.clone(),
            registration: registration.map(|it| it.number.clone()),
            answers: false,
            now: AnsweringNow::Silent,
            link: entry.link,
            index: entry.index,
            at_ms: entry.at_ms(),
        })
    });
    told.take(USES_MAX).collect()
}

/// What was tuned on a base model, the newest first.
fn tuned_on(history: &History, base: &Digest) -> Vec<ModelName> {
    let entries = history.of_kind("training").rev();
    let on_it = entries.filter(|entry| {
        history
            .said::<Training>(&entry.link)
            .is_some_and(|said| said.base_model == *base)
    });
    let named = on_it.map(|entry| {
        let subject = entry.statement.subjects.first();
        ModelName {
            digest: entry.statement.subject(),
            name: subject.map_or_else(String::new, |it| it.name.clone()),
        }
    });
    named.take(USES_MAX).collect()
}

fn files(manifest: &Manifest) -> Vec<ModelFile> {
    let listed = manifest.files().iter().take(FILES_MAX);
    let told = listed.map(|file| ModelFile {
        path: file.path.clone(),
        bytes: file.size,
        sha256: file.sha256,
    });
    told.collect()
}

/// What an adapter, or a model, says of itself; nothing where that cannot be read.
fn settings(home: &Home, digest: &str) -> Map<String, Value> {
    let folder = objects::path(home, digest);
    let read = |name: &str| -> Option<Map<String, Value>> {
        let file = File::open(folder.join(name)).ok()?;
        let mut text = String::new();
        file.take(SETTINGS_BYTES_MAX)
            .read_to_string(&mut text)
            .ok()?;
        serde_json::from_str(&text).ok()
    };
    let found = read("adapter_config.json").or_else(|| read("config.json"));
    found.unwrap_or_default()
}

/// The one file of a base model, within its folder; empty where it is a folder of several.
fn weights_file(home: &Home, base: &Digest) -> String {
    let folder = objects::path(home, &base.to_string());
    let file = weights(&folder).ok();
    let file = file.and_then(|it| Some(it.strip_prefix(&folder).ok()?.to_str()?.to_owned()));
    file.unwrap_or_default()
}

/// The commands that take a model elsewhere: those that work for what it is and where it stands.
fn exports(detail: &ModelDetail, base_file: Option<&str>, url: &str) -> Vec<ModelExport> {
    let mut all = Vec::new();
    let mut add = |what, command| all.push(ModelExport { what, command });
    let name = quoted(&detail.model.name);
    let object = |digest: &str| format!("\"${{LATHE_HOME:-$HOME/.lathe}}\"/objects/{digest}");
    if let (Some(base), Some(file)) = (&detail.used.base, base_file) {
        let base = object(&base.digest.to_string());
        let base = match file {
            "" => base,
            file => format!("{base}/{}", quoted(file)),
        };
        let merge = format!("lathe merge {} --base {base}", object(&detail.model.digest));
        add(
            ExportKind::Safetensors,
            format!("{merge} --out exports/{name}"),
        );
        add(
            ExportKind::Gguf,
            format!("{merge} --out exports/{name}-gguf --format gguf"),
        );
    }
    // What rests on withdrawn data is not handed on under its name: those commands would be refused.
    let whole = detail.deployments.iter();
    let whole = whole.filter(|_| detail.withdrawn.is_empty());
    let answering = whole.filter(|it| it.answers).min_by_key(|it| it.now);
    if let Some((name, now)) = answering.map(|it| (quoted(&it.name), it.now)) {
        add(
            ExportKind::Signed,
            format!("lathe export model {name} weights/"),
        );
        add(
            ExportKind::Bundle,
            format!("lathe bundle export {name} {name}.bundle"),
        );
        add(
            ExportKind::Bom,
            format!("lathe export ml-bom {name} --out {name}.cdx.json"),
        );
        if now == AnsweringNow::Answers {
            add(
                ExportKind::Hub,
                format!(
                    "HF_ENDPOINT={url}/hf HF_TOKEN=\"$LATHE_KEY\" hf download lathe/{name} --local-dir {name}"
                ),
            );
        }
    }
    all
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Change;
    use crate::store::change::{Finished, NewArtifact};
    use crate::testing;
    use lathe_evidence::manifest::ManifestFile;

    fn entered(order: &OrderId, kind: &str, name: &str, at_ms: i64) -> (String, Change) {
        let file = ManifestFile {
            path: "adapter_config.json".to_owned(),
            size: 8,
            sha256: Digest::of(name.as_bytes()),
        };
        let manifest = Manifest::new(vec![file]).unwrap();
        let digest = manifest.digest().to_string();
        let model = ModelView {
            digest: digest.clone(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            source: match kind {
                "tuned" => format!("{OF_ORDER}{order}"),
                _ => "file:m.gguf".to_owned(),
            },
            licence: "MIT".to_owned(),
            owner: "we".to_owned(),
            bytes: 8,
            demonstration: false,
            created_ms: at_ms,
        };
        let finished = Finished {
            order: order.clone(),
            step: crate::order::StepName::Tune,
            input: digest.clone(),
            output: Default::default(),
            artifact: Some(NewArtifact {
                digest: digest.clone(),
                manifest,
            }),
            registers: vec![crate::store::change::Registration::Model(model)],
        };
        let change = Change::StepDone {
            finished: Box::new(finished),
            at_ms,
        };
        (digest, change)
    }

    #[tokio::test]
    async fn models_are_listed_narrowed_and_told() {
        let (_folder, shop) = testing::shop().await;
        let order = OrderId::new();
        let mut changes = vec![testing::placed(&order)];
        let (base, change) = entered(&order, "base", "SmolLM2", 1);
        changes.push(change);
        let (tuned, change) = entered(&order, "tuned", "care", 2);
        changes.push(change);
        changes.push(entered(&order, "tuned", "100%_care", 3).1);
        shop.apply(&changes).await.unwrap();
        let names = async |asked: ModelsAsked, limit, offset| {
            let rows = shop.models_asked(&asked, limit, offset).await.unwrap();
            let names = rows.into_iter().map(|it| it.model.name);
            names.collect::<Vec<_>>()
        };
        let all = ModelsAsked::default;
        assert_eq!(names(all(), 9, 0).await, ["100%_care", "care", "SmolLM2"]);
        assert_eq!(names(all(), 1, 1).await, ["care"]);
        let kind = |kind| ModelsAsked {
            kind: Some(kind),
            ..all()
        };
        assert_eq!(names(kind(ModelKind::Base), 9, 0).await, ["SmolLM2"]);
        let text = |text: &str| ModelsAsked {
            text: Some(text.to_owned()),
            ..all()
        };
        assert_eq!(names(text(" %_ "), 9, 0).await, ["100%_care"]);
        assert_eq!(names(text(&tuned[..20]), 9, 0).await, ["care"]);
        let found = shop.model(&tuned).await.unwrap().unwrap();
        assert_eq!(found.used.order, Some(order));
        assert_eq!((found.files.len(), found.files_count), (1, 1));
        assert_eq!(found.files[0].path, "adapter_config.json");
        assert!(found.exports.is_empty(), "nothing says what it is tuned on");
        let base = shop.model(&base).await.unwrap().unwrap();
        assert_eq!((base.used.order, base.used.answers), (None, false));
        assert!(shop.model("nothing").await.unwrap().is_none());
        shop.stop().await;
    }

    fn detail() -> ModelDetail {
        let model = ModelView {
            digest: Digest::of(b"adapter").to_string(),
            kind: "tuned".to_owned(),
            name: "it's".to_owned(),
            source: String::new(),
            licence: String::new(),
            owner: String::new(),
            bytes: 0,
            demonstration: false,
            created_ms: 0,
        };
        ModelDetail {
            model,
            used: ModelUse {
                base: Some(ModelName {
                    digest: Digest::of(b"base"),
                    name: "b".to_owned(),
                }),
                ..ModelUse::default()
            },
            stages: Vec::new(),
            files: Vec::new(),
            files_count: 0,
            settings: Map::new(),
            deployments: Vec::new(),
            tuned: Vec::new(),
            withdrawn: Vec::new(),
            exports: Vec::new(),
        }
    }

    #[test]
    fn only_what_works_is_offered_and_the_shell_reads_it_as_meant() {
        let mut detail = detail();
        let kinds = |all: &[ModelExport]| all.iter().map(|it| it.what).collect::<Vec<_>>();
        let merged = exports(&detail, Some("model.gguf"), "http://h");
        assert_eq!(kinds(&merged), [ExportKind::Safetensors, ExportKind::Gguf]);
        let base = format!("/objects/{}/model.gguf --out ", Digest::of(b"base"));
        assert!(merged[0].command.contains(&base), "{}", merged[0].command);
        assert!(merged[0].command.ends_with(r"--out exports/'it'\''s'"));
        detail.used.base = None;
        assert!(exports(&detail, None, "http://h").is_empty());
        detail.deployments = vec![ModelDeployment {
            name: "care".to_owned(),
            registration: None,
            answers: true,
            now: AnsweringNow::Answers,
            link: Digest::of(b"link"),
            index: 1,
            at_ms: 0,
        }];
        let all = exports(&detail, None, "http://h");
        assert_eq!(all.len(), 4);
        assert_eq!(all[1].command, "lathe bundle export care care.bundle");
        assert_eq!(
            all[3].command,
            "HF_ENDPOINT=http://h/hf HF_TOKEN=\"$LATHE_KEY\" hf download lathe/care --local-dir care"
        );
        assert_eq!(quoted("-x"), "'-x'");
        // Hubs hand out nothing whose breaker is not closed.
        detail.deployments[0].now = AnsweringNow::Restricted;
        let restricted = exports(&detail, None, "http://h");
        assert_eq!(restricted, all[..3]);
        detail.deployments[0].answers = false;
        assert!(exports(&detail, None, "http://h").is_empty());
    }

    #[test]
    fn what_is_no_settings_file_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("home"))).unwrap();
        let digest = Digest::of(b"adapter").to_string();
        let of = objects::path(&home, &digest);
        std::fs::create_dir_all(&of).unwrap();
        assert!(settings(&home, &digest).is_empty());
        std::fs::write(of.join("config.json"), "{\"hidden_size\": 64}").unwrap();
        assert_eq!(settings(&home, &digest)["hidden_size"], 64);
        let long = "x".repeat(1 + SETTINGS_BYTES_MAX as usize);
        let text = format!("{{\"r\": 8, \"long\": \"{long}\"}}");
        std::fs::write(of.join("adapter_config.json"), text).unwrap();
        assert!(settings(&home, &digest).contains_key("hidden_size"));
        std::fs::write(of.join("adapter_config.json"), "{\"r\": 8}").unwrap();
        assert_eq!(settings(&home, &digest)["r"], 8);
    }
}
