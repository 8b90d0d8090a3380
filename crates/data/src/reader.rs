//! Turning a data file into records: one file for each family of formats, one way to type, name
//! and report what they give.
//!
//! A row that cannot be a record is reported with its line and reason and kept out; a file fails as
//! a whole only where it is not of its format at all. Checks of meaning, deduplication and splits
//! belong to [`crate::prepare`]. The file is held in memory, up to
//! [`DATA_FILE_BYTES_MAX`](crate::bounds::DATA_FILE_BYTES_MAX).

mod delimited;
mod json;
mod parquet;
mod text;
mod xlsx;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::DataError;
use crate::bounds::{BROKEN_ROWS_KEPT_MAX, DATA_FILE_BYTES_MAX, FIELDS_MAX, RECORDS_MAX};
use crate::nearest;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma separated values, RFC 4180.
    Csv,
    /// Tab separated values.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// An array of JSON objects.
    Json,
    /// An Excel workbook.
    Xlsx,
    /// Apache Parquet.
    Parquet,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Text.
    Text,
    /// A finite number.
    Number,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
}

/// Whether fields may be quoted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quote {
    /// By double quotes, a doubled one standing for itself.
    #[default]
    Double,
    /// Never: a quote is a character like any other.
    None,
}

/// How a file is read; every key may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReaderSpec {
    /// The format; by the file's extension if absent.
    pub format: Option<Format>,
    /// The character between fields, for csv and tsv.
    pub delimiter: Option<char>,
    /// Quoting, for csv and tsv.
    pub quote: Quote,
    /// Whether the first row names the columns (csv, tsv, xlsx); true unless `columns` are given.
    pub header: Option<bool>,
    /// The columns' names in order; with a header, new names in place of its own.
    pub columns: Vec<String>,
    /// What columns hold; text for csv and tsv, as it is for the other formats.
    pub types: BTreeMap<String, FieldType>,
    /// The encoding; recognised (byte order mark, UTF-8, GB18030) if absent.
    pub encoding: Option<String>,
    /// The sheet, for xlsx; the first if absent.
    pub sheet: Option<String>,
    /// Where the array lies, as a JSON pointer, for json.
    pub pointer: Option<String>,
    /// The column that names the record; the line number if absent.
    pub id: Option<String>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name inside the dataset, unique.
    pub id: String,
    /// What must not be torn apart by a split; the id where nothing else was said.
    pub group: String,
    /// The line or row it came from, counted from 1.
    pub line: u64,
    /// Its fields in the file's order.
    pub fields: Map<String, Value>,
}

/// A row that was kept out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// The line or row, counted from 1.
    pub line: u64,
    /// Why it was kept out.
    pub reason: String,
}

/// What a file gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The whole records in the file's order.
    pub records: Vec<Record>,
    /// The rows kept out; the first [`BROKEN_ROWS_KEPT_MAX`] of them.
    pub broken: Vec<Broken>,
    /// How many rows were kept out.
    pub broken_rows: u64,
    /// The encoding the text was in, by its WHATWG name.
    pub encoding: String,
}

/// A row as a format gives it: its line, and its fields or why there are none.
struct Row {
    line: u64,
    fields: Result<Map<String, Value>, String>,
}

/// What a format gives: rows in order, and the encoding they were in.
struct Rows {
    rows: Vec<Row>,
    encoding: &'static str,
}

/// Reads the file at `path`.
///
/// # Errors
/// A file that cannot be opened, is beyond the bound, or is not of its format at all; a
/// specification that names columns the file does not have.
pub fn read(path: &Path, spec: &ReaderSpec) -> Result<Read, DataError> {
    let format = format_of(path, spec)?;
    let fail = |error| DataError::file("read", path, error);
    let bytes_at_hand = std::fs::metadata(path).map_err(fail)?.len();
    if bytes_at_hand > DATA_FILE_BYTES_MAX {
        return Err(format_error(
            path,
            format,
            format!(
                "it has {bytes_at_hand} bytes, more than {DATA_FILE_BYTES_MAX}; split it into smaller files"
            ),
        ));
    }
    let bytes = std::fs::read(path).map_err(fail)?;
    read_bytes(bytes, format, spec).map_err(|failure| match failure {
        Failure::Format(reason) => format_error(path, format, reason),
        Failure::Spec { key, reason } => DataError::Spec {
            key: format!("data.reader.{key}"),
            reason,
        },
    })
}

