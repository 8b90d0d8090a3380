//! Accepted corrections as a dataset version: a file of conversations, prepared and sealed like any other
//! data, with its statement in the ledger.
//!
//! A record names the receipt it comes from, the feedback, and who accepted it; its leaf commits to all
//! of that. A version holds every correction that is accepted when it is made, and names the one before
//! it. Without a change since, the last one stands and nothing is made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lathe_data::dataset::Dataset;
use lathe_data::reader::{Format, ReaderSpec};
use lathe_data::spec::{CheckSpec, SplitSpec};
use lathe_data::{DataSpec, Source};
use lathe_evidence::{Digest, statement};
use serde_json::{Value, json};

use super::{CORRECTIONS_MIN, FeedbackDataset, FeedbackRow, VersionRow, conversation};
use crate::catalogue::DatasetView;
use crate::clock::now_ms;
use crate::dataset;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects::{self, Sealed};
use crate::order::StepError;
use crate::people::{COMMON, reach};
use crate::steps;
use crate::store::Change;
use crate::store::change::NewArtifact;
use crate::withdrawn::WithdrawnData;
use crate::workshop::Workshop;

/// The longest name of a dataset.
const NAME_BYTES_MAX: usize = 80;
/// What terms are called where nobody said them: SPDX's word for it.
const UNSAID: &str = "NOASSERTION";
/// The most bytes of one version.
const VERSION_BYTES_MAX: u64 = 256 << 20;
/// The share that is held out: a dataset has some always.
const HELD_OUT_SHARE: f64 = 0.1;

/// The field that names the feedback of a record, its id.
const FEEDBACK: &str = "feedback";
/// The field that names the question of a record by its digest.
const QUESTION: &str = "question";

/// What was made of corrections, or stands already.
pub(super) struct Version {
    /// Its row.
    pub row: VersionRow,
    /// What its dataset was prepared by.
    pub spec: DataSpec,
    /// Whether it was made now.
    is_new: bool,
}

impl Version {
    /// One that was made before.
    pub fn standing(row: VersionRow, spec: DataSpec) -> Version {
        Version {
            row,
            spec,
            is_new: false,
        }
    }

    /// It as JSON.
    pub fn told(&self) -> Value {
        json!({
            "dataset": self.row.digest,
            "name": self.row.name,
            "of": self.row.of,
            "corrections": self.row.corrections,
            "previous": self.spec.previous,
            "licence": self.spec.licence,
            "owner": self.spec.owner,
            "new": self.is_new,
        })
    }
}

/// A version that is to be made.
struct Draft {
    asked: FeedbackDataset,
    rows: Vec<FeedbackRow>,
    before: Option<(VersionRow, DataSpec)>,
    withdrawn: WithdrawnData,
}

/// A version whose files lie in the home.
struct Made {
    file: Sealed,
    dataset: Sealed,
    view: DatasetView,
    said: statement::Dataset,
}

impl Workshop {
    /// Makes the next version of a dataset of the corrections that are accepted now.
    ///
    /// # Errors
    /// `feedback-dataset`, `feedback-few`, `data-add`, `dataset-withdrawn`; the ledger's, the store's and
    /// the file system's.
    pub async fn feedback_dataset(&self, asked: FeedbackDataset) -> Result<Value, WorkshopError> {
        Ok(self.next_version(asked).await?.told())
    }

    pub(super) async fn next_version(
        &self,
        asked: FeedbackDataset,
    ) -> Result<Version, WorkshopError> {
        self.store().ledger()?;
        check_name(&asked.name)?;
        let before = self.newest_version(&asked.name).await?;
        if let Some((row, _)) = before.as_ref().filter(|(row, _)| row.of != asked.of) {
            return Err(of_others(row));
        }
        let of = asked.of.as_deref();
        let bytes = self.store().corrections_bytes(of).await?;
        if bytes > VERSION_BYTES_MAX {
            return Err(WorkshopError::new(
                "feedback-dataset",
                format!("the corrections have {bytes} bytes, more than {VERSION_BYTES_MAX}"),
                "make a dataset of the answers of one name: --of NAME",
            ));
        }
        let rows = self.store().accepted_corrections(of).await?;
        enough(&rows)?;
        let draft = Draft {
            asked,
            rows,
            before,
            withdrawn: WithdrawnData::now(self).await?,
        };
        self.make_version(draft).await
    }

    /// The newest version of a dataset of this name, and what it was prepared by.
    pub(super) async fn newest_version(
        &self,
        name: &str,
    ) -> Result<Option<(VersionRow, DataSpec)>, WorkshopError> {
        let Some(row) = self.store().feedback_version(name).await? else {
            return Ok(None);
        };
        let folder = objects::path(self.home(), &row.digest);
        let summary = reach::spawn_blocking(move || Dataset::load_summary(&folder))
            .await
            .map_err(|error| stumbled(&error))?
            .map_err(|error| {
                WorkshopError::new(
                    "dataset-card",
                    error.to_string(),
                    "restore the home from its backup",
                )
            })?;
        Ok(Some((row, summary.spec)))
    }

