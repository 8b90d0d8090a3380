//! A prepared dataset as a folder.
//!
//! | file | holds |
//! |---|---|
//! | records.jsonl | one record a line, train then test: id, group, split, line, leaf, risk, fields |
//! | salts.jsonl | one salt a line, in the same order: leaf, salt in hexadecimal; may be deleted |
//! | dataset.json | name, source, licence, owner, root, statistics, broken rows, duplicates |
//!
//! No time and no path is in them: the same order gives the same bytes.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::digest::{from_hex, to_hex};
use lathe_evidence::statement::Scan;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::prepare::{self, Duplicate, Prepared, Sealed, Split, Statistics};
use crate::reader::{Broken, Record};
use crate::{DataError, DataSpec};

/// The file with the records.
pub const RECORDS_FILE: &str = "records.jsonl";
/// The file with the salts.
pub const SALTS_FILE: &str = "salts.jsonl";
/// The file with everything about the dataset as a whole.
pub const DATASET_FILE: &str = "dataset.json";

/// A prepared dataset with its terms, as the folder holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The section of the pack it was prepared by.
    pub spec: DataSpec,
    /// The digest of the file it was read from.
    pub file: Digest,
    /// The encoding the file was in.
    pub encoding: String,
    /// The records and what was left out.
    pub prepared: Prepared,
}

/// A record found by its leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which side of the split it is on.
    pub split: Split,
    /// The record with its leaf and salt.
    pub sealed: Sealed,
}

/// What is told of a record without its salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which side of the split it is on.
    pub split: Split,
    /// The digest of its content, which stays the same where other terms make another leaf.
    pub content: Digest,
}

/// What dataset.json holds: [`Dataset`] without its records.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetSummary {
    /// The section of the pack it was prepared by: name, source, licence, owner and rules.
    pub spec: DataSpec,
    /// The digest of the file it was read from.
    pub file: Digest,
    /// The encoding the file was in.
    pub encoding: String,
    /// The Merkle root over the leaves of train, then test.
    pub root: Digest,
    /// Counts.
    pub statistics: Statistics,
    /// Rows kept out, by line.
    pub broken: Vec<Broken>,
    /// Records left out because an earlier one says the same.
    pub duplicates: Vec<Duplicate>,
    /// What was looked for in the records, and found; of version 0 where nothing was scanned.
    #[serde(default)]
    pub scan: Scan,
}

/// A line of records.jsonl.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine {
    id: String,
    group: String,
    split: Split,
    line: u64,
    leaf: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    risk: Vec<String>,
    fields: Map<String, Value>,
}

/// A line of salts.jsonl.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SaltLine {
    leaf: Digest,
    salt: String,
}

impl Dataset {
    /// Everything but the records.
    pub fn summary(&self) -> DatasetSummary {
        DatasetSummary {
            spec: self.spec.clone(),
            file: self.file,
            encoding: self.encoding.clone(),
            root: self.prepared.root,
            statistics: self.prepared.statistics.clone(),
            broken: self.prepared.broken.clone(),
            duplicates: self.prepared.duplicates.clone(),
            scan: self.prepared.scan.clone(),
        }
    }

    /// Writes the dataset's files into `folder`, which must exist, through to the disk.
    ///
    /// # Errors
    /// Those of the file system. A folder half-written is the caller's to remove.
    pub fn save(&self, folder: &Path) -> Result<(), DataError> {
        let sides = [
            (Split::Train, &self.prepared.train),
            (Split::Test, &self.prepared.test),
        ];
        let all = || {
            sides
                .iter()
                .flat_map(|(split, side)| side.iter().map(|s| (*split, s)))
        };
        let records = all().map(|(split, sealed)| RecordLine {
            id: sealed.record.id.clone(),
            group: sealed.record.group.clone(),
            split,
            line: sealed.record.line,
            leaf: sealed.leaf,
            risk: sealed.risk.clone(),
            fields: sealed.record.fields.clone(),
        });
        write_lines(&folder.join(RECORDS_FILE), records)?;
        let salts = all().map(|(_, sealed)| SaltLine {
            leaf: sealed.leaf,
            salt: to_hex(&sealed.salt),
        });
        write_lines(&folder.join(SALTS_FILE), salts)?;
        write_lines(&folder.join(DATASET_FILE), [self.summary()])
    }