/// Why no rows come out of a file, before its path is known.
#[derive(Debug)]
enum Failure {
    Format(String),
    Spec { key: &'static str, reason: String },
}

fn read_bytes(bytes: Vec<u8>, format: Format, spec: &ReaderSpec) -> Result<Read, Failure> {
    let rows = match format {
        Format::Csv => delimited::rows(&bytes, ',', spec)?,
        Format::Tsv => delimited::rows(&bytes, '\t', spec)?,
        Format::Jsonl => json::line_rows(&bytes, spec)?,
        Format::Json => json::array_rows(&bytes, spec)?,
        Format::Xlsx => xlsx::rows(bytes, spec)?,
        Format::Parquet => parquet::rows(bytes)?,
    };
    if rows.rows.len() > RECORDS_MAX {
        return Err(Failure::Format(format!(
            "it has {} rows, more than {RECORDS_MAX}; split it into smaller files",
            rows.rows.len()
        )));
    }
    check_names(&rows, spec)?;
    Ok(records(rows, spec))
}

fn format_of(path: &Path, spec: &ReaderSpec) -> Result<Format, DataError> {
    if let Some(format) = spec.format {
        return Ok(format);
    }
    let extension = path.extension().map(|text| text.to_string_lossy());
    let extension = extension.unwrap_or_default().to_lowercase();
    match extension.as_str() {
        "csv" => Ok(Format::Csv),
        "tsv" | "tab" => Ok(Format::Tsv),
        "jsonl" | "ndjson" => Ok(Format::Jsonl),
        "json" => Ok(Format::Json),
        "xlsx" => Ok(Format::Xlsx),
        "parquet" => Ok(Format::Parquet),
        _ => Err(DataError::Spec {
            key: "data.reader.format".to_owned(),
            reason: format!(
                "the extension of {} names no format; write csv, tsv, jsonl, json, xlsx or parquet",
                path.display()
            ),
        }),
    }
}

fn format_error(path: &Path, format: Format, reason: String) -> DataError {
    DataError::Format {
        path: path.to_owned(),
        format: format.name(),
        reason,
    }
}

impl Format {
    /// The name as a pack writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Xlsx => "xlsx",
            Self::Parquet => "parquet",
        }
    }
}

/// Refuses a column that the specification names and no row has.
fn check_names(rows: &Rows, spec: &ReaderSpec) -> Result<(), Failure> {
    let mut known = HashMap::new();
    for fields in rows.rows.iter().filter_map(|row| row.fields.as_ref().ok()) {
        for name in fields.keys() {
            if !known.contains_key(name.as_str()) && known.len() < FIELDS_MAX {
                known.insert(name.as_str(), ());
            }
        }
    }
    if known.is_empty() {
        return Ok(());
    }
    let typed = spec.types.keys().map(|name| ("types", name));
    for (key, name) in typed.chain(spec.id.iter().map(|name| ("id", name))) {
        if !known.contains_key(name.as_str()) {
            return Err(Failure::Spec {
                key,
                reason: format!(
                    "no row has a column `{name}`{}",
                    nearest::hint(name, known.keys().copied())
                ),
            });
        }
    }
    Ok(())
}

/// Types, names and numbers the rows.
fn records(rows: Rows, spec: &ReaderSpec) -> Read {
    let mut read = Read {
        records: Vec::with_capacity(rows.rows.len()),
        broken: Vec::new(),
        broken_rows: 0,
        encoding: rows.encoding.to_owned(),
    };
    let mut lines_by_id: HashMap<String, u64> = HashMap::new();
    for Row { line, fields } in rows.rows {
        let record = fields.and_then(|fields| record(line, fields, spec));
        let record = record.and_then(|record| match lines_by_id.insert(record.id.clone(), line) {
            None => Ok(record),
            Some(earlier) => {
                lines_by_id.insert(record.id.clone(), earlier);
                Err(format!(
                    "the id `{}` stands on line {earlier} already",
                    record.id
                ))
            }
        });
        match record {
            Ok(record) => read.records.push(record),
            Err(reason) => read.report(line, reason),
        }
    }
    read
}

fn record(line: u64, mut fields: Map<String, Value>, spec: &ReaderSpec) -> Result<Record, String> {
    if fields.len() > FIELDS_MAX {
        return Err(format!("it has more than {FIELDS_MAX} fields"));
    }
    for (name, kind) in &spec.types {
        if let Some(value) = fields.get_mut(name) {
            *value = typed(value, *kind).map_err(|reason| format!("`{name}` {reason}"))?;
        }
    }
    let id = match &spec.id {
        None => line.to_string(),
        Some(column) => match fields.get(column) {
            Some(Value::String(text)) if !text.is_empty() => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => return Err(format!("`{column}`, which names the record, is empty")),
        },
    };
    Ok(Record {
        group: id.clone(),
        id,
        line,
        fields,
    })
}

