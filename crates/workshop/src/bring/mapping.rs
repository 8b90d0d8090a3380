//! A file's columns as questions and answers: read, guessed, checked, and written as the records to tune on.

use std::collections::BTreeMap;
use std::path::Path;

use lathe_data::DataError;
use lathe_data::bounds::BROKEN_ROWS_KEPT_MAX;
use lathe_data::reader::{self, Broken, Read, ReaderSpec, Record};
use serde_json::{Map, Value, json};

use super::{AnswerKind, LABELS_MAX, Mapping, RECORDS_MIN};
use crate::draft::SettingMistake;
use crate::words::{self, Lang};

/// Names that columns with questions have, and columns with answers; in lower case.
const QUESTIONS: [&str; 12] = [
    "question",
    "prompt",
    "text",
    "input",
    "instruction",
    "query",
    "问题",
    "提问",
    "文本",
    "内容",
    "输入",
    "评论",
];
const ANSWERS: [&str; 12] = [
    "answer",
    "label",
    "class",
    "category",
    "output",
    "response",
    "completion",
    "回答",
    "答案",
    "标签",
    "类别",
    "分类",
];
/// Different answers up to which they are labels, where each stands on average this often.
const LABELS_GUESSED_MAX: usize = 50;
const LABEL_USED_MIN: usize = 3;
/// Rows that are looked at for a guess.
const GUESSED_ROWS: usize = 1000;

/// Reads a file; one of semicolons or tabs that calls itself csv too.
pub(super) fn read(path: &Path, sheet: Option<&str>) -> Result<Read, DataError> {
    let spec = ReaderSpec {
        sheet: sheet.filter(|it| !it.is_empty()).map(str::to_owned),
        ..ReaderSpec::default()
    };
    let read = reader::read(path, &spec)?;
    let [only] = &columns(&read)[..] else {
        return Ok(read);
    };
    let is_csv = path.extension().is_some_and(|ending| ending == "csv");
    let other = [';', '\t']
        .into_iter()
        .find(|it| is_csv && only.contains(*it));
    match other {
        Some(delimiter) => reader::read(
            path,
            &ReaderSpec {
                delimiter: Some(delimiter),
                ..spec
            },
        ),
        None => Ok(read),
    }
}

