//! A dataset version and a pack of a file under a mapping.
//!
//! The records are written as lines of JSON beside the pack.yaml that names them. Labels are answered as
//! JSON with the labels as its only values, measured by macro F1 beside a linear model, and have to beat
//! the base model; free words are conversations, whose held-out answers have to be likelier than to the
//! base model. What the gate asks beyond that is for whoever edits the pack.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use lathe_data::bounds::RECORDS_MAX;
use lathe_data::reader::Read;
use lathe_eval::metrics::{ANSWER_LOGPROB, MACRO_F1, VALID_JSON};
use lathe_evidence::Digest;
use serde::Deserialize;
use serde_json::{Value, json};

use super::look::of_data;
use super::{AnswerKind, BringMade, BringMake, BroughtFile, Mapping, mapping, stumbled, upload};
use crate::catalogue::{DatasetView, ModelView};
use crate::clock::now_ms;
use crate::draft::flow;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects::{self, Sealed};
use crate::order::OrderId;
use crate::pack::{self, ModelSpec, Pack};
use crate::people::project::name_in;
use crate::people::{Shown, reach};
use crate::store::Change;
use crate::store::change::NewArtifact;
use crate::withdrawn::WithdrawnData;
use crate::workshop::Workshop;
use crate::{dataset, steps};

/// The pack whose base model is taken where none is here.
const SAMPLE: &str = include_str!("../../../../packs/customer-care/pack.yaml");
/// The file with the records, beside the pack.
const RECORDS: &str = "records.jsonl";
/// Passes over the records.
const EPOCHS: u32 = 3;
/// Records to a step: one of so many of all, and the most.
const STEPS_OF_A_PASS: u64 = 32;
const BATCH_MAX: u64 = 16;
/// The longest answer that is measured, in tokens.
const ANSWER_TOKENS_MAX: usize = 64;
/// Rows of datasets that are looked through for the version before.
const DATASETS_MAX: u32 = 500;

/// Everything a pack is made of.
struct Plan {
    asked: BringMake,
    file: BroughtFile,
    model: Value,
    previous: Option<Digest>,
}

/// What was built beside its place.
struct Built {
    folder: PathBuf,
    sealed: Sealed,
    view: DatasetView,
}

impl Workshop {
    /// Makes a dataset version and a pack of a file; then the file is forgotten.
    ///
    /// # Errors
    /// `bring-unknown`, `bring-unfinished`, `bring-mapping`, `bring-exists`, `data-add`, `pack-invalid`;
    /// the store's and the file system's.
    pub async fn bring_make(&self, asked: BringMake) -> Result<BringMade, WorkshopError> {
        let file = self.whole(&asked.id).await?;
        terms(&asked)?;
        let project = file.project.clone();
        let named = name_in(&project, &asked.name);
        let place = self.home().packs().join(&named);
        if place.exists() && !asked.next_version {
            return Err(WorkshopError::new(
                "bring-exists",
                format!("a pack called {} was made here already", asked.name),
                "choose another name, or say that this is its next version",
            ));
        }
        let previous = match asked.next_version {
            true => self.version_before(&asked.name, &project).await?,
            false => None,
        };
        let plan = Plan {
            model: self.model_of(asked.model.as_deref()).await?,
            previous: previous.as_deref().map(steps::digest).transpose()?,
            asked,
            file,
        };
        let id = plan.asked.id.clone();
        let home = self.home().clone();
        let withdrawn = WithdrawnData::now(self).await?;
        let built = reach::spawn_blocking(move || build(&home, &plan, withdrawn)).await;
        let built = built.map_err(|error| stumbled(&error))??;
        settle(self.home(), &built.folder, &place)?;
        let artifact = NewArtifact {
            digest: built.sealed.digest.to_string(),
            manifest: built.sealed.manifest,
        };
        self.apply(&[Change::DatasetAdded {
            artifact: Box::new(artifact),
            dataset: Box::new(built.view.clone()),
            project,
            at_ms: now_ms(),
        }])
        .await?;
        self.bring_forget(&id).await?;
        Ok(BringMade {
            pack: named,
            dataset: built.view,
            previous,
        })
    }