    /// Reads dataset.json alone, for lists and pages.
    ///
    /// # Errors
    /// Those of the file system; a file that is not what was saved.
    pub fn load_summary(folder: &Path) -> Result<DatasetSummary, DataError> {
        let mut summaries = read_lines::<DatasetSummary>(folder, DATASET_FILE)?;
        match summaries.len() {
            1 => Ok(summaries.remove(0)),
            lines => Err(damaged(
                folder,
                format!("{DATASET_FILE} has {lines} lines instead of one"),
            )),
        }
    }

    /// Reads the records with these leaves, each checked against its leaf, in the dataset's order.
    /// Neither the root nor the other records are looked at.
    ///
    /// # Errors
    /// Those of the file system; a record that does not make its leaf.
    pub fn find(folder: &Path, leaves: &HashSet<Digest>) -> Result<Vec<Found>, DataError> {
        let mut lines = Vec::new();
        for_leaves::<RecordLine>(folder, RECORDS_FILE, leaves, |line| lines.push(line))?;
        checked(folder, lines)
    }

    /// Which of these leaves are records of it, on which side of the split each is, and what its content is. None
    /// is checked against its leaf: the salt of one that was withdrawn may be gone.
    ///
    /// # Errors
    /// Those of the file system; a line that names no leaf, or is no record.
    pub fn places(
        folder: &Path,
        leaves: &HashSet<Digest>,
    ) -> Result<HashMap<Digest, Place>, DataError> {
        let mut lines = Vec::new();
        for_leaves::<RecordLine>(folder, RECORDS_FILE, leaves, |line| lines.push(line))?;
        let places = lines.into_iter().map(|line| {
            let (leaf, split) = (line.leaf, line.split);
            let content = prepare::content_of(&line.record())?;
            Ok((leaf, Place { split, content }))
        });
        places.collect()
    }

    /// Reads the first `count` records that are trained on, each checked against its leaf. Neither
    /// the root nor the other records are looked at.
    ///
    /// # Errors
    /// As [`Dataset::find`].
    pub fn first(folder: &Path, count: usize) -> Result<Vec<Sealed>, DataError> {
        let mut lines = Vec::new();
        for_lines::<RecordLine>(folder, RECORDS_FILE, |line| {
            if lines.len() < count && matches!(line.split, Split::Train) {
                lines.push(line);
            }
        })?;
        let found = checked(folder, lines)?;
        Ok(found.into_iter().map(|found| found.sealed).collect())
    }

