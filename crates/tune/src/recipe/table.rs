//! Questions out of a plain table: a column that is asked about and one that holds the answer.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use lathe_data::reader::{self, Record};
use lathe_engine::{ChatTemplate, Message, Tokenizer};
use lathe_evidence::Digest;
use serde_json::Value;

use super::Settings;
use super::answer::{AnswerSpec, ChoiceSpec, Labels, Reading, Truth};
use crate::TuneError;
use crate::pack::Row;
use crate::voice::Voice;

/// Largest file of labelled lines.
const LINES_BYTES_MAX: u64 = 1 << 30;

/// One row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// The line it came from, counted from 1.
    pub line: u64,
    /// What is asked about.
    pub text: String,
    /// The right answer.
    pub truth: Truth,
}

/// A column of a file as text.
struct Cells {
    line: u64,
    text: String,
    answer: String,
}

/// The table in `path` as the recipe reads it.
fn cells(settings: &Settings, path: &Path) -> Result<Vec<Cells>, TuneError> {
    let (input, output) = columns(settings)?;
    let spec = settings.reader.clone().unwrap_or_default();
    let read = reader::read(path, &spec)?;
    let cells = |record: &Record| {
        let column = |name: &str| match record.fields.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Null) | None => Err(no_column(path, record, name)),
            Some(other) => Ok(other.to_string()),
        };
        Ok(Cells {
            line: record.line,
            text: column(input)?,
            answer: column(output)?,
        })
    };
    read.records.iter().map(cells).collect()
}

fn columns(settings: &Settings) -> Result<(&str, &str), TuneError> {
    let name = |key: &str, column: &Option<String>| TuneError::Recipe {
        key: key.to_owned(),
        reason: format!("name the column of the table; it is {column:?}"),
    };
    let (input, output) = (&settings.input, &settings.output);
    Ok((
        input.as_deref().ok_or_else(|| name("input", input))?,
        output.as_deref().ok_or_else(|| name("output", output))?,
    ))
}

fn no_column(path: &Path, record: &Record, name: &str) -> TuneError {
    let there: Vec<&str> = record.fields.keys().map(String::as_str).collect();
    TuneError::Recipe {
        key: name.to_owned(),
        reason: format!(
            "line {} of {} has no value in such a column; its columns are {}",
            record.line,
            path.display(),
            there.join(", ")
        ),
    }
}