    /// The newest dataset version of this name in a project.
    async fn version_before(
        &self,
        name: &str,
        project: &str,
    ) -> Result<Option<String>, WorkshopError> {
        let shown = Shown::Only(vec![project.to_owned()]);
        let store = self.store();
        let own = store.datasets_shown(&shown, DATASETS_MAX, 0).await?;
        Ok(own
            .into_iter()
            .find(|it| it.name == name)
            .map(|it| it.digest))
    }

    /// The `model` section of a pack in this home.
    async fn model_of(&self, digest: Option<&str>) -> Result<Value, WorkshopError> {
        if let Some(base) = self.base_here(digest).await? {
            return self.section_of(&base);
        }
        if let Some(digest) = digest.filter(|it| !it.is_empty()) {
            let shown: String = digest.chars().take(100).collect();
            return Err(WorkshopError::new(
                "bring-mapping",
                format!("no base model here has the digest {shown}"),
                "list them with GET /api/models",
            ));
        }
        #[derive(Deserialize)]
        struct Sample {
            model: ModelSpec,
        }
        let sample: Sample = serde_saphyr::from_str(SAMPLE).map_err(|error| {
            WorkshopError::new(
                "internal",
                format!("the sample pack has no model: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })?;
        Ok(json!(sample.model))
    }

    /// A model that came from elsewhere is named by its source, one of this machine by where it lies in
    /// the home.
    fn section_of(&self, base: &ModelView) -> Result<Value, WorkshopError> {
        let mut source = base.source.clone();
        if source.starts_with("file:") {
            let folder = objects::path(self.home(), &base.digest);
            let opened = steps::model::weights(&folder)?;
            let inner = opened.strip_prefix(&folder).unwrap_or(Path::new(""));
            let inner = inner.to_string_lossy();
            source = format!("file:../../objects/{}", base.digest);
            if !inner.is_empty() {
                let _ = write!(source, "/{inner}");
            }
        }
        Ok(json!({
            "name": base.name,
            "source": source,
            "licence": base.licence,
            "owner": base.owner,
        }))
    }
}

/// Refuses a name that is none, and data whose terms nobody said.
fn terms(asked: &BringMake) -> Result<(), WorkshopError> {
    let refuse = |text: &str, next: &str| Err(WorkshopError::new("bring-mapping", text, next));
    if asked.name.contains(':') || !pack::is_name(&asked.name) {
        let next = "use 1 to 60 lower-case letters, digits and hyphens";
        return refuse(&format!("`name`: {:?} cannot be a name", asked.name), next);
    }
    for (key, said) in [("licence", &asked.licence), ("owner", &asked.owner)] {
        let chars = said.trim().chars().count();
        if !(1..=200).contains(&chars) || said.chars().any(char::is_control) {
            let next =
                "say under which licence the data comes and who owns it, in at most 200 characters";
            return refuse(
                &format!("`{key}` has {chars} characters or unprintable ones"),
                next,
            );
        }
    }
    Ok(())
}

fn build(home: &Home, plan: &Plan, withdrawn: WithdrawnData) -> Result<Built, WorkshopError> {
    let asked = &plan.asked;
    let path = upload::path_of(home, &plan.file);
    let read = mapping::read(&path, asked.mapping.sheet.as_deref());
    let read = read.map_err(|error| of_data(error.into()))?;
    if let Some(mistake) = mapping::mistakes(&asked.mapping, &read).into_iter().next() {
        let text = format!("`{}`: {}", mistake.key, mistake.text);
        return Err(WorkshopError::new("bring-mapping", text, mistake.next));
    }
    let mapped = mapping::applied(&asked.mapping, &read);
    let pack = pack_of(plan, &mapped)?;
    let folder = home.tmp().join(format!("bring-{}", OrderId::new()));
    let made = fs::create_dir_all(&folder);
    made.map_err(|error| io_error("create the folder", &folder, &error))?;
    let records = folder.join(RECORDS);
    write(&records, &lines(&mapped))?;
    write(&folder.join("pack.yaml"), &text_of(plan, &json!(pack)))?;
    // As it will be read, by whoever runs it.
    let pack = pack::load(&folder, false)?.pack;
    let sealed = dataset::sealed(home, &records, pack.data, withdrawn);
    let (sealed, root) = sealed.map_err(of_data)?;
    let view = steps::prepare::view(home, sealed.digest, &root.to_string(), false)?;
    Ok(Built {
        folder,
        sealed,
        view,
    })
}

fn write(path: &Path, text: &str) -> Result<(), WorkshopError> {
    fs::write(path, text).map_err(|error| io_error("write", path, &error))
}

/// Puts the folder into its place; a former version makes room first.
fn settle(home: &Home, built: &Path, place: &Path) -> Result<(), WorkshopError> {
    let packs = home.packs();
    fs::create_dir_all(&packs).map_err(|error| io_error("create the folder", &packs, &error))?;
    if place.exists() {
        let aside = home.tmp().join(format!("former-{}", OrderId::new()));
        fs::rename(place, &aside).map_err(|error| io_error("move", place, &error))?;
    }
    fs::rename(built, place).map_err(|error| io_error("move", built, &error))
}

/// The records as lines of JSON.
fn lines(mapped: &Read) -> String {
    let mut text = String::new();
    for record in &mapped.records {
        let _ = writeln!(text, "{}", Value::Object(record.fields.clone()));
    }
    text
}

fn pack_of(plan: &Plan, mapped: &Read) -> Result<Pack, WorkshopError> {
    let asked = &plan.asked;
    let labels = mapping::labels(mapped);
    let language = asked.language.as_deref().filter(|it| !it.is_empty());
    let terms = (asked.licence.trim(), asked.owner.trim());
    let batch = (mapped.records.len() as u64 / STEPS_OF_A_PASS).clamp(1, BATCH_MAX);
    let value = json!({
        "name": asked.name,
        "title": {"en": asked.name, "zh": asked.name},
        "language": language.unwrap_or("und"),
        "model": plan.model,
        "data": data_of(&asked.mapping, &asked.name, terms, plan.previous),
        "task": task_of(&asked.mapping, &labels),
        "tune": {"sft": {"epochs": EPOCHS, "batch_records": batch}},
        "evaluate": evaluate_of(asked.mapping.kind),
        "gate": {
            "thresholds": thresholds_of(asked.mapping.kind),
            "require": ["base-model", "dataset", "training", "evaluation"],
        },
    });
    let pack: Pack = serde_json::from_value(value).map_err(|error| {
        WorkshopError::new(
            "pack-invalid",
            format!("what was brought makes no pack: {error}"),
            "this is a mistake in Lathe; please report it",
        )
    })?;
    pack::check(&pack, Path::new("the pack that was made"))?;
    Ok(pack)
}

/// The `data` section.
pub(super) fn data_of(
    mapping: &Mapping,
    name: &str,
    (licence, owner): (&str, &str),
    previous: Option<Digest>,
) -> Value {
    let by = match mapping.kind {
        AnswerKind::Label => "question",
        AnswerKind::Text | AnswerKind::Conversation => "messages",
    };
    let mut section = json!({
        "name": name,
        "source": format!("file:{RECORDS}"),
        "licence": licence,
        "owner": owner,
        "reader": {"format": "jsonl", "id": "id"},
        "dedupe": {"by": by},
        "split": {"test_share": 0.2, "seed": 1},
    });
    if mapping.group.as_deref().is_some_and(|it| !it.is_empty()) {
        section["split"]["group"] = json!("group");
    }
    if let Some(previous) = previous {
        section["previous"] = json!(previous);
    }
    section
}

/// The `task` section; of labels the most frequent stands for an answer that is none.
pub(super) fn task_of(mapping: &Mapping, labels: &[(String, u64)]) -> Value {
    if mapping.kind != AnswerKind::Label {
        return json!({"chat": "messages"});
    }
    let names: Vec<&str> = labels.iter().map(|(label, _)| label.as_str()).collect();
    json!({
        "system": mapping::instruction(mapping),
        "prompt": "{{ question }}",
        "input": "question",
        "answer": {"label": {"from": "label"}},
        "schema": {
            "type": "object",
            "additionalProperties": false,
            "required": ["label"],
            "properties": {"label": {"enum": names}},
        },
        "targets": {"class": {"pointer": "/label", "truth": "label", "invalid": names.first()}},
    })
}

fn evaluate_of(kind: AnswerKind) -> Value {
    match kind {
        AnswerKind::Label => json!({
            "tokens_max": ANSWER_TOKENS_MAX,
            "challengers": [{"linear_ngrams": {"name": "linear n-grams", "text": "question"}}],
        }),
        _ => json!({"base_records": RECORDS_MAX, "tokens_max": ANSWER_TOKENS_MAX}),
    }
}

fn thresholds_of(kind: AnswerKind) -> Value {
    match kind {
        AnswerKind::Label => json!([
            {"metric": VALID_JSON, "at_least": 0.9},
            {"metric": MACRO_F1, "above": "base"},
        ]),
        _ => json!([{"metric": ANSWER_LOGPROB, "above": "base"}]),
    }
}

/// The pack as a file that people read: a line for each member of a section, what is not set left out.
fn text_of(plan: &Plan, pack: &Value) -> String {
    let (asked, file) = (&plan.asked, &plan.file);
    let mut text = format!("# Made of {}", file.name);
    if let Some(sha256) = &file.sha256 {
        let _ = write!(text, " (SHA-256 {sha256})");
    }
    text.push_str(", whose rows stand in records.jsonl. Edit it as you like:\n");
    let _ = writeln!(
        text,
        "# docs/guide/pack.md lists the keys. Run it: lathe run {}",
        asked.name
    );
    for (key, value) in pack.as_object().into_iter().flatten() {
        match value {
            Value::Null => {}
            Value::Object(members) if !members.is_empty() => {
                let _ = writeln!(text, "{key}:");
                for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                    let _ = writeln!(text, "  {key}: {}", flow(value));
                }
            }
            plain => {
                let _ = writeln!(text, "{key}: {}", flow(plain));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{BringBegin, BringLook};
    use super::*;
    use crate::pack::lint::orphans;

    async fn brought(shop: &Workshop, name: &str, text: &str) -> String {
        let begin = BringBegin {
            name: name.to_owned(),
            bytes: Some(text.len() as u64),
            sha256: None,
            project: None,
        };
        let file = shop.bring_begin(begin).await.unwrap();
        shop.bring_piece(&file.id, 0, text.as_bytes().to_vec())
            .await
            .unwrap();
        file.id
    }

    fn table(rows: usize, twist: &str) -> String {
        let row =
            |row: usize| format!("\"question {row}, {twist}\",{}\n", ["good", "bad"][row % 2]);
        "text,label\n".to_owned() + &(0..rows).map(row).collect::<String>()
    }

    async fn seen(shop: &Workshop, id: &str, mapping: Option<Mapping>) -> super::super::BringSeen {
        let asked = BringLook {
            id: id.to_owned(),
            mapping,
            model: None,
        };
        shop.bring_look(asked).await.unwrap()
    }

    fn make(id: &str, mapping: Mapping, next_version: bool) -> BringMake {
        BringMake {
            id: id.to_owned(),
            mapping,
            name: "our-reviews".to_owned(),
            licence: "CC-BY-4.0".to_owned(),
            owner: "Our shop".to_owned(),
            language: None,
            model: None,
            next_version,
        }
    }

    #[tokio::test]
    async fn a_table_becomes_a_dataset_and_a_pack_whose_every_rule_bites() {
        let (_folder, shop) = crate::testing::shop().await;
        let text = table(40, "call 13800138000") + "\"question 0, call 13800138000\",bad\n,good\n";
        let id = brought(&shop, "reviews.csv", &text).await;
        let look = seen(&shop, &id, None).await;
        assert_eq!((look.mistakes.len(), look.rows), (0, 42));
        let found = look.found.unwrap();
        assert_eq!(found.statistics.records, 40);
        assert_eq!((found.duplicates.len(), found.contradictions), (1, 1));
        assert_eq!(found.broken.len(), 1);
        assert_eq!(found.personal["phone"], 40);
        assert_eq!(found.findings[0].masked, "138••••••00");
        assert!(found.rendered[0].answer.starts_with("{\"label\":"));
        let made = shop
            .bring_make(make(&id, look.mapping.clone(), false))
            .await
            .unwrap();
        assert_eq!(made.pack, "our-reviews");
        assert_eq!(shop.brought_files().await.unwrap(), []);
        let pack = pack::load(&shop.home().packs().join("our-reviews"), false)
            .unwrap()
            .pack;
        assert_eq!(orphans(&pack), []);
        assert_eq!(pack.model.name.as_deref(), Some("SmolLM2-135M-Instruct"));
        assert_eq!(
            shop.datasets(10, 0).await.unwrap()[0].digest,
            made.dataset.digest
        );
        // An order knows it by its bare name.
        assert!(
            shop.packs()
                .iter()
                .any(|it| it.pack == "our-reviews" && it.brought)
        );

        // The name is taken, until it is said to be the next version.
        let id = brought(
            &shop,
            "more.csv",
            &(table(40, "call 13800138000") + &table(4, "new")[11..]),
        )
        .await;
        let taken = shop
            .bring_make(make(&id, look.mapping.clone(), false))
            .await
            .unwrap_err();
        assert_eq!(taken.code(), "bring-exists");
        let next = shop
            .bring_make(make(&id, look.mapping, true))
            .await
            .unwrap();
        assert_eq!(next.previous.as_ref(), Some(&made.dataset.digest));
        let (from, to) = (&made.dataset.digest, &next.dataset.digest);
        let difference = shop.dataset_difference(from, to).await.unwrap();
        assert_eq!(
            (difference.same, difference.added, difference.removed),
            (40, 4, 0)
        );
        assert!(
            difference.added_first[0]["question"]
                .as_str()
                .unwrap()
                .contains("new")
        );
    }

    #[tokio::test]
    async fn free_words_become_a_pack_of_conversations() {
        let (_folder, shop) = crate::testing::shop().await;
        let row = |row: usize| format!("{{\"问题\": \"第 {row} 问\", \"答案\": \"答 {row}\"}}\n");
        let text: String = (0..20).map(row).collect();
        let id = brought(&shop, "问答.jsonl", &text).await;
        let look = seen(&shop, &id, None).await;
        assert_eq!(look.mapping.kind, AnswerKind::Text);
        assert_eq!(
            look.found.unwrap().rendered[0].answer.chars().next(),
            Some('答')
        );
        let mut asked = make(&id, look.mapping, false);
        for (name, licence) in [("Ours", "MIT"), ("ft:a", "MIT"), ("ours", " ")] {
            (asked.name, asked.licence) = (name.to_owned(), licence.to_owned());
            let error = shop.bring_make(asked.clone()).await.unwrap_err();
            assert_eq!(error.code(), "bring-mapping");
        }
        asked.licence = "MIT".to_owned();
        shop.bring_make(asked).await.unwrap();
        let pack = pack::load(&shop.home().packs().join("ours"), false)
            .unwrap()
            .pack;
        assert_eq!(orphans(&pack), []);
    }

    #[tokio::test]
    async fn what_is_no_table_is_refused_and_stays() {
        let (_folder, shop) = crate::testing::shop().await;
        let id = brought(&shop, "a.xlsx", "no workbook").await;
        let asked = BringLook {
            id: id.clone(),
            mapping: None,
            model: None,
        };
        assert_eq!(shop.bring_look(asked).await.unwrap_err().code(), "data-add");
        assert_eq!(shop.brought_files().await.unwrap().len(), 1);
        let few = brought(&shop, "b.csv", "a,b\n1,2\n").await;
        let look = seen(&shop, &few, None).await;
        assert!(look.found.is_none() && !look.mistakes.is_empty());
    }
}