/// `value` as `kind`. Nothing (an empty cell, null) stays nothing, except that text keeps its
/// emptiness; a required field is checked for later.
pub(crate) fn typed(value: &Value, kind: FieldType) -> Result<Value, String> {
    let text = match value {
        Value::Null => return Ok(Value::Null),
        Value::Array(_) | Value::Object(_) => {
            return Err("holds a list or an object instead of one value".to_owned());
        }
        Value::String(text) if kind == FieldType::Text => return Ok(Value::String(text.clone())),
        Value::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    };
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let shown = || text.chars().take(40).collect::<String>();
    match kind {
        FieldType::Text => Ok(Value::String(text)),
        FieldType::Integer => text
            .parse::<i64>()
            .map(Value::from)
            .map_err(|_| format!("is `{}` instead of a whole number", shown())),
        FieldType::Number => {
            number(&text).ok_or_else(|| format!("is `{}` instead of a number", shown()))
        }
        FieldType::Boolean => match text.to_lowercase().as_str() {
            "true" | "1" => Ok(Value::Bool(true)),
            "false" | "0" => Ok(Value::Bool(false)),
            _ => Err(format!("is `{}` instead of true or false", shown())),
        },
    }
}

/// The finite number that `text` spells. Whole numbers stay whole, so that a table that writes
/// `2` and one that writes `2.0` keep what they wrote.
fn number(text: &str) -> Option<Value> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(Value::from(whole));
    }
    // Rust also reads "inf" and "nan", which no table means as a number.
    text.parse::<f64>()
        .ok()
        .filter(|float| float.is_finite())
        .map(Value::from)
}

impl Read {
    /// Reports a row as broken.
    pub(crate) fn report(&mut self, line: u64, reason: String) {
        self.broken_rows += 1;
        if self.broken.len() < BROKEN_ROWS_KEPT_MAX {
            self.broken.push(Broken { line, reason });
        }
    }
}

/// The columns of a table: their names, in order.
struct Columns(Vec<String>);

impl Columns {
    /// From the specification, else from the header.
    fn new(header: Option<Vec<String>>, spec: &ReaderSpec) -> Result<Self, Failure> {
        let names = match (&spec.columns[..], header) {
            ([], None) => {
                return Err(Failure::Spec {
                    key: "columns",
                    reason: "the file has no header to take names from; list the columns' names in order"
                        .to_owned(),
                });
            }
            ([], Some(header)) => header.iter().map(|name| name.trim().to_owned()).collect(),
            (names, Some(header)) if names.len() != header.len() => {
                return Err(Failure::Spec {
                    key: "columns",
                    reason: format!(
                        "{} names are listed and the header has {} ({})",
                        names.len(),
                        header.len(),
                        header
                            .iter()
                            .take(20)
                            .cloned()
                            .collect::<Vec<_>>()
                            .join(", ")
                    ),
                });
            }
            (names, _) => names.to_vec(),
        };
        if names.len() > FIELDS_MAX {
            return Err(Failure::Format(format!(
                "it has {} columns, more than {FIELDS_MAX}",
                names.len()
            )));
        }
        let mut sorted: Vec<_> = names.iter().collect();
        sorted.sort();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::Format(format!(
                "two columns are called `{}`; rename them with `columns`",
                pair[0]
            )));
        }
        Ok(Self(names))
    }

    /// The fields of one row of cells.
    fn fields(&self, cells: Vec<Value>) -> Result<Map<String, Value>, String> {
        if cells.len() != self.0.len() {
            return Err(format!(
                "it has {} fields instead of {}",
                cells.len(),
                self.0.len()
            ));
        }
        Ok(self.0.iter().cloned().zip(cells).collect())
    }
}

/// Whether the first row names the columns.
fn has_header(spec: &ReaderSpec) -> bool {
    spec.header.unwrap_or(spec.columns.is_empty())
}

/// Runs a third-party parser over outside bytes. Its panics, which a broken file can bring about,
/// become errors: a row must never end the process.
fn shielded<T>(parse: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse)).unwrap_or_else(|_| {
        Err(Failure::Format(
            "the file is damaged in a way its parser does not expect; save it again".to_owned(),
        ))
    })
}

/// Reads outside bytes as each text format; for fuzzing.
pub fn fuzz(bytes: &[u8]) {
    let named = ReaderSpec {
        columns: vec!["id".to_owned(), "mean".to_owned(), "text".to_owned()],
        quote: Quote::None,
        types: BTreeMap::from([("mean".to_owned(), FieldType::Number)]),
        id: Some("id".to_owned()),
        ..ReaderSpec::default()
    };
    for format in [
        Format::Csv,
        Format::Tsv,
        Format::Jsonl,
        Format::Json,
        Format::Xlsx,
        Format::Parquet,
    ] {
        for spec in [&ReaderSpec::default(), &named] {
            if let Ok(read) = read_bytes(bytes.to_vec(), format, spec) {
                assert!(read.broken.len() as u64 <= read.broken_rows);
            }
        }
    }
}

#[cfg(test)]
mod tests;
