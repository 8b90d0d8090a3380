//! Turning a data file into records: one file for each family of formats, one way to type, name
//! and report what they give.
//!
//! A row that cannot be a record is reported with its line and reason and kept out; a file fails as
//! a whole only where it is not of its format at all. Checks of meaning, deduplication and splits
//! belong to [`crate::prepare`]. The file is held in memory, up to
//! [`DATA_FILE_BYTES_MAX`].

mod columns;
mod delimited;
pub(crate) mod json;
mod parquet;
mod spec;
mod text;
mod typed;
mod xlsx;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::DataError;
use crate::bounds::{BROKEN_ROWS_KEPT_MAX, DATA_FILE_BYTES_MAX, FIELDS_MAX, RECORDS_MAX};
use crate::nearest;

use self::columns::{Columns, has_header};
pub(crate) use self::delimited::{Lines as TableLines, NEVER_CLOSED};
pub(crate) use self::parquet::{check_size as check_parquet_size, object as parquet_object};
pub use self::spec::{FieldType, Format, Quote, ReaderSpec};
pub(crate) use self::text::recognise;
pub(crate) use self::typed::typed;

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

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self::Format(reason)
    }
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

/// Refuses a column that the specification names and no row has.
fn check_names(rows: &Rows, spec: &ReaderSpec) -> Result<(), Failure> {
    let whole = rows.rows.iter().filter_map(|row| row.fields.as_ref().ok());
    let known: HashSet<&str> = whole.flat_map(Map::keys).map(String::as_str).collect();
    if known.is_empty() {
        return Ok(());
    }
    let typed = spec.types.keys().map(|name| ("types", name));
    for (key, name) in typed.chain(spec.id.iter().map(|name| ("id", name))) {
        if !known.contains(name.as_str()) {
            return Err(Failure::Spec {
                key,
                reason: format!(
                    "no row has a column `{name}`{}",
                    nearest::hint(name, known.iter().copied())
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

impl Read {
    /// Reports a row as broken.
    pub(crate) fn report(&mut self, line: u64, reason: String) {
        self.broken_rows += 1;
        if self.broken.len() < BROKEN_ROWS_KEPT_MAX {
            self.broken.push(Broken { line, reason });
        }
    }
}

/// Runs a third-party parser over outside bytes. Its panics, which a broken file can bring about,
/// become errors: a row must never end the process.
pub(crate) fn shielded<T, E: From<String>>(parse: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(parse)).unwrap_or_else(|_| {
        Err(E::from(
            "the file is damaged in a way its parser does not expect; save it again".to_owned(),
        ))
    })
}

/// Reads outside bytes as each format but parquet; for fuzzing. The parquet crate panics on some
/// damaged files, which is caught, but which libFuzzer counts as a find even so.
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
