//! Files that callers hand over: written beside, checked line by line, then kept as artifacts.
//!
//! A file of which an order was made stays as long as the order, whose evidence it is; what is deleted
//! then is its id.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use lathe_data::bounds::{RECORDS_MAX, SAMPLE_BYTES_MAX};
use lathe_data::samples::{Sample, open_ai};
use lathe_data::task::ChatForm;
use lathe_tune::chat::not_compared;
use serde_json::{Map, Value};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::{FILE_BYTES_MAX, FILES_MAX, FileRow};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::objects;
use crate::people::{Right, Shown, reach};
use crate::store::Change;
use crate::store::change::NewArtifact;
use crate::workshop::Workshop;

/// The longest name that is kept of a file.
const NAME_CHARS_MAX: usize = 80;

/// A file that is coming in. Dropped before it is kept, it is gone.
#[derive(Debug)]
pub struct Upload {
    folder: tempfile::TempDir,
    name: String,
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Upload {
    /// Appends what came.
    ///
    /// # Errors
    /// `file-too-large`; `disk-full` and the like.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), WorkshopError> {
        self.bytes += bytes.len() as u64;
        if self.bytes > FILE_BYTES_MAX {
            return Err(WorkshopError::new(
                "file-too-large",
                format!("the file is larger than {FILE_BYTES_MAX} bytes"),
                "divide it, or tune on it with a pack: docs/guide/pack.md",
            ));
        }
        let written = self.file.write_all(bytes).await;
        written.map_err(|error| io_error("write", &self.path, &error))
    }
}

impl Workshop {
    /// Begins to take a file of this name.
    ///
    /// # Errors
    /// `files-full`; `disk-full` and the like.
    pub async fn upload(&self, name: &str) -> Result<Upload, WorkshopError> {
        self.refuse_full().await?;
        let (tmp, name) = (self.home().tmp(), plain_name(name));
        let folder = tempfile::tempdir_in(&tmp)
            .map_err(|error| io_error("make a folder in", &tmp, &error))?;
        let path = folder.path().join(&name);
        let file = File::create(&path).await;
        Ok(Upload {
            file: file.map_err(|error| io_error("create", &path, &error))?,
            folder,
            name,
            path,
            bytes: 0,
        })
    }

    async fn refuse_full(&self) -> Result<(), WorkshopError> {
        if self.store().files_count().await? >= FILES_MAX {
            return Err(WorkshopError::new(
                "files-full",
                format!("the workshop keeps {FILES_MAX} files already"),
                "delete files that no job needs any more",
            ));
        }
        Ok(())
    }

    /// Checks what came and keeps it.
    ///
    /// # Errors
    /// `file-invalid`, which names the first bad line; `files-full` where others came meanwhile; `disk-full`
    /// and the like, the store's.
    pub async fn keep_file(&self, upload: Upload, owner: &str) -> Result<FileRow, WorkshopError> {
        let Upload {
            folder,
            name,
            path,
            mut file,
            bytes,
        } = upload;
        let flushed = file.flush().await;
        flushed.map_err(|error| io_error("write", &path, &error))?;
        let (form, records) = reach::spawn_blocking(move || check(&path))
            .await
            .map_err(|error| stumbled(&error))??;
        let home = self.home().clone();
        let held = self.hold_files().await;
        self.refuse_full().await?;
        let sealed = reach::spawn_blocking(move || objects::seal(&home, folder.path()))
            .await
            .map_err(|error| stumbled(&error))??;
        let row = FileRow {
            id: format!("file-{}", uuid::Uuid::now_v7().simple()),
            name,
            bytes,
            records,
            form,
            artifact: sealed.digest.to_string(),
            owner: owner.to_owned(),
            created_ms: now_ms(),
        };
        let artifact = NewArtifact {
            digest: row.artifact.clone(),
            manifest: sealed.manifest,
        };
        self.apply(&[Change::FileKept {
            artifact: Box::new(artifact),
            file: Box::new(row.clone()),
        }])
        .await?;
        drop(held);
        Ok(row)
    }