    async fn make_version(&self, draft: Draft) -> Result<Version, WorkshopError> {
        let home = self.home().clone();
        let corrections = draft.rows.len() as u64;
        let of = draft.asked.of.clone();
        let before = draft.before.clone();
        let made = reach::spawn_blocking(move || draft.make(&home))
            .await
            .map_err(|error| stumbled(&error))??;
        let Some(made) = made else {
            let (row, spec) = before.expect("only what stands is not made again");
            return Ok(Version::standing(row, spec));
        };
        let row = VersionRow {
            digest: made.dataset.digest.to_string(),
            name: made.said.name.clone(),
            of,
            file: made.file.digest.to_string(),
            corrections,
            created_ms: now_ms(),
        };
        let spec = self.say_version(made, &row).await?;
        Ok(Version {
            row,
            spec,
            is_new: true,
        })
    }

    /// Says the dataset and stores it, in one transaction.
    async fn say_version(&self, made: Made, row: &VersionRow) -> Result<DataSpec, WorkshopError> {
        let spec = made.view.card["spec"].clone();
        let spec = serde_json::from_value(spec).expect("it was written from one just now");
        let (digest, said, at_ms) = (made.dataset.digest, made.said, row.created_ms);
        let of = row.of.as_deref();
        let project = of.map_or(COMMON.to_owned(), |it| self.people().project_of_name(it));
        let changes = vec![
            Change::ArtifactKept {
                artifact: Box::new(kept(made.file)),
                kind: "corrections",
                at_ms,
            },
            Change::DatasetAdded {
                artifact: Box::new(kept(made.dataset)),
                dataset: Box::new(made.view),
                project,
                at_ms,
            },
            Change::FeedbackVersion(Box::new(row.clone())),
        ];
        self.apply_said(|speaker| {
            let at_ms = speaker.at_ms();
            let name = said.name.clone();
            speaker.ensure(&name, digest, statement::Dataset { at_ms, ..said })?;
            Ok((changes, ()))
        })
        .await?;
        Ok(spec)
    }
}

impl Draft {
    /// Writes and prepares it; nothing where the version before it says the same.
    fn make(self, home: &Home) -> Result<Option<Made>, WorkshopError> {
        let file = self.write(home)?;
        let path = objects::path(home, &file.digest.to_string()).join(self.file_name());
        let spec = self.spec(objects::hash_file(&path)?.1)?;
        if let Some((row, last)) = &self.before {
            let same = row.file == file.digest.to_string()
                && (&last.licence, &last.owner) == (&spec.licence, &spec.owner);
            if same && !self.holds_withdrawn(home, row)? {
                return Ok(None);
            }
        }
        let sealed = dataset::sealed(home, &path, spec, self.withdrawn);
        let (dataset, root) = sealed.map_err(refused)?;
        let folder = objects::path(home, &dataset.digest.to_string());
        Ok(Some(Made {
            view: steps::prepare::view(home, dataset.digest, &root.to_string(), false)?,
            said: steps::prepare::statement(&folder)?,
            file,
            dataset,
        }))
    }

    /// Whether a version holds a record that was withdrawn since: then the next one is without it.
    fn holds_withdrawn(&self, home: &Home, row: &VersionRow) -> Result<bool, WorkshopError> {
        let leaves = &self.withdrawn.leaves;
        if leaves.is_empty() {
            return Ok(false);
        }
        let folder = objects::path(home, &row.digest);
        let dataset = Dataset::load(&folder).map_err(|error| refused(error.into()))?;
        let mut all = dataset.prepared.train.iter().chain(&dataset.prepared.test);
        Ok(all.any(|sealed| leaves.contains(&sealed.leaf)))
    }

    fn file_name(&self) -> String {
        format!("{}.jsonl", self.asked.name)
    }

    /// Writes the records, one a line, and keeps the file.
    fn write(&self, home: &Home) -> Result<Sealed, WorkshopError> {
        let mut text = String::new();
        for row in &self.rows {
            text.push_str(&line(row)?);
            text.push('\n');
        }
        let tmp: PathBuf = home.tmp();
        let folder = tempfile::tempdir_in(&tmp)
            .map_err(|error| io_error("make a folder in", &tmp, &error))?;
        let path = folder.path().join(self.file_name());
        durable(&path, text.as_bytes()).map_err(|error| io_error("write", &path, &error))?;
        objects::seal(home, folder.path())
    }