/// The columns that any of the first records has, in their order.
pub(super) fn columns(read: &Read) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for record in read.records.iter().take(GUESSED_ROWS) {
        for name in record.fields.keys() {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

/// What the columns probably are: by their names, else the longest texts are questions and the column with
/// the fewest different values has the answers.
pub(super) fn guess(read: &Read) -> Mapping {
    let names = columns(read);
    let mut mapping = Mapping {
        kind: AnswerKind::Text,
        question: String::new(),
        answer: String::new(),
        instruction: None,
        group: None,
        sheet: None,
    };
    if names.iter().any(|name| name == "messages") {
        mapping.kind = AnswerKind::Conversation;
        return mapping;
    }
    let named = |known: &[&str]| {
        let is_known = |name: &&String| known.contains(&name.trim().to_lowercase().as_str());
        names.iter().find(is_known).cloned()
    };
    let length =
        |name: &String| -> usize { texts(read, name).map(|text| text.chars().count()).sum() };
    let question = named(&QUESTIONS).or_else(|| names.iter().max_by_key(|it| length(it)).cloned());
    let question = question.unwrap_or_default();
    let others = names.iter().filter(|name| **name != question);
    let fewest = others.min_by_key(|name| different(read, name));
    mapping.answer = named(&ANSWERS)
        .filter(|name| *name != question)
        .or_else(|| fewest.cloned())
        .unwrap_or_default();
    let (labels, rows) = (
        different(read, &mapping.answer),
        texts(read, &mapping.answer).count(),
    );
    if labels <= LABELS_GUESSED_MAX && labels * LABEL_USED_MIN <= rows {
        mapping.kind = AnswerKind::Label;
    }
    mapping.question = question;
    mapping
}

fn texts<'r>(read: &'r Read, name: &'r str) -> impl Iterator<Item = String> + 'r {
    let records = read.records.iter().take(GUESSED_ROWS);
    records.filter_map(move |record| text(record.fields.get(name)))
}

fn different(read: &Read, name: &str) -> usize {
    texts(read, name)
        .collect::<std::collections::BTreeSet<_>>()
        .len()
}

/// A value as text; none where there is nothing to read.
fn text(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        _ => return None,
    };
    Some(text).filter(|text| !text.is_empty())
}

/// What of the mapping the file cannot bear.
pub(super) fn mistakes(mapping: &Mapping, read: &Read) -> Vec<SettingMistake> {
    let names = columns(read);
    let at = |key: &str, text: String, next: &str| SettingMistake {
        key: key.to_owned(),
        code: "bring-mapping".to_owned(),
        text,
        next: next.to_owned(),
        expected: None,
    };
    let mut found = Vec::new();
    let mut column = |key: &str, name: &str| {
        if !names.iter().any(|it| it == name) {
            let text = match name {
                "" => "no column is chosen".to_owned(),
                name => format!("the file has no column {name:?}"),
            };
            let next = format!("choose one of {}", names.join(", "));
            found.push(at(key, text, &next));
        }
    };
    match mapping.kind {
        AnswerKind::Conversation => column("kind", "messages"),
        _ => {
            column("question", &mapping.question);
            column("answer", &mapping.answer);
        }
    }
    if let Some(group) = mapping.group.as_deref().filter(|it| !it.is_empty()) {
        column("group", group);
    }
    let has_two = mapping.kind != AnswerKind::Conversation;
    if has_two && !mapping.question.is_empty() && mapping.question == mapping.answer {
        let text = "question and answer are the same column".to_owned();
        found.push(at("answer", text, "choose another column for one of them"));
    }
    if found.is_empty() && mapping.kind == AnswerKind::Label {
        let labels = labels(&applied(mapping, read));
        if !(2..=LABELS_MAX).contains(&labels.len()) {
            let text = format!(
                "the column {:?} has {} different values: labels are 2 to {LABELS_MAX}",
                mapping.answer,
                labels.len()
            );
            found.push(at("kind", text, "choose free words, or another column"));
        }
    }
    if found.is_empty() {
        let records = applied(mapping, read).records.len();
        if records < RECORDS_MIN {
            let text =
                format!("{records} rows have both question and answer, fewer than {RECORDS_MIN}");
            found.push(at(
                "answer",
                text,
                "choose other columns, or bring more rows",
            ));
        }
    }
    found
}

/// The records to tune on: `question` and `label`, or `messages`; `group` where one is chosen. A row that
/// lacks one of them is reported.
pub(super) fn applied(mapping: &Mapping, read: &Read) -> Read {
    let mut made = Read {
        records: Vec::with_capacity(read.records.len()),
        broken: read.broken.clone(),
        broken_rows: read.broken_rows,
        encoding: read.encoding.clone(),
    };
    for record in &read.records {
        match fields(mapping, record) {
            Ok(fields) => made.records.push(Record {
                fields,
                ..record.clone()
            }),
            Err(reason) => {
                made.broken_rows += 1;
                if made.broken.len() < BROKEN_ROWS_KEPT_MAX {
                    made.broken.push(Broken {
                        line: record.line,
                        reason,
                    });
                }
            }
        }
    }
    made
}

/// How a row is reported whose cell in a column is empty, around the column's name.
const EMPTY: (&str, &str) = ("the cell in `", "` is empty");
/// How a row is reported whose conversation is none.
const NO_LIST: &str = "`messages` is no list";

/// Why a row was left out, in a language: what is said here has words, what reading the file says stays as it is.
pub fn told_reason(reason: &str, lang: Lang) -> String {
    if reason == NO_LIST {
        return words::get(lang, "bring.reason.no-list", &[]);
    }
    let rest = reason.strip_prefix(EMPTY.0);
    match rest.and_then(|rest| rest.strip_suffix(EMPTY.1)) {
        Some(column) => words::get(lang, "bring.reason.empty", &[("value", column)]),
        None => reason.to_owned(),
    }
}

fn fields(mapping: &Mapping, record: &Record) -> Result<Map<String, Value>, String> {
    let of = |name: &str| {
        text(record.fields.get(name)).ok_or_else(|| format!("{}{name}{}", EMPTY.0, EMPTY.1))
    };
    let mut fields = Map::new();
    fields.insert("id".to_owned(), json!(record.id));
    match mapping.kind {
        AnswerKind::Label => {
            fields.insert("question".to_owned(), json!(of(&mapping.question)?));
            fields.insert("label".to_owned(), json!(of(&mapping.answer)?));
        }
        AnswerKind::Text => {
            let mut messages = Vec::new();
            if let Some(told) = instruction(mapping) {
                messages.push(json!({"role": "system", "content": told}));
            }
            messages.push(json!({"role": "user", "content": of(&mapping.question)?}));
            messages.push(json!({"role": "assistant", "content": of(&mapping.answer)?}));
            fields.insert("messages".to_owned(), json!(messages));
        }
        AnswerKind::Conversation => {
            let messages = record.fields.get("messages").filter(|it| it.is_array());
            let messages = messages.ok_or(NO_LIST)?;
            fields.insert("messages".to_owned(), messages.clone());
        }
    }
    if let Some(group) = mapping.group.as_deref().filter(|it| !it.is_empty()) {
        fields.insert("group".to_owned(), json!(of(group)?));
    }
    Ok(fields)
}

/// What the model is told before every question, where something is.
pub(super) fn instruction(mapping: &Mapping) -> Option<&str> {
    mapping
        .instruction
        .as_deref()
        .map(str::trim)
        .filter(|it| !it.is_empty())
}

/// The labels of mapped records, the most frequent first, then by name.
pub(super) fn labels(mapped: &Read) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &mapped.records {
        if let Some(label) = record.fields.get("label").and_then(Value::as_str) {
            *counts.entry(label).or_default() += 1;
        }
    }
    let mut labels: Vec<(String, u64)> = counts
        .into_iter()
        .map(|(label, count)| (label.to_owned(), count))
        .collect();
    labels.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(name: &str, text: &str) -> Read {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        read(&path, None).unwrap()
    }

    fn labelled() -> Read {
        let mut text = "编号;评论;类别\n".to_owned();
        for row in 0..30 {
            text += &format!(
                "{row};第 {row} 条评论，写得比较长;{}\n",
                ["好", "坏"][row % 2]
            );
        }
        read_text("a.csv", &(text + "31;;好\n"))
    }

    #[test]
    fn columns_are_guessed_by_their_names_and_values() {
        let read = labelled();
        let mapping = guess(&read);
        assert_eq!((&*mapping.question, &*mapping.answer), ("评论", "类别"));
        assert_eq!(mapping.kind, AnswerKind::Label);
        assert_eq!(mistakes(&mapping, &read), []);
        let mapped = applied(&mapping, &read);
        assert_eq!((mapped.records.len(), mapped.broken_rows), (30, 1));
        let reason = &mapped.broken[0].reason;
        assert_eq!(reason, "the cell in `评论` is empty");
        assert_eq!(&told_reason(reason, Lang::En), reason);
        assert_eq!(told_reason(reason, Lang::Zh), "“评论”列的单元格为空");
        assert_eq!(told_reason(NO_LIST, Lang::En), NO_LIST);
        let other = "it has 3 fields instead of 2";
        assert_eq!(told_reason(other, Lang::Zh), other);
        assert_eq!(
            labels(&mapped),
            [("坏".to_owned(), 15), ("好".to_owned(), 15)]
        );

        let words = read_text("b.tsv", "k\ttheirs\n1\twhat is it?\n2\tand this?\n");
        let mapping = guess(&words);
        assert_eq!((&*mapping.question, &*mapping.answer), ("theirs", "k"));
        assert_eq!(mapping.kind, AnswerKind::Text);
    }

    #[test]
    fn what_cannot_be_is_said_at_its_field() {
        let read = labelled();
        let good = guess(&read);
        let keys = |mapping: Mapping| -> Vec<String> {
            mistakes(&mapping, &read)
                .into_iter()
                .map(|it| it.key)
                .collect()
        };
        let gone = Mapping {
            question: "gone".to_owned(),
            answer: String::new(),
            group: Some("no".to_owned()),
            ..good.clone()
        };
        assert_eq!(keys(gone), ["question", "answer", "group"]);
        let same = Mapping {
            answer: good.question.clone(),
            ..good.clone()
        };
        assert_eq!(keys(same), ["answer"]);
        let chats = Mapping {
            kind: AnswerKind::Conversation,
            ..good.clone()
        };
        assert_eq!(keys(chats), ["kind"]);
        let few = read_text("c.csv", "question,answer\na,b\n");
        let found = mistakes(&guess(&few), &few);
        assert_eq!(found[0].key, "answer", "{found:?}");
    }

    #[test]
    fn free_answers_become_conversations() {
        let read = labelled();
        let mapping = Mapping {
            kind: AnswerKind::Text,
            instruction: Some(" 简短回答。 ".to_owned()),
            group: Some("类别".to_owned()),
            ..guess(&read)
        };
        let mapped = applied(&mapping, &read);
        let fields = &mapped.records[0].fields;
        assert_eq!(fields["messages"][0]["content"], "简短回答。");
        assert_eq!(
            fields["messages"][2],
            json!({"role": "assistant", "content": "好"})
        );
        assert_eq!(fields["group"], "好");
    }
}