    /// All files, the newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn files(&self) -> Result<Vec<FileRow>, WorkshopError> {
        self.store().files(&reach::shown(Right::Tune)).await
    }

    /// One file.
    ///
    /// # Errors
    /// `file-unknown`; the store's.
    pub async fn file(&self, id: &str) -> Result<FileRow, WorkshopError> {
        let mut found = self.store().file(id).await?;
        let shown = reach::shown(Right::Tune);
        if shown != Shown::All && !self.store().homes(id).await?.iter().any(|it| shown.has(it)) {
            found = None;
        }
        found.ok_or_else(|| {
            let shown: String = id.chars().take(100).collect();
            WorkshopError::new(
                "file-unknown",
                format!("there is no file {shown}"),
                "hand it over with POST /v1/files",
            )
        })
    }

    /// Where a file lies, byte for byte as it came.
    pub fn file_path(&self, row: &FileRow) -> PathBuf {
        objects::path(self.home(), &row.artifact).join(&row.name)
    }

    /// Forgets a file; its bytes too, where nothing was made of them.
    ///
    /// # Errors
    /// `file-unknown`; the store's and the file system's.
    pub async fn delete_file(&self, id: &str) -> Result<(), WorkshopError> {
        let _held = self.hold_files().await;
        let row = self.file(id).await?;
        self.apply(&[Change::FileDeleted {
            id: row.id,
            artifact: row.artifact.clone(),
        }])
        .await?;
        if self.store().artifacts().await?.contains(&row.artifact) {
            return Ok(());
        }
        let path = objects::path(self.home(), &row.artifact);
        reach::spawn_blocking(move || objects::remove(&path))
            .await
            .map_err(|error| stumbled(&error))?
    }
}

pub(super) fn stumbled(error: &tokio::task::JoinError) -> WorkshopError {
    WorkshopError::new(
        "daemon-crashed",
        format!("keeping a file stumbled: {error}"),
        "this is a mistake in Lathe; please report it",
    )
}

/// A name that can stand in a source: no folder, nothing hidden, an ending that says what it is.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = last.strip_suffix(".jsonl").unwrap_or(last);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let chars = stem.chars().take(NAME_CHARS_MAX);
    let stem: String = chars.map(|c| if plain(c) { c } else { '-' }).collect();
    match stem.trim_matches(['.', '-']) {
        "" => "file.jsonl".to_owned(),
        stem => format!("{stem}.jsonl"),
    }
}

