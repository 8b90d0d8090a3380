//! The files behind the statements: hashed again, and held against what was said of them.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Read};

use lathe_evidence::digest::Hasher;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{Dataset, Training};
use lathe_evidence::{Digest, canonical, merkle};
use serde_json::Value;

use super::Pieces;
use super::denial::{Denial, DenialKind};
use super::walk::{Said, Trunk};

/// The evaluation's report.
const REPORT_FILE: &str = "report.json";
/// The dataset's card.
const CARD_FILE: &str = "dataset.json";
/// The dataset's records.
const RECORDS_FILE: &str = "records.jsonl";
/// The tuned weights.
const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// What the tuning wrote about itself.
const TRAINING_FILE: &str = "training.json";

/// Largest file that is read as a whole: a card or a report.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Longest line of records.jsonl.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// How much of a file that is only hashed is held at once.
const HASH_BYTES: usize = 64 << 10;

/// What was read on the way.
pub(super) struct Found {
    /// The report, if it is the one that was judged.
    pub report: Option<Report>,
    /// The leaves of each dataset, in the trunk's order, with their line.
    pub leaves: Vec<HashMap<Digest, u64>>,
}

/// Reads and checks every artifact of the trunk; what does not hold is added to `denials`.
pub(super) fn read(trunk: &Trunk<'_>, pieces: &dyn Pieces, denials: &mut Vec<Denial>) -> Found {
    let mut reader = Reader { pieces, denials };
    reader.manifest("the base model", trunk.base.subject);
    for training in trunk.stages() {
        let last = training.subject == trunk.model();
        let what = match last {
            true => "the adapter".to_owned(),
            false => format!("the adapter of the stage {}", training.what.stage),
        };
        reader.manifest(&what, training.subject);
        reader.weights(&what, training);
        reader.training(&what, training);
    }
    let mut leaves = Vec::new();
    for dataset in &trunk.datasets {
        let what = format!("dataset {}", dataset.what.name);
        reader.manifest(&what, dataset.subject);
        reader.card(&what, dataset);
        leaves.push(reader.leaves(&what, dataset));
    }
    reader.manifest("the report", trunk.evaluation.subject);
    let report = reader.report(trunk.evaluation.subject, trunk.evaluation.what.report);
    Found { report, leaves }
}

/// The leaves of each dataset, in their order; what does not hold is added to `denials`.
pub(super) fn leaves(
    datasets: &[Said<'_, Dataset>],
    pieces: &dyn Pieces,
    denials: &mut Vec<Denial>,
) -> Vec<HashMap<Digest, u64>> {
    let mut reader = Reader { pieces, denials };
    datasets
        .iter()
        .map(|dataset| reader.leaves(&format!("dataset {}", dataset.what.name), dataset))
        .collect()
}

struct Reader<'a> {
    pieces: &'a dyn Pieces,
    denials: &'a mut Vec<Denial>,
}

impl<'a> Reader<'a> {
    fn deny(&mut self, kind: DenialKind, rule: &str, why: String) {
        self.denials.push(Denial::new(kind, rule, why));
    }

    fn manifest(&mut self, what: &str, artifact: Digest) {
        let rule = "every file hashes to what its statement says";
        match self.pieces.manifest(artifact) {
            Ok(found) if found == artifact => {}
            Ok(found) => {
                let why = format!("{what} {artifact} is altered: its files hash to {found}");
                self.deny(DenialKind::Altered, rule, why);
            }
            Err(error) => {
                let why = format!("{what} {artifact} cannot be read: {error}");
                self.deny(DenialKind::Unreadable, rule, why);
            }
        }
    }

    fn unreadable(&mut self, what: &str, artifact: Digest, path: &str, error: &str) {
        let why = format!("{path} of {what} {artifact} cannot be read: {error}");
        let rule = "every piece of evidence can be read";
        self.deny(DenialKind::Unreadable, rule, why);
    }