    /// Reads `count` records from the one at `offset` on, in the dataset's order, each checked against its leaf. Those
    /// before are passed over unread, those behind are not looked at.
    ///
    /// # Errors
    /// As [`Dataset::find`].
    pub fn window(folder: &Path, offset: usize, count: usize) -> Result<Vec<Found>, DataError> {
        let path = folder.join(RECORDS_FILE);
        let fail = |error| DataError::file("read", &path, error);
        let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(&path).map_err(fail)?);
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        for number in 0..offset.saturating_add(count) {
            line.clear();
            if file.read_until(b'\n', &mut line).map_err(fail)? == 0 {
                break;
            }
            if number >= offset {
                let parsed = serde_json::from_slice::<RecordLine>(&line);
                lines.push(parsed.map_err(|error| {
                    let at = number + 1;
                    damaged(folder, format!("{RECORDS_FILE}, line {at}: {error}"))
                })?);
            }
        }
        checked(folder, lines)
    }

    /// Reads a dataset back, and checks every leaf, the root and the counts.
    ///
    /// # Errors
    /// Those of the file system; files that disagree with each other or with the root.
    pub fn load(folder: &Path) -> Result<Self, DataError> {
        let summary = Self::load_summary(folder)?;
        let salts = read_lines::<SaltLine>(folder, SALTS_FILE)?;
        let salts: HashMap<Digest, String> = salts
            .into_iter()
            .map(|line| (line.leaf, line.salt))
            .collect();
        let (mut train, mut test) = (Vec::new(), Vec::new());
        for line in read_lines::<RecordLine>(folder, RECORDS_FILE)? {
            let side = match line.split {
                Split::Train => &mut train,
                Split::Test => &mut test,
            };
            let sealed = line.checked(&salts, &summary.spec);
            side.push(sealed.map_err(|reason| damaged(folder, reason))?);
        }
        if prepare::root(&train, &test) != summary.root {
            return Err(damaged(
                folder,
                "the records do not make the root".to_owned(),
            ));
        }
        check_scan(&summary.scan, &train, &test).map_err(|reason| damaged(folder, reason))?;
        Ok(Self {
            spec: summary.spec,
            file: summary.file,
            encoding: summary.encoding,
            prepared: Prepared {
                train,
                test,
                duplicates: summary.duplicates,
                broken: summary.broken,
                root: summary.root,
                statistics: summary.statistics,
                scan: summary.scan,
            },
        })
    }
}

impl RecordLine {
    /// The record that it holds.
    fn record(self) -> Record {
        Record {
            id: self.id,
            group: self.group,
            line: self.line,
            fields: self.fields,
        }
    }

    /// The record, if its leaf is the one that its content and salt make.
    fn checked(self, salts: &HashMap<Digest, String>, spec: &DataSpec) -> Result<Sealed, String> {
        let salt = salts
            .get(&self.leaf)
            .and_then(|text| from_hex(text))
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| {
                format!(
                    "{SALTS_FILE} has no salt for the leaf of record {}",
                    self.id
                )
            })?;
        let (named, risk) = (self.leaf, self.risk.clone());
        let record = self.record();
        let leaf = prepare::leaf_of(&record, spec, &risk).map_err(|error| error.to_string())?;
        let leaf = leaf.hash(&salt).map_err(|error| error.to_string())?;
        if leaf != named {
            return Err(format!("record {} does not make its leaf", record.id));
        }
        Ok(Sealed {
            leaf,
            salt,
            risk,
            record,
        })
    }
}

/// The records of these lines, each checked against its leaf.
fn checked(folder: &Path, lines: Vec<RecordLine>) -> Result<Vec<Found>, DataError> {
    if lines.is_empty() {
        return Ok(Vec::new());
    }
    let summary = Dataset::load_summary(folder)?;
    let leaves: HashSet<Digest> = lines.iter().map(|line| line.leaf).collect();
    let mut salts = HashMap::new();
    for_leaves::<SaltLine>(folder, SALTS_FILE, &leaves, |line| {
        salts.insert(line.leaf, line.salt);
    })?;
    let found = lines.into_iter().map(|line| {
        let split = line.split;
        let sealed = line.checked(&salts, &summary.spec);
        let sealed = sealed.map_err(|reason| damaged(folder, reason))?;
        Ok(Found { split, sealed })
    });
    found.collect()
}

/// Whether the counts are those of the records' own findings, which their leaves commit to.
fn check_scan(scan: &Scan, train: &[Sealed], test: &[Sealed]) -> Result<(), String> {
    let counted = prepare::scan_of(train, test);
    let same = scan.personal == counted.personal
        && scan.personal_records == counted.personal_records
        && scan.harmful == counted.harmful;
    if scan.version == 0 || same {
        return Ok(());
    }
    Err(format!(
        "the scan in {DATASET_FILE} does not count what the records say"
    ))
}