/// Which form a file's records have, and how many there are.
///
/// # Errors
/// `file-invalid`, which names the first bad line.
fn check(path: &Path) -> Result<(ChatForm, u64), WorkshopError> {
    let file = std::fs::File::open(path).map_err(|error| io_error("read", path, &error))?;
    let mut lines = BufReader::new(file);
    let (mut form, mut records, mut number) = (None, 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines
            .by_ref()
            .take(SAMPLE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut line)
            .map_err(|error| io_error("read", path, &error))?;
        if read == 0 {
            break;
        }
        number += 1;
        let bad = |reason: String| invalid(&format!("line {number}: {reason}"));
        if read > SAMPLE_BYTES_MAX {
            return Err(bad(format!("it is longer than {SAMPLE_BYTES_MAX} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let record = record(&line).map_err(bad)?;
        let of = *form.get_or_insert_with(|| form_of(&record));
        let sample = match of {
            ChatForm::Messages => open_ai::conversation(&record),
            ChatForm::Preference => open_ai::preference(&record),
        };
        comparable(&sample.map_err(bad)?).map_err(bad)?;
        records += 1;
        if records > RECORDS_MAX as u64 {
            return Err(bad(format!("there are more than {RECORDS_MAX} records")));
        }
    }
    match form {
        Some(form) => Ok((form, records)),
        None => Err(invalid("it has no record")),
    }
}

fn record(line: &[u8]) -> Result<Map<String, Value>, String> {
    match serde_json::from_slice(line) {
        Ok(Value::Object(record)) => Ok(record),
        Ok(_) => Err("it is no JSON object".to_owned()),
        Err(error) => Err(format!("it is not JSON: {error}")),
    }
}

/// Refuses a pair that training would refuse hours later.
fn comparable(sample: &Sample) -> Result<(), String> {
    let answers = match sample {
        Sample::Pair {
            chosen, rejected, ..
        } => vec![chosen, rejected],
        _ => Vec::new(),
    };
    let reason = answers.into_iter().find_map(not_compared);
    reason.map_or(Ok(()), |reason| Err(reason.to_owned()))
}

/// The first record says what all are.
fn form_of(record: &Map<String, Value>) -> ChatForm {
    match record.contains_key("input") && !record.contains_key("messages") {
        true => ChatForm::Preference,
        false => ChatForm::Messages,
    }
}

fn invalid(reason: &str) -> WorkshopError {
    WorkshopError::new(
        "file-invalid",
        format!("the file cannot be used: {reason}"),
        "write one JSON object a line: {\"messages\": […]}, or {\"input\": {\"messages\": […]}, \
         \"preferred_output\": […], \"non_preferred_output\": […]}",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<(ChatForm, u64), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.jsonl");
        std::fs::write(&path, text).unwrap();
        check(&path).map_err(|error| error.to_string())
    }

    const GOOD: &str = r#"{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}"#;
    const PAIR: &str = r#"{"input": {"messages": [{"role": "user", "content": "a"}]}, "preferred_output": [{"role": "assistant", "content": "b"}], "non_preferred_output": [{"role": "assistant", "content": "c"}]}"#;

    /// What an answer has that calls a tool.
    const CALLS: &str = r#""tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]"#;

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        assert_eq!(
            checked(&format!("{GOOD}\n\n{GOOD}\n")),
            Ok((ChatForm::Messages, 2))
        );
        assert_eq!(checked(PAIR), Ok((ChatForm::Preference, 1)));
        let cases = [
            (
                format!("{GOOD}\n\n{{\"messages\": [\n"),
                "line 3: it is not JSON",
            ),
            (format!("{GOOD}\n[]\n"), "line 2: it is no JSON object"),
            (format!("{GOOD}\n{PAIR}\n"), "line 2: it has no `messages`"),
            (format!("{PAIR}\n{GOOD}\n"), "line 2: it has no `input`"),
            ("\n \n".to_owned(), "it has no record"),
            (
                format!("{PAIR}\n{}\n", PAIR.replace(r#""content": "c""#, CALLS)),
                "line 2: an answer that calls tools",
            ),
            (format!("{GOOD}\n\u{7f}\u{ff}"), "line 2: it is not JSON"),
        ];
        for (text, reason) in cases {
            let error = checked(&text).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }

    async fn kept(shop: &Workshop) -> FileRow {
        let mut upload = shop.upload("f.jsonl").await.unwrap();
        upload.write(GOOD.as_bytes()).await.unwrap();
        shop.keep_file(upload, "local").await.unwrap()
    }

    #[tokio::test]
    async fn the_most_files_there_may_be_are_not_passed_by_those_that_come_together() {
        let (_folder, shop) = crate::testing::shop().await;
        let one = kept(&shop).await;
        let again = |nth: u32| Change::FileKept {
            artifact: Box::new(NewArtifact {
                digest: one.artifact.clone(),
                manifest: lathe_evidence::manifest::Manifest::new(Vec::new()).unwrap(),
            }),
            file: Box::new(FileRow {
                id: format!("file-{nth}"),
                ..one.clone()
            }),
        };
        let others: Vec<Change> = (2..FILES_MAX).map(again).collect();
        shop.apply(&others).await.unwrap();
        let (first, second) = (
            shop.upload("a").await.unwrap(),
            shop.upload("b").await.unwrap(),
        );
        let mut outcomes = Vec::new();
        for mut upload in [first, second] {
            upload.write(GOOD.as_bytes()).await.unwrap();
            let outcome = shop.keep_file(upload, "local").await;
            outcomes.push(outcome.map(drop).map_err(|error| error.code()));
        }
        assert_eq!(outcomes, [Ok(()), Err("files-full")]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_file_that_comes_again_while_it_is_deleted_has_its_bytes() {
        let (_folder, shop) = crate::testing::shop().await;
        let mut before = kept(&shop).await;
        for round in 0..50 {
            let (deleted, again) = tokio::join!(shop.delete_file(&before.id), kept(&shop));
            deleted.unwrap();
            assert!(shop.file_path(&again).is_file(), "round {round}");
            before = again;
        }
        shop.delete_file(&before.id).await.unwrap();
        assert!(!shop.file_path(&before).exists());
    }

    #[test]
    fn names_are_plain_and_say_what_the_file_is() {
        let cases = [
            ("chats.jsonl", "chats.jsonl"),
            ("../../etc/passwd", "passwd.jsonl"),
            ("C:\\my chats.jsonl", "my-chats.jsonl"),
            (".jsonl", "file.jsonl"),
            ("聊天.jsonl", "file.jsonl"),
            ("..", "file.jsonl"),
        ];
        for (name, plain) in cases {
            assert_eq!(plain_name(name), plain);
        }
        assert!(plain_name(&"x".repeat(500)).len() < 100);
    }
}