    fn open(&mut self, what: &str, artifact: Digest, path: &str) -> Option<Box<dyn Read + 'a>> {
        let pieces = self.pieces;
        let opened = pieces.open(artifact, path);
        opened
            .map_err(|error| self.unreadable(what, artifact, path, &error))
            .ok()
    }

    /// A file of which more is wanted than its digest.
    fn file(&mut self, what: &str, artifact: Digest, path: &str) -> Option<Vec<u8>> {
        let file = self.open(what, artifact, path)?;
        let mut bytes = Vec::new();
        let error = match file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes) {
            Ok(read) if read as u64 <= FILE_BYTES_MAX => return Some(bytes),
            Ok(_) => format!("it has more than {FILE_BYTES_MAX} bytes"),
            Err(error) => error.to_string(),
        };
        self.unreadable(what, artifact, path, &error);
        None
    }

    /// A file of JSON.
    fn json(&mut self, what: &str, artifact: Digest, path: &str) -> Option<Value> {
        let bytes = self.file(what, artifact, path)?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Some(value),
            Err(error) => {
                let why = format!("{path} of {what} is not JSON: {error}");
                self.deny(
                    DenialKind::Altered,
                    "every piece of evidence can be read",
                    why,
                );
                None
            }
        }
    }

    /// Compares members of a file with what its statement says.
    fn compare(&mut self, what: &str, path: &str, file: &Value, said: &[(&str, Value)]) {
        for (pointer, expected) in said {
            let found = file.pointer(pointer).unwrap_or(&Value::Null);
            if found != expected {
                let why = format!("{what} says {expected} where {path} has {found} at {pointer}");
                self.deny(
                    DenialKind::Mismatch,
                    "a statement says what its file says",
                    why,
                );
            }
        }
    }

    fn weights(&mut self, what: &str, training: &Said<'_, Training>) {
        let said = training.what.weights;
        let Some(file) = self.open(what, training.subject, WEIGHTS_FILE) else {
            return;
        };
        let found = match digest_of(file) {
            Ok(found) => found,
            Err(error) => {
                let error = error.to_string();
                return self.unreadable(what, training.subject, WEIGHTS_FILE, &error);
            }
        };
        if found != said {
            let why =
                format!("the training says that the weights hash to {said}, they hash to {found}");
            self.deny(
                DenialKind::Altered,
                "every file hashes to what its statement says",
                why,
            );
        }
    }

    /// training.json: the record of the tuning that lies beside the weights.
    fn training(&mut self, what: &str, training: &Said<'_, Training>) {
        let Some(file) = self.json(what, training.subject, TRAINING_FILE) else {
            return;
        };
        let said = training.what;
        let previous = said.previous.as_ref().map(|it| it.model.to_string());
        let expected = [
            ("/stage", said.stage.clone().into()),
            ("/steps", said.steps.into()),
            (
                "/batch_order_root",
                said.batch_order_root.to_string().into(),
            ),
            ("/spec/seed", said.seed.into()),
            ("/previous", previous.map_or(Value::Null, Value::from)),
        ];
        self.compare("the training", TRAINING_FILE, &file, &expected);
        let spec = file.pointer("/spec").cloned().unwrap_or_default();
        let config = canonical::to_bytes(&canonical::decimals_as_text(&spec));
        let config = config.map(|bytes| Digest::of(&bytes));
        if config.as_ref().ok() != Some(&said.config) {
            let why = format!(
                "the training names config {}, {TRAINING_FILE} has another",
                said.config
            );
            self.deny(
                DenialKind::Mismatch,
                "a statement says what its file says",
                why,
            );
        }
    }

    fn card(&mut self, what: &str, dataset: &Said<'_, Dataset>) {
        let Some(card) = self.json(what, dataset.subject, CARD_FILE) else {
            return;
        };
        let said = dataset.what;
        let scan = serde_json::to_value(&said.scan).expect("a scan is plain JSON");
        let expected = [
            ("/spec/name", said.name.clone().into()),
            ("/root", said.root.to_string().into()),
            ("/statistics/train", said.train.into()),
            ("/statistics/test", said.test.into()),
            ("/file", said.file.to_string().into()),
            ("/spec/licence", said.licence.clone().into()),
            ("/spec/owner", said.owner.clone().into()),
            (
                "/spec/agreement",
                said.agreement.clone().map_or(Value::Null, Value::from),
            ),
            (
                "/spec/previous",
                said.previous
                    .map_or(Value::Null, |it| it.to_string().into()),
            ),
            ("/scan", scan),
        ];
        self.compare(what, CARD_FILE, &card, &expected);
    }

    /// The leaves of a dataset, if they make its root.
    fn leaves(&mut self, what: &str, dataset: &Said<'_, Dataset>) -> HashMap<Digest, u64> {
        let Some(file) = self.open(what, dataset.subject, RECORDS_FILE) else {
            return HashMap::new();
        };
        let leaves = match leaves_of(file) {
            Ok(leaves) => leaves,
            Err(Unread::Line(line, error)) => {
                let why = format!("line {line} of {RECORDS_FILE} of {what}: {error}");
                self.deny(DenialKind::Altered, "every record has a leaf", why);
                return HashMap::new();
            }
            Err(Unread::File(error)) => {
                let error = error.to_string();
                self.unreadable(what, dataset.subject, RECORDS_FILE, &error);
                return HashMap::new();
            }
        };
        let root = merkle::root(&leaves);
        if root != dataset.what.root {
            let why = format!(
                "the leaves of {what} make the root {root}, not {}",
                dataset.what.root
            );
            self.deny(
                DenialKind::Altered,
                "the leaves make the dataset's root",
                why,
            );
        }
        if leaves.len() as u64 != dataset.what.train + dataset.what.test {
            let why = format!(
                "{what} has {} records, its statement says otherwise",
                leaves.len()
            );
            self.deny(
                DenialKind::Mismatch,
                "a statement says what its file says",
                why,
            );
        }
        leaves.into_iter().zip(1..).collect()
    }

    fn report(&mut self, artifact: Digest, said: Digest) -> Option<Report> {
        let bytes = self.file("the report", artifact, REPORT_FILE)?;
        let rule = "the report is the one that was judged";
        let found = Digest::of(&bytes);
        if found != said {
            let why = format!(
                "{REPORT_FILE} is altered: it hashes to {found}, the evaluation says {said}"
            );
            self.deny(DenialKind::Altered, rule, why);
            return None;
        }
        match serde_json::from_slice::<Report>(&bytes) {
            Ok(report) if report.version == Report::VERSION => Some(report),
            Ok(report) => {
                let why = format!("{REPORT_FILE} has the layout {}", report.version);
                self.deny(DenialKind::Unreadable, rule, why);
                None
            }
            Err(error) => {
                let why = format!("{REPORT_FILE} cannot be read: {error}");
                self.deny(DenialKind::Unreadable, rule, why);
                None
            }
        }
    }
}