/// Where the questions of a recipe are.
pub enum Table<'a> {
    /// A file with the columns that the recipe names.
    File(&'a Path),
    /// Files of lines by the label of all their lines.
    Lines(&'a BTreeMap<String, PathBuf>),
}

/// The labels of a recipe's answers: those it names, or what its table has, sorted.
///
/// # Errors
/// A file that cannot be read, or a table without the columns.
pub fn labels(settings: &Settings, train: &Table<'_>) -> Result<Vec<String>, TuneError> {
    let train = match train {
        Table::File(train) => train,
        Table::Lines(files) => return Ok(files.keys().cloned().collect()),
    };
    match &settings.answer {
        AnswerSpec::Text => Ok(Vec::new()),
        AnswerSpec::Number(spec) => {
            let name = |value: f64| format!("{value:.3}");
            Ok(spec.grid()?.into_iter().map(name).collect())
        }
        AnswerSpec::Choice(spec) => match &spec.labels {
            Some(Labels::List(labels)) => Ok(labels.clone()),
            Some(Labels::File(file)) => {
                let path = settings.dataset_dir.join(file);
                let text =
                    std::fs::read_to_string(&path).map_err(TuneError::file("read", &path))?;
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                Ok(lines.map(str::to_owned).collect())
            }
            None => {
                let mut found = BTreeSet::new();
                for cell in cells(settings, train)? {
                    found.extend(parts(spec, &cell.answer).map(str::to_owned));
                }
                Ok(found.into_iter().collect())
            }
        },
    }
}

/// The labels in a cell.
fn parts<'a>(spec: &'a ChoiceSpec, cell: &'a str) -> impl Iterator<Item = &'a str> {
    let separator = if spec.multiple {
        Some(spec.separator.as_deref().unwrap_or(","))
    } else {
        None
    };
    let all: Vec<&str> = match separator {
        Some(separator) => cell.split(separator).collect(),
        None => vec![cell],
    };
    all.into_iter()
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// The questions of a table.
///
/// # Errors
/// A table without the columns, a label that is none, a number that is none, each with its line.
pub fn questions(
    settings: &Settings,
    reading: &Reading,
    path: &Path,
) -> Result<Vec<Question>, TuneError> {
    let question = |cell: Cells| {
        let truth = truth(reading, &cell.answer).map_err(|reason| TuneError::Recipe {
            key: "output".to_owned(),
            reason: format!("line {} of {}: {reason}", cell.line, path.display()),
        })?;
        Ok(Question {
            line: cell.line,
            text: cell.text,
            truth,
        })
    };
    cells(settings, path)?.into_iter().map(question).collect()
}

/// The lines of files that each have one label; blank lines, repetitions and lines under several
/// labels are left out. Lines are counted over all files.
///
/// # Errors
/// A file that cannot be read as UTF-8, or is larger than a table may be.
pub fn labelled_lines(files: &BTreeMap<String, PathBuf>) -> Result<Vec<Question>, TuneError> {
    let mut found: Vec<(String, usize)> = Vec::new();
    for (label, path) in files.values().enumerate() {
        let size = std::fs::metadata(path).map_err(TuneError::file("read", path))?;
        if size.len() > LINES_BYTES_MAX {
            return Err(TuneError::Recipe {
                key: "label_files".to_owned(),
                reason: format!("{} has more than {LINES_BYTES_MAX} bytes", path.display()),
            });
        }
        let text = std::fs::read_to_string(path).map_err(TuneError::file("read", path))?;
        let lines = text
            .lines()
            .map(|line| line.trim().trim_matches('\u{feff}'));
        found.extend(lines.map(|line| (line.to_owned(), label)));
    }
    let mut under: HashMap<&str, BTreeSet<usize>> = HashMap::new();
    for (line, label) in &found {
        under.entry(line).or_default().insert(*label);
    }
    let mut seen = HashSet::new();
    let mut questions = Vec::with_capacity(under.len());
    for (at, (line, label)) in found.iter().enumerate() {
        if !line.is_empty() && under[&**line].len() == 1 && seen.insert(&**line) {
            questions.push(Question {
                line: at as u64 + 1,
                text: line.clone(),
                truth: Truth::Labels(vec![*label]),
            });
        }
    }
    Ok(questions)
}

fn truth(reading: &Reading, cell: &str) -> Result<Truth, String> {
    let labels = &reading.choices.labels;
    let spec = match &reading.answer {
        AnswerSpec::Number(_) => {
            let number: f64 = cell
                .trim()
                .parse()
                .map_err(|_| format!("{cell:?} is no number"))?;
            return Ok(Truth::Number(number));
        }
        AnswerSpec::Choice(spec) => spec,
        AnswerSpec::Text => return Err("the answer is a text, not a choice".to_owned()),
    };
    let place = |part: &str| {
        let found = if spec.ids {
            part.parse()
                .ok()
                .filter(|&place: &usize| place < labels.len())
        } else {
            reading.choices.index(part)
        };
        found.ok_or_else(|| format!("{part:?} is none of the {} labels", labels.len()))
    };
    let places: Vec<usize> = parts(spec, cell).map(place).collect::<Result<_, _>>()?;
    if places.is_empty() {
        return Err("there is no label".to_owned());
    }
    Ok(Truth::Labels(places))
}

/// How questions are put to a model.
pub struct Asker<'a> {
    tokenizer: &'a Tokenizer,
    template: &'a ChatTemplate,
    system: Option<&'a str>,
    end: u32,
}

impl<'a> Asker<'a> {
    /// In the model's own way, with the reading's system message.
    ///
    /// # Errors
    /// [`TuneError::NoTemplate`], [`TuneError::NoEndToken`].
    pub fn new(model: impl Into<Voice<'a>>, reading: &'a Reading) -> Result<Self, TuneError> {
        let voice = model.into();
        let template = voice.template.ok_or(TuneError::NoTemplate)?;
        let end = crate::pack::end_of_turn(voice.tokenizer, template, voice.ends)?;
        Ok(Self {
            tokenizer: voice.tokenizer,
            template,
            system: reading.system.as_deref(),
            end,
        })
    }

    /// The tokens that are read before the answer, as serving sends them.
    ///
    /// # Errors
    /// A template that refuses the conversation.
    pub fn prompt(&self, text: &str) -> Result<Vec<u32>, TuneError> {
        let system = self.system.map(|text| Message::new("system", text));
        let asked = Message::new("user", text);
        let messages: Vec<Message> = system.into_iter().chain([asked]).collect();
        Ok(self
            .tokenizer
            .encode(&self.template.render(&messages, true)?))
    }

    /// A question with its answer, as it is learnt from.
    ///
    /// # Errors
    /// As [`Asker::prompt`] and [`Reading::target`].
    pub fn row(&self, question: &Question, reading: &Reading) -> Result<Row, TuneError> {
        let mut tokens = self.prompt(&question.text)?;
        let target = reading.target(&question.truth)?;
        let start = tokens.len();
        let likeliest = target.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let (token, _) = *likeliest.expect("a target has a token");
        tokens.extend([token, self.end]);
        let id = question.line.to_string();
        let leaf = Digest::of(format!("{}\n{:?}", question.text, question.truth).as_bytes());
        let mut row = Row::answering(id, leaf, tokens, start);
        row.soft = vec![(start, target)];
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use lathe_engine::Choices;

    fn settings(yaml: &str) -> Settings {
        let head =
            "model_name_or_path: m\noutput_dir: o\ntrain_file: t.csv\ninput: text\noutput: label\n";
        let recipe = super::super::Recipe::parse(&format!("{head}{yaml}"), &[], Path::new("."));
        recipe.expect("a recipe").settings
    }

    fn reading(settings: &Settings, labels: &[&str]) -> Reading {
        let model = testing::model();
        let labels = labels.iter().map(|&label| label.to_owned()).collect();
        Reading {
            answer: settings.answer.clone(),
            choices: Choices::new(&model.tokenizer, labels).expect("labels"),
            thresholds: None,
            assured: None,
            system: Some("Say which.".to_owned()),
            template: None,
        }
    }

    fn file(text: &str, name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        (folder, path)
    }

    #[test]
    fn labels_are_those_of_the_file() {
        let (_folder, path) = file("text,label\na,red\nb,blue\nc,red\n", "t.csv");
        let settings = settings("answer: {kind: choice}\n");
        assert_eq!(
            labels(&settings, &Table::File(&path)).expect("labels"),
            ["blue", "red"]
        );
        let found = questions(&settings, &reading(&settings, &["blue", "red"]), &path);
        let found = found.expect("questions");
        assert_eq!(found.len(), 3);
        assert_eq!(found[0].truth, Truth::Labels(vec![1]));
        assert_eq!(found[0].line, 2);
    }

    #[test]
    fn lines_by_label_are_taken_once_and_those_of_two_labels_not_at_all() {
        let (_folder, bad) = file("\u{feff}poor\nso so\n\npoor\n", "bad.txt");
        let (_other, good) = file("fine\r\nso so\n", "good.txt");
        let files = [("good", good), ("bad", bad)].map(|(name, path)| (name.to_owned(), path));
        let files = BTreeMap::from(files);
        let settings = settings("answer: {kind: choice}\n");
        let named = labels(&settings, &Table::Lines(&files)).expect("labels");
        assert_eq!(named, ["bad", "good"]);
        let found = labelled_lines(&files).expect("questions");
        let found: Vec<_> = found.iter().map(|it| (&*it.text, &it.truth)).collect();
        let label = |at| Truth::Labels(vec![at]);
        assert_eq!(found, [("poor", &label(0)), ("fine", &label(1))]);
    }

    #[test]
    fn several_places_in_a_cell() {
        let (_folder, path) = file("good thing\t0,2\tx1\nbad\t1\tx2\n", "t.tsv");
        let settings = settings(
            "answer: {kind: choice, multiple: true, ids: true, labels: [joy, anger, love]}\n\
             reader: {header: false, quote: none, columns: [text, label, id]}\n",
        );
        let reading = reading(&settings, &["joy", "anger", "love"]);
        let found = questions(&settings, &reading, &path).expect("questions");
        assert_eq!(found[0].truth, Truth::Labels(vec![0, 2]));
        let (_folder, bad) = file("a\t7\tx\n", "t.tsv");
        let error = questions(&settings, &reading, &bad).expect_err("no eighth label");
        assert!(error.to_string().contains("line 1"), "{error}");
    }

    #[test]
    fn a_row_supervises_the_choice_and_the_end() {
        let settings = settings("answer: {kind: choice}\n");
        let model = testing::model();
        let reading = reading(&settings, &["blue", "red"]);
        let asker = Asker::new(&model, &reading).expect("a way to ask");
        let question = Question {
            line: 1,
            text: "the sky".to_owned(),
            truth: Truth::Labels(vec![0]),
        };
        let row = asker.row(&question, &reading).expect("a row");
        let prompt = asker.prompt("the sky").expect("a prompt");
        assert_eq!(row.answer_start(), prompt.len());
        assert_eq!(row.tokens.len(), prompt.len() + 2);
        assert_eq!(row.tokens[prompt.len()], reading.choices.tokens[0]);
        assert!(model.config.eos.contains(&row.tokens[prompt.len() + 1]));
    }

    #[test]
    fn a_column_that_is_not_there_is_named() {
        let (_folder, path) = file("text,colour\na,red\n", "t.csv");
        let settings = settings("answer: {kind: choice}\n");
        let error = labels(&settings, &Table::File(&path))
            .expect_err("no label")
            .to_string();
        assert!(
            error.contains("label") && error.contains("colour"),
            "{error}"
        );
    }
}