fn write_lines<T: Serialize>(
    path: &Path,
    lines: impl IntoIterator<Item = T>,
) -> Result<(), DataError> {
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        for line in lines {
            serde_json::to_writer(&mut out, &line)?;
            out.write_all(b"\n")?;
        }
        out.into_inner()?.sync_all()
    };
    write().map_err(|error| DataError::file("write", path, error))
}

fn read_lines<T: for<'de> Deserialize<'de>>(
    folder: &Path,
    name: &str,
) -> Result<Vec<T>, DataError> {
    let mut parsed = Vec::new();
    for_lines(folder, name, |line| parsed.push(line))?;
    Ok(parsed)
}

/// Reads a file line by line.
fn for_lines<T: for<'de> Deserialize<'de>>(
    folder: &Path,
    name: &str,
    mut each: impl FnMut(T),
) -> Result<(), DataError> {
    let path: PathBuf = folder.join(name);
    let fail = |error| DataError::file("read", &path, error);
    let lines = BufReader::new(File::open(&path).map_err(fail)?).lines();
    for (number, line) in (1..).zip(lines) {
        let line = line.map_err(fail)?;
        let parsed = serde_json::from_str(&line);
        each(parsed.map_err(|error| damaged(folder, format!("{name}, line {number}: {error}")))?);
    }
    Ok(())
}

/// What stands before a line's leaf. A text cannot hold it: there its quotation marks are escaped, and the
/// fields, which may have such a name, stand behind the leaf.
const BEFORE_LEAF: &[u8] = b"\"leaf\":\"";
/// Hexadecimal digits of a leaf.
const LEAF_CHARS: usize = 64;
/// How much of a file is read at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// The leaf that a line names, as it is written there.
fn leaf_text(line: &[u8]) -> Option<&[u8]> {
    let at = line
        .windows(BEFORE_LEAF.len())
        .position(|it| it == BEFORE_LEAF)?;
    let from = at + BEFORE_LEAF.len();
    line.get(from..from + LEAF_CHARS)
}

/// Reads the lines with these leaves, and ends with the last of them. Others are passed over unread: of a
/// million lines nearly all are.
fn for_leaves<T: for<'de> Deserialize<'de>>(
    folder: &Path,
    name: &str,
    leaves: &HashSet<Digest>,
    mut each: impl FnMut(T),
) -> Result<(), DataError> {
    let mut wanted: HashSet<Vec<u8>> = leaves
        .iter()
        .map(|leaf| leaf.to_string().into_bytes())
        .collect();
    let path: PathBuf = folder.join(name);
    let fail = |error| DataError::file("read", &path, error);
    let mut file = BufReader::with_capacity(BUFFER_BYTES, File::open(&path).map_err(fail)?);
    let (mut line, mut number) = (Vec::new(), 0u64);
    while !wanted.is_empty() {
        line.clear();
        if file.read_until(b'\n', &mut line).map_err(fail)? == 0 {
            break;
        }
        number += 1;
        let leaf = leaf_text(&line)
            .ok_or_else(|| damaged(folder, format!("{name}, line {number}: it names no leaf")))?;
        if wanted.remove(leaf) {
            let parsed = serde_json::from_slice(&line);
            each(
                parsed
                    .map_err(|error| damaged(folder, format!("{name}, line {number}: {error}")))?,
            );
        }
    }
    Ok(())
}