/// The digest of what is left to read.
fn digest_of(mut file: impl Read) -> io::Result<Digest> {
    let (mut hasher, mut buffer) = (Hasher::new(), vec![0; HASH_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// Why there are no leaves.
enum Unread {
    /// The line with this number, from one, is no record.
    Line(usize, String),
    File(io::Error),
}

/// The leaf of each line that is not empty.
fn leaves_of(file: impl Read) -> Result<Vec<Digest>, Unread> {
    let mut file = BufReader::new(file);
    let (mut leaves, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let mut rest = (&mut file).take(LINE_BYTES_MAX + 1);
        if rest.read_until(b'\n', &mut line).map_err(Unread::File)? == 0 {
            return Ok(leaves);
        }
        let number = leaves.len() + 1;
        if line.len() as u64 > LINE_BYTES_MAX {
            let why = format!("it is longer than {LINE_BYTES_MAX} bytes");
            return Err(Unread::Line(number, why));
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if text.is_empty() {
            continue;
        }
        match serde_json::from_slice::<RecordLeaf>(text) {
            Ok(record) => leaves.push(record.leaf),
            Err(error) => return Err(Unread::Line(number, error.to_string())),
        }
    }
}

/// Of a line of records.jsonl, what the root is made of.
#[derive(serde::Deserialize)]
struct RecordLeaf {
    leaf: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes, and then a disk that fails.
    struct Failing<'a>(&'a [u8]);

    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(io::Error::other("the disk is gone")),
                read => Ok(read),
            }
        }
    }

    fn line(leaf: Digest) -> String {
        serde_json::json!({ "id": "1", "leaf": leaf }).to_string()
    }

    #[test]
    fn what_is_only_hashed_may_be_longer_than_what_is_read_whole() {
        let length = FILE_BYTES_MAX + 3;
        let mut hasher = Hasher::new();
        let part = vec![7; 1 << 20];
        for _ in 0..length >> 20 {
            hasher.update(&part);
        }
        hasher.update(&part[..3]);
        let found = digest_of(io::repeat(7).take(length)).unwrap();
        assert_eq!(found, hasher.finish());
        assert!(digest_of(Failing(b"some")).is_err());
    }

    #[test]
    fn leaves_stand_a_line_each_and_what_is_none_is_named() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let text = format!("{}\n\n{}", line(one), line(two));
        assert!(leaves_of(text.as_bytes()).is_ok_and(|it| it == [one, two]));
        let text = format!("{}\nnothing\n", line(one));
        let refused = leaves_of(text.as_bytes());
        assert!(matches!(refused, Err(Unread::Line(2, _))));
        let long = io::repeat(b' ').take(LINE_BYTES_MAX + 2);
        assert!(matches!(leaves_of(long), Err(Unread::Line(1, _))));
        let text = format!("{}\n", line(one));
        let refused = leaves_of(Failing(text.as_bytes()));
        assert!(matches!(refused, Err(Unread::File(_))));
    }
}
