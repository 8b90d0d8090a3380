//! What a subject answered to which record, and what that answer says.
//!
//! ```text
//! <folder>/predictions.jsonl   a line per record: id, output, valid, number, class, likelihood
//!          predictions.json    whose they are, how many, SHA-256 of the lines
//! ```

use std::fs;
use std::path::Path;

use lathe_data::prepare::Sealed;
use lathe_data::task::Task;
use lathe_evidence::Digest;
use lathe_evidence::report::Role;
use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::likelihood::Likelihood;

const LINES: &str = "predictions.jsonl";
const CARD: &str = "predictions.json";
/// Largest file of predictions that is read, in bytes.
const LINES_BYTES_MAX: u64 = 1 << 30;

/// One answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {
    /// The record's id.
    pub id: String,
    /// The answer verbatim.
    pub output: String,
    /// Whether it satisfies the schema and its class and number agree.
    pub valid: bool,
    /// The number it counts as, where the task has one; the task's default when invalid.
    pub number: Option<f64>,
    /// The class it counts as, where the task has one; the task's default when invalid.
    pub class: Option<String>,
    /// How likely the record's own answer is, where answers are free words; `output` is empty then,
    /// for nothing is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likelihood: Option<Likelihood>,
}

/// All answers of one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// The subject's part in the report.
    pub role: Role,
    /// The subject's name in the report.
    pub name: String,
    /// What the subject is, in a sentence.
    pub note: String,
    /// The answers in the order of the records.
    pub lines: Vec<Prediction>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    role: Role,
    name: String,
    note: String,
    records: usize,
    valid: usize,
    sha256: Digest,
}

/// Reads `outputs`, one for each of `records`, as the task says.
///
/// # Panics
/// If there is not one output per record.
pub fn score(
    task: &Task,
    records: &[Sealed],
    outputs: &[String],
    role: Role,
    name: &str,
    note: &str,
) -> Predictions {
    assert_eq!(records.len(), outputs.len(), "one output per record");
    let lines = records.iter().zip(outputs).map(|(sealed, output)| {
        let read = task.read_answer(output);
        let valid = read.is_some();
        let answer = read.unwrap_or_else(|| task.invalid_answer());
        Prediction {
            id: sealed.record.id.clone(),
            output: output.clone(),
            valid,
            number: answer.number,
            class: answer.class,
            likelihood: None,
        }
    });
    Predictions {
        role,
        name: name.to_owned(),
        note: note.to_owned(),
        lines: lines.collect(),
    }
}

/// What a subject holds the answers of `records` for, one likelihood for each.
///
/// # Panics
/// If there is not one likelihood per record.
pub fn likely(
    records: &[Sealed],
    found: &[Likelihood],
    role: Role,
    name: &str,
    note: &str,
) -> Predictions {
    assert_eq!(records.len(), found.len(), "one likelihood per record");
    let lines = records.iter().zip(found).map(|(sealed, found)| Prediction {
        id: sealed.record.id.clone(),
        output: String::new(),
        valid: true,
        number: None,
        class: None,
        likelihood: Some(*found),
    });
    Predictions {
        role,
        name: name.to_owned(),
        note: note.to_owned(),
        lines: lines.collect(),
    }
}

impl Predictions {
    /// SHA-256 of the lines as they are stored.
    pub fn sha256(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// Writes both files into `folder`, which is made if absent.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), EvalError> {
        fs::create_dir_all(folder).map_err(EvalError::file("create", folder))?;
        let text = self.text();
        let card = Card {
            role: self.role,
            name: self.name.clone(),
            note: self.note.clone(),
            records: self.lines.len(),
            valid: self.lines.iter().filter(|line| line.valid).count(),
            sha256: Digest::of(text.as_bytes()),
        };
        let mut card = serde_json::to_string_pretty(&card).expect("a card is plain JSON");
        card.push('\n');
        for (name, text) in [(LINES, text), (CARD, card)] {
            let path = folder.join(name);
            fs::write(&path, text).map_err(EvalError::file("write", &path))?;
        }
        Ok(())
    }

    /// Reads what [`Predictions::save`] wrote and checks its digest.
    ///
    /// # Errors
    /// A file that is missing, damaged or larger than a gigabyte.
    pub fn load(folder: &Path) -> Result<Self, EvalError> {
        let card: Card = parse(&folder.join(CARD), &read(&folder.join(CARD))?)?;
        let path = folder.join(LINES);
        let text = read(&path)?;
        let damaged = |reason: &str| EvalError::Damaged {
            path: path.clone(),
            reason: reason.into(),
        };
        if Digest::of(text.as_bytes()) != card.sha256 {
            return Err(damaged("its SHA-256 is not the one written"));
        }
        let lines: Vec<Prediction> = text
            .lines()
            .map(|line| parse(&path, line))
            .collect::<Result<_, _>>()?;
        if lines.len() != card.records {
            return Err(damaged("it has another number of lines than written"));
        }
        Ok(Self {
            role: card.role,
            name: card.name,
            note: card.note,
            lines,
        })
    }

    fn text(&self) -> String {
        let line = |line: &Prediction| serde_json::to_string(line).expect("a line is plain JSON");
        self.lines
            .iter()
            .map(line)
            .flat_map(|line| [line, "\n".to_owned()])
            .collect()
    }
}

fn read(path: &Path) -> Result<String, EvalError> {
    let size = fs::metadata(path)
        .map_err(EvalError::file("read", path))?
        .len();
    if size > LINES_BYTES_MAX {
        let reason = format!("it has {size} bytes, more than {LINES_BYTES_MAX}");
        return Err(EvalError::Damaged {
            path: path.to_path_buf(),
            reason,
        });
    }
    fs::read_to_string(path).map_err(EvalError::file("read", path))
}

fn parse<T: for<'a> Deserialize<'a>>(path: &Path, text: &str) -> Result<T, EvalError> {
    serde_json::from_str(text).map_err(|error| EvalError::Damaged {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn an_invalid_answer_counts_as_the_task_says() {
        let records = testing::records(3);
        let outputs = [testing::answer(2.0), "I like it".to_owned(), String::new()];
        let predictions = score(
            &testing::task(),
            &records,
            &outputs,
            Role::Base,
            "base",
            "the base model",
        );
        let [good, bad, empty] = &predictions.lines[..] else {
            panic!("three lines")
        };
        assert_eq!(
            (good.valid, good.number, good.class.as_deref()),
            (true, Some(2.0), Some("positive"))
        );
        for line in [bad, empty] {
            assert_eq!(
                (line.valid, line.number, line.class.as_deref()),
                (false, Some(0.0), Some("neutral"))
            );
        }
        assert_eq!(bad.output, "I like it");
    }

    #[test]
    fn they_come_back_as_they_were() {
        let folder = tempfile::tempdir().expect("a folder");
        let predictions = testing::predictions(Role::Tuned, "tuned", &testing::records(5), 0.1);
        predictions.save(folder.path()).expect("saves");
        let back = Predictions::load(folder.path()).expect("loads");
        assert_eq!(back, predictions);
        assert_eq!(back.sha256(), predictions.sha256());
    }

    #[test]
    fn changed_lines_are_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let predictions = testing::predictions(Role::Tuned, "tuned", &testing::records(5), 0.1);
        predictions.save(folder.path()).expect("saves");
        let path = folder.path().join(LINES);
        let text = fs::read_to_string(&path)
            .expect("reads")
            .replace("true", "false");
        fs::write(&path, text).expect("writes");
        assert_eq!(
            Predictions::load(folder.path())
                .expect_err("changed")
                .code(),
            "eval-damaged"
        );
    }
}