fn damaged(folder: &Path, reason: String) -> DataError {
    DataError::Damaged {
        path: folder.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::prepare::{PrepareOptions, prepare};
    use crate::reader::Read;

    fn dataset() -> Dataset {
        let yaml = "{name: tiny, source: 'file:tiny.csv', licence: MIT, owner: me}";
        let spec: DataSpec = serde_saphyr::from_str(yaml).unwrap();
        let records = (1..=10).map(|n| Record {
            id: n.to_string(),
            group: n.to_string(),
            line: n,
            fields: Map::from_iter([
                ("text".to_owned(), json!(format!("text {n}, ask Dr. Wong"))),
                ("mean".to_owned(), json!(f64::from(n as u32) / 3.0)),
            ]),
        });
        let read = Read {
            records: records.collect(),
            broken: Vec::new(),
            broken_rows: 0,
            encoding: "UTF-8".to_owned(),
        };
        let options = PrepareOptions {
            records_max: None,
            salt_seed: [1; 32],
            ..PrepareOptions::default()
        };
        Dataset {
            prepared: prepare(read, &spec, &options).unwrap(),
            spec,
            file: Digest::of(b"tiny"),
            encoding: "UTF-8".to_owned(),
        }
    }

    #[test]
    fn a_dataset_comes_back_as_it_was_saved_and_saves_to_the_same_bytes() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dataset = dataset();
        dataset.save(one.path()).unwrap();
        let loaded = Dataset::load(one.path()).unwrap();
        assert_eq!(loaded, dataset);
        assert_eq!(
            Dataset::load_summary(one.path()).unwrap(),
            dataset.summary()
        );
        loaded.save(two.path()).unwrap();
        for name in [RECORDS_FILE, SALTS_FILE, DATASET_FILE] {
            let bytes = |folder: &Path| std::fs::read(folder.join(name)).unwrap();
            assert_eq!(bytes(one.path()), bytes(two.path()), "{name}");
        }
    }

    #[test]
    fn records_are_found_by_their_leaves_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset();
        dataset.save(folder.path()).unwrap();
        let (train, test) = (&dataset.prepared.train[3], &dataset.prepared.test[1]);
        let wanted = HashSet::from([test.leaf, train.leaf, Digest::of(b"no record")]);
        let found = Dataset::find(folder.path(), &wanted).unwrap();
        let expected = [(Split::Train, train), (Split::Test, test)];
        assert_eq!(found.len(), 2);
        for (found, (split, sealed)) in found.iter().zip(expected) {
            assert_eq!((found.split, &found.sealed), (split, sealed));
        }
        let path = folder.path().join(RECORDS_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        let sentence = train.record.fields["text"].as_str().unwrap();
        std::fs::write(&path, text.replacen(sentence, "text 99", 1)).unwrap();
        let error = Dataset::find(folder.path(), &wanted).unwrap_err();
        assert!(
            error.to_string().contains("does not make its leaf"),
            "{error}"
        );
        let others = HashSet::from([test.leaf]);
        assert_eq!(Dataset::find(folder.path(), &others).unwrap().len(), 1);
    }

    #[test]
    fn a_window_of_records_is_read_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset();
        dataset.save(folder.path()).unwrap();
        let sides = [&dataset.prepared.train, &dataset.prepared.test];
        let all: Vec<&Sealed> = sides.into_iter().flatten().collect();
        let read = |offset, count| {
            let found = Dataset::window(folder.path(), offset, count).unwrap();
            found.into_iter().map(|it| it.sealed).collect::<Vec<_>>()
        };
        for (offset, count) in [(0, 3), (3, 4), (8, 100), (10, 3), (usize::MAX, 2)] {
            let expected: Vec<Sealed> = all
                .iter()
                .skip(offset)
                .take(count)
                .copied()
                .cloned()
                .collect();
            assert_eq!(read(offset, count), expected, "{count} from {offset}");
        }
        let path = folder.path().join(RECORDS_FILE);
        let text = std::fs::read_to_string(&path).unwrap();
        let sentence = all[1].record.fields["text"].as_str().unwrap();
        std::fs::write(&path, text.replacen(sentence, "text 99", 1)).unwrap();
        assert!(Dataset::window(folder.path(), 0, 3).is_err(), "altered");
        assert_eq!(read(2, 1).len(), 1, "others are not looked at");
    }

    #[test]
    fn the_place_of_a_record_is_told_without_its_salt() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset();
        dataset.save(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join(SALTS_FILE)).unwrap();
        let (train, test) = (&dataset.prepared.train[3], &dataset.prepared.test[1]);
        let wanted = HashSet::from([test.leaf, train.leaf, Digest::of(b"no record")]);
        let places = Dataset::places(folder.path(), &wanted).unwrap();
        let expected = [(Split::Train, train), (Split::Test, test)].map(|(split, it)| {
            let leaf = prepare::leaf_of(&it.record, &dataset.spec, &it.risk).unwrap();
            let content = leaf.content;
            (it.leaf, Place { split, content })
        });
        assert_eq!(places, HashMap::from(expected));
    }

    #[test]
    fn a_text_or_a_field_is_not_taken_for_the_leaf() {
        let (leaf, other) = ("a".repeat(64), "b".repeat(64));
        let quoted = format!("\"leaf\":\"{other}\"");
        let line = json!({
            "leaf": leaf, "id": quoted, "group": other, "fields": {"leaf": other, "text": quoted},
        });
        // The order of a line of records.jsonl: what is not a field stands before the fields.
        let line = format!(
            "{{\"id\":{},\"group\":{},\"leaf\":{},\"fields\":{}}}",
            line["id"], line["group"], line["leaf"], line["fields"]
        );
        assert_eq!(leaf_text(line.as_bytes()), Some(leaf.as_bytes()));
        assert_eq!(leaf_text(b"{\"leaf\":\"abc\"}"), None, "too short");
        assert_eq!(leaf_text(b""), None);
    }

    #[test]
    fn the_first_records_are_those_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = dataset();
        dataset.save(folder.path()).unwrap();
        let train = &dataset.prepared.train;
        assert_eq!(Dataset::first(folder.path(), 3).unwrap(), train[..3]);
        assert_eq!(&Dataset::first(folder.path(), 1000).unwrap(), train);
        std::fs::remove_file(folder.path().join(SALTS_FILE)).unwrap();
        assert!(Dataset::first(folder.path(), 3).is_err());
    }

    #[test]
    fn every_kind_of_change_is_found() {
        let check = |name: &str, change: &dyn Fn(String) -> String, expected: &str| {
            let folder = tempfile::tempdir().unwrap();
            dataset().save(folder.path()).unwrap();
            let path = folder.path().join(name);
            let text = std::fs::read_to_string(&path).unwrap();
            let changed = change(text.clone());
            assert_ne!(changed, text, "the change changes something");
            std::fs::write(&path, changed).unwrap();
            let error = Dataset::load(folder.path()).unwrap_err();
            assert_eq!(error.code(), "data-damaged", "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        };
        let replace =
            |from: &'static str, to: &'static str| move |text: String| text.replacen(from, to, 1);
        check(
            RECORDS_FILE,
            &replace("text 3", "text 4"),
            "record 3 does not make its leaf",
        );
        check(
            RECORDS_FILE,
            &replace("\"train\"", "\"test\""),
            "do not make the root",
        );
        check(
            RECORDS_FILE,
            &|text| text.lines().skip(1).map(|l| format!("{l}\n")).collect(),
            "the root",
        );
        check(
            SALTS_FILE,
            &|text| text.lines().skip(1).map(|l| format!("{l}\n")).collect(),
            "no salt",
        );
        check(
            DATASET_FILE,
            &replace("MIT", "GPL"),
            "does not make its leaf",
        );
        check(
            DATASET_FILE,
            &replace("\"name\":10", "\"name\":9"),
            "does not count what the records say",
        );
        check(
            RECORDS_FILE,
            &replace("[\"name\"]", "[]"),
            "does not make its leaf",
        );
        check(
            DATASET_FILE,
            &replace("\"root\"", "\"roof\""),
            "dataset.json, line 1",
        );
        check(
            DATASET_FILE,
            &|text| text.clone() + &text,
            "2 lines instead of one",
        );
    }
}