    fn spec(&self, file: Digest) -> Result<DataSpec, WorkshopError> {
        let last = self.before.as_ref().map(|(row, spec)| (row, spec));
        let said = |asked: &Option<String>, last: Option<&String>| {
            let said = asked.clone().or_else(|| last.cloned());
            said.unwrap_or_else(|| UNSAID.to_owned())
        };
        let source = format!("file:{}", self.file_name());
        let source: Source = source
            .parse()
            .map_err(|error: lathe_data::DataError| refused(error.into()))?;
        let previous = last.map(|(row, _)| steps::digest(&row.digest));
        let previous = previous.transpose()?;
        Ok(DataSpec {
            name: self.asked.name.clone(),
            source,
            sha256: Some(file),
            licence: said(&self.asked.licence, last.map(|(_, spec)| &spec.licence)),
            owner: said(&self.asked.owner, last.map(|(_, spec)| &spec.owner)),
            agreement: None,
            annotator: None,
            previous,
            reader: ReaderSpec {
                format: Some(Format::Jsonl),
                id: Some(FEEDBACK.to_owned()),
                ..ReaderSpec::default()
            },
            check: CheckSpec::default(),
            dedupe: None,
            derive: Vec::new(),
            split: SplitSpec {
                group: Some(QUESTION.to_owned()),
                test_share: HELD_OUT_SHARE,
                ..SplitSpec::default()
            },
        })
    }
}

/// A correction as a line of the file.
fn line(row: &FeedbackRow) -> Result<String, WorkshopError> {
    let prompt = row.prompt.as_deref().unwrap_or_default();
    let mut record = conversation::record(row, prompt)?;
    record.insert(FEEDBACK.to_owned(), json!(row.id));
    record.insert("receipt".to_owned(), json!(row.receipt));
    record.insert(QUESTION.to_owned(), json!(question(row)));
    let by = row.decision.as_ref().map(|decided| &decided.by);
    record.insert("accepted_by".to_owned(), json!(by));
    Ok(Value::Object(record).to_string())
}

/// The digest of what was asked, which is the receipt's too.
fn question(row: &FeedbackRow) -> Digest {
    Digest::of(row.prompt.as_deref().unwrap_or_default().as_bytes())
}

/// Refuses too few corrections: some of a dataset are held out, and one question stays on one side.
fn enough(rows: &[FeedbackRow]) -> Result<(), WorkshopError> {
    let questions: BTreeSet<Digest> = rows.iter().map(question).collect();
    if questions.len() >= CORRECTIONS_MIN {
        return Ok(());
    }
    Err(WorkshopError::new(
        "feedback-few",
        format!(
            "the accepted corrections are about {} questions, fewer than {CORRECTIONS_MIN}",
            questions.len()
        ),
        "accept more with `lathe feedback accept`: `lathe feedback list --state received` has them",
    ))
}

fn check_name(name: &str) -> Result<(), WorkshopError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if begins && name.len() <= NAME_BYTES_MAX && name.chars().all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(100).collect();
    Err(WorkshopError::new(
        "feedback-dataset",
        format!("{shown:?} cannot be a dataset's name"),
        "use 1 to 80 lower-case letters, digits, dots and hyphens, beginning with one of the first two",
    ))
}

fn of_others(row: &VersionRow) -> WorkshopError {
    let of = match &row.of {
        Some(of) => format!("of the answers of {of}"),
        None => "of the answers of all names".to_owned(),
    };
    WorkshopError::new(
        "feedback-dataset",
        format!("the versions of {} are {of}", row.name),
        "say the same with --of, or name another dataset",
    )
}

fn refused(error: StepError) -> WorkshopError {
    WorkshopError::new("data-add", error.text, error.next)
}

fn stumbled(error: &tokio::task::JoinError) -> WorkshopError {
    WorkshopError::new(
        "daemon-crashed",
        format!("making a dataset of corrections stumbled: {error}"),
        "this is a mistake in Lathe; please report it",
    )
}

fn kept(sealed: Sealed) -> NewArtifact {
    NewArtifact {
        digest: sealed.digest.to_string(),
        manifest: sealed.manifest,
    }
}

fn durable(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    #[test]
    fn a_line_names_where_it_comes_from() {
        let line: Value = serde_json::from_str(&line(&row()).expect("a line")).expect("JSON");
        assert_eq!(line["receipt"], "r-1");
        assert_eq!(line["feedback"], "fb-1");
        assert_eq!(line["accepted_by"], "Li Lei");
        assert_eq!(line["messages"][1]["content"], "2");
        let prompt = row().prompt.expect("a prompt");
        assert_eq!(line["question"], Digest::of(prompt.as_bytes()).to_string());
    }

    #[test]
    fn corrections_of_one_question_are_too_few() {
        let other = FeedbackRow {
            prompt: Some(r#"[{"content":"Three?","role":"user"}]"#.to_owned()),
            ..row()
        };
        assert_eq!(
            enough(&[row(), row()]).expect_err("one").code(),
            "feedback-few"
        );
        assert!(enough(&[row(), other]).is_ok());
    }

    #[test]
    fn names_are_plain() {
        for name in ["corrections", "a", "ft-base.2"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", ".x", "-x", "a/b", "A", "订正", &"x".repeat(81)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
